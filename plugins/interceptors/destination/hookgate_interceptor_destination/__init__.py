"""Send a call to another connection, host or path."""

import re
from bisect import bisect_right
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from hookgate import BadGateway, ConnectionName, Exchange, Expression, Host, Interceptor, Options, hookimpl
from hookgate.workshop import UrlTemplate

_PATH = re.compile(r"(?:/(?:[!-~](?<![%?#\\])|%(?!00)[0-9A-Fa-f]{2})*)?")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=[/;]|%3b|\Z)", re.IGNORECASE)


def _path(template: UrlTemplate) -> UrlTemplate:
    if not template.start.startswith("/") or template.start.startswith("//") or "?" in template.text:
        raise ValueError("a path begins with one '/' and has no query; the query of the call goes along as it is")
    return template


def _prefix(template: UrlTemplate) -> UrlTemplate:
    if _path(template).text.endswith("/"):
        raise ValueError("a prefix has no slash at its end: write it like '/v2'")
    return template


class ShareOptions(Options):
    """A connection and its share of the calls."""

    connection: ConnectionName = Field(validation_alias=AliasChoices("connection", "session_holder"))
    """The connection to call."""
    weight: int = Field(ge=0, le=1_000_000)
    """Its share, by the sum of all weights; 0 for none."""


class DestinationOptions(Options):
    """Options of `destination`. What is left out stays as the route says."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call."""
    to: Expression | None = None
    """In its place, an expression that gives the name of a connection, or a URL or `host:port`: that of a target of one
    of the connections in `among`. Where it gives null or nothing, the call goes where it would have gone."""
    among: Annotated[tuple[ConnectionName, ...], Field(min_length=1)] | None = None
    """The connections that `to` may lead to. It is needed, since what an expression gives may come from the client."""
    split: Annotated[tuple[ShareOptions, ...], Field(min_length=1)] | None = None
    """In its place, several connections that share the calls by weight, so that a new version gets a few of them first:
    `[{connection: crm, weight: 95}, {connection: crm-next, weight: 5}]`."""
    by: Expression | None = None
    """With `split`, what keeps calls together: those with the same value go the same way, such as `identity.subject` or
    `request.client`. Chance decides without it, and where it gives null or nothing."""
    path: Annotated[UrlTemplate, AfterValidator(_path)] | None = None
    """The whole path for the backend, behind the `base_path` of the connection, in the place of the path that the call
    or its route has. Expressions in braces are put in percent-encoded, as in `/orders/{application.name}`."""
    prefix: Annotated[UrlTemplate, AfterValidator(_prefix)] | None = None
    """What is put in front of the path, such as `/v2`. Likewise."""

    @model_validator(mode="after")
    def _agree(self) -> "DestinationOptions":
        ways = [name for name in ("connection", "to", "split") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are both there; keep one of them")
        if self.split is not None and not any(share.weight for share in self.split):
            raise ValueError("split: all weights are 0; give one of the connections a share")
        if self.by is not None and self.split is None:
            raise ValueError("by goes with split; write the connections that share the calls there")
        if (self.to is None) != (self.among is None):
            raise ValueError("to and among go together: name the connections that the expression may lead to in among")
        if not ways and self.path is None and self.prefix is None:
            raise ValueError("nothing to do; write connection, to, split, path or prefix")
        return self


class Destination(Interceptor[DestinationOptions]):
    """Changes where a call goes: to another connection, to another path, or both (FL-52).

    The steps further right still run. Of two of these, the right one decides; prefixes add up. The time limit of the
    route holds (FL-15), and so do `preserve_host` and the limits on bodies. On a route without `to`, it makes one.

    A URL or host that `to` gives is looked up among the targets of the connections in `among`, and the call goes
    through the first connection that has it: with its balancer (over all of its targets), its credentials and its
    health checks. There is no calling of hosts that no connection has, so that the gateway is nobody's open proxy; such
    a value, or a name that is not in `among`, ends in 502 `config-error`. A URL with a path replaces the whole path; it
    has to be below the `base_path` of the connection. It has no query.
    """

    category = "transformation"
    sides = {"request"}
    writes = {"target"}
    generator: ClassVar[Random] = Random()  # noqa: S311 - nothing secret hangs on it
    """Where chance comes from; a test puts another one here."""

    def __init__(self, options: DestinationOptions) -> None:
        super().__init__(options)
        parts: list[Expression | UrlTemplate | None] = [options.to, options.by, options.path, options.prefix]
        if any(part.reads_body for part in parts if part is not None):
            self.reads = {"request.body"}
        self._host: Host | None = None
        shares = options.split or ()
        self._names = [share.connection for share in shares]
        self._marks = list(accumulate(share.weight for share in shares))
        """Up to where the connections reach when they are laid side by side."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house: it knows the connections."""
        self._host = host

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Say where the call goes.

        Raises:
            BadGateway: `to` leads nowhere (`config-error`).
            BadRequest: a value for the path is not there, or makes a dot segment.
            ExpressionError: an expression cannot be evaluated.
        """
        options = self.options
        name, path = options.connection or "", None
        if options.to is not None:
            name, path = self._found(options.to(exchange))
        elif self._names:
            name = self._drawn(None if options.by is None else options.by(exchange))
        if options.path is not None:
            path = options.path(exchange)
        prefix = "" if options.prefix is None else options.prefix(exchange)
        if name or path is not None or prefix:
            exchange.send_to(name, path=path, prefix=prefix)
            if exchange.trace is not None and name:
                exchange.note(f"{self.entry.name}: to the connection {name}")

    def _drawn(self, key: Any) -> str:
        """Draw one of the connections that share the calls; always the same one for a key."""
        if key is None or key == "":
            place = self.generator.randrange(self._marks[-1])
        else:
            hashed = blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            place = int.from_bytes(hashed, "big") * self._marks[-1] >> 64
        return self._names[bisect_right(self._marks, place)]

    def _found(self, value: Any) -> tuple[str, str | None]:
        """Find the connection, and the path on it, that a value of `to` means."""
        among = self.options.among or ()
        if value is None or value == "":
            return "", None
        if value in among:
            return str(value), None
        place = _parsed(value) if isinstance(value, str) else None
        if place is None:
            raise self._nowhere("gives what is neither one of the connections in `among` nor a URL or host")
        scheme, host, port, path = place
        for name in among:
            connection = self._connection(name)
            if any(_fits(target, scheme, host, port) for target in connection.targets):
                return name, self._below(connection.base_path, path, name) if path else None
        raise self._nowhere("gives a URL or host that is no target of the connections in `among`")

    def _connection(self, name: str) -> Any:
        try:
            assert self._host is not None, "startup comes first"
            return self._host.connection(name)
        except LookupError:
            raise self._nowhere(f"may lead to the connection {name!r}, which is not there") from None

    def _below(self, base_path: str, path: str, name: str) -> str:
        if path == base_path or path.startswith(f"{base_path}/"):
            return path[len(base_path) :] or "/"
        raise self._nowhere(f"gives a URL whose path is not below {base_path!r}, the base_path of {name!r}")

    def _nowhere(self, what: str) -> BadGateway:
        """Make the fault; the log says what is wrong, without the value, which may be a client's."""
        if self._host is not None:
            self._host.log.error("%s: `to` %s", self.entry.id, what)
        return BadGateway("This call cannot be sent where it should go.", reason="config-error")


def _parsed(value: str) -> tuple[str, str, int | None, str] | None:
    """Take a URL, or a host with or without port, apart: scheme, host, port and path, empty or `None` where there is
    none; nothing for what is neither.
    """
    try:
        url = urlsplit(value if "://" in value else f"//{value}")
        port = url.port
    except ValueError:
        return None
    path = url.path if "://" in value else url.path or ""
    wrong = url.query or url.fragment or url.username is not None or not url.hostname or value.endswith(("?", "#"))
    if wrong or not _PATH.fullmatch(path) or _DOT_SEGMENT.search(path) or ("://" not in value and path):
        return None
    return url.scheme.lower(), url.hostname or "", port, "" if path == "/" else path


def _fits(target: Any, scheme: str, host: str, port: int | None) -> bool:
    if scheme:
        port = port or {"http": 80, "https": 443}.get(scheme)
    return (
        (not scheme or scheme == target.scheme)
        and host == target.host.lower()
        and (port is None or port == target.port)
    )
