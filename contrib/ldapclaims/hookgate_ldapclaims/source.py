"""What a directory says of a user. ldap3 waits for its sockets, so it is asked in threads, a few at a time."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from hookgate import Host, Secret, hookimpl
from hookgate.workshop import FilledSecret, is_loopback
from hookgate_keymanager import ClaimsOptions, ClaimSource, NoClaims, Subject

with warnings.catch_warnings():
    # ldap3 2.9.1 asks pyasn1 for names that have others by now
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldap3 import LEVEL, NONE, SUBTREE, Connection, Server, Tls  # type: ignore[import-untyped]
    from ldap3.core.exceptions import LDAPException  # type: ignore[import-untyped]
    from ldap3.utils.conv import escape_filter_chars  # type: ignore[import-untyped]

PLACE = "{username}"
THREADS = 4
MOST_WAITING = 100
"""Questions that may wait for a thread."""
PORTS = {"ldap": 389, "ldaps": 636}


def _filter(text: str) -> str:
    right = text.startswith("(") and text.endswith(")") and text.count("(") == text.count(")")
    if not right or PLACE not in text:
        raise ValueError(f"a filter stands in parentheses, with {PLACE} in it, such as (uid={PLACE}) (RFC 4515)")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query or "@" in text:
        raise ValueError("this is no URL of a directory: write ldaps://HOST, or ldap://HOST with start_tls")
    return text


class LdapOptions(ClaimsOptions):
    """Options of `ldap`."""

    url: Annotated[str, Field(max_length=300), AfterValidator(_url)]
    """Where the directory is: `ldaps://HOST`, or `ldap://HOST` with `start_tls`; with a port if need be. `ldap://`
    without TLS only on this machine."""
    start_tls: bool = False
    """Whether TLS begins once the connection is there (RFC 4511, 4.14)."""
    ca_file: Path | None = None
    """Certificates in PEM that the one of the directory is checked with, in the place of those of the system."""
    bind_dn: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Who asks; left out, nobody in particular."""
    bind_password: FilledSecret | None = None
    """The password of `bind_dn`."""
    base_dn: Annotated[str, Field(min_length=1, max_length=500)]
    """Below which entry users are looked for."""
    filter: Annotated[str, Field(max_length=1000), AfterValidator(_filter)]
    """Which entry is that of a user, with `{username}` where the name stands; what a name has of special characters
    is escaped (RFC 4515)."""
    subtree: bool = True
    """Whether users are looked for at any depth below `base_dn`, and not right below it only."""

    @model_validator(mode="after")
    def _be_safe(self) -> LdapOptions:
        parts = urlsplit(self.url)
        if parts.scheme == "ldaps" and self.start_tls:
            raise ValueError("start_tls goes with ldap://; ldaps:// has TLS from the start")
        if parts.scheme == "ldap" and not self.start_tls and not is_loopback(parts.hostname or ""):
            raise ValueError("without TLS anybody on the way could answer: write ldaps://, or start_tls: true")
        if (self.bind_dn is None) != (self.bind_password is None):
            raise ValueError("bind_dn and bind_password go together")
        return self


class Ldap(ClaimSource[LdapOptions]):
    """Asks a directory for attributes of a user: one entry, by a filter. Whom it does not know it says nothing of.

    An attribute with one value becomes a text, one with several a list. Referrals are not followed. Where several
    entries match, nobody knows who is meant, and there are no claims.
    """

    _threads: ThreadPoolExecutor | None = None
    _waiting = 0

    @hookimpl
    def startup(self, host: Host) -> None:
        """Have threads; the directory is asked with the first token."""
        self._threads = ThreadPoolExecutor(THREADS, "ldap")

    @hookimpl
    def shutdown(self) -> None:
        """Let them go, whatever they still wait for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    @hookimpl
    async def claims(self, subject: Subject) -> Mapping[str, Any]:
        """Ask.

        Raises:
            NoClaims: the directory does not answer, does not let us, or has several such entries.
        """
        if self._waiting >= MOST_WAITING:
            raise NoClaims("too many questions wait for the directory")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, subject.username)
        finally:
            self._waiting -= 1

    def _ask(self, username: str) -> dict[str, Any]:
        options = self.options
        wanted = sorted(set(options.claims.values()))
        connection, opened = self._connection(), None
        try:
            connection.open()
            opened = connection.socket
            if options.start_tls:
                connection.start_tls()
            connection.bind()
            connection.search(
                options.base_dn,
                options.filter.replace(PLACE, escape_filter_chars(username)),
                SUBTREE if options.subtree else LEVEL,
                attributes=wanted,
                size_limit=2,
                time_limit=ceil(options.timeout),
            )
            found = [each for each in connection.response or () if each["type"] == "searchResEntry"]
        except (LDAPException, OSError) as error:
            raise NoClaims(f"the directory does not answer as it should: {type(error).__name__}") from None
        finally:
            _close(connection, opened)
        if len(found) > 1:
            raise NoClaims("the filter is right for several entries")
        if not found:
            return {}
        raw = {name.lower(): values for name, values in found[0]["raw_attributes"].items()}
        return {name: said for name in wanted if (said := _said(raw.get(name.lower(), []))) is not None}

    def _connection(self) -> Any:
        options = self.options
        parts = urlsplit(options.url)
        ca = None if options.ca_file is None else str(options.ca_file)
        server = Server(
            parts.hostname,
            parts.port or PORTS[parts.scheme],
            use_ssl=parts.scheme == "ldaps",
            tls=Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca),
            get_info=NONE,
            connect_timeout=options.timeout,
        )
        password: Secret | None = options.bind_password
        return Connection(
            server,
            options.bind_dn,
            None if password is None else password.reveal(),
            receive_timeout=ceil(options.timeout),  # ldap3 takes whole seconds only
            auto_referrals=False,
            read_only=True,
            raise_exceptions=True,
        )


def _close(connection: Any, opened: Any) -> None:
    """Say goodbye, and close the sockets, which ldap3 leaves open where something has failed."""
    last = connection.socket
    with suppress(LDAPException, OSError):
        connection.unbind()
    for each in (last, opened):
        if each is not None:
            each.close()


def _said(values: list[bytes]) -> str | list[str] | None:
    try:
        texts = [each.decode() for each in values]
    except UnicodeDecodeError:
        raise NoClaims("an attribute is no text") from None
    return (texts[0] if len(texts) == 1 else texts) if texts else None
