"""What the pages about drafts and steps answer, for OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NUMBER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_ABOUT = {
    "version": _NUMBER,
    "base": {**_NUMBER, "description": "Version of the object that it was made from; 0 where there was none."},
    "author": _TEXT,
    "at": {"type": "number", "description": "Unix time."},
    "stale": {"type": "boolean", "description": "The object was changed since; it is not deployed as it is."},
}
DRAFT: Mapping[str, Any] = {"type": "object", "required": list(_ABOUT), "properties": _ABOUT}
_NAMED = {"kind": _TEXT, "name": _TEXT}
EFFECTS: Mapping[str, Any] = {
    "effects": {
        "type": "array",
        "description": "Routes whose effective flow, destination, limits or match change, the first 200 of those that "
        "the caller may read; of plans and dry runs. Left out where something that is stored has a mistake.",
        "items": {
            "type": "object",
            "required": ["kind", "route", "change"],
            "properties": {
                "kind": {**_TEXT, "description": "The section that the route is of, such as `routes` or `apis`."},
                "route": {"type": ["string", "null"], "description": "Null for the flow of the gateway: every call."},
                "api": {**_TEXT, "description": "The operation of an API that it serves."},
                "change": {"enum": ["added", "removed", "changed"]},
                "flow": {"type": "object"},
                "destination": {"type": "array", "items": _TEXT},
                "limits": {"type": "array", "items": _TEXT},
                "match": {"type": "array", "items": _TEXT},
            },
        },
    },
    "effects_total": {**_NUMBER, "description": "How many there are in all, those that the caller may not read, too."},
}
PREVIEW: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "object", "required": ["scope", "direction"]},
    "description": "What changes in the effective flow of each scope, what breaks, and what does not get to children.",
}
_LIST = {
    "type": "object",
    "required": ["inherits", "broken", "steps"],
    "properties": {
        "inherits": {"type": "boolean"},
        "broken": {"type": "boolean", "description": "Changes of what is above do not get here any more."},
        "steps": {
            "type": "array",
            "description": "As drawn, the client on the left; positions count from 0.",
            "items": {"type": "object", "required": ["id", "step"], "properties": {"id": _TEXT, "step": _TEXT}},
        },
    },
}
STEPS: Mapping[str, Any] = {
    "api.stepped": {
        "type": "object",
        "description": "The same as of a write, or of a draft that is saved.",
        "required": ["preview"],
        "properties": {"preview": PREVIEW},
    },
    "api.steps": {
        "type": "object",
        "required": ["kind", "name", "scopes"],
        "properties": {
            **_NAMED,
            "scopes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["scope", "kind", "inbound", "outbound"],
                    "properties": {"scope": _TEXT, "kind": _TEXT, "inbound": _LIST, "outbound": _LIST},
                },
            },
        },
    },
}


def drafts_told(difference: Mapping[str, Any], mistake: Mapping[str, Any]) -> dict[str, Any]:
    """Return the components."""
    listed = {"type": "object", "required": [*_NAMED, *_ABOUT], "properties": {**_NAMED, **_ABOUT}}
    return {
        "api.drafts": {
            "type": "object",
            "required": ["drafts"],
            "properties": {"drafts": {"type": "array", "items": listed}},
        },
        "api.draft": {
            "type": "object",
            "required": [*_NAMED, *_ABOUT, "body"],
            "properties": {**_NAMED, **_ABOUT, "body": {"description": "Secrets are eight asterisks."}},
        },
        "api.draft-saved": {
            "type": "object",
            "description": "Of a draft that is deployed at once, the same as of a write.",
            "properties": {
                **_NAMED,
                **_ABOUT,
                "saved": {"type": "boolean"},
                "preview": PREVIEW,
                "mistakes": {"type": "array", "items": mistake, "description": "What keeps it from being deployed."},
            },
        },
        "api.draft-dropped": {
            "type": "object",
            "required": [*_NAMED, "dropped"],
            "properties": {**_NAMED, "dropped": {"type": "boolean"}},
        },
        "api.compared": {
            "type": "object",
            "required": [*_NAMED, "from", "to", "differences"],
            "properties": {
                **_NAMED,
                "from": _TEXT,
                "to": _TEXT,
                "differences": {"type": "array", "items": difference},
            },
        },
    }
