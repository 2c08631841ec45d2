"""The family ``grant``: more ways to get a token than those that are always there (RFC 6749, 4.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hookgate import BadRequest, Exchange, Family, Plugin, Response, ServiceUnavailable, hookspec
from hookgate.contract import OptionsT

if TYPE_CHECKING:  # a gateway that is no authorization server needs no database
    from sqlalchemy.ext.asyncio import AsyncConnection

    from hookgate_keymanager.clients import Client
    from hookgate_keymanager.logins import Login
    from hookgate_people import People
    from hookgate_storage import Store

# mypy: disable-error-code="empty-body"

Use = Callable[["AsyncConnection"], Awaitable[bool]]
"""Uses something up, in the transaction that keeps the token; ``False`` where somebody was faster."""


class GrantRefused(BadRequest):
    """A token is not given, with an error of RFC 6749, 5.2, or of the grant's own RFC. The text is for the client."""

    default_reason = "grant-refused"

    def __init__(self, error: str, detail: str, status: int = 400) -> None:
        super().__init__(detail, reason=error)
        self.error, self.told_status = error, status


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A client asks for a token; it has shown who it is, and may use the grant."""

    fields: Mapping[str, str]
    """The parameters of the form, each once and none empty."""
    client: Client
    address: str
    """Where it asks from."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token is given."""

    user: str | None
    """The user of the store that it is of; ``None`` for the application itself."""
    scope: str = ""
    """The scopes that are asked for, with blanks between. Which of them it gets, the roles of the user say."""
    refresh: bool = False
    """Whether a refresh token comes with it, if the client may use them."""
    family: str | None = None
    """32 hexadecimal digits: what has the same ends together."""
    use: Use | None = field(default=None, repr=False)
    """What is used up by it."""
    login: Login | None = None
    """When its user has logged in on a page of this server: only then there are ID tokens."""


@dataclass(frozen=True)
class Desk:
    """What a grant may ask of the server."""

    store: Callable[[], Store]
    """Raises ``StoreError`` where there is none."""
    people: Callable[[], People]
    client: Callable[[str], Awaitable[Client | None]]
    """Returns a client by its id."""
    issuer: str | None
    """What the document calls the server."""
    place: Callable[[Exchange], str]
    """Returns the URL that the server is asked at, in front of the paths of endpoints."""
    end_family: Callable[[str], Awaitable[None]]
    """Ends all tokens of a family."""


Ask = Callable[[GrantRequest, Exchange], Awaitable[Mapping[str, Any]]]
"""Answers a client."""


class GrantEndpoint(NamedTuple):
    """An endpoint that a grant brings along; secrets go there over TLS only, as everywhere."""

    path: str
    methods: tuple[str, ...]
    ask: Ask | None = None
    """Answers clients, which show who they are as at the token endpoint; what it returns goes out as JSON."""
    page: Callable[[Exchange, Any, Mapping[str, str]], Awaitable[Response]] | None = None
    """Answers people, with whoever knows which scopes somebody gets, and what scopes are called."""


def _nowhere(*_: Any) -> Any:
    raise ServiceUnavailable("There is no key manager that gives tokens.", reason="no-key-manager")


NO_DESK = Desk(_nowhere, _nowhere, _nowhere, None, _nowhere, _nowhere)
"""Where no section has taken a grant in."""


class GrantSpec:
    """``hookgate.grants``: a way to get a token. Named in ``keymanager.extension_grants``."""

    @hookspec(firstresult=True)
    async def grant(self, asked: GrantRequest) -> Granted:
        """Return whose token it is going to be, or raise :class:`GrantRefused`."""


if TYPE_CHECKING:
    _Spec = GrantSpec
else:
    _Spec = object


class Grant(Plugin[OptionsT], _Spec):
    """A way to get a token; see :class:`GrantSpec`."""

    family = "grant"
    shareable: ClassVar[bool] = False
    grant_type: ClassVar[str] = ""
    """What clients write as ``grant_type``: an absolute URI (RFC 6749, 4.5)."""
    public: ClassVar[bool] = False
    """Whether clients without a secret may use it."""
    desk: Desk = NO_DESK
    """What it may ask of the server; the section puts it there before anybody asks."""

    def endpoints(self) -> Mapping[str, GrantEndpoint]:
        """Return the endpoints that it brings along, by a name of one word."""
        return {}

    def metadata(self, issuer: str) -> Mapping[str, Any]:
        """Return what it adds to the metadata of the server (RFC 8414)."""
        return {}


GRANTS = Family("grant", "grants", GrantSpec, Grant, "Ways to get a token.")
