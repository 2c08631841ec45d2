"""Heads and bodies of HTTP/1.1: what is right is read back, what is odd is refused, and no cut matters.

The judge of chunked bodies is :func:`strictly`, written from RFC 9112 in the plainest way; h11 is the second opinion.
"""

import contextlib
import itertools
import re
import tracemalloc

import h11
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hookgate.client.answers import read_response
from hookgate.http.framing import (
    CHUNKED,
    UNKNOWN,
    Chunked,
    Counted,
    FramingError,
    read_request,
    reader_of,
)

# --- what hypothesis makes up -----------------------------------------------------------------------------------------

MEANT = {
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"http2-settings",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
"""Names that say something about this hop and so are not drawn at random."""
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
VALUE = rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|"

methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE", "PROPFIND"])
targets = st.from_regex(
    rb"/[A-Za-z0-9\-._~%!$&'()*+,;=:@/]{0,30}(\?[A-Za-z0-9\-._~%!$&'()*+,;=:@/?]{0,30})?", fullmatch=True
)
names = st.from_regex(TOKEN, fullmatch=True).filter(lambda name: name.lower() not in MEANT)
values = st.from_regex(VALUE, fullmatch=True)
fields = st.lists(st.tuples(names, values), max_size=6)
hosts = st.sampled_from([b"a", b"a.example:8080", b"[::1]:80", b"127.0.0.1", b""])


@st.composite
def heads(draw):
    """A valid head, with what should be read from it: method, target, fields, length."""
    method, target = draw(methods), draw(targets)
    lines = draw(fields)
    framing = draw(st.sampled_from([None, "counted", "chunked"]))
    length = 0
    if framing == "counted":
        length = draw(st.integers(0, 10**17))
        lines.insert(draw(st.integers(0, len(lines))), (b"Content-Length", b"%d" % length))
    elif framing == "chunked":
        length = CHUNKED
        lines.insert(
            draw(st.integers(0, len(lines))), (b"transfer-encoding", draw(st.sampled_from([b"chunked", b"Chunked"])))
        )
    lines.insert(draw(st.integers(0, len(lines))), (b"Host", draw(hosts)))
    spaces = draw(st.sampled_from([b"", b" ", b"\t", b" \t "]))
    text = b"%b %b HTTP/1.1\r\n" % (method.encode(), target)
    text += b"".join(b"%b:%b%b\r\n" % (name, spaces, value) for name, value in lines)
    return text + b"\r\n", (method, target, lines, length)


def cuts_of(data, positions):
    """The same bytes in pieces."""
    edges = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


# --- heads ------------------------------------------------------------------------------------------------------------


@given(heads())
def test_a_valid_head_is_read_back_exactly(drawn):
    text, (method, target, lines, length) = drawn
    head = read_request(text)

    assert (head.method, head.target, head.version) == (method, target, "1.1")
    assert head.fields == lines
    assert head.length == length
    assert head.host == next(value for name, value in lines if name == b"Host")


@given(names, values, st.sampled_from([b" ", b"\t", b" \t "]))
def test_white_space_behind_a_value_is_no_part_of_it(name, value, spaces):
    """RFC 9112, 5: field-line = field-name ":" OWS field-value OWS."""
    head = read_request(b"GET / HTTP/1.1\r\nHost: a%b\r\n%b: %b%b\r\n\r\n" % (spaces, name, value, spaces))

    assert head.fields == [(b"Host", b"a"), (name, value)]


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
HOSTILE = {
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after a field": b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    "bare LF everywhere, and CRLF CRLF at the end": b"GET / HTTP/1.1\nHost: a\nX: 1\r\n\r\n",
    "bare CR in a field": GET + b"X: a\rb\r\n\r\n",
    "bare CR after a field": b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n",
    "CR CR LF": b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "folded line": GET + b"X: 1\r\n 2\r\n\r\n",
    "folded line with a tab": GET + b"X: 1\r\n\t2\r\n\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "folded Transfer-Encoding": GET + b"Transfer-Encoding:\r\n chunked\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "NUL in a name": GET + b"X\0: b\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "space before the colon": GET + b"X : 1\r\n\r\n",
    "tab before the colon": GET + b"X\t: 1\r\n\r\n",
    "space before the colon of Content-Length": GET + b"Content-Length : 1\r\n\r\n",
    "no colon": GET + b"X\r\n\r\n",
    "no name": GET + b": 1\r\n\r\n",
    "a name that is no token": GET + b"X(y): 1\r\n\r\n",
    "a name in UTF-8": GET + "Grüße: 1\r\n\r\n".encode(),
    "DEL in a value": GET + b"X: \x7f\r\n\r\n",
    "control character in a value": GET + b"X: \x01\r\n\r\n",
    "control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "two Hosts": GET + b"Host: a\r\n\r\n",
    "two different Hosts": GET + b"Host: b\r\n\r\n",
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "two Hosts in one line": b"GET / HTTP/1.1\r\nHost: a b.example\r\n\r\n",
    "a Host in UTF-8": b"GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two equal Content-Lengths": GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "two unequal Content-Lengths": GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "two Content-Lengths in one line": GET + b"Content-Length: 1, 1\r\n\r\n",
    "Content-Length before Transfer-Encoding": GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Content-Length after Transfer-Encoding": GET + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "Content-Length 0 beside Transfer-Encoding": GET + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding gzip": GET + b"Transfer-Encoding: gzip\r\n\r\n",
    "Transfer-Encoding gzip, chunked": GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "Transfer-Encoding chunked, gzip": GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "Transfer-Encoding chunked, chunked": GET + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "Transfer-Encoding chunked twice": GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding identity": GET + b"Transfer-Encoding: identity\r\n\r\n",
    "Transfer-Encoding identity, then chunked": GET
    + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding of nothing": GET + b"Transfer-Encoding:\r\n\r\n",
    "Transfer-Encoding xchunked": GET + b"Transfer-Encoding: xchunked\r\n\r\n",
    "Transfer-Encoding chunked with a parameter": GET + b"Transfer-Encoding: chunked;q=1\r\n\r\n",
    "Transfer-Encoding in quotes": GET + b'Transfer-Encoding: "chunked"\r\n\r\n',
    "Transfer-Encoding with a vertical tab": GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "Transfer-Encoding in HTTP/1.0": b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    **{
        f"Content-Length {value.decode()!r}": GET + b"Content-Length: %b\r\n\r\n" % value
        for value in (
            b"",
            b"+1",
            b"-1",
            b"0x1",
            b"1 2",
            b"1_0",
            b"1.0",
            b"1e3",
            b"a",
            b"1;1",
            b"9" * 30,
            b"1" * 19,
            b"1\xb2",
        )
        if value.isascii()
    },
    "Content-Length in other digits": GET + b"Content-Length: \xb2\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces after the target": b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space at the end of the request line": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "a space at the beginning": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab in the request line": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty line before the request": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 by name": b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "HTTP/01.1": b"GET / HTTP/01.1\r\nHost: a\r\n\r\n",
    "HTTP/1": b"GET / HTTP/1\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "http/1.1": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "HTTPS/1.1": b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n",
    "ICE/1.0": b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
    "RTSP/1.0": b"DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an expectation that is none": GET + b"Expect: 200-ok\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_two_implementations_could_read_in_two_ways_is_refused(name):
    with pytest.raises(FramingError) as refused:
        read_request(HOSTILE[name])
    assert 400 <= refused.value.status < 600


def test_the_status_of_a_refusal_says_what_is_wrong():
    expected = {"HTTP/2.0": 505, "an unknown method": 501, "an expectation that is none": 417, "no Host": 400}
    for name, status in expected.items():
        with pytest.raises(FramingError) as refused:
            read_request(HOSTILE[name])
        assert refused.value.status == status, name


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Close", False),
        ("1.1", "x, close", False),
        ("1.1", "keep-alive, close", False),
        ("1.1", "closed", True),
        ("1.0", None, False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive, x", True),
        ("1.0", "close, keep-alive", False),
    ],
)
def test_whether_a_connection_may_be_kept(version, connection, kept):
    line = "" if connection is None else f"Connection: {connection}\r\n"

    assert read_request(f"GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n".encode()).keep_alive is kept


@pytest.mark.parametrize(
    "other",
    ["x", "keep-alive"],
)
def test_close_counts_whatever_other_lines_say(other):
    """RFC 9110, 5.3: several lines are one list; RFC 9112, 9.3: `close` in it comes first."""
    lines = [b"Connection: close\r\n", b"Connection: %b\r\n" % other.encode()]

    assert read_request(GET + lines[1] + lines[0] + b"\r\n").keep_alive is False
    assert read_request(GET + lines[0] + lines[1] + b"\r\n").keep_alive is False


def test_a_whole_url_as_target_is_taken_as_servers_must():
    """RFC 9112, 3.2.2; what stands in it is looked at when the target is split."""
    assert read_request(b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n").target == b"http://a/b?c"


def test_a_client_of_http_1_0_needs_no_host_and_is_never_told_to_go_on():
    head = read_request(b"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")

    assert (head.host, head.version, head.length, head.expects) == (None, "1.0", 3, False)


alphabet = st.sampled_from(
    [b"\r", b"\n", b" ", b"\t", b":", b"\0", b"\x0b", b"\x80", b",", b";", b"0", b"1", b"a", b"H", b"\r\n"]
)


@st.composite
def mutated(draw, source):
    """Something valid with a few bytes exchanged, put in, or left out."""
    data = draw(source)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(st.one_of(st.just(b""), alphabet)) + data[start + draw(st.integers(0, 2)) :]
    return data


framed_heads = st.one_of(heads().map(lambda drawn: drawn[0]), st.sampled_from(sorted(HOSTILE.values())))


@given(mutated(framed_heads).filter(lambda text: text.find(b"\r\n\r\n") == len(text) - 4))
def test_a_spoilt_head_is_refused_or_read_as_h11_reads_it(text):
    """The lane cuts a head at its first empty line, so only what ends there gets here."""
    try:
        head = read_request(text)
    except FramingError:
        return
    assume(head.target.isascii())  # refused when the target is split
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(text)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target, event.http_version.decode()) == (
        head.method,
        head.target,
        head.version,
    )
    stripped = [(name.lower(), value.strip(b" \t")) for name, value in head.fields]
    assert [(name, value) for name, value in event.headers] == [
        (name, value.lower() if name == b"transfer-encoding" else value) for name, value in stripped
    ]
    framing = dict(stripped)
    assert (head.length == CHUNKED) == (b"transfer-encoding" in framing)
    assert head.length in (CHUNKED, int(framing.get(b"content-length", 0)))


@given(st.binary(max_size=200))
def test_rubbish_never_raises_anything_else(data):
    for text in (data, data + b"\r\n\r\n", GET + data + b"\r\n\r\n", b"GET /" + data + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
        with contextlib.suppress(FramingError):
            read_request(text)
    for text in (data, b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n", b"HTTP/1.1 " + data + b"\r\n\r\n"):
        with contextlib.suppress(FramingError):
            read_response(text, "GET")


@given(
    st.integers(100, 599).filter(lambda status: status != 101),
    fields,
    st.sampled_from([None, b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"]),
)
def test_a_response_is_read_back_and_its_length_follows_status_and_method(status, lines, framing):
    text = b"HTTP/1.1 %d Some reason\r\n" % status
    text += b"".join(b"%b: %b\r\n" % line for line in lines) + (framing or b"") + b"\r\n"
    told = {None: UNKNOWN, b"Content-Length: 7\r\n": 7, b"Transfer-Encoding: chunked\r\n": CHUNKED}[framing]
    for method in ("GET", "HEAD"):
        head = read_response(text, method)

        assert (head.status, head.version) == (status, "1.1")
        assert head.fields[: len(lines)] == lines
        assert head.length == (0 if status < 200 or status in (204, 304) or method == "HEAD" else told)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\nX: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX Y : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 999 High\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
    ],
)
def test_a_response_that_could_be_read_in_two_ways_is_refused(text):
    with pytest.raises(FramingError):
        read_response(text, "GET")


# --- bodies -----------------------------------------------------------------------------------------------------------

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n")


def strictly(data):
    """Read a chunked body in the plainest way: (payload, what follows), or ``None`` if no whole one stands there."""
    payload, at = b"", 0
    while True:
        line = _SIZE_LINE.match(data, at)
        if line is None:
            return None
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            break
        chunk = data[at : at + size]
        if len(chunk) < size or data[at + size : at + size + 2] != b"\r\n":
            return None
        payload, at = payload + chunk, at + size + 2
    while (trailer := _TRAILER.match(data, at)) is not None:
        at = trailer.end()
    return (payload, data[at + 2 :]) if data[at : at + 2] == b"\r\n" else None


def by_h11(data):
    """Read a chunked body as h11 does, as :func:`strictly` returns it."""
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    payload = b""
    try:
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            payload += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return None
    return payload, bytes(other.trailing_data[0])


def fed(reader, pieces):
    """Feed a reader piece by piece: (payload, what follows, whether it is done). Raises what the reader raises."""
    payload, rest = [], b""
    for piece in pieces:
        if reader.done:
            rest += piece
            continue
        chunks, rest = reader.feed(piece)
        payload += chunks
        assert reader.done or rest == b"", "before its end nothing follows a body"
    return b"".join(payload), rest, reader.done


@st.composite
def chunked(draw):
    """A valid chunked body, and what follows it."""
    data = b""
    for chunk in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4)):
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"%04X"])) % len(chunk)
        extension = draw(st.sampled_from([b"", b"", b";", b";a=b", b';a="\t;"', b"; \xff"]))
        data += size + extension + b"\r\n" + chunk + b"\r\n"
    data += draw(st.sampled_from([b"0\r\n", b"000\r\n", b"0;end\r\n"]))
    data += draw(st.sampled_from([b"", b"", b"X-Sum: 1\r\n", b"a:\r\nb: c d\r\n"])) + b"\r\n"
    return data + draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"0\r\n\r\n", b"\0"]))


@given(chunked(), st.lists(st.integers(0, 10_000), max_size=12))
@example(b"0\r\n\r\n0\r\n\r\n", [])
def test_a_chunked_body_is_the_same_wherever_it_is_cut(data, positions):
    expected = strictly(data)
    assert expected is not None
    assert by_h11(data) == expected
    assert fed(Chunked(), [data]) == (*expected, True)
    assert fed(Chunked(), cuts_of(data, positions)) == (*expected, True)
    assert fed(Chunked(), [data[at : at + 1] for at in range(len(data))]) == (*expected, True)
    for at in range(1, len(data)):
        assert fed(Chunked(), [data[:at], data[at:]]) == (*expected, True)


@given(st.binary(max_size=60), st.integers(0, 50), st.lists(st.integers(0, 100), max_size=6))
def test_a_counted_body_is_the_same_wherever_it_is_cut(data, length, positions):
    expected = (data[:length], data[length:], len(data) >= length)
    for at in range(len(data) + 1):
        assert fed(Counted(length), [data[:at], data[at:]]) == expected
    reader = Counted(length)
    assert fed(reader, cuts_of(data, positions)) == expected
    assert reader.left == max(0, length - len(data))


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_a_body_up_to_the_end_is_all_that_comes_and_is_never_done(pieces):
    assert fed(reader_of(UNKNOWN), pieces) == (b"".join(pieces), b"", False)


words = st.sampled_from(
    [
        b"0",
        b"1",
        b"5",
        b"a",
        b"G",
        b"+1",
        b"-1",
        b"0x1",
        b" ",
        b"\t",
        b";",
        b";x",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"hello",
        b"\x00",
        b"X: y",
        b"0\r\n\r\n",
        b"1\r\na\r\n",
        b"F" * 16,
        b"0" * 16,
        b"5 ",
        b" 5",
        b"5;\n",
        b"\xb2",
        b"_",
    ]
)
hostile_streams = st.one_of(st.lists(words, max_size=12).map(b"".join), mutated(chunked()), st.binary(max_size=40))


@given(hostile_streams, st.lists(st.integers(0, 10_000), max_size=8))
@example(b"1\r\na\r\n0\r\n\r\n", [])
@example(b"1\na\n0\n\n", [])
@example(b"1;a\nb\r\na\r\n0\r\n\r\n", [])
@example(b"1\r\nab\r\n0\r\n\r\n", [])
@example(b"\r\n0\r\n\r\n", [])
@example(b"1 \r\na\r\n0\r\n\r\n", [])
@example(b"1 ;a\r\na\r\n0\r\n\r\n", [])
def test_a_hostile_stream_is_read_as_the_strictest_reader_reads_it_or_refused(data, positions):
    reader = Chunked()
    try:
        payload, rest, done = fed(reader, [data])
    except FramingError:
        done = False
    if done:
        assume(all(_TRAILER.fullmatch(line + b"\r\n") for line in reader.trailers))  # they have a test of their own
        assert strictly(data) == (payload, rest)
        assert by_h11(data) == (payload, rest)
    else:
        assert strictly(data) is None
    try:
        again = fed(Chunked(), cuts_of(data, positions))
    except FramingError:
        again = None
    assert (again is not None and again[2]) == done
    if done:
        assert again == (payload, rest, True)


@pytest.mark.parametrize(
    "line", [b"no colon", b": no name", b"a b: 1", b"a : 1", b"a: \0", b"a: b\rc", b" folded", b"GET / HTTP/1.1"]
)
def test_a_trailer_that_is_no_field_is_refused(line):
    data = b"1\r\na\r\n0\r\n" + line + b"\r\n\r\n"
    assert by_h11(data) is None
    with pytest.raises(FramingError):
        fed(Chunked(), [data])


ENDLESS = {
    "size": (b"", b"0" * 64),
    "extension": (b"5;", b"a" * 64),
    "trailer": (b"0\r\n", b"a" * 64),
    "trailers": (b"0\r\n", b"a: b\r\n" * 10),
    "extensions": (b"", b"1;" + b"e" * 60 + b"\r\na\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("whole", [False, True])
def test_what_goes_on_without_end_is_refused_after_a_few_kibibytes(name, whole):
    start, more = ENDLESS[name]
    reader = Chunked()
    pieces = [start + more * 2000] if whole else [start, *[more] * 2000]
    taken = 0

    def take():
        nonlocal taken
        for piece in pieces:
            reader.feed(piece)
            taken += len(piece)

    with pytest.raises(FramingError):
        take()
    assert taken < 32 * 1024


def test_a_body_of_many_mebibytes_is_not_held():
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    reader = Chunked()
    tracemalloc.start()
    try:
        for _ in range(200):
            reader.feed(chunk[:30000])
            reader.feed(chunk[30000:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024
