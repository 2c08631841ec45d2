"""Clients: who may ask for tokens, on behalf of which application, and by which grants (RFC 6749, 2)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import delete, insert, select, update

from hookgate_keymanager.ending import Endings
from hookgate_keymanager.tables import clients
from hookgate_storage import Missing, Refused, Store

CLIENT = "clients"
GRANTS = ("authorization_code", "client_credentials", "password", "refresh_token")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""RFC 7523."""
KEY_TYPES = ("production", "sandbox")
FORMATS = ("opaque", "jwt")
CHANGED = frozenset({"application", "callbacks", "format", "grants", "lifetime", "owner"})
"""What of a client can be changed."""
MOST_CALLBACKS = 20
LONGEST_CALLBACK = 500
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


_EXTENSION = re.compile(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,180}")
"""A grant of somebody else: an absolute URI (RFC 6749, 4.5)."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client, in the words that Authlib asks with (``authlib.oauth2.rfc6749.ClientMixin``)."""

    client_id: str
    secret: bytes | None
    """SHA-256; ``None`` for a public client."""
    application: str
    owner: str
    key_type: str
    grants: tuple[str, ...]
    callbacks: tuple[str, ...]
    lifetime: float | None
    """Seconds of an access token, below 0 for ever; ``None`` for what the section says."""
    made: float
    format: str | None = None
    """Of its access tokens: ``opaque`` or ``jwt``; ``None`` for what the section says."""

    def get_client_id(self) -> str:
        """Return its id."""
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether that is its secret."""
        return self.secret is not None and compare_digest(self.secret, hash_of(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether it may say who it is in that way: one with a secret shows it, one without has none to show."""
        return (method == "none") == (self.secret is None)

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may use a grant."""
        return grant_type in self.grants

    def check_response_type(self, response_type: str) -> bool:
        """Whether it may ask for that at the authorization endpoint."""
        return response_type == "code" and "authorization_code" in self.grants

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether that is one of its redirect URIs, character by character (RFC 9700, 4.1.3)."""
        return redirect_uri in self.callbacks

    def get_default_redirect_uri(self) -> str | None:
        """Return the one redirect URI of a client that has one."""
        return self.callbacks[0] if len(self.callbacks) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return what it may ask for: which scopes a token gets, their roles say."""
        return scope or ""


class Clients:
    """Makes, finds, changes and removes clients."""

    def __init__(self, store: Store, endings: Endings) -> None:
        self._store, self._database, self._endings = store, store.database, endings

    async def make(
        self,
        application: str,
        owner: str,
        key_type: str = "production",
        grants: Sequence[str] = ("client_credentials",),
        callbacks: Sequence[str] = (),
        *,
        public: bool = False,
        lifetime: float | None = None,
        format: str | None = None,  # noqa: A002
    ) -> tuple[Client, str]:
        """Make a client; return it, and its secret, which is shown this once and empty for a public one.

        Raises:
            Refused: one of these is none; the text says which and what would do.
        """
        secret = "" if public else secrets.token_urlsafe(32)
        made = Client(
            secrets.token_urlsafe(18).replace("-", "a").replace("_", "b"),
            None if public else hash_of(secret),
            _name("application", application),
            _name("owner", owner),
            key_type,
            tuple(dict.fromkeys(grants)),
            tuple(dict.fromkeys(callbacks)),
            lifetime,
            self._store.clock(),
            format,
        )
        _check(made)
        async with self._database.transaction(writes=True) as connection:
            await connection.execute(insert(clients).values(_row(made)))
        return made, secret

    async def get(self, client_id: str) -> Client | None:
        """Return a client."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(clients).where(clients.c.id == client_id))).first()
        return None if row is None else client_of(row)

    async def page(self, after: str = "", limit: int = 100) -> list[Client]:
        """Return clients in the order of their ids, those behind one."""
        wanted = select(clients).where(clients.c.id > after).order_by(clients.c.id).limit(limit)
        async with self._database.transaction() as connection:
            return [client_of(row) for row in await connection.execute(wanted)]

    async def change(self, client_id: str, changes: Mapping[str, Any]) -> Client:
        """Change ``grants``, ``callbacks``, ``application``, ``owner``, ``lifetime`` or ``format``. Tokens that are
        there stay.

        Raises:
            Missing: there is no such client.
            Refused: what is to be changed is none of these, or what it is to be is none.
        """
        if strange := changes.keys() - CHANGED:
            raise Refused(CLIENT, client_id, f"{min(strange)[:50]!r} of a client cannot be changed")
        async with self._database.transaction(writes=True) as connection:
            row = (await connection.execute(select(clients).where(clients.c.id == client_id))).first()
            if row is None:
                raise Missing(CLIENT, client_id[:64], f"there is no client {client_id[:64]!r}")
            old = client_of(row)
            changed = Client(
                old.client_id,
                old.secret,
                _name("application", changes.get("application", old.application)),
                _name("owner", changes.get("owner", old.owner)),
                old.key_type,
                tuple(dict.fromkeys(changes.get("grants", old.grants))),
                tuple(dict.fromkeys(changes.get("callbacks", old.callbacks))),
                changes.get("lifetime", old.lifetime),
                old.made,
                changes.get("format", old.format),
            )
            _check(changed)
            await connection.execute(update(clients).where(clients.c.id == client_id).values(_row(changed)))
        return changed

    async def renew(self, client_id: str) -> str:
        """Give a client another secret, which is shown this once; the one before counts no more.

        Raises:
            Missing: there is no such client.
            Refused: it is a public one.
        """
        secret = secrets.token_urlsafe(32)
        async with self._database.transaction(writes=True) as connection:
            here = clients.c.id == client_id
            row = (await connection.execute(select(clients.c.secret).where(here))).first()
            if row is None:
                raise Missing(CLIENT, client_id[:64], f"there is no client {client_id[:64]!r}")
            if row.secret is None:
                raise Refused(CLIENT, client_id, "a public client has no secret")
            await connection.execute(update(clients).where(here).values(secret=hash_of(secret)))
        return secret

    async def remove(self, client_id: str) -> bool:
        """Remove a client with all its tokens, everywhere within a second; return whether there was one."""
        async with self._endings.transaction() as connection:
            gone = (await connection.execute(delete(clients).where(clients.c.id == client_id))).rowcount
            if gone:
                await self._endings.note(connection, "client", client_id)
        await self._endings.look()
        return bool(gone)


def hash_of(text: str) -> bytes:
    """Return what is kept of a secret, a token or a code."""
    return sha256(text.encode(errors="surrogatepass")).digest()


def client_of(row: Any) -> Client:
    """Return the client of a row."""
    grants, callbacks = tuple(orjson.loads(row.grants)), tuple(orjson.loads(row.callbacks))
    told = row.application, row.owner, row.key_type, grants, callbacks, row.lifetime, row.made, row.format
    return Client(row.id, row.secret, *told)


def _row(client: Client) -> dict[str, Any]:
    return {
        "id": client.client_id,
        "secret": client.secret,
        "application": client.application,
        "owner": client.owner,
        "key_type": client.key_type,
        "grants": orjson.dumps(client.grants).decode(),
        "callbacks": orjson.dumps(client.callbacks).decode(),
        "lifetime": client.lifetime,
        "made": client.made,
        "format": client.format,
    }


def _name(what: str, text: object) -> str:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise Refused(CLIENT, what, f"the {what} of a client has 1 to 200 printable characters")
    return text


def _check(client: Client) -> None:
    def refuse(message: str) -> None:
        raise Refused(CLIENT, client.application[:50], message)

    if client.key_type not in KEY_TYPES:
        refuse(f"a key is for {' or '.join(KEY_TYPES)}, and not for {str(client.key_type)[:50]!r}")
    if client.format is not None and client.format not in FORMATS:
        refuse(f"tokens are {' or '.join(FORMATS)}, and not {str(client.format)[:50]!r}")
    _known("grant", client.grants, refuse)
    if not client.grants:
        refuse(f"a client has a grant at least: {', '.join(GRANTS)}")
    if client.secret is None and {"client_credentials", "password", JWT_BEARER} & set(client.grants):
        refuse("a public client cannot use such a grant: anybody could name it (RFC 6749, 4.4)")
    if "authorization_code" in client.grants and not client.callbacks:
        refuse("a client with authorization_code has a callback at least")
    if len(client.callbacks) > MOST_CALLBACKS:
        refuse(f"a client has {MOST_CALLBACKS} callbacks at most")
    for each in client.callbacks:
        _check_callback(each, refuse)
    given = client.lifetime
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | float) or not _sound(given)):
        refuse("the lifetime of tokens is a number of seconds from 1 on, or -1 for ever")


def _sound(lifetime: float) -> bool:
    return 1 <= lifetime <= 3e9 or lifetime < 0


def _known(what: str, given: Iterable[str], refuse: Any) -> None:
    for each in given:
        if each not in GRANTS and not (isinstance(each, str) and _EXTENSION.fullmatch(each)):
            refuse(f"there is no {what} {str(each)[:50]!r}; there are {', '.join(GRANTS)}, and URIs of others")


def _check_callback(callback: object, refuse: Any) -> None:
    if not isinstance(callback, str) or not 0 < len(callback) <= LONGEST_CALLBACK:
        refuse(f"a callback is a URI of {LONGEST_CALLBACK} characters at most")
        return
    shown = repr(callback[:80])
    try:
        parts = urlsplit(callback)
        host = parts.hostname or ""
    except ValueError:
        refuse(f"{shown} is no URI")
        return
    if not (callback.isascii() and callback.isprintable()) or set(callback) & set(' "\\<>*'):
        refuse(f"{shown} is no callback: a URI without blanks, quotes and wildcards (RFC 3986)")
    if parts.fragment or "#" in callback:
        refuse(f"{shown} has a fragment, which a callback may not have (RFC 6749, 3.1.2)")
    own = "." in parts.scheme
    local = host in ("127.0.0.1", "::1", "localhost")
    if not own and not (parts.scheme == "https" and host) and not (parts.scheme == "http" and local):
        refuse(
            f"{shown} is no callback: https:// with a host, http:// of this machine for a program on it, or a scheme "
            "of its own with a dot, such as com.example.app:/back (RFC 8252)"
        )
