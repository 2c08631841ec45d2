"""The server: its address in options, and connections that are opened when one is asked for."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, ValidationInfo

from hookgate import MASK, Secret
from hookgate.workshop import FilledSecret

SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True, "unix": False}
"""Scheme -> whether there is TLS."""
PORT = 6379


def _redis(url: Secret, info: ValidationInfo) -> Secret:
    try:
        parts = urlsplit(url.reveal())
        scheme, _ = parts.scheme, parts.port
    except ValueError:
        parts, scheme = urlsplit(""), ""
    database = parts.path.strip("/")
    if scheme not in SCHEMES:
        raise ValueError(
            "is no URL of a server: write redis://user:password@host:6379/0, rediss:// with TLS, or unix://"
        )
    if parts.query or parts.fragment:
        raise ValueError("has a query: what it may say is said by options")
    if scheme == "unix":
        folder: Any = getattr((info.context or {}).get("builder"), "folder", None)
        if folder is not None:
            folder / unquote(parts.path)  # a socket: where no file may be named, this says so
        if not database:
            raise ValueError("names no socket: write unix:///run/valkey/valkey.sock")
    elif not parts.hostname:
        raise ValueError("names no host: write redis://user:password@host:6379/0")
    elif database and not (database.isascii() and database.isdigit() and len(database) < 6):
        raise ValueError("has no number of a database at its end: write redis://user:password@host:6379/0")
    return url


RedisUrl = Annotated[FilledSecret, AfterValidator(_redis)]
"""As the type of an option: ``redis://user:password@host:port/database``; ``rediss://`` with TLS. A socket that it
names is a file like those of options of type ``Path``."""


class Server:
    """Connections to one server, over which one script is run."""

    def __init__(
        self,
        url: Secret,
        ca_file: Path | None,
        script: str,
        most: int,
        patience: float,
        failed: Callable[[str], Exception],
    ) -> None:
        parts = urlsplit(url.reveal())
        self.place = unquote(parts.path) if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or PORT}"
        """Where it is, for messages."""
        self.trouble = ""
        """What is wrong with it, without a password."""
        self.log, self.name = logging.getLogger("hookgate"), ""
        self._url, self._most, self._patience, self._failed = url, most, patience, failed
        self._script = script
        self._digest = sha1(script.encode(), usedforsecurity=False).hexdigest()  # how the store names scripts
        self._tls = _context(ca_file) if SCHEMES[parts.scheme] else None
        self._client: Any = None

    @property
    def is_open(self) -> bool:
        """Whether anybody has asked yet."""
        return self._client is not None

    async def run(self, keys: Sequence[bytes], arguments: Sequence[object]) -> list[Any]:
        """Run the script once; nobody is asked twice, for it may have counted though its answer was lost.

        Raises:
            Exception: what ``failed`` makes of what is wrong: the server cannot be used, or gave no answer in time.
        """
        from redis.exceptions import NoScriptError, RedisError  # only who counts needs it

        if self._client is None:
            self._client = self._made()
        try:
            async with asyncio.timeout(self._patience):
                try:
                    found: list[Any] = await self._client.evalsha(self._digest, len(keys), *keys, *arguments)
                except NoScriptError:  # it was started anew, and has not run anything
                    found = await self._client.eval(self._script, len(keys), *keys, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            trouble = f"the server {self.place} cannot be used: {self._said(error)}"
            if trouble != self.trouble:
                self.log.error("%s: %s", self.name, trouble)  # noqa: TRY400 - it says all
            self.trouble = trouble
            raise self._failed(trouble) from error
        self.trouble = ""
        return found

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _said(self, error: Exception) -> str:
        """Tell of an error. Servers repeat words that they do not know, and one of them may be the password."""
        if isinstance(error, TimeoutError) or not str(error):
            return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        said = " ".join(str(error).split())[:300]
        parts = urlsplit(self._url.reveal())
        for word in (parts.password, unquote(parts.password or "")):
            said = said.replace(word, MASK) if word else said
        return said

    def _made(self) -> Any:
        from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        parts = urlsplit(self._url.reveal())
        options: dict[str, Any] = {}
        if (context := self._tls) is not None:

            def encrypted(**options: Any) -> SSLConnection:
                connection = SSLConnection(**options)
                connection.ssl_context.context = context  # or each would read the authorities of this machine again
                return connection

            options["connection_class"] = encrypted
        pool = BlockingConnectionPool.from_url(
            parts._replace(scheme="unix" if parts.scheme == "unix" else "redis").geturl(),
            max_connections=self._most,
            timeout=self._patience,
            socket_connect_timeout=self._patience,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        return Redis.from_pool(pool)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no certificates"
        raise ValueError(f"the authorities in {ca_file} cannot be used ({why})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
