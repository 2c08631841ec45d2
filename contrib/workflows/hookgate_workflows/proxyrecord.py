"""The record of a proxy: whose session a call has upstream, and how it is sent (CR-24, CR-26)."""

from __future__ import annotations

import re
from typing import Annotated, Any

import jmespath  # type: ignore[import-untyped]
from pydantic import AfterValidator, Field, field_validator

from hookgate import ConnectionName, Duration, Options, PositiveDuration, Secret
from hookgate_workflows.running import FRAMING

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def _header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name[:50]!r} is no name of a header")
    if name.lower() in FRAMING or name.lower() in ("host", "proxy-authorization"):
        raise ValueError(f"{name} belongs to one hop, and carries no session")
    return name


def _shown(name: str) -> str:
    if name.lower() in ("authorization", "cookie"):
        raise ValueError(
            f"local callers are known by {name}: have sessions shown in another header, and write sent_in: {name} for"
            " what the upstream gateway is sent"
        )
    return name


def _pattern(text: str) -> str:
    if text.count("{session}") != 1 or not text.isascii() or not text.isprintable():
        raise ValueError("holds {session} once, as in 'Bearer {session}', and beside it only characters of ASCII")
    return text


def _path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text) or text.startswith("//") or "#" in text:
        raise ValueError("is a path that begins with '/', such as /users/me")
    return text


def _jmespath(text: str) -> str:
    try:
        jmespath.compile(text)
    except (ValueError, jmespath.exceptions.JMESPathError) as error:
        raise ValueError(f"is no JMESPath: {str(error).splitlines()[0]}") from None
    return text


HeaderName = Annotated[str, AfterValidator(_header)]
Upstream = Annotated[str, Field(pattern=r"^((/[A-Za-z0-9._~-]+)+)?$", max_length=200)]


class SessionCheckSection(Options):
    """How the upstream gateway is asked whose session it is."""

    path: Annotated[str, Field(max_length=1000), AfterValidator(_path)]
    """What a GET asks, behind `upstream_prefix`, with the session: 200 says that it is good, 401 or 403 that it is
    not."""
    user: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_jmespath)] = "name"
    """Where the answer names the user, as a JMESPath such as `user.login`."""
    keep: Duration = Field(default=10.0, ge=0, le=3600)
    """Seconds for which a session that is good is not asked about again; 0 to ask for every call."""
    timeout: PositiveDuration = Field(default=10.0, le=60)
    """Seconds until the answer has to be there."""


class ProxySection(Options):
    """A prefix in front of an upstream gateway."""

    connection: ConnectionName
    """The connection to the upstream gateway. It has no `auth`: whose session a call has is said here."""
    upstream_prefix: Upstream = ""
    """What stands upstream in the place of the prefix here, such as `/api/v1`."""
    session_header: Annotated[HeaderName, AfterValidator(_shown)] = "X-Session"
    """The header in which users of the upstream gateway show their session. Who sends none is a local user."""
    sent_in: HeaderName | None = None
    """The header in which the upstream gateway takes a session; the same if left out."""
    sent_as: Annotated[str, Field(max_length=200), AfterValidator(_pattern)] = "{session}"
    """How the session stands there, such as `Bearer {session}`."""
    check: SessionCheckSection
    """How the upstream gateway is asked whose session it is."""
    system_session: Secret | None = None
    """The session that calls of local users have, and cells that ask for it. Without it, local users reach only custom
    routes."""
    timeout: PositiveDuration | None = None
    """Seconds until an answer of the upstream gateway is complete, as `to.timeout` of a route."""

    @field_validator("system_session")
    @classmethod
    def _can_be_sent(cls, session: Secret | None) -> Secret | None:
        if session is not None and not re.fullmatch(r"[!-~]{1,8192}", session.reveal()):
            raise ValueError("has from 1 to 8192 characters of ASCII that can be printed, and no blanks")
        return session

    @property
    def destination(self) -> dict[str, Any]:
        """Where calls go, as a route writes it."""
        more = {} if self.timeout is None else {"timeout": self.timeout}
        return {"connection": self.connection, **more}

    @property
    def header(self) -> str:
        """The header that the upstream gateway is sent."""
        return self.sent_in or self.session_header

    def shown(self, session: Secret) -> str:
        """Return the value of that header."""
        return self.sent_as.replace("{session}", session.reveal())

    def user_in(self, body: Any) -> str:
        """Return who the upstream gateway says it is; nothing where it does not."""
        try:
            found = jmespath.search(self.check.user, body)
        except jmespath.exceptions.JMESPathError:
            return ""
        text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
        return text if text.isprintable() and len(text) <= 150 else ""
