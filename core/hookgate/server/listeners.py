"""Sockets of our own, so that a port in use is an answer and not a stack trace, and so that port 0 can be told."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection
from contextlib import suppress

from hookgate.exchange.errors import MachineError

EVERY = {"0.0.0.0", "::"}  # noqa: S104
BACKLOG = 2048
"""Connections that the system keeps waiting to be accepted."""


def listen(address: str, leaving: Collection[socket.socket] = ()) -> socket.socket:
    """Open a listening socket on ``host:port`` (``:8080`` is every interface, ``[::1]:8080`` is IPv6).

    The address may overlap with those of our own sockets that are ``leaving``.

    Raises:
        MachineError: it is taken, not ours, or needs rights we lack.
    """
    try:
        try:
            return _open(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not leaving:
                raise
        for each in leaving:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return _open(address, beside=True)
    except OSError as error:
        raise MachineError(f"cannot listen on {address}: {_reason(error)}") from error


def _open(address: str, *, beside: bool = False) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family, kind, protocol, _, where = socket.getaddrinfo(
        host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if (held := _held(str(where[0]), int(where[1]))) is not None:
        return held
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if beside:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with suppress(OSError):  # one socket for both families where the system has it
            if family == socket.AF_INET6 and not host:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind(where)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def _held(host: str, port: int) -> socket.socket | None:
    """Return the socket that a service manager holds open for an address, if it handed one over (sd_listen_fds)."""
    mine = os.environ.get("LISTEN_PID") == str(os.getpid())
    for number in range(3, 3 + int(os.environ.get("LISTEN_FDS", "0"))) if mine else ():
        held = socket.socket(fileno=os.dup(number))
        named = held.getsockname()
        if held.family != socket.AF_UNIX and named[1] == port and (named[0] == host or {named[0], host} <= EVERY):
            held.setblocking(False)
            return held
        held.close()
    return None


def _reason(error: OSError) -> str:
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
