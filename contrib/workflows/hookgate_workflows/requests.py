"""What a workflow sees of the call that has started it (CR-31)."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from hookgate import BadRequest, Exchange

MOST_FIELDS = 1000


def is_json(media_type: str) -> bool:
    """Whether a content type is one of JSON."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of a query or a form; those that come more than once as a list.

    Raises:
        BadRequest: there are too many of them, or they are no UTF-8.
    """
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest(f"Fields are UTF-8, and at most {MOST_FIELDS}.", reason="bad-fields") from None
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def request_of(exchange: Exchange, body: bytes, prefix: str) -> dict[str, Any]:
    """Return what a workflow sees as ``request``.

    Raises:
        BadRequest: the query or the form is none.
    """
    request = exchange.request
    media_type = request.headers.get("content-type") or ""
    path = request.path
    return {
        "body": _body(body, media_type),
        "content_type": media_type,
        "match_info": {name: unquote(value) for name, value in exchange.params.items()},
        "method": request.method,
        "params": fields_of(request.query),
        "tail": path.removeprefix(prefix),
        "url": f"{request.scheme}://{request.host}{request.target}",
    }


def _body(body: bytes, media_type: str) -> Any:
    if not body:
        return None
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" and body.isascii():
        return fields_of(body.decode("ascii"))
    if is_json(media_type) or not kind:
        try:
            return orjson.loads(body)
        except ValueError:
            pass
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
    return text if "\0" not in text else base64.b64encode(body).decode()
