"""Everything that a backend can do wrong with an answer, and what the client is to get."""

import time
from contextlib import suppress

from .faultybackend import ok

# --- what it does wrong ----------------------------------------------------------------------------------------------


def says(*parts, then="close"):
    """An act: say that, and close the connection, reset it, keep it, or wait for the gateway to leave."""

    def act(call):
        call.say(*parts)
        if then == "reset":
            call.reset()
        elif then == "wait":
            call.hear_the_end()
        return then == "keep"

    return act


def after_the_head(head, *rest, then="close"):
    """An act: say the head, wait until the client has it, then the rest."""

    def act(call):
        call.say(head)
        call.wait()
        return says(*rest, then=then)(call)

    act.waits = True
    return act


def silent(call):
    call.hear_the_end()


def dripping(call):
    """A head that takes a while, in the smallest of pieces."""
    for byte in ok(b"dripped"):
        call.say(bytes([byte]))
        time.sleep(0.001)
    return True


def dripping_without_end(call):
    call.say(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    with suppress(OSError):
        while not call.go.wait(0.05):
            call.say(b"x")


def interim_without_end(call):
    with suppress(OSError):
        while not call.go.is_set():
            call.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    call.hear_the_end()


def problem(status, *reasons):
    return ("problem", status, set(reasons))


def served(body, status=200):
    return ("served", status, body)


PROTOCOL = problem(502, "upstream-protocol")
CLOSED = problem(502, "upstream-closed")
CUT = ("cut",)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
LONG = b"X-Long: " + b"a" * 102_400 + b"\r\n"

FAULTS = {
    "resets-before-the-head": (says(then="reset"), CLOSED),
    "resets-in-the-head": (says(b"HTTP/1.1 200 OK\r\nX-A: ", then="reset"), CLOSED),
    "resets-in-the-body": (after_the_head(ok(b"")[:-4].replace(b" 0", b" 9") + b"\r\n\r\nhalf", then="reset"), CUT),
    "closes-without-a-byte": (says(), CLOSED),
    "closes-in-the-head": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), CLOSED),
    "silent": (silent, problem(504, "read-timeout")),
    "other-protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), PROTOCOL),
    "garbage-without-a-line": (says(b"\x16\x03\x01\x02\x00\x01", then="wait"), PROTOCOL),
    "http-0.9": (says(b"<html>hello</html>"), PROTOCOL),
    "http-2.0": (says(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "lowercase-http": (says(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "a-request-back": (says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", then="wait"), PROTOCOL),
    "two-lengths": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", then="wait"),
        PROTOCOL,
    ),
    "the-same-length-twice": (says(ok(b"ab", b"Content-Length: 2"), then="wait"), PROTOCOL),
    "a-list-of-lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", then="wait"), PROTOCOL),
    "a-negative-length": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", then="wait"), PROTOCOL),
    "a-length-with-plus": (says(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", then="wait"), PROTOCOL),
    "a-length-beyond-64-bits": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nab"), PROTOCOL),
    "length-and-chunks": (
        says(ok(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), then="wait"),
        PROTOCOL,
    ),
    "chunks-and-length": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "an-unknown-coding": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), PROTOCOL),
    "shorter-than-it-says": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), CUT),
    "only-a-head": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), CUT),
    "chunks-that-break-off": (after_the_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), CUT),
    "chunks-without-the-last": (
        after_the_head(CHUNKS),
        CUT,
    ),
    "chunks-without-the-last-line": (
        after_the_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
        CUT,
    ),
    "a-bad-chunk-size": (
        after_the_head(CHUNKS, b"-1\r\nx", then="wait"),
        CUT,
    ),
    "a-chunk-longer-than-it-says": (
        after_the_head(CHUNKS, b"2\r\nabc\r\n", then="wait"),
        CUT,
    ),
    "a-chunk-size-with-bare-lf": (
        after_the_head(CHUNKS, b"1\nx\n0\n\n", then="wait"),
        CUT,
    ),
    "stops-in-the-body": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", then="wait"), CUT),
    **{
        f"status-{status.decode().replace(' ', '_') or 'none'}": (
            says(b"HTTP/1.1 %b OK\r\nContent-Length: 0\r\n\r\n" % status),
            PROTOCOL,
        )
        for status in (b"1000", b"99", b"abc", b"", b"000", b"-200", b"2 00")
    },
    "204-with-a-body": (
        says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", then="wait"),
        served(b"", 204),
    ),
    "304-with-a-body": (
        says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", then="wait"),
        served(b"", 304),
    ),
    "304-with-an-answer-behind": (
        says(b"HTTP/1.1 304 Not Modified\r\n\r\n" + ok(b"stolen"), then="wait"),
        served(b"", 304),
    ),
    "204-with-an-answer-behind": (
        says(b"HTTP/1.1 204 No Content\r\n\r\n" + ok(b"stolen"), then="wait"),
        served(b"", 204),
    ),
    "204-with-chunks": (
        says(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", then="wait"),
        served(b"", 204),
    ),
    "204-with-a-body-later": (
        says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", then="wait"),
        served(b"", 204),
    ),
    "bytes-behind-the-end": (says(ok(b"right") + b"wrong", then="wait"), served(b"right")),
    "an-empty-line-behind-the-end": (says(ok(b"right") + b"\r\n", then="wait"), served(b"right")),
    "an-empty-line-behind-no-body": (says(ok(b"") + b"\r\n", then="wait"), served(b"")),
    "an-empty-line-behind-chunks": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n\r\n", then="wait"),
        served(b"right"),
    ),
    "an-answer-behind-the-end": (says(ok(b"right") + ok(b"stolen"), then="wait"), served(b"right")),
    "an-answer-behind-chunks": (
        says(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n" + ok(b"stolen"), then="wait"
        ),
        [PROTOCOL, served(b"right")],
    ),
    "interim-without-end": (interim_without_end, PROTOCOL),
    "a-bad-interim": (says(b"HTTP/1.1 100 Continue\r\nX: a\nb\r\n\r\n" + ok(b"x"), then="wait"), PROTOCOL),
    "closes-behind-an-interim": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), CLOSED),
    "101-unasked": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "101-to-websocket-unasked": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "100-then-an-answer": (says(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"ready"), then="keep"), served(b"ready")),
    "100-then-an-answer-later": (says(b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"ready"), then="keep"), served(b"ready")),
    "103-then-an-answer": (
        says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ok(b"ready"), then="keep"),
        served(b"ready"),
    ),
    "a-very-long-head": (says(b"HTTP/1.1 200 OK\r\n" + LONG + b"Content-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "very-many-headers": (
        says(b"HTTP/1.1 200 OK\r\n" + b"X-Many: aaaaaaa\r\n" * 6000 + b"Content-Length: 0\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "a-head-without-end": (says(b"HTTP/1.1 200 OK\r\n" + LONG, then="wait"), PROTOCOL),
    "a-dripping-head": (dripping, served(b"dripped")),
    "a-head-dripping-without-end": (dripping_without_end, problem(504, "request-timeout")),
    "a-header-with-bare-lf": (says(ok(b"x", b"X-A: a\nX-B: b"), then="wait"), PROTOCOL),
    "lines-with-bare-lf": (says(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), [PROTOCOL, CLOSED]),
    "a-header-with-bare-cr": (says(ok(b"x", b"X-A: a\rX-B: b"), then="wait"), PROTOCOL),
    "a-header-with-nul": (says(ok(b"x", b"X-A: a\0b"), then="wait"), PROTOCOL),
    "a-folded-header": (says(ok(b"x", b"X-A: a", b" b"), then="wait"), PROTOCOL),
    # RFC 9112, 5.1: a proxy takes the space out; h11, which reads for httpx, refuses it
    "a-space-before-the-colon": (says(ok(b"x", b"X-A : a"), then="keep"), [PROTOCOL, served(b"x")]),
    "a-space-before-the-colon-of-a-length": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", then="wait"),
        PROTOCOL,
    ),
    "a-space-before-the-colon-of-a-coding": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\nContent-Length: 1\r\n\r\nx", then="wait"),
        PROTOCOL,
    ),
    "a-header-without-colon": (says(ok(b"x", b"X-A"), then="wait"), PROTOCOL),
    "a-header-without-name": (says(ok(b"x", b": a"), then="wait"), PROTOCOL),
    "upper-case": (
        says(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 5\r\nCONNECTION: KEEP-ALIVE\r\n\r\nupper", then="keep"),
        served(b"upper"),
    ),
    "lower-case": (says(b"HTTP/1.1 200 ok\r\ncontent-length:5\r\n\r\nlower", then="keep"), served(b"lower")),
    "upper-case-chunks": (
        says(b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", then="keep"),
        served(b"0123456789"),
    ),
    "chunks-with-a-trailer": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n", then="keep"),
        served(b"ok"),
    ),
    "upper-case-close": (says(ok(b"close", b"CONNECTION: CLOSE")), served(b"close")),
    "close-and-stay": (says(ok(b"close", b"Connection: close"), then="wait"), served(b"close")),
    "no-phrase": (says(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", then="keep"), served(b"ok")),
    "http-1.0-with-length": (says(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"), served(b"old")),
    "http-1.0-with-length-and-stay": (
        says(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", then="wait"),
        served(b"old"),
    ),
    "http-1.0-kept": (
        says(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nold", then="keep"),
        served(b"old"),
    ),
    "http-1.0-without-length": (says(b"HTTP/1.0 200 OK\r\n\r\nup to the end"), served(b"up to the end")),
    "http-1.0-with-chunks": (says(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), PROTOCOL),
    "http-1.1-without-length": (says(b"HTTP/1.1 200 OK\r\n\r\n", b"up to", b" the end"), served(b"up to the end")),
    "without-length-and-reset": (after_the_head(b"HTTP/1.1 200 OK\r\n\r\nup to", then="reset"), CUT),
}
IMPATIENT = {"silent", "stops-in-the-body", "a-head-dripping-without-end"}
"""Those that are ended by a time limit."""
