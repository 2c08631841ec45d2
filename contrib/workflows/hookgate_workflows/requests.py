"""What a workflow sees of the call that has started it (CR-31)."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from hookgate import BadRequest, Exchange
from hookgate_workflows.instance import Document
from hookgate_workflows.running import is_file_name

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


def multipart_of(body: bytes, media_type: str) -> tuple[dict[str, Any], list[Document]] | None:
    """Return the fields and the files of a body of several parts; ``None`` for any other. A file is told among the
    fields by its name, content type and size in bytes.

    Raises:
        BadRequest: it is none, or has too many parts, or a file whose name is a path.
    """
    kind, _, rest = media_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    boundary = parse_options_header(f"x;{rest}")[1].get("boundary", "")
    try:
        parser = MultiPartParser(max_form_memory_size=len(body) + 1, max_form_parts=MOST_FIELDS)
        form, sent = parser.parse(io.BytesIO(body), boundary.encode("latin-1"), len(body))
    except (ValueError, RequestEntityTooLarge):
        raise BadRequest(f"The body has no parts, or more than {MOST_FIELDS}.", reason="bad-fields") from None
    fields: dict[str, Any] = {
        name: values[0] if len(values) == 1 else values for name, values in form.to_dict(flat=False).items()
    }
    files: list[Document] = []
    for name, file in sent.items(multi=True):
        with file.stream:
            content = file.read()
        kind = file.content_type or "application/octet-stream"
        files.append(Document(file.filename or "", kind[:200], content))
        fields[name] = {"filename": file.filename, "content_type": kind, "size": len(content)}
    if not all(is_file_name(each.name) for each in files):
        raise BadRequest(
            "A file that is sent has a name of up to 200 characters, without slashes.", reason="bad-fields"
        )
    return fields, files


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
