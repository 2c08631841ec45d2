"""What a grant is bound to, and what of a call an approver sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from hookgate import Request

MASK = "***"
SHOWN = 4096
"""Characters of a body that an approver sees at most."""


def digest_of(request: Request, body: bytes, headers: Collection[str]) -> str:
    """Return the digest of what may not change: method, scheme, host, path, query, these headers, and the body. Each
    part is written with its length, so that nothing can move from one to the next."""
    whole = hashlib.sha256()
    named = sorted({name.lower() for name in headers} | {"content-type", "content-encoding"})
    parts = [request.method, request.scheme, request.host, request.path, request.query]
    for name in named:
        values = request.headers.getall(name)
        parts += [name, str(len(values)), *values]
    for part in (*(each.encode("utf-8", "surrogateescape") for each in parts), body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def shown_of(request: Request, body: bytes, headers: Collection[str], masked: Collection[str]) -> dict[str, Any]:
    """Return what an approver sees: members, parameters and headers of these names are masked at any depth. A body that
    is no JSON may have them anywhere, and is shown by its size and digest alone."""
    hidden = {each.lower() for each in masked}
    told: dict[str, Any] = {
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "query": [
            [name, MASK if name.lower() in hidden else value]
            for name, value in parse_qsl(request.query, keep_blank_values=True, max_num_fields=1000)
        ],
        "headers": {
            name.lower(): MASK if name.lower() in hidden else request.headers.getall(name)
            for name in headers
            if name in request.headers
        },
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    try:
        orjson.loads(body)
        value = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return told
    value = _masked(value, hidden)
    text = json.dumps(value, ensure_ascii=False)
    return told | ({"body": value} if len(text) <= SHOWN else {"beginning": text[:SHOWN]})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice: who reads it last may see another one than who runs it")
    return found


def _masked(value: Any, hidden: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: MASK if name.lower() in hidden else _masked(each, hidden) for name, each in value.items()}
    return [_masked(each, hidden) for each in value] if isinstance(value, list) else value
