"""Schemas of answers about people, for the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = {"type": "string"}
_TIME = {"type": "number", "description": "Unix time."}
_NO_TIME = {"type": ["number", "null"], "description": "Unix time."}
_NUMBER = {"type": "integer", "minimum": 0}
_NAMES = {"type": "array", "items": _TEXT}


def _record(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **more}}


def _listed(name: str, items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return _record({name: {"type": "array", "items": items}}, **more)


_NEXT = {**_TEXT, "description": "`after` of the next page, if any."}
_USER = _record(
    {
        "name": _TEXT,
        "display": _TEXT,
        "service": {"type": "boolean", "description": "It has tokens, and no password."},
        "disabled": {"type": "boolean"},
        "roles": _NAMES,
        "made": _TIME,
        "version": _NUMBER,
        "failed": {**_NUMBER, "description": "Logins that failed in a row."},
        "locked_until": _NO_TIME,
        "provider": {"type": ["string", "null"], "description": "Where the user logs in, if not here."},
        "factor": {"type": "boolean", "description": "A login takes a second factor."},
    },
    password={**_TEXT, "description": "One that was made here; it is not shown again."},
)
_ROLE = _record({"name": _TEXT, "description": _TEXT, "permissions": _NAMES, "roles": _NAMES, "version": _NUMBER})
_TOKEN = _record(
    {
        "id": _TEXT,
        "user": _TEXT,
        "name": _TEXT,
        "scopes": {"type": ["array", "null"], "items": _TEXT, "description": "null: whatever the user may do."},
        "made": _TIME,
        "ends": _NO_TIME,
        "used": _NO_TIME,
    },
    token={**_TEXT, "description": "What is shown to call; it is not shown again."},
)
_SESSION = _record(
    {
        "id": _TEXT,
        "user": _TEXT,
        "method": {**_TEXT, "description": "How the user has logged in."},
        "address": _TEXT,
        "agent": _TEXT,
        "made": _TIME,
        "used": _TIME,
        "ends": _TIME,
    },
    csrf={**_TEXT, "description": "`X-CSRF-Token` of each call of the session that changes something."},
)
_ENTRY = _record(
    {
        "number": _NUMBER,
        "at": _TIME,
        "who": _TEXT,
        "action": _TEXT,
        "object": _TEXT,
        "outcome": _TEXT,
        "address": _TEXT,
        "before": {"description": "Secrets are eight asterisks; null for nothing."},
        "after": {"description": "Secrets are eight asterisks; null for nothing."},
    }
)
PEOPLE: Mapping[str, Any] = {
    "api.me": _record({"name": _TEXT, "roles": _NAMES, "permissions": _NAMES}),
    "api.user": _USER,
    "api.people": _listed("users", _USER, next=_NEXT),
    "api.role": _ROLE,
    "api.roles": _listed("roles", _ROLE, next=_NEXT),
    "api.token": _TOKEN,
    "api.tokens": _listed("tokens", _TOKEN, next=_NEXT),
    "api.session": _SESSION,
    "api.sessions": _listed("sessions", _SESSION, next=_NEXT),
    "api.factor": _record({"confirmed": {"type": "boolean", "description": "A login takes it."}, "recovery": _NUMBER}),
    "api.enrolled": _record(
        {
            "secret": {**_TEXT, "description": "For an authenticator, in base32; it is not shown again."},
            "uri": {**_TEXT, "description": "`otpauth://`, with the secret, for a QR code; it is not shown again."},
        }
    ),
    "api.recovery": _record(
        {"recovery": {**_NAMES, "description": "Each stands in for one code; they are not shown again."}}
    ),
    "api.entries": _listed("entries", _ENTRY, before={**_NUMBER, "description": "`before` of the next page, if any."}),
    "api.nothing": {"type": "object"},
}
