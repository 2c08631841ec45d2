"""One access token, shared by all calls of a credential: fetched once however many wait, renewed before it expires."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from hookgate import Counter, Host, ServiceUnavailable, Signal
from hookgate_auth_oauth2.endpoint import EndpointError

FIRST_PAUSE = 1.0
"""Seconds without a request after a failed one; each further failure doubles them."""
LONGEST_PAUSE = 60.0
"""Seconds to which they grow."""
REJECTION_PAUSE = 10.0
"""Seconds in which a token that replaced a rejected one is not replaced again: what the backend does not accept is
then not the token, and asking for more of them would only load the server."""
AHEAD = 30.0
"""Seconds before the end of its use in which a token is renewed in the background, at most a tenth of its time."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when it is used. Times are those of `host.clock.now()`, in seconds."""

    line: str = field(repr=False)
    """What stands in the header."""
    obtained: float
    until: float
    """Not used any more from here on."""
    after_rejection: bool = False
    """It replaced one that a backend refused."""

    @property
    def renew_from(self) -> float:
        """When the background begins to fetch the next one."""
        return self.until - min(AHEAD, 0.1 * (self.until - self.obtained))


Fetch = Callable[[], Awaitable[tuple[str, float]]]
"""Gets a token: what stands in the header, and how many seconds it is used."""
Then = Callable[[Token], None]


class Tokens:
    """Keeps the token of one credential."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._host: Host
        self._requests: Counter
        self._name = ""
        self._token: Token | None = None
        self._task: Any = None
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._waiting: list[tuple[Then, Signal]] = []
        self._failures = 0
        self._not_before = 0.0
        """No request before this time, since the last one failed."""
        self._rejected = False
        """The next token replaces one that a backend refused."""

    def start(self, host: Host, name: str) -> None:
        """Get ready; no request is sent before the first call needs a token."""
        self._host, self._name = host, name
        about = "Requests for tokens by how they ended: renewed or failed."
        self._requests = host.metrics.counter("oauth2_tokens_total", about, ("credential", "outcome"), most=1000)

    async def stop(self) -> None:
        """End a request that is under way. Whoever waits for it fails."""
        task, coroutine = self._task, self._coroutine
        if task is not None and coroutine is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            coroutine.close()  # in case it has never begun
        self._task = self._coroutine = None
        self._let_go(None)

    def get(self) -> Token | None:
        """Return the token if there is one that can be used, and begin to renew it when its end is near."""
        token = self._token
        if token is None:
            return None
        now = self._host.clock.now()
        if now >= token.until:
            return None
        if now >= token.renew_from and self._task is None and now >= self._not_before:
            self._begin()
        return token

    def wait(self, then: Then) -> Signal:
        """Have `then` called with the token that comes; the signal is set behind that.

        Raises:
            ServiceUnavailable: `auth-error`, at once, while the server is left alone after a failure.
        """
        if self._task is None:
            if self._host.clock.now() < self._not_before:
                raise self._auth_error()
            self._begin()
        signal = Signal()
        self._waiting.append((then, signal))
        return signal

    def rejected(self, lines: list[str]) -> bool:
        """Drop the token if it is the one that a backend refused; return whether another try would use another one.

        `lines` are the header lines of the refused attempt.
        """
        token, now = self._token, self._host.clock.now()
        if token is None or token.line not in lines:
            return True  # another call has seen to it
        if token.after_rejection and now < token.obtained + REJECTION_PAUSE:
            return False
        self._token = None
        self._rejected = True
        return True

    def _begin(self) -> None:
        self._coroutine = self._renew()
        self._task = self._host.start(f"{self._name}: token", self._coroutine)

    async def _renew(self) -> None:
        token: Token | None = None
        try:
            line, lifetime = await self._fetch()
            now = self._host.clock.now()
            token = self._token = Token(line, now, now + lifetime, self._rejected)
            self._rejected = False
            self._failures, self._not_before = 0, 0.0
            self._requests.add(1, self._name, "renewed")
        except EndpointError as error:
            self._failed(str(error), error.retry_after)
        except Exception as error:
            self._failed(type(error).__name__, 0.0)
            raise
        finally:
            self._task = None
            self._let_go(token)

    def _failed(self, message: str, pause: float) -> None:
        pause = max(pause, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._requests.add(1, self._name, "failed")
        self._not_before = self._host.clock.now() + pause
        self._host.log.warning("%s: no token: %s; the next request in %g s at the earliest", self._name, message, pause)

    def _auth_error(self) -> ServiceUnavailable:
        """Make the fault of a call that is not sent because there is no token for it (HC-9).

        It is no fault of the backend's, so that no other target is tried.
        """
        pause = max(1, ceil(self._not_before - self._host.clock.now()))
        return ServiceUnavailable(
            "The gateway got no token for this backend from the authorization server.",
            reason="auth-error",
            headers={"Retry-After": str(pause)},
        )

    def _let_go(self, token: Token | None) -> None:
        waiting, self._waiting = self._waiting, []
        for then, signal in waiting:  # a signal takes its call on before it returns, which may wait again
            if token is None:
                signal.set(error=self._auth_error())
            else:
                then(token)
                signal.set()
