"""Schemas of answers about applications and subscriptions, for the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookgate_apimanager.keys import KEY_TYPES
from hookgate_apimanager.subscriptions import STATUSES

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_TIME = {"type": "number", "description": "Unix time."}
_NUMBER = {"type": "integer", "minimum": 0}
_NEXT = {**_TEXT, "description": "`after` of the next page, if any."}
_KEY_TYPE = {"enum": list(KEY_TYPES)}


def _record(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **more}}


def _listed(name: str, items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return _record({name: {"type": "array", "items": items}}, **more)


_APPLICATION = _record(
    {
        "id": _TEXT,
        "owner": _TEXT,
        "name": _TEXT,
        "tenant": {**_TEXT, "description": "That of the owner; empty for one of none."},
        "description": _TEXT,
        "tier": _TEXT,
        "blocked": {**_FLAG, "description": "Its calls are refused for a while."},
        "is_default": {**_FLAG, "description": "Everybody has one, which stays."},
        "made": _TIME,
        "version": _NUMBER,
    }
)
_SUBSCRIPTION = _record(
    {
        "id": _TEXT,
        "application": {**_TEXT, "description": "Its id."},
        "application_name": _TEXT,
        "owner": _TEXT,
        "api": {**_TEXT, "description": "Name of the API, with its version."},
        "tenant": {**_TEXT, "description": "That of the API; empty for one of none."},
        "tier": _TEXT,
        "status": {"enum": list(STATUSES)},
        "made": _TIME,
        "version": _NUMBER,
    }
)
_KEYS = _record(
    {
        "client_id": _TEXT,
        "key_type": _KEY_TYPE,
        "made": _TIME,
        "mapped": {**_FLAG, "description": "The client was made somewhere else."},
    },
    client_secret={**_TEXT, "description": "It is not shown again."},
)
_API_KEY = _record(
    {
        "id": _TEXT,
        "key_type": _KEY_TYPE,
        "name": _TEXT,
        "made": _TIME,
        "ends": {"type": ["number", "null"], "description": "Unix time."},
    },
    key={**_TEXT, "description": "What is shown to call; it is not shown again."},
)
_TIER = _record({"name": _TEXT, "description": _TEXT})
_SCOPE = _record({"name": _TEXT, "title": _TEXT, "description": _TEXT})
APPLICATIONS: Mapping[str, Any] = {
    "api.application": _APPLICATION,
    "api.applications": _listed("applications", _APPLICATION, next=_NEXT),
    "api.application-keys": _KEYS,
    "api.all-application-keys": _listed("keys", _KEYS),
    "api.api-key": _API_KEY,
    "api.api-keys": _listed("api_keys", _API_KEY),
    "api.tiers": _listed("tiers", _TIER),
    "api.offered-scopes": _listed("scopes", _SCOPE),
}
SUBSCRIPTIONS: Mapping[str, Any] = {
    "api.subscription": _SUBSCRIPTION,
    "api.subscriptions": _listed("subscriptions", _SUBSCRIPTION, next=_NEXT),
}
