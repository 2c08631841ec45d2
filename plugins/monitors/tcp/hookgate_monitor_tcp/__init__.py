"""Check targets by opening a TCP connection."""

import asyncio
import socket

from hookgate import Health, Monitor, MonitorOptions, Send, Target, hookimpl


class TcpOptions(MonitorOptions):
    """Options of `tcp`: when to check and what to conclude."""


class Tcp(Monitor[TcpOptions]):
    """A target is well if it accepts a TCP connection, which is closed at once; nothing is sent, not even for TLS.

    That is all it says: a process listens there. Take `http` where the backend can say more about itself. Of the
    addresses of a name each is tried until one accepts. The reasons of a failed check are those of calls: `dns-failed`,
    `connect-refused`, `connect-timeout`, and `connect-failed` for anything else.
    """

    @hookimpl
    async def probe(self, target: Target, send: Send) -> Health:
        """Connect once; `send` is not needed. Core bounds the time."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # a label of the name is empty or too long
            return Health(healthy=False, reason="dns-failed")
        reason = "dns-failed"
        for family, kind, protocol, _, address in found:
            try:
                with socket.socket(family, kind, protocol) as connection:  # closed however this ends
                    connection.setblocking(False)
                    await loop.sock_connect(connection, address)
            except OSError as error:
                reason = _reason(error)
            else:
                return Health(healthy=True, reason="accepts connections")
        return Health(healthy=False, reason=reason)


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect-refused"
    return "connect-timeout" if isinstance(error, TimeoutError) else "connect-failed"
