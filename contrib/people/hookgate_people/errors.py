"""Why somebody is not let in, and why something stays."""

from __future__ import annotations

from collections.abc import Sequence

from hookgate_storage import Refused


class Denied(Exception):
    """Nobody whom we know, or with a wrong password; the text does not tell which."""

    def __init__(self) -> None:
        super().__init__("name and password, or the token, are not those of anybody")


class CodeNeeded(Exception):
    """Name and password are right, and the user has a second factor, whose code was not shown."""

    def __init__(self, user: str) -> None:
        super().__init__(f"{user} has a second factor: log in with its code, or call with a token")
        self.user = user


class TooMany(Exception):
    """Too many logins have failed, or too many are waiting."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds
        """When to try again."""


class InUse(Refused):
    """Somebody holds the role, a role contains it, or nobody would be an administrator; or what is written is used by
    something that is no object."""

    def __init__(self, kind: str, name: str, message: str, users: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(kind, name, message)
        self.users = users
        """Who uses it, as a kind with a name, and how."""
