"""What goes wrong with a store."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used: it is away, full, locked, slow, damaged, or of another version. The text says which."""


class SealBroken(StoreError):
    """Something stored cannot be decrypted."""


class Refused(Exception):
    """A write that cannot be; nothing of it is stored."""

    def __init__(self, kind: str, name: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.name = kind, name


class Exists(Refused):
    """There is an object of that name (HC-1)."""


class Missing(Refused):
    """There is no object of that name."""


class Stale(Refused):
    """The object has been changed since it was read (RFC 9110, 13.1.1)."""


class Moved(Refused):
    """Somebody else has written since what is to be written was checked."""
