"""People of the store as callers of routes."""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from hashlib import blake2b

from pydantic import Field, ValidationInfo, model_validator

from hookgate import (
    AuthMethod,
    Duration,
    Exchange,
    Host,
    Identity,
    Options,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    hookimpl,
)
from hookgate.workshop import Realm, challenge_of
from hookgate_people.errors import CodeNeeded, Denied, TooMany
from hookgate_people.people import People, people_of
from hookgate_people.tokens import PREFIX
from hookgate_storage import Storage, StoreError, ask_store

MOST_KEPT = 10_000
"""Credentials whose owner is remembered."""


class PeopleOptions(Options):
    """Options of `people`."""

    realm: Realm = "hookgate"
    """What the challenge tells a person to log in to."""
    cache: Duration = Field(default=10.0, ge=0, le=300)
    """Seconds for which the store is not asked again about credentials that were right: whoever is disabled, and a
    token that is ended, may call for so long. `0` asks for every call."""

    @model_validator(mode="after")
    def _stored(self, info: ValidationInfo) -> PeopleOptions:
        ask_store(info, "it recognises the users")
        return self


class StorePeople(AuthMethod[PeopleOptions]):
    """Recognises users of the store by name and password, and by their API tokens.

    Users, roles and tokens are made over the API of the app `management`; roles inside of roles count. It needs the
    source `store`. Ten failed logins lock a name for 15 minutes, and 30 in a minute an address: both are answered with
    429. Users with a second factor call with a token. While the store is away, only those who are remembered may call.
    """

    def __init__(self, options: PeopleOptions) -> None:
        super().__init__(options)
        self._good: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._challenge = f'{challenge_of("Basic", options.realm)}, charset="UTF-8"'
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, which knows the store."""
        self._host = host

    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return who calls, or `None` when the request has nothing of these kinds.

        Raises:
            Unauthorized: the credentials are malformed, or nobody's.
            BadRequest: the header comes more than once.
            TooManyRequests: too many logins have failed.
            ServiceUnavailable: nothing is stored here, or the store is away.
        """
        line = exchange.request.headers.single("Authorization") or ""
        scheme, _, shown = line.partition(" ")
        scheme, shown = scheme.lower(), shown.strip()
        if scheme != "basic" and not (scheme == "bearer" and shown.startswith(PREFIX)):
            return None
        mark = blake2b(f"{scheme} {shown}".encode(errors="surrogateescape"), digest_size=32).digest()
        until, identity = self._good.get(mark, (0.0, None))
        if identity is not None and until > time.monotonic():
            return identity
        made = await self._asked(scheme, shown, exchange.request.client)
        if self.options.cache:
            self._good[mark] = time.monotonic() + self.options.cache, made
            while len(self._good) > MOST_KEPT:
                self._good.popitem(last=False)
        return made

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for name and password, in UTF-8."""
        return self._challenge

    async def _asked(self, scheme: str, shown: str, address: str) -> Identity:
        people = self._people()
        try:
            if scheme == "bearer":
                person = await people.authenticate(shown)
            else:
                name, colon, password = base64.b64decode(shown, validate=True).decode().partition(":")
                if not colon:
                    raise Denied
                person = await people.login(name, password, address)
        except CodeNeeded as error:
            raise Unauthorized(f"{_sentence(error)}.", reason="second-factor") from None
        except (Denied, ValueError):
            if scheme == "bearer":
                self._count(people, address)
            raise Unauthorized("The credentials are nobody's.", reason="wrong-credentials") from None
        except TooMany as error:
            raise _later(error) from None
        except StoreError:
            raise ServiceUnavailable("The store of users is away.", reason="store-away") from None
        return Identity(person.name, method="people", roles=tuple(sorted(person.roles)))

    @staticmethod
    def _count(people: People, address: str) -> None:
        try:
            people.attempts.count(address)
        except TooMany as error:
            raise _later(error) from None

    def _people(self) -> People:
        try:
            store = self._host.section("storage", Storage).store
        except LookupError:
            store = None
        if store is None:
            raise ServiceUnavailable("The store of users is away.", reason="store-away")
        return people_of(store)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _later(error: TooMany) -> TooManyRequests:
    headers = [("Retry-After", str(int(error.seconds) + 1))]
    return TooManyRequests("Too many logins have failed.", reason="too-many-logins", headers=headers)
