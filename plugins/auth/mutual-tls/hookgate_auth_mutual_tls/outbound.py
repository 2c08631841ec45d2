"""Show backends a TLS client certificate."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import NamedTuple

from pydantic import model_validator

from hookgate import Certificate, Credential, Host, Options, Secret, hookimpl
from hookgate_auth_mutual_tls.pair import Pair, pair_of

MAX_BYTES = 1024 * 1024
"""Size of a file; a longer one holds no certificate or key."""
SOON = 14 * 86400.0
"""Seconds before a certificate expires in which the log says so."""


class MutualTlsCredentialOptions(Options):
    """Options of `mutual-tls` towards a backend."""

    certificate: Path | None = None
    """File with the certificate and those of the intermediate authorities after it, in PEM. It is read again when it
    changes."""
    certificate_pem: str | None = None
    """In place of the file, the certificates themselves."""
    key: Path | None = None
    """File with the private key, in PEM; read again when it changes."""
    key_pem: Secret | None = None
    """In place of the file, the key itself, such as `${vault:…}`."""
    password: Secret | None = None
    """Opens the key if that is encrypted."""

    @model_validator(mode="after")
    def _usable(self) -> MutualTlsCredentialOptions:
        if (self.certificate is None) == (self.certificate_pem is None):
            raise ValueError("write either certificate, a file, or certificate_pem")
        if (self.key is None) == (self.key_pem is None):
            raise ValueError("write either key, a file, or key_pem: a certificate is of no use without its key")
        self.read()
        return self

    def read(self) -> Pair:
        """Read the files and check what is in them.

        Raises:
            ValueError: they cannot be read or used; the text says what to do.
        """
        chain = self.certificate_pem if self.certificate is None else _text(self.certificate)
        key = self.key_pem if self.key is None else Secret(_text(self.key))
        assert chain is not None
        assert key is not None
        names = str(self.certificate or "certificate_pem"), str(self.key or "key_pem")
        return pair_of(chain, key, self.password, chain_name=names[0], key_name=names[1])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # the second for a path with a null byte
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no path'}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is longer than {MAX_BYTES} bytes; it is no file in PEM")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not in PEM but in a binary form; convert it with openssl") from None


class _Stamp(NamedTuple):
    """How one knows that a file is another one."""

    modified: int
    size: int
    number: int

    @classmethod
    def of(cls, path: Path | None) -> _Stamp | None:
        """Look at a file; ``None`` if there is none."""
        try:
            found = path.stat() if path is not None else None
        except OSError:
            return None
        return found and cls(found.st_mtime_ns, found.st_size, found.st_ino)


class MutualTlsCredential(Credential[MutualTlsCredentialOptions]):
    """Shows backends who we are by a TLS client certificate (HC-13). For connections whose targets are all `https`.

    Certificate and key are checked when the document is loaded: that they can be read, belong together, and that the
    password opens the key. A chain that has expired, or will within 14 days, is named in the log then, and used all the
    same. Files that have changed are read again when the next connection is opened; while the new ones are not right,
    as between the writing of one and the other, the old ones serve on. Connections that are open keep what they have
    shown.
    """

    header = None

    def __init__(self, options: MutualTlsCredentialOptions) -> None:
        super().__init__(options)
        self._pair: Pair | None = None
        self._failing = False
        self._stamps: tuple[_Stamp | None, _Stamp | None] | None = None
        self._log = logging.getLogger("hookgate.auth.mutual-tls")
        self._wall: Callable[[], float] = time

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the house's clock and log, and say what expires."""
        self._log, self._wall = host.log, host.clock.wall
        self.client_certificate()
        self._note_times()

    @hookimpl
    def client_certificate(self) -> Certificate:
        """Return the certificate of today.

        Raises:
            ValueError: it is asked for the first time and the files are no longer right.
        """
        stamps = _Stamp.of(self.options.certificate), _Stamp.of(self.options.key)
        if self._pair is None or stamps != self._stamps:
            self._read()
            self._stamps = stamps
        assert self._pair is not None
        return self._pair.certificate

    @property
    def expires(self) -> float | None:
        """Unix time at which the certificate in use expires; ``None`` before it was asked for."""
        return None if self._pair is None else self._pair.expires

    def _read(self) -> None:
        try:
            pair = self.options.read()
        except ValueError as error:
            if self._pair is None:
                raise
            self._log.warning("%s: the new certificate is not used, the old one serves on: %s", self.entry.id, error)
            self._failing = True
            return
        if self._pair is not None and pair.certificate != self._pair.certificate:
            self._log.info("%s: a new certificate is used, until %s", self.entry.id, _day(pair.expires))
            self._pair = pair
            self._note_times()
        elif self._failing:
            self._log.info("%s: the files are right again, and the certificate is the same", self.entry.id)
        self._pair, self._failing = pair, False

    def _note_times(self) -> None:
        """Say what of the chain has expired, expires soon, or does not hold yet."""
        assert self._pair is not None
        now = self._wall()
        _, begins, expires = self._pair
        if now >= expires:
            self._tell("expired on", expires)
        elif now > expires - SOON:
            self._tell("expires on", expires)
        if now < begins:
            self._tell("holds only from", begins)

    def _tell(self, what: str, when: float) -> None:
        self._log.warning("%s: the client certificate, or one of its chain, %s %s", self.entry.id, what, _day(when))


def _day(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC"
