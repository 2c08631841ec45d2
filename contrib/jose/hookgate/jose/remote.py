"""Public keys that an issuer publishes: fetched, kept, and fetched again when a token names one that is not known."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import Key

from hookgate import Fault, Host, ServiceUnavailable
from hookgate.jose.keys import KeyStore, key_set
from hookgate.workshop import is_loopback

ANSWER_LIMIT = 256 * 1024
"""Bytes a document of an issuer may have."""
FIRST_PAUSE = 1.0
"""Seconds without a request after a failed one; each further failure doubles them."""
LONGEST_PAUSE = 60.0
"""Seconds to which they grow."""
WELL_KNOWN = "/.well-known/openid-configuration"


class _NoKeys(Exception):
    """The issuer gave none. The message is for the log."""


class RemoteKeys:
    """The key set of one issuer. Times are those of `host.clock.now()`, in seconds."""

    def __init__(
        self,
        uri: str | None,
        issuer: str | None,
        check: Callable[[str], str],
        *,
        refresh: float,
        cooldown: float,
        keep: float,
        timeout: float,
        connection: str | None = None,
    ) -> None:
        self._uri = uri
        """Where the keys are; if not given the issuer's configuration tells."""
        self._issuer = issuer
        self._connection = connection
        """A connection of the document over which keys are fetched; URLs are paths on it then."""
        self._check = check
        """Returns a URL that may be called, and raises ValueError for another one."""
        self._refresh, self._cooldown, self._keep, self._timeout = refresh, cooldown, keep, timeout
        self._host: Host
        self._name = ""
        self._store: KeyStore | None = None
        self._data = b""
        self._fetched = 0.0
        """When the keys came."""
        self._tried = 0.0
        """When they were last asked for."""
        self._not_before = 0.0
        """No key that is not known is asked for before this time."""
        self._failures = 0
        self._task: Any = None
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when the keys are other ones than before."""

    def start(self, host: Host, name: str) -> None:
        """Get ready; no request is sent before the first token comes."""
        self._host, self._name = host, name

    async def stop(self) -> None:
        """End a request that is under way."""
        task, coroutine = self._task, self._coroutine
        if task is not None and coroutine is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            coroutine.close()  # in case it has never begun
        self._task = self._coroutine = None

    async def find(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a token may have been signed with.

        Raises:
            ServiceUnavailable: there are no keys, and the issuer gives none.
        """
        now = self._host.clock.now()
        if self._store is not None and now >= self._fetched + self._keep:
            self._store, self._data = None, b""
        if self._store is None:
            await self._renewed()
            store = self._store
            if store is None:
                raise ServiceUnavailable("The keys for checking tokens cannot be had now.", reason="auth-error")
            return store.find(kid, algorithm)
        if now >= self._fetched + self._refresh and self._may_try(now):
            self._begin()
        found = self._store.find(kid, algorithm)
        if not found and (self._task is not None or now >= self._not_before):
            self._not_before = max(self._not_before, now + self._cooldown)
            await self._renewed()
            found = [] if self._store is None else self._store.find(kid, algorithm)
        return found

    def _may_try(self, now: float) -> bool:
        if not self._failures:
            return True
        return now >= self._tried + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))

    async def _renewed(self) -> None:
        """Wait for the request that is under way, or for one that is begun here unless the issuer has a rest."""
        if self._task is None:
            if not self._may_try(self._host.clock.now()):
                return
            self._begin()
        await asyncio.wait([self._task])  # which does not end the task when it is cancelled itself

    def _begin(self) -> None:
        if self._task is None:
            self._tried = self._host.clock.now()
            self._coroutine = self._fetch()
            self._task = self._host.start(f"{self._name}: keys", self._coroutine)

    async def _fetch(self) -> None:
        try:
            uri = self._uri if self._uri is not None else await self._discovered()
            data = await self._get(uri)
            try:
                store = key_set(_object(data, uri))
            except ValueError as error:
                raise _NoKeys(f"{uri}: {error}") from None
            if data != self._data:
                self._store, self._data = store, data
                self.changed()
            self._fetched = self._host.clock.now()
            self._failures = 0
        except _NoKeys as error:
            self._failures += 1
            kept = "those it gave before are used on" if self._store is not None else "there are none to check with"
            self._host.log.warning("%s: no keys: %s; %s", self._name, error, kept)
        except BaseException:
            self._failures += 1
            raise
        finally:
            self._task = None

    async def _discovered(self) -> str:
        """Ask the issuer where its keys are (OpenID Connect Discovery 1.0, 4)."""
        assert self._issuer is not None
        url = self._issuer.rstrip("/") + WELL_KNOWN
        configuration = _object(await self._get(url), url)
        if configuration.get("issuer") != self._issuer:
            raise _NoKeys(f"{url} is the configuration of another issuer")
        uri = configuration.get("jwks_uri")
        try:
            return self._check(uri if isinstance(uri, str) else "")
        except ValueError as error:
            raise _NoKeys(f"{url}: jwks_uri: {error}") from None

    async def _get(self, url: str) -> bytes:
        try:
            name = self._connection
            by = self._host.http if name is None else self._host.connection(name)
            response = await by.request("GET", url, headers={"Accept": "application/json"}, timeout=self._timeout)
        except (Fault, ValueError, LookupError) as error:
            raise _NoKeys(f"{url} cannot be reached: {error}") from None
        if response.status != 200:
            raise _NoKeys(f"{url} answered {response.status}")
        if len(response.body.data) > ANSWER_LIMIT:
            raise _NoKeys(f"{url} answered with more than {ANSWER_LIMIT} bytes")
        return response.body.data


def http_url(url: str) -> str:
    """Return an absolute http(s) URL.

    Raises:
        ValueError: it is none, or has a user or a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r} is not an absolute https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the URL at {parts.hostname} has a user or password, and public keys need none")
    _ = parts.port  # raises ValueError for a port that is none
    return url


def key_url(url: str, *, allow_http: bool) -> str:
    """Return a URL if keys may be fetched from there.

    Raises:
        ValueError: it is no absolute http(s) URL, has a user or a password, or is `http` to another machine.
    """
    parts = urlsplit(http_url(url))
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname or ""):
        raise ValueError(
            f"{url!r} could be answered by anybody on the way, with keys of his own; write https, or allow_http: true "
            "where the way there is safe"
        )
    return url


def _object(data: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _NoKeys(f"{url} answered without a JSON object")
    return value
