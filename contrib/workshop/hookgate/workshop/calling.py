"""What steps that call others have in common: how a document says what is asked, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote, unquote

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, core_schema

from hookgate import (
    BadGateway,
    BadRequest,
    Duration,
    Exchange,
    Expression,
    ExpressionError,
    Fault,
    GatewayTimeout,
    Headers,
    Options,
    Response,
)

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_LITERAL = re.compile(r"[!#$&-;=?-Z\[\]_a-z~]*(?:%[0-9A-Fa-f]{2}[!#$&-;=?-Z\[\]_a-z~]*)*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=[/;]|%3b|\Z)", re.IGNORECASE)
_PARAMETER = re.compile(r"""\s*request\.params(?:\.\w+|\[\s*(?:'[^']*'|"[^"]*")\s*\])\s*""")
"""A path parameter, which is percent-encoded already."""
_STATUS = re.compile(r"[1-5](?:\d\d|xx)")
_ONE_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)
_NOT_TAKEN_ALONG = _ONE_HOP | {"host", "expect", "accept-encoding", "proxy-authenticate", "proxy-authorization"}
_SECRET = frozenset({"authorization", "cookie", "set-cookie"})
_OF_THE_BODY = ("content-type", "content-encoding", "content-language")


class UrlTemplate:
    """A URL or path with expressions in braces, such as ``/users/{identity.subject}?page={request.query.page}``.

    Values are percent-encoded whole, so that none can add a segment, a parameter or another host; path parameters,
    ``{request.params.id}``, are so already and come out the same. ``{{`` and ``}}`` are
    braces themselves. As the type of an option it takes a string; two with the same text are equal.

    Raises:
        ValueError: the text holds what no URL does, or a brace without its partner.
        ExpressionError: what stands in braces is no expression.
    """

    __slots__ = ("_parts", "reads_body", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _pieces(text)
        self.reads_body = any(part.reads_body for part in self._parts if isinstance(part, Expression))
        """Whether it may read ``request.body``."""

    @property
    def start(self) -> str:
        """What stands in front of the first expression."""
        first = self._parts[0] if self._parts else ""
        return first if isinstance(first, str) else ""

    def __call__(self, exchange: Exchange) -> str:
        """Put in the values for a call.

        Raises:
            BadRequest: a value is not there (``value-missing``), or makes a dot segment (``malformed-path``).
            ExpressionError: an expression cannot be evaluated, or its value is no string, number or truth value.
        """
        url = ""
        for part in self._parts:
            value = part if isinstance(part, str) else _encoded(part, exchange)
            if not value and "?" not in url:  # /users/{id} without an id would be all of them
                raise _missing()
            url += value
        if "/." in url or "%2" in url:
            path = url.partition("?")[0]
            if _DOT_SEGMENT.search(path):
                raise BadRequest("A value makes a dot segment in a URL.", reason="malformed-path")
        return url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlTemplate) and self.text == other.text

    def __hash__(self) -> int:
        return hash((UrlTemplate, self.text))

    def __repr__(self) -> str:
        return f"UrlTemplate({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: object) -> UrlTemplate:
            if isinstance(value, UrlTemplate):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("url_type", "should be a text; put it in quotes")
            try:
                return UrlTemplate(value)
            except (ValueError, ExpressionError) as error:
                raise PydanticCustomError("url", "{problem}", {"problem": str(error)}) from None

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "hookgate-url-template"}


def _missing() -> BadRequest:
    return BadRequest("A value that is needed to call another service is not there.", reason="value-missing")


def _encoded(part: Expression, exchange: Exchange) -> str:
    value = part(exchange)
    if value is None:
        raise _missing()
    text = _plain(value, part)
    return quote(unquote(text) if _PARAMETER.fullmatch(part.text) else text, safe="", errors="replace")


def _plain(value: Any, expression: Expression) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ExpressionError(f"the expression {expression.text!r} gives a list or a mapping where a text is needed")


def _pieces(text: str) -> list[str | Expression]:
    parts: list[str | Expression] = []
    literal, at = "", 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in ("{{", "}}"):
            literal, at = literal + quote(pair[0]), at + 2
        elif text[at] == "}":
            raise ValueError(f"a brace without its partner in {text!r}; write }}}} for a brace itself")
        elif text[at] == "{":
            end = _closing(text, at)
            parts += [_literal(literal)] if literal else []
            parts.append(Expression(text[at + 1 : end]))
            literal, at = "", end + 1
        else:
            literal, at = literal + text[at], at + 1
    return [*parts, _literal(literal)] if literal else parts


def _closing(text: str, start: int) -> int:
    depth, quoted, at = 0, "", start
    while at < len(text):
        letter = text[at]
        if quoted:
            at += letter == "\\"
            quoted = "" if letter == quoted else quoted
        elif letter in "'\"":
            quoted = letter
        elif letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                return at
        at += 1
    raise ValueError(f"a brace without its partner in {text!r}; write {{{{ for a brace itself")


def _literal(text: str) -> str:
    if not _LITERAL.fullmatch(text) or "#" in text:
        raise ValueError(f"{text!r} is not how a URL travels: percent-encode blanks and the like, without a fragment")
    return text


def _name(name: str) -> str:
    Headers({name: ""})
    if name.lower() in _NOT_TAKEN_ALONG:
        raise ValueError(f"leave out {name}: it is written by the gateway itself")
    return name


def _method(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", value):
        raise ValueError(f"{value!r} is no method")
    return value.upper()


def _status(value: object) -> str:
    text = str(value).lower()
    if isinstance(value, bool) or not _STATUS.fullmatch(text):
        raise ValueError(f"{value!r} is no status; write one such as 404, or a class of them such as 2xx")
    return text


HeaderName = Annotated[str, AfterValidator(_name)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that a step makes amid a call."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class CallOptions(Options):
    """How the options of a step say what is asked of somebody else (FL-53, FL-54)."""

    method: Annotated[str, AfterValidator(_method)] = "GET"
    """Method; `*` takes that of the call."""
    headers: dict[HeaderName, Expression] = Field(default_factory=dict)
    """Headers by name, each with an expression for its value; where that is null there is no such header."""
    body: Expression | None = None
    """Body: a string is sent as text, anything else but null as JSON."""
    preserve_query: bool = False
    """Send the query of the call along."""
    preserve_headers: bool | tuple[HeaderName, ...] = False
    """Send headers of the call along: those that are named here, or with `true` all but `Authorization` and `Cookie`,
    which have to be named. What belongs to one message or connection (`Host`, `Content-Length`, `Transfer-Encoding`, …)
    and `Accept-Encoding` never go along."""
    preserve_body: bool = False
    """Send the body of the call along, with its `Content-Type`. It is kept whole, up to `limits.buffered_body`."""
    expect: tuple[Annotated[str | int, AfterValidator(_status)], ...] = ("2xx",)
    """Statuses that are as they should be, such as `404`, or classes of them such as `2xx`."""
    limit: int = Field(default=1024 * 1024, ge=1, le=8 * 1024 * 1024)
    """Longest body of an answer, in bytes."""

    def model_post_init(self, context: Any, /) -> None:
        """Check that there is one body at most."""
        if self.body is not None and self.preserve_body:
            raise ValueError("body and preserve_body are both there; keep one of them")

    @property
    def reads_body(self) -> bool:
        """Whether the body of the request has to be kept."""
        return self.preserve_body or any(e.reads_body for e in (self.body, *self.headers.values()) if e is not None)

    def asked(self, exchange: Exchange, url: str, *, way_out: bool = False) -> Asked:
        """Say what is asked for a call; bodies that are needed have been read. On the way out, headers and body that
        are sent along are those of the answer.

        Raises:
            BadRequest: the value of a header cannot be sent.
            ExpressionError: an expression cannot be evaluated.
        """
        request = exchange.request
        message = exchange.response if way_out and exchange.response is not None else request
        if self.preserve_query and request.query:
            url += ("&" if "?" in url else "?") + request.query
        headers = self._taken_along(message.headers)
        body = b""
        if self.preserve_body:
            body = message.body.held or b""
            for name in _OF_THE_BODY if body else ():
                if (value := message.headers.get(name)) is not None:
                    headers.set(name, value)
        elif self.body is not None:
            value = self.body(exchange)
            if value is not None:
                as_text = isinstance(value, str)
                body = (value if as_text else json.dumps(value, ensure_ascii=False)).encode(errors="replace")
                headers.set("content-type", "text/plain; charset=utf-8" if as_text else "application/json")
        for name, expression in self.headers.items():
            value = expression(exchange)
            headers.remove(name)
            if value is not None:
                try:
                    headers.set(name, _plain(value, expression))
                except ValueError:
                    detail = f"The value for the header {name} of a call to another service cannot be sent."
                    raise BadRequest(detail, reason="header-value") from None
        method = request.method if self.method == "*" else self.method
        return Asked(method, url, _joined(headers), body)

    def _taken_along(self, headers: Headers) -> Headers:
        wanted = self.preserve_headers
        if not wanted:
            return Headers()
        unwanted = _NOT_TAKEN_ALONG | set(headers.tokens("connection"))
        if isinstance(wanted, bool):
            unwanted |= {*_SECRET, *_OF_THE_BODY}
            return Headers([(name, value) for name, value in headers.items() if name not in unwanted])
        names = {name.lower() for name in wanted}
        return Headers([(name, value) for name, value in headers.items() if name in names and name not in unwanted])

    def is_expected(self, status: int) -> bool:
        """Whether a status is one of ``expect``."""
        return any(str(status) == each or f"{status // 100}xx" == each for each in self.expect)

    def result(self, response: Response) -> dict[str, Any]:
        """Make plain values of an answer whose body was read: ``status``, ``headers`` (names in lower case) and
        ``body``, which is parsed if it is JSON, else text, and null if it is neither.

        Raises:
            BadGateway: its status is none of ``expect`` (``unexpected-status``), it is longer than ``limit``
                (``callout-too-large``), or it says that it is JSON and is none (``callout-not-json``).
        """
        if not self.is_expected(response.status):
            detail = f"Another service answered with status {response.status}."
            raise BadGateway(detail, reason="unexpected-status")
        data = response.body.data
        if len(data) > self.limit:
            detail = f"The answer of another service is {len(data)} bytes long; at most {self.limit} are taken."
            raise BadGateway(detail, reason="callout-too-large")
        headers = _joined(response.headers)
        return {"status": response.status, "headers": headers, "body": _parsed(data, headers.get("content-type", ""))}


class VariableOptions(CallOptions):
    """How the options of a step say what is asked, and which variable has the answer."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    """Name of the variable for the answer: expressions read `vars.NAME.status`, `.headers` (names in lower case),
    `.body` (parsed if it is JSON, else text) and `.error`, which is null, or the reason if the call failed."""
    timeout: Duration = Field(default=10.0, gt=0, le=600)
    """Seconds that it may take. The `hook_timeout` of the gateway is a bound, too."""
    on_failure: Literal["fault", "continue"] = "fault"
    """What comes of a call that fails or has another status than expected: a fault, or the call goes on, with the
    reason in `.error`, and the status and headers in their places where there are any."""

    async def outcome(self, making: Awaitable[Response], reveal: Callable[[BaseException], None]) -> dict[str, Any]:
        """Wait for an answer and make the value of the variable; ``reveal`` is told why there is none.

        Raises:
            Fault: the call failed, and ``on_failure`` does not let it go on.
        """
        response: Response | None = None
        try:
            try:
                async with asyncio.timeout(self.timeout):
                    response = await making
            except TimeoutError:
                detail = f"Another service did not answer within {self.timeout:g} seconds."
                raise GatewayTimeout(detail, reason="callout-timeout") from None
            except (LookupError, ValueError) as error:
                reveal(error)
                raise BadGateway("Another service cannot be called.", reason="config-error") from None
            return {**self.result(response), "error": None}
        except Fault as fault:
            reveal(fault)
            if self.on_failure == "fault":
                raise
            status, headers = (None, {}) if response is None else (response.status, _joined(response.headers))
            return {"status": status, "headers": headers, "body": None, "error": fault.reason}


def _joined(headers: Headers) -> dict[str, str]:
    """Repeated headers in one line each (RFC 9110, 5.3; RFC 9113, 8.2.3)."""
    return {name: ("; " if name == "cookie" else ", ").join(headers.getall(name)) for name in headers}


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON (RFC 8259, 6)")


def _parsed(data: bytes, content_type: str) -> Any:
    kind = content_type.partition(";")[0].strip().lower()
    if not data:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return json.loads(data, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise BadGateway(
                "The answer of another service is not the JSON it says.", reason="callout-not-json"
            ) from None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
