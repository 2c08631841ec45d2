"""What a step may do amid a call: call others, visit other routes, begin what goes on beside the flow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hookgate.exchange.messages import Response

if TYPE_CHECKING:
    from hookgate.exchange.messages import Response


@dataclass(slots=True)
class Callout:
    """A call to somebody else amid a call: what the trace shows of it. Times are those of the monotonic clock."""

    method: str
    url: str
    connection: str = ""
    """Name of the connection it went through; empty for the client of the house, ``(gateway)`` for a visit."""
    started: float = 0.0
    seconds: float | None = None
    """How long it took; ``None`` while it is under way."""
    status: int | None = None
    error: str = ""
    """Reason of the fault it ended in, if it did."""


class Amid:
    """What an exchange can do amid its call. A call that does nothing amid pays nothing for it."""

    home: Any = None
    """The generation that serves the call; not for plugins."""
    _callouts: list[Callout] | None = None
    _started: dict[str, asyncio.Task[Any]] | None = None

    @property
    def callouts(self) -> Sequence[Callout]:
        """Calls to others amid this one, in the order in which they began."""
        return self._callouts or ()

    async def call(
        self,
        method: str,
        url: str,
        *,
        connection: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Call somebody else amid this call and return the answer with its body read (FL-54).

        With a ``connection`` the URL is a path on it (HC-3), else an absolute URL. ``timeout`` is in seconds.

        Raises:
            LookupError: there is no such connection.
            ValueError: the URL is not of the kind it should be.
            Fault: as ``TransportSpec.send``.
        """
        house = self._house()
        with self._noted(method, url, connection) as callout:
            if connection:
                through = house.connection(connection)
                response: Response = await through.request(method, url, headers=headers, body=body, timeout=timeout)
            else:
                response = await house.http.request(method, url, headers=headers, body=body, timeout=timeout)
            callout.status = response.status
        return response

    async def visit(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Call another route of this gateway without the network, through its whole flow (FL-53); ``target`` is
        ``/path?query``, ``headers`` may name the ``Host``. Return the answer with its body read.

        Raises:
            LoopDetected: calls to itself led to this one too often.
        """
        with self._noted(method, target, "(gateway)") as callout:
            response: Response = await self._house().visit(self, method, target, headers or {}, body)
            callout.status = response.status
        return response

    def start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begin something that goes on while the flow does; :meth:`join` waits for it. It ends with the call.

        Raises:
            ValueError: something of that name was started already.
        """
        started = self._started = {} if self._started is None else self._started
        if name in started:
            coroutine.close()
            raise ValueError(f"{name!r} was started already in this call")
        started[name] = asyncio.get_running_loop().create_task(coroutine, name=name)

    async def join(self, name: str) -> Any:
        """Wait for what was started under a name; return its result, or raise what it raised.

        Raises:
            LookupError: nothing of that name was started.
        """
        if self._started is None or name not in self._started:
            raise LookupError(f"nothing was started as {name!r} in this call")
        return await asyncio.shield(self._started[name])

    def let_go(self) -> None:
        """End what was started and is still under way; the house calls this when the call is over."""
        for task in (self._started or {}).values():
            if task.done():
                if not task.cancelled():
                    task.exception()  # nobody joined it, and nobody is to be told
            else:
                task.cancel()

    def _house(self) -> Any:
        if self.home is None:
            raise RuntimeError("this exchange is not served by a gateway, so it can call nobody")
        return self.home.house

    @contextmanager
    def _noted(self, method: str, url: str, connection: str) -> Iterator[Callout]:
        if self._callouts is None:
            self._callouts = []
        callout = Callout(method, url, connection, time.monotonic())
        self._callouts.append(callout)
        try:
            yield callout
        except Exception as error:
            callout.error = getattr(error, "reason", "") or type(error).__name__
            raise
        finally:
            callout.seconds = time.monotonic() - callout.started
