"""Calls on their way to the backend whose answer others wait for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import blake2b
from typing import Literal, NamedTuple

from hookgate_interceptor_cache.entry import Place

End = Literal["kept", "unkept", "failed", "gone"]
"""The answer is kept; it may not be; the backend failed; or the call ended before the answer was whole."""
UNKEPT_FOR = 10.0
"""Seconds for which nobody waits at a spot where the last answer could not be kept."""
MOST_UNKEPT = 10_000
"""Spots that are remembered for that."""


class Spot(NamedTuple):
    """Calls of one spot wait for the same answer."""

    place: Place
    credentials: bool
    selecting: tuple[str | None, ...]


class Flight:
    """What others wait for. It ends once."""

    __slots__ = ("_waiting", "end", "spot")

    def __init__(self, spot: Spot) -> None:
        self.spot = spot
        self.end: End | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def land(self, end: End) -> None:
        """End it, and let those go on who wait."""
        self.end = end
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def ended(self, seconds: float) -> End | None:
        """Wait for its end, at most so many seconds; ``None`` where they are over."""
        if self.end is None and seconds > 0:
            landed = asyncio.get_running_loop().create_future()
            self._waiting.add(landed)
            try:
                async with asyncio.timeout(seconds):
                    await landed
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(landed)
        return self.end


class Flights:
    """What is on its way, by spot, and where waiting is in vain."""

    def __init__(self) -> None:
        self._flying: dict[Spot, Flight] = {}
        self._unkept: OrderedDict[bytes, float] = OrderedDict()
        """Until when nobody waits, by a hash: what a client asks for must not fill the memory."""

    def at(self, spot: Spot) -> Flight | None:
        """Return what is on its way there."""
        return self._flying.get(spot)

    def begin(self, spot: Spot) -> Flight:
        """Have others wait for a call."""
        flight = self._flying[spot] = Flight(spot)
        return flight

    def land(self, flight: Flight, end: End, now: float) -> None:
        """A call is back; only the first end counts."""
        if flight.end is not None:
            return
        if self._flying.get(flight.spot) is flight:
            del self._flying[flight.spot]
        if end == "unkept":
            key = _hash(flight.spot)
            self._unkept[key] = now + UNKEPT_FOR
            self._unkept.move_to_end(key)
            if len(self._unkept) > MOST_UNKEPT:
                self._unkept.popitem(last=False)
        flight.land(end)

    def in_vain(self, spot: Spot, now: float) -> bool:
        """Whether nobody waits there."""
        if not self._unkept:
            return False
        until = self._unkept.get(key := _hash(spot))
        if until is None or until > now:
            return until is not None
        del self._unkept[key]
        return False


def _hash(spot: Spot) -> bytes:
    return blake2b(repr(spot).encode(errors="surrogatepass"), digest_size=16).digest()
