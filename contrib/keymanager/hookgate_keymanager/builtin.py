"""The key manager that is built in: clients and tokens in the store of the gateway."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hookgate import Host, NotFound, Options, UnprocessableContent, hookimpl
from hookgate.workshop import CannotTell
from hookgate_keymanager.clients import Clients
from hookgate_keymanager.ending import Endings
from hookgate_keymanager.family import APPLICATION, USER, KeyManager
from hookgate_keymanager.issuing import Access, Issuing
from hookgate_keymanager.records import SigningRecord
from hookgate_keymanager.signing import Signing
from hookgate_people import People, people_of
from hookgate_storage import Missing, Refused, Storage, Store, StoreError


class BuiltIn(KeyManager[Options]):
    """Issues tokens itself, to users and applications of the store. Left out of the document it is there, too.

    Clients are made with `hookgate keymanager`, and users, roles and the store are those of the source `store`.
    """

    _host: Host
    _endings: Endings | None = None
    patience = 10.0
    """Seconds that answers count on while the store is away."""
    signs = SigningRecord()
    """What JWTs are signed with."""
    _signing: Signing | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to look for what has ended, if there is a store."""
        self._host = host
        try:
            store = self.store
        except StoreError:
            return
        self._endings = endings = Endings(store, self.patience, people_of(store))
        endings.tell = self._tell
        about = "Seconds from the end of a token, client or user until this node has forgotten what it knew of it."
        endings.late = host.metrics.histogram("keymanager_revocation_delay_seconds", about).observe
        self._signing = Signing(store, endings, self.signs)
        host.start("what has ended", endings.follow())

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say where what has been revoked is not known."""
        if self._endings is None:
            return {"problems": ["there is no store, and so are no tokens: serve with the source `store`"]}
        trouble = self._endings.trouble
        return {"problems": [f"what has been revoked is not known: {trouble}"]} if trouble else None

    @property
    def store(self) -> Store:
        """The store.

        Raises:
            StoreError: there is none.
        """
        try:
            store = self._host.section("storage", Storage).store
        except LookupError:
            store = None
        if store is None:
            raise StoreError("there is no store")
        return store

    @property
    def people(self) -> People:
        """Who may log in."""
        return people_of(self.store)

    @property
    def endings(self) -> Endings:
        """What has ended."""
        if self._endings is None:
            raise StoreError("there is no store")
        return self._endings

    @property
    def clients(self) -> Clients:
        """Who may ask for tokens."""
        return Clients(self.store, self.endings)

    @property
    def issuing(self) -> Issuing:
        """The tokens."""
        return Issuing(self.store, self.endings)

    @property
    def signing(self) -> Signing:
        """What signs JWTs."""
        if self._signing is None:
            raise StoreError("there is no store")
        return self._signing

    def _tell(self, kind: str, value: str) -> None:
        self.on_ended(kind, value)

    def is_current(self) -> bool:
        """Whether everything that has ended is told."""
        return self._endings is not None and self._endings.is_current

    @hookimpl
    async def create_client(
        self, application: str, owner: str, key_type: str, grants: Sequence[str], callbacks: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make a client."""
        with _told():
            made, secret = await self.clients.make(application, owner, key_type, grants, callbacks)
        return {"client_id": made.client_id, "client_secret": secret}

    @hookimpl
    async def update_client(self, client_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a client."""
        with _told():
            changed = await self.clients.change(client_id, changes)
        return {
            name: getattr(changed, name)
            for name in ("client_id", "application", "owner", "key_type", "grants", "callbacks", "lifetime", "format")
        }

    @hookimpl
    async def renew_secret(self, client_id: str) -> Mapping[str, Any]:
        """Give a client another secret."""
        with _told():
            return {"client_id": client_id, "client_secret": await self.clients.renew(client_id)}

    @hookimpl
    async def delete_client(self, client_id: str) -> bool:
        """Remove a client."""
        with _told():
            return await self.clients.remove(client_id)

    @hookimpl
    async def validate(self, token: str) -> Mapping[str, Any] | None:
        """Look a token up, and who it is of."""
        with _told():
            found = await self.issuing.access(token)
            return None if found is None else await self.told(found)

    async def told(self, found: Access) -> Mapping[str, Any] | None:
        """Return what a token says; ``None`` where its user, or the owner of its application, is gone or disabled."""
        client = found.client
        person = await self.people.person(client.owner if found.user is None else found.user)
        if person is None:
            return None
        roles = () if found.user is None else tuple(sorted(person.roles))
        said: dict[str, Any] = {
            **found.more,
            "sub": client.owner if found.user is None else found.user,
            "client_id": client.client_id,
            "application": client.application,
            "scope": found.scope,
            "token_kind": APPLICATION if found.user is None else USER,
            "key_type": client.key_type,
            "roles": roles,
            "iat": int(found.made),
        }
        if found.family is not None:
            said["family"] = found.family
        if found.grant_type is not None:
            said["grant_type"] = found.grant_type
        return said if found.ends is None else said | {"exp": found.ends}

    async def roles_of(self, user: str) -> Collection[str]:
        """Return the roles of a user; none of nobody."""
        person = await self.people.person(user)
        return () if person is None else person.roles

    @hookimpl
    async def revoke(self, token: str) -> None:
        """End a token."""
        with _told():
            await self.issuing.end(token)

    @hookimpl
    async def keys(self) -> Mapping[str, Any]:
        """Return the public halves of the keys by which tokens are signed that are good; before the first one none."""
        with _told():
            return {"keys": await self.signing.public()}


@contextmanager
def _told() -> Iterator[None]:
    """Say what goes wrong as faults.

    Raises:
        CannotTell: the store is away.
        NotFound: there is no such client.
        UnprocessableContent: what was asked for cannot be.
    """
    try:
        yield
    except StoreError as error:
        raise CannotTell("The store of tokens is away.") from error
    except Missing as error:
        raise NotFound(str(error), reason="no-client") from None
    except Refused as error:
        raise UnprocessableContent(str(error), reason="no-such-client") from None
