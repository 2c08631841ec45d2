"""The PROXY protocol, versions 1 and 2: how a TCP balancer in front says whose connection it passes on.

Written after HAProxy's `proxy-protocol.txt`. It reads bytes and opens nothing: :func:`read` is called with all that has
come in so far until it answers. It is strict, because what it says decides whom an allow-list lets in: a connection
that begins with anything but a right header is to be closed. Only a listener that stands behind such a balancer may
read it, for anybody can write one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from hookgate.exchange.clientaddress import NOBODY, parsed

LONGEST_V1: Final = 107
"""Bytes of a header of version 1 at most, with its line end."""
LONGEST_V2: Final = 16 + 4096
"""Bytes of a header of version 2 at most. The format could say 64 KiB; what senders add comes to a few hundred."""

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21
_UNKNOWN, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_ADDRESSES = {_UNKNOWN: 0, _TCP4: 12, _TCP6: 36}
"""Bytes that the two addresses and ports take, by family."""


class Read(NamedTuple):
    """A header that was read."""

    ip: str | None
    """Who opened the connection; an IPv4 address that was written as an IPv6 one is IPv4 again. ``NOBODY`` where the
    sender does not know. ``None`` where it speaks for itself (a health check): then the address of the socket holds."""
    port: int
    """The port it came from, 0 without an address."""
    consumed: int
    """Bytes of the header; whatever follows belongs to the connection."""


def read(data: bytes) -> Read | None:
    """Read the header at the beginning of a connection; ``None`` asks for more bytes.

    What follows the addresses of version 2 (the sender's own TLS, its name of the host) is passed over.

    Raises:
        ValueError: it is no such header, too long, or of something that is not TCP. No further byte can mend it.
    """
    if data.startswith(_V1) or _V1.startswith(data):
        return _read_v1(data)
    if data.startswith(_V2) or _V2.startswith(data):
        return _read_v2(data)
    raise ValueError("the connection does not begin with a PROXY header")


def _read_v1(data: bytes) -> Read | None:
    line, end, _ = data[:LONGEST_V1].partition(b"\r\n")
    if b"\n" in line or b"\r" in line[: None if end else -1]:
        raise ValueError("the PROXY line does not end in CR LF")
    if not end:
        if len(data) >= LONGEST_V1:
            raise ValueError(f"the PROXY line is longer than {LONGEST_V1} bytes")
        return None
    consumed = len(line) + 2
    family, _, rest = line[len(_V1) :].partition(b" ")
    if family == b"UNKNOWN":  # whatever follows it is to be ignored
        return Read(NOBODY, 0, consumed)
    if family not in (b"TCP4", b"TCP6"):
        raise ValueError("the PROXY line is of no family that is known here: TCP4, TCP6 or UNKNOWN")
    fields = rest.split(b" ")
    if len(fields) != 4:
        raise ValueError("the PROXY line should have two addresses and two ports, with one space between them")
    source, destination, port, to_port = fields
    ip = _ip_v1(family, source)
    _ip_v1(family, destination)
    _port(to_port)
    return Read(ip, _port(port), consumed)


def _ip_v1(family: bytes, field: bytes) -> str:
    try:
        text = field.decode("ascii")
        if family == b"TCP4":
            return str(IPv4Address(text))
        if "%" in text:
            raise ValueError("a zone means nothing elsewhere")
        return str(parsed(str(IPv6Address(text))))
    except ValueError:
        raise ValueError(f"the PROXY line has an address that is none of {family.decode()}") from None


def _port(field: bytes) -> int:
    if not field.isdigit() or len(field) > 5 or (field.startswith(b"0") and field != b"0") or int(field) > 65535:
        raise ValueError("the PROXY line has a port that is no number from 0 to 65535")
    return int(field)


def _read_v2(data: bytes) -> Read | None:
    if len(data) < 16:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    consumed = 16 + length
    if command not in (_LOCAL, _PROXY):
        raise ValueError(f"the PROXY header has version and command {command:#04x}: known are 0x20 and 0x21")
    if consumed > LONGEST_V2:
        raise ValueError(f"the PROXY header is longer than {LONGEST_V2} bytes")
    if command == _PROXY:  # a LOCAL header is right whatever it says of addresses
        if family not in _ADDRESSES:
            raise ValueError(
                f"the PROXY header is of family {family:#04x}, which is neither TCP over IPv4 nor over IPv6"
            )
        if length < _ADDRESSES[family]:
            raise ValueError("the PROXY header is too short for the addresses of its family")
    if len(data) < consumed:
        return None
    if command == _LOCAL or family == _UNKNOWN:
        return Read(None if command == _LOCAL else NOBODY, 0, consumed)
    if family == _TCP4:
        return Read(str(IPv4Address(data[16:20])), int.from_bytes(data[24:26], "big"), consumed)
    return Read(str(parsed(str(IPv6Address(data[16:32])))), int.from_bytes(data[48:50], "big"), consumed)
