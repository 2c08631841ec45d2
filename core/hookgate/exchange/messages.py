"""Requests and responses as they travel through the house: heads as raw bytes, bodies as lazy streams (``bodies.py``).

Nothing here knows a server or a client. A head is kept as the bytes that arrived and decoded only where somebody looks.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import parse_qsl

from hookgate.exchange.bodies import MARKS, Body
from hookgate.exchange.clientaddress import NOBODY, network_of
from hookgate.exchange.encryption import TlsFacts
from hookgate.exchange.errors import BadRequest, Fault

if TYPE_CHECKING:
    from hookgate.exchange.certificate import ClientCertificate

RawHeader = tuple[bytes, bytes]
_new = object.__new__

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110, 5.6.2): names of headers and methods."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

STALE_WHEN_BODY_CHANGES = frozenset(
    {b"content-length", b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"}
)
"""What speaks of exact bytes and is dropped once a hook changed them (RFC 9110, RFC 9530)."""


class Headers:
    """An ordered multi-map of header fields over raw bytes (RFC 9110, section 5).

    Names compare without case and keep the case they came in. Strings go in and out as Latin-1. A name that is not a
    token or a value with a control character is refused with :class:`ValueError`, so that no hook can smuggle a line.
    """

    __slots__ = ("_indexed", "_names", "raw")

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self.raw: list[RawHeader] = []
        """The fields in order. Core reads it and puts other lists in its place; everyone else uses the methods."""
        self._indexed: list[RawHeader] | None = None
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            self.add(name, value)

    @classmethod
    def of(cls, raw: list[RawHeader]) -> "Headers":
        """Take over fields that a parser has already checked."""
        headers = _new(cls)
        headers.raw = raw
        headers._indexed = None
        return headers

    def lowered(self) -> list[bytes]:
        """Return the names in lower case, in order; made when first asked for, since few messages are looked at."""
        raw = self.raw
        if self._indexed is not raw or len(self._names) != len(raw):
            self._indexed = raw
            self._names: list[bytes] = [name.lower() for name, _ in raw]
        return self._names

    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: str, default: str | None = None) -> str | None: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value under a name."""
        names, wanted = self.lowered(), _lower(name)
        return self.raw[names.index(wanted)][1].decode("latin-1") if wanted in names else default

    def single(self, name: str) -> str | None:
        """Return the value of a field that comes once at most, such as ``Authorization`` (RFC 9110, 5.3).

        Raises:
            BadRequest: there are several, of which somebody else might take another one.
        """
        if self.lowered().count(_lower(name)) > 1:
            raise BadRequest(f"The header {name} comes more than once.", reason="repeated-header")
        return self.get(name)

    def getall(self, name: str) -> list[str]:
        """Return every value under a name, in order, one for each header line."""
        names, wanted = self.lowered(), _lower(name)
        if wanted not in names:
            return []
        return [field[1].decode("latin-1") for field, key in zip(self.raw, names, strict=True) if key == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a line, whatever is there already (the ADD of AC-19)."""
        field = _checked(name, value)
        self.lowered().append(_lower(name))
        self.raw.append(field)

    def set(self, name: str, value: str) -> None:
        """Put one line in the place of all lines of that name (the SET of AC-19)."""
        field = _checked(name, value)
        raw, names, wanted = self.raw, self.lowered(), _lower(name)
        if wanted not in names:
            raw.append(field)
            names.append(wanted)
            return
        first = names.index(wanted)
        raw[first] = field
        if names.count(wanted) > 1:
            raw[first + 1 :] = [pair for pair in raw[first + 1 :] if pair[0].lower() != wanted]
            self._indexed = None

    def update(self, fields: "Sequence[tuple[str, str]] | Headers") -> None:
        """Put one line each in the place of all lines of these names, in one go.

        Headers that were made beforehand cost least: they are checked already.
        """
        if isinstance(fields, Headers):
            pairs, wanted = fields.raw, fields.lowered()
        else:
            pairs = [_checked(name, value) for name, value in fields]
            wanted = [_lower(name) for name, _ in fields]
        names = self.lowered()
        if not set(wanted).isdisjoint(names):
            self.remove(*(name.decode("latin-1") for name in wanted))
            names = self.lowered()
        self.raw += pairs
        names += wanted

    def setdefault(self, name: str, value: str) -> str:
        """Set a header unless it is there; return what stands there afterwards."""
        present = self.get(name)
        if present is None:
            self.set(name, value)
            return value
        return present

    def remove(self, *names: str) -> None:
        """Take out every line of these names."""
        present = self.lowered()
        for unwanted in map(_lower, names):
            while unwanted in present:
                place = present.index(unwanted)
                del self.raw[place], present[place]

    def tokens(self, name: str) -> list[str]:
        """Split the comma-separated list under a name, lower-cased (``Connection``, ``Vary``)."""
        return [token for value in self.getall(name) for part in value.split(",") if (token := part.strip().lower())]

    def copy(self) -> "Headers":
        """Return a copy that can be changed on its own."""
        return self.of(list(self.raw))

    def items(self) -> Iterator[tuple[str, str]]:
        """Walk over (lower-case name, value) pairs, one for each line."""
        for key, value in self.raw:
            yield key.lower().decode("latin-1"), value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.items()))

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"


def _checked(name: str, value: str) -> RawHeader:
    if value.isascii() and value.isprintable():  # nearly every value, and without a call
        return _name(name), value.encode().strip()
    return _name(name), _value(name, value)


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    raw = name.encode("latin-1", "replace")
    if not _TOKEN.fullmatch(raw):
        raise ValueError(f"{name!r} is not a header name (RFC 9110, section 5.1)")
    return raw


@lru_cache(maxsize=1024)
def _lower(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


def _value(name: str, value: str) -> bytes:
    value = value.strip(" \t")
    if value.isascii() and value.isprintable():
        return value.encode("ascii")
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of {name} has a character outside Latin-1") from None
    if _FORBIDDEN_IN_VALUE.search(raw):
        raise ValueError(f"the value of {name} has a control character")
    return raw


class Guarded:
    """A message takes nothing that nobody could send on: what tries that fails at that very line, and so has a name.

    Guarding each assignment would make a message dear to build. It is built as a subclass that has no guard, and gets
    its own class at the end, so that nobody pays but who changes it.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # or every name could be assigned

        def __setattr__(self, name: str, value: Any) -> None:
            kind = KINDS.get(name, object)
            if not isinstance(value, kind):
                raise TypeError(
                    f"{type(self).__name__.lower()}.{name} is {kind.__name__}, and not {type(value).__name__}"
                )
            if name == "body":
                MARKS[0] += 1
            elif name == "status" and not 200 <= value <= 999:
                raise ValueError(f"response.status is a number from 200 to 999, and not {value}")
            _put(self, name, value)


_put = object.__setattr__
_TEXTS = ("method", "path", "query", "received", "scheme", "host", "client", "peer", "http_version", "upgrade")
KINDS: dict[str, type] = {**dict.fromkeys(_TEXTS, str), "headers": Headers, "body": Body, "status": int}
"""What the parts of messages are."""


class Request(Guarded):
    """What the client sent. ``path`` and ``query`` stay percent-encoded; the path has its one spelling."""

    __slots__ = (
        *("body", "client", "headers", "host", "http_version"),
        *("method", "path", "peer", "query", "received", "scheme", "tls", "upgrade"),
    )

    method: str
    path: str
    query: str
    received: str
    """Path and query octet for octet as they came, whatever steps and the one spelling have made of them: what callers
    sign."""
    scheme: str
    host: str
    """The authority the client asked for, port included where it wrote one."""
    headers: Headers
    body: Body
    client: str
    """IP address of the client, without port: the peer, or whom a trusted proxy names; ``unknown`` where that cannot be
    read."""
    peer: str
    """IP address at the other end of the connection, or whom a PROXY header in front of it names."""
    tls: TlsFacts | None
    """What TLS has settled for the connection of the client; ``None`` without TLS."""
    http_version: str
    upgrade: str
    """What the client would like to speak on this connection instead (RFC 9110, 7.8): ``websocket``, or nothing."""

    def __new__(
        cls,
        method: str = "GET",
        path: str = "/",
        query: str = "",
        *,
        scheme: str = "http",
        host: str = "",
        headers: Headers | None = None,
        body: Body | None = None,
        client: str = "127.0.0.1",
        http_version: str = "1.1",
    ) -> "Request":
        """Make one; what is left out is empty."""
        fields, received = headers if headers is not None else Headers(), f"{path}?{query}" if query else path
        self = cls.of(method, path, query, received, scheme, host, fields, client, None, http_version)
        if body is not None:
            put_body(self, body)
        return self

    @classmethod
    def of(
        cls,
        method: str,
        path: str,
        query: str,
        received: str,
        scheme: str,
        host: str,
        headers: Headers,
        client: str,
        tls: TlsFacts | None,
        http_version: str,
    ) -> "Request":
        """Make one of parts that a parser has already checked, without a body."""
        self: Request = _new(_OpenRequest)
        self.method, self.path, self.query, self.received = method, path, query, received
        self.scheme, self.host = scheme, host
        self.headers, self.body, self.client, self.peer = headers, Body(), client, client
        self.tls, self.http_version, self.upgrade = tls, http_version, ""
        self.__class__ = cls
        return self

    @property
    def certificate(self) -> "ClientCertificate | None":
        """The certificate that the client has shown in TLS; there only if an authority of the listener signed it."""
        return None if self.tls is None else self.tls.certificate

    @certificate.setter
    def certificate(self, certificate: "ClientCertificate | None") -> None:
        if certificate is not None or self.tls is not None:
            self.tls = (self.tls or TlsFacts())._replace(certificate=certificate)

    @property
    def target(self) -> str:
        """Path and query as they are now."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def params(self) -> dict[str, str]:
        """The query as a mapping; of a repeated name the first value counts."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            found.setdefault(name, value)
        return found

    def client_network(self, bits: int) -> str:
        """Return whom the client is counted with: of IPv6 its network of so many bits; empty if nobody can tell."""
        return "" if self.client == NOBODY else network_of(self.client, bits)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a WebSocket (RFC 6455)."""

    data: str | bytes
    """Text, or bytes of a binary message."""
    from_client: bool
    """The way it takes: from the client to the backend, or back."""


class _OpenRequest(Request):
    __slots__ = ()
    __setattr__ = object.__setattr__


put_body: Callable[[Request, Body], None] = Request.body.__set__  # type: ignore[attr-defined]
"""Gives a request the body that belongs to it, past the guard."""


class Response(Guarded):
    """What the client will get: from the backend, from an interceptor, or from a fault."""

    __slots__ = ("body", "headers", "status", "tunnel")

    status: int
    headers: Headers
    body: Body
    tunnel: Any
    """Behind a 101: the way to the backend. Not for plugins."""

    def __new__(
        cls,
        status: int = 200,
        headers: Headers | Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: Body | bytes | str = b"",
    ) -> "Response":
        """Make one; a text is sent as UTF-8."""
        if status.__class__ is not int and not isinstance(status, int):
            raise TypeError(f"response.status is int, and not {type(status).__name__}")
        self: Response = _new(_OpenResponse)
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.tunnel = None
        if isinstance(body, str):
            body = body.encode()
        self.body = body if isinstance(body, Body) else Body(body)
        self.__class__ = cls
        return self

    @classmethod
    def of(cls, status: int, headers: Headers, body: Body) -> "Response":
        """Make one of parts that a parser has already checked."""
        self: Response = _new(_OpenResponse)
        self.status = status
        self.headers = headers
        self.tunnel = None
        self.body = body
        self.__class__ = cls
        return self

    @classmethod
    def text(cls, text: str, status: int = 200) -> "Response":
        """Make a plain-text answer in UTF-8."""
        return cls(status, {"content-type": "text/plain; charset=utf-8"}, text)

    @classmethod
    def json(cls, value: object, status: int = 200, content_type: str = "application/json") -> "Response":
        """Make a JSON answer."""
        return cls(status, {"content-type": content_type}, json.dumps(value, ensure_ascii=False).encode())

    @classmethod
    def problem(cls, fault: Fault) -> "Response":
        """Make the RFC 9457 answer of a fault."""
        document: dict[str, object] = {"type": "about:blank", "title": fault.title, "status": fault.status}
        if fault.detail and fault.status != 500:
            document["detail"] = fault.detail
        document["reason"] = fault.reason
        if fault.code is not None:
            document["code"] = fault.code
        response = cls.json(document, fault.status, "application/problem+json")
        for name, value in fault.headers:
            response.headers.add(name, value)
        return response

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class _OpenResponse(Response):
    __slots__ = ()
    __setattr__ = object.__setattr__
