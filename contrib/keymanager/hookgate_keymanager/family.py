"""The family ``key-manager``: who makes clients, says whether a token is good, and ends it (KC-6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookgate import Family, Plugin, hookspec
from hookgate.contract import OptionsT

APPLICATION, USER = "application", "application-user"
"""Whose a token is: of an application itself, or of a user of one."""

# mypy: disable-error-code="empty-body"


class KeyManagerSpec:
    """``hookgate.keymanagers``: who issues the tokens that callers show. Named in ``keymanager.manager``."""

    @hookspec(firstresult=True)
    async def create_client(
        self, application: str, owner: str, key_type: str, grants: Sequence[str], callbacks: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make a client of an application and return at least ``client_id`` and ``client_secret``, which is shown this
        once. ``key_type`` is ``production`` or ``sandbox``.
        """

    @hookspec(firstresult=True)
    async def update_client(self, client_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change ``grants``, ``callbacks``, ``application``, ``owner``, ``lifetime`` or ``format`` of a client, and
        return what it is now; raise ``NotFound`` where there is none."""

    @hookspec(firstresult=True)
    async def renew_secret(self, client_id: str) -> Mapping[str, Any]:
        """Give a client another secret, and return ``client_id`` and ``client_secret``, which is shown this once; raise
        ``NotFound`` where there is none. The one before counts no more, and tokens that are there stay."""

    @hookspec(firstresult=True)
    async def delete_client(self, client_id: str) -> bool:
        """Remove a client and end its tokens; return whether there was one."""

    @hookspec(firstresult=True)
    async def validate(self, token: str) -> Mapping[str, Any] | None:
        """Return what a good token says, or ``None`` for any other: ``sub``, ``client_id``, ``scope`` (words with
        blanks between), ``token_kind`` (``application`` or ``application-user``), ``key_type``, and, where they are
        known, ``application``, ``roles`` and ``exp`` (Unix time).

        Raise a fault where nobody can tell now; the call is then refused.
        """

    @hookspec(firstresult=True)
    async def revoke(self, token: str) -> None:
        """End a token; one that is none is no mistake (RFC 7009)."""

    @hookspec(firstresult=True)
    async def keys(self) -> Mapping[str, Any]:
        """Return the public keys of signed tokens as a JWK Set; an empty one where tokens are opaque (RFC 7517)."""


if TYPE_CHECKING:
    _Spec = KeyManagerSpec
else:
    _Spec = object

Ended = Callable[[str, str], None]
"""Takes a kind (``token`` with the SHA-256 of a token in hexadecimal, ``family``, ``client``, ``user`` or ``all``) and
which one it is."""


def nobody_listens(kind: str, value: str) -> None:
    """Forget nothing: nobody has kept answers."""


class KeyManager(Plugin[OptionsT], _Spec):
    """Issues tokens and says which are good; see :class:`KeyManagerSpec`."""

    family = "key-manager"
    on_ended: Ended = staticmethod(nobody_listens)
    """Told of what has ended before its time. Whoever keeps answers of :meth:`validate` puts itself here."""

    def is_current(self) -> bool:
        """Whether everything that has ended is told: answers that are kept count only then. For managers that tell
        nothing answers count for as long as they are kept."""
        return True


KEY_MANAGERS = Family(
    "key-manager", "keymanagers", KeyManagerSpec, KeyManager, "Who issues the tokens that callers show."
)
