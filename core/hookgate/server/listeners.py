"""Sockets of our own, so that a port in use is an answer and not a stack trace, and so that port 0 can be told."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress

from hookgate.exchange.errors import MachineError


def listen(addresses: Iterable[str], *, backlog: int = 2048) -> list[socket.socket]:
    """Open listening sockets on ``host:port`` addresses (``:8080`` is every interface, ``[::1]:8080`` is IPv6).

    ``https://`` in front means nothing to a socket and is passed over.

    Raises:
        MachineError: an address is taken, not ours, or needs rights we lack; nothing stays open.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets.append(_open(address, backlog))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise MachineError(f"cannot listen on {address}: {_reason(error)}") from error
    return sockets


def _open(address: str, backlog: int) -> socket.socket:
    host, _, port = address.removeprefix("https://").rpartition(":")
    host = host.strip("[]")
    family, kind, protocol, _, where = socket.getaddrinfo(
        host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # one socket for both families where the system has it
            if family == socket.AF_INET6 and not host:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(where)
        opened.listen(backlog)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _reason(error: OSError) -> str:
    import errno

    hints = {
        errno.EADDRINUSE: "the port is in use; stop the other process or choose another port",
        errno.EACCES: "this user may not open that port; choose one above 1023",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    return hints.get(error.errno or 0, error.strerror or str(error))


def url_of(opened: socket.socket, scheme: str = "http") -> str:
    """The URL under which a listening socket can be called from this machine."""
    host, port = opened.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{host}:{port}"
