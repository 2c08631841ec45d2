"""Sealing: everything that is stored is encrypted (AES-256-GCM), so that a copy of the database shows nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookgate_storage.errors import SealBroken, StoreError

NONCE = 12
"""Bytes. It is made by chance for each sealing; with one key, 2**32 objects may be sealed (NIST SP 800-38D, 8.3)."""
MARK = 8
"""Bytes that say which key something was sealed with."""


class Keys:
    """The keys of a store: the first one seals, all of them open."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise StoreError("a key of the store has 32 bytes, written in base64")
        self._ciphers = {_mark(key): AESGCM(key) for key in keys}
        self._current = _mark(keys[0])

    @classmethod
    def written(cls, text: str) -> Keys:
        """Read keys in base64, one on each line, the one in use first.

        Raises:
            StoreError: it holds no such keys. The text shows none.
        """
        try:
            return cls([base64.b64decode(line, validate=True) for line in text.split()])
        except ValueError:
            raise StoreError("a key of the store has 32 bytes, written in base64") from None

    @classmethod
    def in_file(cls, path: Path, *, make: bool = False) -> Keys:
        """Read keys from a file; where there is none, it is made with one key if wanted, with permissions 0600.

        Raises:
            StoreError: the file cannot be read or made, others may read it, or it holds no keys.
        """
        try:
            if make and not path.exists():
                write_keys(path, [new_key()])
            if path.stat().st_mode & 0o077:
                raise StoreError(f"others may read the key in {path}: chmod 600 {path}")
            return cls.written(path.read_text(encoding="ascii"))
        except FileNotFoundError:
            raise StoreError(f"there is no key of the store in {path}; hookgate storage upgrade makes one") from None
        except (OSError, UnicodeError) as error:
            raise StoreError(f"the key of the store cannot be read from {path}: {_why(error)}") from None

    def seal(self, plain: bytes, of: str) -> bytes:
        """Encrypt what belongs to one place; it opens nowhere else."""
        nonce = secrets.token_bytes(NONCE)
        return self._current + nonce + self._ciphers[self._current].encrypt(nonce, plain, of.encode())

    def open(self, sealed: bytes, of: str) -> bytes:
        """Decrypt.

        Raises:
            SealBroken: it was sealed with another key or for another place, or is damaged.
        """
        cipher = self._ciphers.get(sealed[:MARK])
        if cipher is None:
            raise SealBroken(f"{of} was sealed with a key that is not given")
        try:
            return cipher.decrypt(sealed[MARK : MARK + NONCE], sealed[MARK + NONCE :], of.encode())
        except InvalidTag:
            raise SealBroken(f"{of} is damaged, or was put there by somebody without the key") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether the key in use has sealed that."""
        return sealed[:MARK] == self._current


def new_key() -> str:
    """Make a key, in base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def write_keys(path: Path, keys: list[str]) -> None:
    """Put keys into a file that only its owner reads, in one step."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write("\n".join(keys) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"hookgate storage key" + key).digest()[:MARK]


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else type(error).__name__
