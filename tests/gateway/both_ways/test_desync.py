"""Requests that two implementations may read in two ways, made from a grammar: both ways of serving refuse them all.

Behind each request stands another one. Who takes the first for shorter than it is, or for longer, shows it: the second
is answered where nothing should be, or not where it should be.
"""

from urllib.parse import unquote

import pytest

from .test_same_answers import PROBE
from .wire import Ended

EVIL = b"GET /tree/evil HTTP/1.1\r\nHost: a\r\n\r\n"
CONTROLS = [bytes([code]) for code in [*range(9), *range(11, 32), 127] if code != 13]
"""Control characters without HTAB, LF and CR."""
SPACES = [b" ", b"\t", b"\x0b", b"\x0c", b"\xa0", b"\x85"]
LINE_ENDS = {"LF": b"\n", "CR": b"\r", "CR CR LF": b"\r\r\n", "LF CR": b"\n\r", "CR SP LF": b"\r \n", "VT": b"\x0b"}
TE, CL = b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(EVIL)
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def head(*lines, method=b"POST", target=b"/plain", version=b"HTTP/1.1", host=b"Host: a"):
    start = b" ".join([method, target, version])
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def of_framing():
    """Lengths and encodings, alone and together."""
    lengths = (
        *(
            b"",
            b"+5",
            b"-5",
            b"-0",
            b"0x5",
            b"5,",
            b",5",
            b"5, 5",
            b"5,6",
            b"5 5",
            b"5\t5",
            b"5;",
            b"5.0",
            b"5e0",
            b"'5'",
        ),
        *(b'"5"', b"five", b"\xb2", b"\xef\xbc\x95", b"9" * 19, b"9" * 30, b"18446744073709551621", b"4294967301x"),
        *(b"5_0", b"0b101", b"0o5", b"5\x0b", b"\x0c5", b"5\xa0", b"NaN", b"Infinity", b"5 HTTP/1.1"),
    )
    for value in lengths:
        yield f"Content-Length {value!r}", head(b"Content-Length: " + value) + EVIL
        yield f"Content-Length 5 and {value!r}", head(b"Content-Length: 5", b"Content-Length: " + value) + EVIL
        yield f"Content-Length {value!r} and 5", head(b"Content-Length: " + value, b"Content-Length: 5") + EVIL
    for one, other in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"05")):
        yield f"Content-Lengths {one!r} {other!r}", head(*[b"content-length: " + n for n in (one, other)]) + EVIL
    encodings = (
        *(
            b"",
            b"gzip",
            b"identity",
            b"chunked, gzip",
            b"gzip, chunked",
            b"chunked, chunked",
            b"chunked,",
            b", chunked",
        ),
        *(b"identity, chunked", b"chunked, identity", b"xchunked", b"chunkedx", b"chunked;a=b", b"chunked ;", b"chunk"),
        *(b'"chunked"', b"'chunked'", b"chunked\x0b", b"\x0bchunked", b"\x0cchunked", b"\xa0chunked", b"chunked\x85"),
        *(
            b"chunked chunked",
            b"chunked\tx",
            b"x chunked",
            b"\xefchunked",
            b"chunKed, x",
            b"chu\xc5\x8bked",
            b"*",
            b"cow",
        ),
        *(b"deflate", b"compress, chunked", b"trailers", b"chunked=1", b"chunked:1", b"(chunked)", b"[chunked]"),
    )
    for value in encodings:
        line = b"Transfer-Encoding: " + value
        yield f"Transfer-Encoding {value!r}", head(line) + CHUNKS + EVIL
        yield f"Transfer-Encoding {value!r} and a length", head(line, CL) + b"0\r\n\r\n" + EVIL
        yield f"a length and Transfer-Encoding {value!r}", head(CL, line) + b"0\r\n\r\n" + EVIL
        yield f"Transfer-Encoding {value!r} and chunked", head(line, TE) + CHUNKS + EVIL
        yield f"Transfer-Encoding chunked and {value!r}", head(TE, line) + CHUNKS + EVIL
    yield "Transfer-Encoding twice", head(TE, TE) + CHUNKS + EVIL
    for length in (b"0", b"5", b"15", b"%d" % (5 + len(EVIL))):
        for method in (b"GET", b"POST", b"DELETE", b"OPTIONS"):
            both = [b"Content-Length: " + length, TE]
            yield f"{method!r} both framings {length!r}", head(*both, method=method) + CHUNKS + EVIL
            yield f"{method!r} both framings turned {length!r}", head(*both[::-1], method=method) + CHUNKS + EVIL
    yield "chunked in HTTP/1.0", head(TE, version=b"HTTP/1.0") + CHUNKS + EVIL
    yield "chunked in HTTP/1.0 kept", head(TE, b"Connection: keep-alive", version=b"HTTP/1.0") + CHUNKS + EVIL


def of_lines():
    """Names, colons, folds and ends of lines."""
    for name in (b"Transfer-Encoding", b"Content-Length", b"Host", b"X-A"):
        value = {b"Transfer-Encoding": b"chunked", b"Content-Length": b"5", b"Host": b"a"}.get(name, b"1")
        host = None if name == b"Host" else b"Host: a"
        for space in SPACES:
            yield f"{name!r} {space!r} before the colon", head(name + space + b": " + value, host=host) + CHUNKS + EVIL
            yield f"{space!r} before {name!r}", head(b"X: 1", space + name + b": " + value, host=host) + CHUNKS + EVIL
            yield f"{space!r} before {name!r} first", head(space + name + b": " + value, host=host) + CHUNKS + EVIL
        for sign in (b"\0", b"\x01", b"\x7f", b"\xe9", b"(", b"@", b"/", b"[", b'"', b",", b";", b"="):
            yield f"{name!r} with {sign!r}", head(name[:3] + sign + name[3:] + b": " + value, b"X: 1") + CHUNKS + EVIL
        yield f"{name!r} without a colon", head(name) + EVIL
        yield f"{name!r} folded", head(name + b":", b" " + value, host=host) + CHUNKS + EVIL
        yield f"{name!r} folded with a tab", head(name + b":", b"\t" + value, host=host) + CHUNKS + EVIL
        for label, end in LINE_ENDS.items():
            text = b"POST /plain HTTP/1.1\r\nHost: a\r\n%b: %b" % (name, value)
            yield f"{label} behind {name!r}", text + end + b"X: 1\r\n\r\n" + CHUNKS + EVIL
            yield f"{label} within {name!r}", head(b"X: 1" + end + name + b": " + value) + CHUNKS + EVIL
    for label, end in LINE_ENDS.items():
        yield f"{label} behind the request line", b"GET /plain HTTP/1.1" + end + b"Host: a\r\n\r\n" + EVIL
    for sign in CONTROLS:
        yield f"{sign!r} in a value", head(b"X: a" + sign + b"b", method=b"GET") + EVIL
        yield f"{sign!r} behind a value", head(b"X: a" + sign, method=b"GET") + EVIL
        yield f"{sign!r} in a name", head(b"X" + sign + b"Y: a", method=b"GET") + EVIL
        yield f"{sign!r} in the target", head(method=b"GET", target=b"/plain" + sign) + EVIL
        yield f"{sign!r} in the query", head(method=b"GET", target=b"/plain?a" + sign) + EVIL
        yield f"{sign!r} in the method", head(method=b"G" + sign + b"ET") + EVIL
        yield f"{sign!r} in the host", head(method=b"GET", host=b"Host: a" + sign + b"b") + EVIL
        yield f"{sign!r} first", sign + head(method=b"GET") + EVIL
    yield "no name", head(b": 1", method=b"GET") + EVIL


def of_request_lines():
    """Methods, targets and versions."""
    targets = (
        *(
            b"plain",
            b"",
            b"*",
            b"?a",
            b"#a",
            b"/plain#a",
            b"/plain?a#b",
            b"/plain#a?b",
            b"\\plain",
            b"/pl\\ain",
            b"/%zz",
        ),
        *(b"/%", b"/%2", b"/%00", b"/\xe9", b"/plain?\xe9", b"/a b", b"/..;/plain", b"/.;x/plain", b"a:80", b"//a b"),
        *(b"http:/plain", b"http:plain", b"http://", b"http:///plain", b"http://:80/plain", b"http://u@a/plain"),
        *(
            b"http://u:p@a/plain",
            b"http://@a/plain",
            b"http://a:b/plain",
            b"http://a:99999/plain",
            b"http://[::1/plain",
        ),
        *(b"http://[::1]x/plain", b"http://a\\b/plain", b"http://a#b/plain", b"http://a?b#c", b"ftp://a/plain"),
        *(b"http://a b/plain", b"http://a%00b/plain", b"http://[::g]/", b"http://::1/plain", b"ws://a/plain"),
    )
    for target in targets:
        yield f"target {target!r}", head(method=b"GET", target=target) + EVIL
    for method in (
        b"get",
        b"Get",
        b"BREW",
        b"G ET",
        b"GET\t",
        b"",
        b"G:T",
        b"GET,POST",
        b"CONNECT",
        b"PRI",
        b"\xe9",
        b"GETX",
    ):
        yield f"method {method!r}", head(method=method) + EVIL
    versions = (
        *(
            b"HTTP/0.9",
            b"HTTP/1.2",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/2.0",
            b"HTTP/3",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/11",
        ),
        *(
            b"http/1.1",
            b"HTTP /1.1",
            b"HTTP/ 1.1",
            b"HTTP/1 .1",
            b"HTTP/-1.1",
            b"HTTPS/1.1",
            b"ICE/1.0",
            b"RTSP/1.0",
            b"",
        ),
        *(
            b"HTTP/1.1 ",
            b" HTTP/1.1",
            b"HTTP/1.1\t",
            b"HTTP/1.1 x",
            b"HTTP/1,1",
            b"HTTP-1.1",
            b"SHTTP/1.1",
            b"XTTP/1.1",
        ),
    )
    for version in versions:
        yield f"version {version!r}", head(method=b"GET", version=version) + EVIL
    for space in (b"  ", b"\t", b" \t", b"\x0b", b"\x0c", b"\xa0", b"\r"):
        yield f"{space!r} behind the method", b"GET" + space + b"/plain HTTP/1.1\r\nHost: a\r\n\r\n" + EVIL
        yield f"{space!r} behind the target", b"GET /plain" + space + b"HTTP/1.1\r\nHost: a\r\n\r\n" + EVIL
    yield "two empty lines first", b"\r\n\r\n" + head(method=b"GET") + EVIL
    yield "LF first", b"\n" + head(method=b"GET") + EVIL
    yield "a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + EVIL


def of_hosts():
    """Authorities (RFC 9110, 7.2)."""
    hosts = (
        *(
            b"a b",
            b"a/b",
            b"a\\b",
            b"a?b",
            b"a#b",
            b"u@a",
            b"u:p@a",
            b"@a",
            b"a@",
            b"gw.test:abc",
            b"a:8 0",
            b"a:-1",
            b"a:+1",
        ),
        *(
            b"a:99999",
            b"a:65536",
            b"a:0x50",
            b"a:80:80",
            b"a:80x",
            b":80",
            b":",
            b"[::1",
            b"::1]",
            b"[::1]x",
            b"[::1]80",
        ),
        *(
            b"::1",
            b"[]",
            b"[:]",
            b"[::g]",
            b"[1::2::3]",
            b"[1:2:3:4:5:6:7:8:9]",
            b"[fe80::1%25eth0]",
            b"[v1.a]",
            b"[a]",
        ),
        *(
            b"a]",
            b"[a",
            b"\xc3\xbc",
            b"a%00b",
            b"a%zz",
            b"%61",
            b"a<b",
            b"a>b",
            b'a"b',
            b"a|b",
            b"a{b",
            b"a^b",
            b"a`b",
            b"a, b",
        ),
        *(b"http://a", b"a:80/", b"[::1]:abc", b"[::1]:99999", b"[::ffff:1.2.3]", b"a:\xb2"),
    )
    for host in hosts:
        yield f"Host {host!r}", head(method=b"GET", host=b"Host: " + host) + EVIL
        yield f"Host {host!r} in HTTP/1.0", head(method=b"GET", version=b"HTTP/1.0", host=b"Host: " + host) + EVIL
    yield "no Host", head(method=b"GET", host=None) + EVIL
    for one, other in ((b"a", b"a"), (b"a", b"b"), (b"", b"a"), (b"a", b"")):
        yield f"Hosts {one!r} {other!r}", head(b"hOST: " + other, method=b"GET", host=b"Host: " + one) + EVIL
    yield "Expect", head(b"Expect: 200-maybe", b"Content-Length: 0") + EVIL


def of_chunks():
    """Sizes, extensions, ends and trailers of chunks."""

    def body(text):
        return head(TE) + text + EVIL

    sizes = (
        *(
            b"",
            b"x",
            b"0x5",
            b"+5",
            b"-5",
            b"-0",
            b" 5",
            b"5 ",
            b"5\t",
            b"\t5",
            b"5 ;a",
            b"5,",
            b"5.0",
            b"5_0",
            b"\xb2",
            b"5\0",
        ),
        *(
            b"FFFFFFFFFFFFFFFF",
            b"10000000000000005",
            b"00000000000000005",
            b"5\x0b",
            b"5\xa0",
            b"g",
            b"5 5",
            b"'5'",
            b"5:",
        ),
    )
    for size in sizes:
        yield f"size {size!r}", body(size + b"\r\nhello\r\n0\r\n\r\n")
    for label, end in LINE_ENDS.items():
        if label != "CR":  # a line that has not ended yet
            yield f"{label} behind a size", body(b"5" + end + b"hello\r\n0\r\n\r\n")
        yield f"{label} behind a chunk", body(b"5\r\nhello" + end + b"0\r\n\r\n")
        yield f"{label} in an extension", body(b"5;a" + end + b"b\r\nhello\r\n0\r\n\r\n")
        yield f"{label} behind the last size", body(b"5\r\nhello\r\n0" + end + b"\r\n\r\n")
        yield f"{label} in a trailer", body(b"5\r\nhello\r\n0\r\nX: 1" + end + b"Y: 1\r\n\r\n")
    yield "a chunk too long", body(b"5\r\nhello!\r\n0\r\n\r\n")
    yield "a chunk too short", body(b"5\r\nhell\r\n0\r\n\r\n")
    yield "no end of a chunk", body(b"5\r\nhello0\r\n\r\n")
    yield "an extension without end", body(b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n")
    for line in (b"X", b"X : 1", b" X: 1", b": 1", b"X(: 1", b"X: \0", b"\xe9: 1", b"X: a\x7f"):
        yield f"trailer {line!r}", body(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n")
    for sign in CONTROLS:
        yield f"{sign!r} in an extension", body(b"5;a" + sign + b"\r\nhello\r\n0\r\n\r\n")
        yield f"{sign!r} in a quoted extension", body(b'5;a="' + sign + b'"\r\nhello\r\n0\r\n\r\n')
        yield f"{sign!r} behind a size", body(b"5" + sign + b"\r\nhello\r\n0\r\n\r\n")
        yield f"{sign!r} in a trailer", body(b"5\r\nhello\r\n0\r\nX: a" + sign + b"b\r\n\r\n")


def accepted():
    """What looks odd and is right: as sent, with the body that the backend gets."""
    yield "a plain one", head(method=b"GET"), b""
    yield "an empty line first", b"\r\n" + head(method=b"GET"), b""
    for lines in (
        [b"Content-Length: 5"],
        [b"content-length:5"],
        [b"CONTENT-LENGTH: \t 5 \t "],
        [b"Content-Length: 005"],
    ):
        yield f"{lines}", head(*lines) + b"hello", b"hello"
    for value in (b"chunked", b"Chunked", b"CHUNKED", b" \t chunked"):
        yield f"Transfer-Encoding {value!r}", head(b"Transfer-Encoding:" + value) + CHUNKS, b"hello"
    for name in (
        b"Transfer_Encoding",
        b"Content_Length",
        b"X-Transfer-Encoding",
        b"Content-Lengthx",
        b"!#$%&'*+-.^_`|~",
    ):
        yield f"{name!r} means nothing", head(name + b": 5", b"Content-Length: 5") + b"hello", b"hello"
    for text in (
        *(b"5;a\r\nhello\r\n0\r\n\r\n", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n"),
        *(b"00005\r\nhello\r\n000\r\n\r\n", b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
        *(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n"),
    ):
        yield f"chunks {text!r}", head(TE) + text, b"hello"
    hosts = (
        *(
            b"a",
            b"A.Test",
            b"a:80",
            b"a:",
            b"a:65535",
            b"a.",
            b"1.2.3.4",
            b"1.2.3.4:8",
            b"[::1]",
            b"[::1]:80",
            b"a_b",
            b"a-b",
        ),
        *(b"", b"[2001:DB8::1]", b"[::ffff:1.2.3.4]:1", b"xn--bcher-kva.example"),
    )
    for host in hosts:
        yield f"Host {host!r}", head(method=b"GET", host=b"Host: " + host), b""
    for target in (
        b"http://a/plain",
        b"HTTP://A:80/plain",
        b"http://[::1]/plain",
        b"https://a/plain",
        b"/plain?a?b",
        b"/%70lain",
    ):
        yield f"target {target!r}", head(method=b"GET", target=target), b""
    for line in (
        b"X:",
        b"X: ",
        b"X:a",
        b"X: a\tb",
        b"X: caf\xe9",
        b"X: :",
        b"Expect: 100-Continue",
        b"Upgrade: h2c",
        b"TE: x",
    ):
        yield f"{line!r}", head(line, method=b"GET"), b""
    for method in (b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"PROPFIND", b"PURGE", b"REPORT"):
        yield f"method {method!r}", head(method=method), b""
    h2c = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    yield "an upgrade to HTTP/2", head(*h2c, method=b"GET"), b""


REFUSED = {
    f"{made.__name__}: {name}": data
    for made in (of_framing, of_lines, of_request_lines, of_hosts, of_chunks)
    for name, data in made()
}
ACCEPTED = {name: (data, body) for name, data, body in accepted()}


def ended(wire):
    try:
        return wire.rest() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_read_in_two_ways_is_refused_and_the_connection_ends(ways, name):
    statuses = {}
    for way in ways.values():
        with way.connect() as wire:
            answer = wire.send(REFUSED[name]).answer()
            statuses[way.name] = answer.status
            assert answer.closes, way.name
            assert ended(wire), f"{way.name}: something follows the refusal"
    way.settled()
    assert set(statuses.values()) <= {400, 414, 417, 431, 501, 505}, statuses
    assert len(set(statuses.values())) == 1, statuses
    assert not [each for each in way.backend.requests if each.path != "/plain" or each.body not in (b"", b"hello")]
    assert all(target["in_flight"] == 0 for target in way.gate.gateway.status()["connections"]["backend"])


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_looks_odd_and_is_right_is_served_and_so_is_what_follows(way, name):
    data, body = ACCEPTED[name]
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    with way.connect() as wire:
        answer = wire.send(data).answer(method)
        assert (answer.status, answer.body) == (200, body)
        assert wire.send(PROBE).answer().status == 200
    assert [(unquote(each.path), each.body) for each in way.backend.requests] == [("/plain", body)]


def test_the_table_is_large():
    assert len(REFUSED) > 600
    assert len(ACCEPTED) > 50


@pytest.mark.parametrize("cut", [1, 7])
def test_refusals_do_not_depend_on_where_the_bytes_are_cut(way, cut):
    for name in list(REFUSED)[::40]:
        data = REFUSED[name]
        with way.connect() as wire:
            for start in range(0, min(len(data), 200), cut):
                wire.send_if_open(data[start : start + cut])
            try:
                assert wire.answer().status >= 400, name
            except (Ended, ConnectionResetError):
                pytest.fail(f"{name}: no answer")
            assert ended(wire)
