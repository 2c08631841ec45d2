"""The method ``application-key``: recognises applications by their API keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from hookgate import AuthMethod, BadRequest, Exchange, Headers, Host, Identity, Options, ServiceUnavailable, hookimpl
from hookgate import Unauthorized as Wrong
from hookgate.workshop import Realm, challenge_of
from hookgate_apimanager.keys import PREFIX, hash_of
from hookgate_apimanager.subscribing import Subscribing
from hookgate_storage import StoreError

METHOD = "application-key"
LONGEST = 200
"""Characters of a key that is looked for: ours have 47."""


def _carriable(name: str) -> str:
    Headers({name: ""})
    return name


class ApplicationKeyOptions(Options):
    """Options of `application-key`."""

    header: Annotated[str, AfterValidator(_carriable)] = "apikey"
    """The header that holds the key."""
    hide: bool = True
    """Whether a key that was accepted is taken out of the request, so that the backend does not see it."""
    realm: Realm = "hookgate"
    """What the challenge says the key is for."""


class ApplicationKey(AuthMethod[ApplicationKeyOptions]):
    """Recognises applications by API keys, which their owners make over the API of the app `management`.

    The identity is the owner of the application. It has the claims that a token of the application has: `client_id`,
    which is the id of the key, `scope`, which is empty, `token_kind`, `key_type`, and `exp` where the key ends. So the
    step `subscription` goes on with it. It needs the source `store`; a key that is removed is refused by every node
    within a second.
    """

    writes = {"request.headers"}

    def __init__(self, options: ApplicationKeyOptions) -> None:
        super().__init__(options)
        self._challenge = challenge_of("ApiKey", options.realm)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to follow what changes."""
        self._host = host
        host.section("subscribing", Subscribing).follow()

    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose key it is, or `None` when the request has none.

        Raises:
            Unauthorized: nobody has this key.
            BadRequest: there are several.
            ServiceUnavailable: the store is away.
        """
        shown = exchange.request.headers.getall(self.options.header)
        if len(shown) > 1:
            raise BadRequest("The request has more than one API key.", reason="repeated-credentials")
        if not shown:
            return None
        key = shown[0]
        found = None
        if key.startswith(PREFIX) and len(key) <= LONGEST:
            try:
                found = await self._host.section("subscribing", Subscribing).whose(hash_of(key).hex(), key)
            except StoreError:
                raise ServiceUnavailable("The store of API keys is away.", reason="store-away") from None
        if found is None:
            raise Wrong("The API key is not known.", reason="wrong-credentials")
        if self.options.hide:
            exchange.request.headers.remove(self.options.header)
        claims: dict[str, Any] = {
            "client_id": found.id,
            "scope": "",
            "token_kind": "application",
            "key_type": found.key_type,
        }
        if found.ends is not None:
            claims["exp"] = found.ends
        return Identity(found.owner, METHOD, (), claims, found.application)

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a key."""
        return self._challenge
