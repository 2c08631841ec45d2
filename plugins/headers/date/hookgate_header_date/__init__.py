"""The time of the attempt as an HTTP date."""

import time
from email.utils import formatdate

from hookgate import Exchange, HeaderProvider, Host, Options, Outbound, hookimpl


class Date(HeaderProvider[Options]):
    """Gives the time of the attempt in the one form HTTP writes (RFC 9110, 5.6.7), always in GMT (AC-21):
    `Sat, 07 Jun 2014 20:51:35 GMT`.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._wall = time.time
        self._second = -1
        self._text = ""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the time from the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str:
        """Return the date; it is written once a second."""
        second = int(self._wall())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text
