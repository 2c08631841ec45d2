"""A fresh UUID for a header action."""

import secrets
import time
from typing import Literal
from uuid import UUID, uuid4

from hookgate import Exchange, HeaderProvider, Host, Options, Outbound, hookimpl

TICKS = 4096
"""Parts of a millisecond that a version 7 tells apart: the 12 bits after the time (RFC 9562, 6.2, method 3)."""


class UuidOptions(Options):
    """Options of `uuid`."""

    version: Literal[4, 7] = 4
    """`4`: random throughout. `7`: begins with the time of the attempt in milliseconds, so that values sort by age and
    tell it to whoever sees them (RFC 9562)."""


class Uuid(HeaderProvider[UuidOptions]):
    """Gives every attempt a UUID of its own, also when a call is tried again.

    The random bits come from the operating system. Those of version 7 grow from attempt to attempt within one header
    action, even if the clock is set back.
    """

    def __init__(self, options: UuidOptions) -> None:
        super().__init__(options)
        self._wall = time.time
        self._last = 0

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the time from the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str:
        """Return a new UUID in the usual form: 36 characters, lower case."""
        return str(uuid4() if self.options.version == 4 else self._uuid7())

    def _uuid7(self) -> UUID:
        self._last = ticks = max(int(self._wall() * 1000 * TICKS), self._last + 1)
        milliseconds, part = divmod(ticks, TICKS)
        return UUID(int=milliseconds << 80 | 7 << 76 | part << 64 | 0b10 << 62 | secrets.randbits(62))
