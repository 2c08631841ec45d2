"""The cell that calls somebody who speaks XML."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from pydantic import AliasChoices, Field, model_validator

from hookgate import ConnectionName, Options, PositiveDuration, hookimpl
from hookgate_workflows.family import Called, Cell, Done, Node, NodeFailed
from hookgate_workflows.nodes.http import REPEATABLE, needs_place
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template, Templated, as_written

DEEPEST, MOST = 100, 100_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*(?::[A-Za-z_][A-Za-z0-9._-]*)?")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class XmlCallOptions(Options):
    """Parameters of `xml_call`."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call; then `url` is a path on it."""
    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "POST"
    """The method."""
    url: Template
    """A path on the connection, or an absolute URL whose host is written and not rendered."""
    body: Templated | None = None
    """An object with one key, the name of the root: keys that begin with `@` are attributes, `#text` is the text, a
    list is an element several times. Everything is escaped. A text is sent as it is; what you put
    into it needs `| e`."""
    headers: dict[Annotated[str, Field(min_length=1, max_length=200)], Template] = Field(
        default_factory=dict, max_length=100
    )
    """More headers, such as `SOAPAction`."""
    output_context_key: ContextKey | None = None
    """The key that the result is put under: `status`, `headers`, and `body` as an object of the same shape."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds until the answer is complete."""
    may_repeat: bool | None = None
    """Whether the call may be made again where nobody knows if it was made. Left out, the method says it."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        needs_place(self.url, self.connection)
        return self


class XmlCall(Node[XmlCallOptions]):
    """Calls somebody with XML, and reads the answer into an object. A status of 400 or more fails the cell after the
    result was put into the context; so does an answer that is no XML, or has a DTD."""

    outside = True
    outputs = ("ok", "error")

    @property
    def may_repeat(self) -> bool:
        """Whether the method says so."""
        said = self.options.may_repeat
        return self.options.method.upper() in REPEATABLE if said is None else said

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Call.

        Raises:
            NodeFailed: there is no answer, none in XML, or one that is a failure.
        """
        options, method = self.options, self.options.method.upper()
        url, body = await cell.text(options.url), b""
        headers = {name: await cell.text(value) for name, value in options.headers.items()}
        names = {name.lower() for name in headers}
        if options.body is not None:
            given = await cell.value(options.body)
            try:
                body = (given if isinstance(given, str) else written(given)).encode()
            except ValueError as error:
                raise NodeFailed(f"the body cannot be written as XML: {error}") from None
            if "content-type" not in names:
                headers["Content-Type"] = "application/xml; charset=utf-8"
        if method not in REPEATABLE and "idempotency-key" not in names:
            headers["Idempotency-Key"] = cell.key
        cell.given(method=method, url=url)
        found = await cell.call(
            method, url, connection=options.connection or "", headers=headers, body=body, timeout=options.timeout
        )
        told = found.body
        if isinstance(told, str) and told.strip():
            try:
                told = read(told)
            except ValueError as error:
                if found.status < 400:
                    raise NodeFailed(f"the answer is no XML: {error}") from None
        if options.output_context_key is not None:
            cell.set(options.output_context_key, Called(found.status, found.headers, told).told())
        if found.status >= 400:
            raise NodeFailed(f"the answer has the status {found.status}")
        return Done()


def written(value: Any) -> str:
    """Return the document that an object says.

    Raises:
        ValueError: it says none.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("give an object with one key, the name of the root")
    (name, inner), parts = next(iter(value.items())), ['<?xml version="1.0" encoding="UTF-8"?>\n']
    if isinstance(inner, list):
        raise ValueError("there is one root, and no list of them")  # noqa: TRY004 - as for all that is no document
    _write(name, inner, parts, 0)
    return "".join(parts)


def _write(name: str, value: Any, parts: list[str], depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"it is more than {DEEPEST} deep")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:50]!r} is no name of an element")
    if isinstance(value, list):
        for each in value:
            _write(name, each, parts, depth + 1)
        return
    inner = value if isinstance(value, dict) else {"#text": value}
    parts.append(f"<{name}")
    for key, each in inner.items():
        if key.startswith("@"):
            if not _NAME.fullmatch(key[1:]):
                raise ValueError(f"{key[:50]!r} is no name of an attribute")
            parts.append(f" {key[1:]}={quoteattr(_text(each))}")
    parts.append(">")
    for key, each in inner.items():
        if key == "#text":
            parts.append(escape(_text(each)))
        elif not key.startswith("@"):
            _write(key, each, parts, depth + 1)
    parts.append(f"</{name}>")


def _text(value: Any) -> str:
    text = "" if value is None else as_written(value)
    if _NOT_XML.search(text):
        raise ValueError("it has a character that XML has not")
    return text


class _Reader:
    """Reads a document into an object; what has a DTD is refused, so no entity is ever expanded."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self.stack: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MOST or len(self.stack) > DEEPEST:
            raise ValueError(f"it has more than {MOST} elements, or is more than {DEEPEST} deep")
        self.stack.append(({f"@{key}": value for key, value in attributes.items()}, []))

    def end(self, name: str) -> None:
        inner, texts = self.stack.pop()
        text = "".join(texts).strip()
        value: Any = inner
        if not inner:
            value = text or None
        elif text:
            inner["#text"] = text
        outer = self.stack[-1][0]
        if name not in outer:
            outer[name] = value
        elif isinstance(outer[name], list):
            outer[name].append(value)
        else:
            outer[name] = [outer[name], value]

    def text(self, text: str) -> None:
        self.stack[-1][1].append(text)

    def refuse(self, *_: Any) -> None:
        raise ValueError("it has a DTD, which is never read")


def read(text: str) -> dict[str, Any]:
    """Return the object that a document says.

    Raises:
        ValueError: it is none, or has a DTD, or is too deep or large.
    """
    reader, parser = _Reader(), expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = reader.text, reader.refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise ValueError(f"line {error.lineno}, column {error.offset + 1}: {expat.ErrorString(error.code)}") from None
    return reader.root
