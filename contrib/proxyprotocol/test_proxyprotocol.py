"""Headers made by an encoder of the test's own, after the specification, against the reader."""

import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookgate.proxyprotocol.header import LONGEST_V1, LONGEST_V2, Read, read

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
PORTS = st.integers(0, 65535)
IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
AFTER = st.binary(max_size=40)


def line(family, source, destination, port, to_port):
    return f"PROXY {family} {source} {destination} {port} {to_port}\r\n".encode()


def binary(payload=b"", *, command=0x21, family=0x11, length=None):
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload) if length is None else length) + payload


def ends(source, destination, port, to_port):
    kind = socket.AF_INET if source.version == 4 else socket.AF_INET6
    packed = b"".join(socket.inet_pton(kind, str(each)) for each in (source, destination))
    return packed + struct.pack("!HH", port, to_port)


def extension(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


EXTENSIONS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=4).map(
    lambda several: b"".join(extension(*each) for each in several)
)


@st.composite
def headers(draw):
    """A right header of either version, and what it says."""
    addresses = draw(st.sampled_from([IPV4, IPV6]))
    source, destination, port, to_port = draw(addresses), draw(addresses), draw(PORTS), draw(PORTS)
    said = (str(getattr(source, "ipv4_mapped", None) or source), port)
    match draw(st.sampled_from(["line", "unknown line", "binary", "unknown", "local"])):
        case "line":
            text = draw(st.sampled_from([str, lambda each: each.exploded, lambda each: str(each).upper()]))
            return line(f"TCP{source.version}", text(source), text(destination), port, to_port), said
        case "unknown line":
            rest = draw(st.text("PROXYtcp 0123:.", max_size=80))
            return b"PROXY UNKNOWN" + (f" {rest}" if rest else "").encode() + b"\r\n", ("unknown", 0)
        case "binary":
            family = 0x11 if source.version == 4 else 0x21
            return binary(ends(source, destination, port, to_port) + draw(EXTENSIONS), family=family), said
        case "unknown":
            return binary(draw(st.binary(max_size=60)), family=0), ("unknown", 0)
        case _:
            return binary(draw(st.binary(max_size=60)), command=0x20, family=draw(st.integers(0, 255))), (None, 0)


@given(headers(), AFTER)
def test_what_was_written_is_read_and_what_follows_is_left(header, after):
    written, said = header

    assert read(written + after) == Read(*said, len(written))


@given(headers())
def test_every_beginning_of_a_header_asks_for_more(header):
    written, _ = header

    assert [cut for cut in range(len(written)) if read(written[:cut]) is not None] == []


@st.composite
def spoilt(draw):
    """A right header of which some bytes were replaced, added or taken."""
    written, _ = draw(headers())
    data = bytearray(written + draw(AFTER))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=150).map(b"PROXY ".__add__),
    st.binary(max_size=150).map(lambda rest: b"PROXY TCP4 " + rest + b"\r\n"),
    st.binary(max_size=100).map(SIGNATURE.__add__),
    spoilt(),
)


@given(GARBAGE)
@example(b"\r\n" * 60)
@example(b"PROXY " + b"\xff" * 200)
def test_garbage_raises_nothing_but_value_errors_and_takes_nothing_behind_the_header(data):
    try:
        found = read(data)
    except ValueError:
        return
    if found is None:
        assert len(data) < (LONGEST_V2 if data.startswith(SIGNATURE) else LONGEST_V1)
        return
    assert 0 < found.consumed <= len(data)
    if data.startswith(SIGNATURE):
        assert found.consumed == 16 + int.from_bytes(data[14:16], "big")
    else:
        assert found.consumed == data.index(b"\n") + 1
    assert read(data[: found.consumed]) == found


@given(GARBAGE)
def test_what_was_refused_stays_refused(data):
    """So a connection may be closed at once, without waiting for the rest."""
    for cut in range(len(data)):
        try:
            if read(data[:cut]) is not None:
                return
        except ValueError:
            with pytest.raises(ValueError, match="PROXY"):
                read(data)
            return


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "does not begin with a PROXY header"),
        (b"PROXX", "does not begin"),
        (b"proxy TCP4", "does not begin"),
        (b"\r\n\r\n\x00\r\nQUIX", "does not begin"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "does not end in CR LF"),
        (b"PROXY TCP4 1.2.3.4\r5.6.7.8 1 2\r\n", "does not end in CR LF"),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "of no family"),
        (b"PROXY \r\n", "of no family"),
        (b"PROXY TCP4\r\n", "two addresses and two ports"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "two addresses and two ports"),
        (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "two addresses and two ports"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "two addresses and two ports"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "an address that is none of TCP4"),
        (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "an address that is none of TCP6"),
        (b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", "an address"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.256 1 2\r\n", "an address"),
        (b"PROXY TCP4 1.2.3.4\xff 5.6.7.8 1 2\r\n", "an address"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "an address"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8  \r\n", "a port"),
        (b"PROXY UNKNOWN ".ljust(LONGEST_V1, b"x"), "longer than 107 bytes"),
        (b"PROXY UNKNOWN ".ljust(LONGEST_V1 - 1, b"x") + b"\r\n", "longer than 107 bytes"),
        (binary(command=0x11), "version and command 0x11"),
        (binary(command=0x22), "version and command 0x22"),
        (binary(length=4097), "longer than 4112 bytes"),
        (binary(command=0x20, length=65535), "longer than 4112 bytes"),
        (binary(bytes(11)), "too short"),
        (binary(bytes(35), family=0x21), "too short"),
        (binary(bytes(12), family=0x12), "family 0x12"),
        (binary(bytes(36), family=0x22), "family 0x22"),
        (binary(bytes(216), family=0x31), "family 0x31"),
        (binary(bytes(12), family=0x41), "family 0x41"),
    ],
)
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(ValueError, match=words):
        read(data)


def test_the_longest_headers_are_read():
    longest = b"PROXY UNKNOWN ".ljust(LONGEST_V1 - 2, b"x") + b"\r\n"

    assert read(longest + b"GET") == Read("unknown", 0, LONGEST_V1)
    assert read(binary(bytes(4096)) + b"GET") == Read("0.0.0.0", 0, LONGEST_V2)


def test_an_ipv4_address_written_as_ipv6_is_ipv4():
    mapped = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7")

    assert read(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 5 6\r\n").ip == "192.0.2.7"
    assert read(binary(mapped * 2 + b"\0\5\0\6", family=0x21))[:2] == ("192.0.2.7", 5)


def test_the_sender_s_own_tls_is_passed_over():
    tls = extension(0x20, b"\x01\0\0\0\0" + extension(0x21, b"TLSv1.3") + extension(0x22, b"client"))
    payload = b"\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb"

    assert read(binary(payload + tls) + b"\x16\x03\x01") == Read("192.0.2.1", 12345, 16 + 12 + len(tls))
