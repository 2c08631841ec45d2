"""Schemas of answers, for the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from hookgate_community.documents import Source, Type
from hookgate_community.visibility import LEVELS

_TEXT = {"type": "string"}
_TIME = {"type": "number", "description": "Unix time."}
_COUNT = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_NEXT = {**_TEXT, "description": "`after` of the next page, if any."}
_AUTHOR = {
    "author": {
        "type": ["string", "null"],
        "description": "The name of the user, for people of their tenant; null for others, and where the user is gone.",
    },
    "display": {**_TEXT, "description": "What they were called when they wrote it."},
    "own": {**_FLAG, "description": "Whether the caller has written it."},
}


def _record(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **more}}


def _listed(name: str, items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return _record({name: {"type": "array", "items": items}, **more}, next=_NEXT)


_DOCUMENT = _record(
    {
        "id": _TEXT,
        "api": {**_TEXT, "description": "Name of the API, with its version."},
        "name": _TEXT,
        "type": {"enum": list(get_args(Type))},
        "other_type": {**_TEXT, "description": "What it is, for the type `OTHER`."},
        "summary": _TEXT,
        "visibility": {"enum": list(LEVELS)},
        "source": {"enum": list(get_args(Source))},
        "url": _TEXT,
        "filename": {**_TEXT, "description": "Empty where no file has been put yet."},
        "media": {**_TEXT, "description": "Content type of the file."},
        "size": {**_COUNT, "description": "Bytes of the file."},
        "made": _TIME,
        "changed": _TIME,
        "version": _COUNT,
    },
    text={**_TEXT, "description": "Markdown. Whoever shows it makes it safe first."},
)
_RATING = {"average": {"type": ["number", "null"]}, "count": _COUNT}
_COMMENT = _record({"id": _TEXT, "text": _TEXT, "at": _TIME, "parent": _TEXT, "replies": _COUNT, **_AUTHOR})
_TOPIC = _record({"id": _TEXT, "title": _TEXT, "text": _TEXT, "closed": _FLAG, "at": _TIME, "posts": _COUNT, **_AUTHOR})
_POST = _record({"id": _TEXT, "topic": _TEXT, "text": _TEXT, "at": _TIME, **_AUTHOR})
ANSWERS: Mapping[str, Any] = {
    "api.document-of-api": _DOCUMENT,
    "api.documents-of-api": _listed(
        "documents",
        _DOCUMENT,
        levels={"type": "array", "items": _TEXT, "description": "Levels of visibility that may be chosen."},
    ),
    "api.document-content": {"description": "The file, or the text as Markdown."},
    "api.rating": _record({**_RATING, "own": {"type": ["integer", "null"], "description": "That of the caller."}}),
    "api.comment": _COMMENT,
    "api.comments": _listed("comments", _COMMENT),
    "api.topic": _TOPIC,
    "api.topics": _listed("topics", _TOPIC),
    "api.post": _POST,
    "api.posts": _listed("posts", _POST),
}
