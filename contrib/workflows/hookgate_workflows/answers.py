"""What a synchronous route answers: the context keys ``*response*`` and ``*doc_response*`` (CR-14 to CR-20)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from hookgate import Exchange, Fault, Response
from hookgate_workflows.instance import Document, Instance
from hookgate_workflows.requests import is_json
from hookgate_workflows.running import FRAMING, is_file_name
from hookgate_workflows.schemas import Schema

RESPONSE, SYNC_RESPONSE, DOC_RESPONSE = "*response*", "*sync_response*", "*doc_response*"
EMPTY = (204, 205, 304)


class NoAnswer(Fault):
    """500: a workflow is over, and has left nothing that could be answered. The trace of the call says why."""

    status = 500
    default_reason = "no-response"


def answer_of(exchange: Exchange, instance: Instance, on_missing: int) -> Response:
    """Return what an instance that is over answers.

    Raises:
        NoAnswer: it has failed, or what it has left is no response.
    """
    context = instance.context
    if not instance.errors and (name := context.get(DOC_RESPONSE)) is not None:
        return _file(exchange, instance.documents, name)
    value = context.get(RESPONSE, context.get(SYNC_RESPONSE))
    if instance.errors and (value is None or not instance.handled):
        raise none(exchange, "workflow-failed", f"the instance {instance.guid} failed: {instance.errors[-1:]}")
    if value is None:
        if on_missing == 204 and RESPONSE not in context:
            return Response(204)
        raise none(exchange, "no-response", f"the instance {instance.guid} has set no {RESPONSE}")
    return written(exchange, f"the {RESPONSE} of the instance {instance.guid}", value)


def written(exchange: Exchange, about: str, value: Any) -> Response:
    """Return the response that a value is.

    Raises:
        NoAnswer: it is none; the trace says what is wrong with what it is ``about``.
    """
    if not isinstance(value, Mapping):
        raise none(exchange, "bad-response", f"{about} is no object")
    status = value.get("status")
    status = 200 if status is None else status
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == 3:
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise none(exchange, "bad-response", f"{about} has a status that is none from 100 to 599")
    if status < 200:
        raise none(exchange, "bad-response", f"{about} has the status {status}, which is no final one")
    headers = value.get("headers")
    if headers is not None and not isinstance(headers, Mapping):
        raise none(exchange, "bad-response", f"{about} has headers that are no object")
    body = value.get("body")
    if body is None or body == "":
        content, kind = b"", ""
    elif isinstance(body, str):
        content, kind = body.encode(), "text/plain; charset=utf-8"
    else:
        content, kind = orjson.dumps(body), "application/json"
    response = Response(status, (), b"" if status in EMPTY else content)
    for name, each in (headers or {}).items():
        if str(name).lower() in FRAMING - {"set-cookie"}:
            continue
        try:
            for one in each if isinstance(each, list) else (each,):
                response.headers.add(str(name), one if isinstance(one, str) else orjson.dumps(one).decode())
        except (ValueError, TypeError):
            raise none(
                exchange, "bad-response", f"{about} has a header {str(name)[:50]!r} that cannot be sent"
            ) from None
    if kind:
        response.headers.setdefault("content-type", kind)
    return response


def mistakes_of(response: Response, schema: Schema) -> list[dict[str, str]]:
    """Return what is wrong with an answer, with JSON pointers; what was answered is never told (CR-4)."""
    content = response.body.data
    media_type = response.headers.get("content-type") or ""
    if content and not is_json(media_type):
        value: Any = content.decode("utf-8", "replace") if media_type.startswith("text/") else None
        return schema.mistakes(value) if value is not None else [{"pointer": "", "detail": "is no JSON"}]
    try:
        return schema.mistakes(orjson.loads(content) if content else None)
    except ValueError:
        return [{"pointer": "", "detail": "is no JSON"}]


def _file(exchange: Exchange, documents: Mapping[str, Document], name: Any) -> Response:
    found = documents.get(name) if isinstance(name, str) and is_file_name(name) else None
    if found is None:
        raise none(exchange, "no-document", f"{DOC_RESPONSE} names no document of the instance")
    plain = found.name.isascii() and not set(found.name) & set('"\\')
    told = f'filename="{found.name}"' if plain else f"filename*=UTF-8''{quote(found.name, safe='')}"
    headers = {"content-type": found.media_type, "content-disposition": f"attachment; {told}"}
    return Response(200, headers, found.content)


def none(exchange: Exchange, reason: str, why: str) -> NoAnswer:
    """Make the fault of an answer that cannot be sent; the trace of the call says why."""
    exchange.note(f"workflow: {why}")
    return NoAnswer("The workflow has no answer.", reason=reason)
