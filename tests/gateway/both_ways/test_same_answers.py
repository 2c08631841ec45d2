"""Case by case: the same bytes to the lane and to the edge give the same answers and reach the backend the same."""

import re

import pytest

from .wire import Ended

MIB = 1024 * 1024


def request(target, *lines, method="GET", version="1.1", body=b"", host="a"):
    """Write a request to the letter; lines of headers are given whole."""
    head = [f"{method} {target} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def counted(target, body, *lines, method="POST", **more):
    return request(target, *lines, f"Content-Length: {len(body)}", method=method, body=body, **more)


def chunked(target, *chunks, lines=(), method="POST", end=b"0\r\n\r\n"):
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request(target, *lines, "Transfer-Encoding: chunked", method=method, body=body + end)


GET = request("/plain")
LARGE = bytes(range(256)) * 4096

CASES = {
    # --- methods and bodies
    "GET": [GET],
    "GET with a query": [request("/plain?a=1&b=%20&a=2")],
    "GET with an empty query": [request("/plain?")],
    "GET with a body": [counted("/plain", b"why", method="GET")],
    "HEAD": [request("/plain?404", method="HEAD")],
    "HEAD of a step's answer": [request("/early", method="HEAD")],
    "HEAD of an answer in chunks": [request("/plain?chunks", method="HEAD")],
    "HEAD of a missing path": [request("/missing", method="HEAD")],
    "POST": [counted("/plain", b"hello")],
    "POST with an empty body": [counted("/plain", b"")],
    "POST without a length": [request("/plain", method="POST")],
    "POST in chunks": [chunked("/plain", b"hello", b" ", b"world")],
    "POST in no chunks": [chunked("/plain")],
    "POST in chunks with extensions and trailers": [
        request(
            "/plain", "Transfer-Encoding: chunked", method="POST", body=b"5;a=b\r\nhello\r\n0;end\r\nX-Sum: 1\r\n\r\n"
        )
    ],
    "PUT": [counted("/plain", b"hello", method="PUT")],
    "PUT without a body": [request("/plain", method="PUT")],
    "PATCH in chunks": [chunked("/plain", b"hello", method="PATCH")],
    "DELETE": [request("/plain", method="DELETE")],
    "DELETE with a body": [counted("/plain", b"which", method="DELETE")],
    "OPTIONS": [request("/plain", method="OPTIONS")],
    "TRACE": [request("/plain", method="TRACE")],
    "PROPFIND": [request("/plain", method="PROPFIND")],
    "a mebibyte up and down": [counted("/plain", LARGE)],
    "a mebibyte up in chunks": [chunked("/plain", *[LARGE[:65536]] * 16)],
    "a mebibyte up in one chunk": [chunked("/plain", LARGE)],
    "a mebibyte down": [request("/plain?mebibyte")],
    "a mebibyte down in chunks": [request("/plain?mebibyte-in-chunks")],
    # --- what backends answer
    **{
        f"the backend answers {name}": [request(f"/plain?{name}")]
        for name in (
            "204",
            "204-with-length",
            "205",
            "304",
            "404",
            "500",
            "empty",
            "chunks",
            "headers",
            "hop",
            "1.0",
            "until-close",
            "interim",
            "long",
            "nonsense",
            "two-lengths",
            "both-framings",
            "split-head",
            "protocol",
            "closed",
            "half-a-head",
            "endless-head",
        )
    },
    **{
        f"the backend answers {name}": [request(f"/plain?{name}")]
        for name in ("short", "short-in-chunks", "bad-chunks")  # which break off
    },
    "an answer that breaks off where a step reads it whole": [request("/read?short")],
    # --- one after the other
    "three in a row": [GET, request("/plain?404"), request("/early")],
    "pipelined": [
        GET + counted("/plain", b"two") + request("/plain?chunks") + chunked("/plain", b"four") + request("/early")
    ],
    "pipelined behind HEAD": [request("/plain?404", method="HEAD") + GET + request("/plain?304") + GET],
    "pipelined behind an early answer to a body": [counted("/early", b"x" * 1000) + GET],
    "pipelined behind an early answer to chunks": [chunked("/early", b"x" * 1000) + GET],
    "pipelined behind a fault": [request("/fault-in") + request("/missing") + counted("/error-out", b"x") + GET],
    "pipelined behind async steps": [request("/async") + counted("/read-async", b"x") + request("/early-async") + GET],
    "an empty line between requests": [GET + b"\r\n" + GET],
    # --- who closes
    "Connection: close": [request("/plain", "Connection: close")],
    "Connection: Close, x": [request("/plain", "Connection: Close, x")],
    "Connection: keep-alive": [request("/plain", "Connection: keep-alive")],
    "Connection: close to a step's answer": [request("/early", "Connection: close")],
    "Connection: close with a body": [counted("/plain", b"hello", "Connection: close")],
    "HTTP/1.0": [request("/plain", version="1.0")],
    "HTTP/1.0 without a Host": [request("/plain", version="1.0", host=None)],
    "HTTP/1.0 POST": [counted("/plain", b"hello", version="1.0")],
    "HTTP/1.0 HEAD": [request("/plain?404", method="HEAD", version="1.0")],
    "HTTP/1.0 and an answer in chunks": [request("/plain?chunks", version="1.0")],
    "HTTP/1.0 keep-alive": [request("/plain", "Connection: keep-alive", version="1.0")],
    "HTTP/1.0 keep-alive and an answer in chunks": [request("/plain?chunks", "Connection: keep-alive", version="1.0")],
    "HTTP/1.0 with Transfer-Encoding": [
        request("/plain", "Transfer-Encoding: chunked", version="1.0", body=b"0\r\n\r\n")
    ],
    "HTTP/1.0 expecting 100": [counted("/plain", b"hello", "Expect: 100-continue", version="1.0")],
    # --- expectations
    "Expect: 100-continue with the body at once": [counted("/plain", b"hello", "Expect: 100-continue")],
    "Expect: 100-continue without a body": [request("/plain", "Expect: 100-continue")],
    "Expect: 100-continue with an empty body": [counted("/plain", b"", "Expect: 100-continue")],
    "Expect: something else": [counted("/plain", b"hello", "Expect: 200-ok")],
    # --- faults
    **{
        f"{method} {path}": [request(path, method=method)]
        for path in (
            "/fault-in",
            "/fault-out",
            "/error-in",
            "/error-out",
            "/consoled",
            "/consoled-out",
            "/nowhere",
            "/missing",
        )
        for method in ("GET", "HEAD")
    },
    "a wrong method": [request("/only", method="DELETE")],
    "HEAD comes with GET": [request("/only", method="HEAD")],
    "a fault behind a body": [counted("/fault-in", b"x" * 1000), GET],
    "a body over the limit of the route": [counted("/limited", b"x" * 11)],
    "chunks over the limit of the route": [chunked("/limited", b"x" * 6, b"y" * 6)],
    "a body up to the limit of the route": [counted("/limited", b"x" * 10)],
    "a body that says more than a step gives": [request("/too-short")],
    "a body that says less than a step gives": [request("/too-long")],
    # --- headers
    "hop-by-hop headers": [
        request(
            "/plain",
            "Connection: x-mine, keep-alive",
            "X-Mine: 1",
            "Keep-Alive: 5",
            "TE: trailers",
            "Proxy-Authorization: x",
        )
    ],
    "headers in their order": [request("/plain", "X-B: 1", "X-A: 2", "X-B: 3", "Cookie: a=1", "Cookie: b=2")],
    "odd values": [
        request("/plain", "X-Empty:", "X-Inner: a  b\tc", "X-High: caf\xe9", "X-Colon: a: b", "!#$%&'*+-.^_`|~: x")
    ],
    "white space around values": [request("/plain", "X-Before: \t 1", "X-None:1")],
    "white space behind values": [request("/plain", "X-Behind: 1 \t ")],
    "white space behind the Host": [request("/plain", host="a ")],
    "forwarded headers of a stranger": [
        request(
            "/plain",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b",
            "Forwarded: for=6.6.6.6",
        )
    ],
    "forwarded headers, some more": [
        request("/plain", "X-Real-IP: 6.6.6.6", "X-Forwarded-Port: 1", "x-forwarded-for: 7.7.7.7")
    ],
    "an Upgrade to something": [request("/plain", "Upgrade: something", "Connection: upgrade")],
    # --- Host
    "the Host chooses the route": [request("/host", host="right.example")],
    "the Host chooses the route whatever its case and port": [request("/host", host="RIGHT.example:8080")],
    "another Host": [request("/host", host="wrong.example")],
    "no Host": [request("/plain", host=None)],
    "an empty Host": [request("/plain", host="")],
    "two Hosts": [request("/plain", "Host: b")],
    "a Host with a user": [request("/plain", host="u@a")],
    "a Host with a path": [request("/plain", host="a/b")],
    "a Host of two words": [request("/plain", host="a b")],
    # --- targets
    "a path with escapes": [request("/tree/a%2Fb/%7Ec/%c3%bc")],
    "dot segments": [request("/tree/x/../y/%2e%2e/z")],
    "dot segments out of a route": [request("/tree/../../plain")],
    "doubled slashes": [request("/tree//a//b/")],
    "a whole URL": [request("http://right.example/host?x=1", host="wrong.example")],
    "a whole URL without a path": [request("http://a?x=1")],
    "a whole URL with a user": [request("http://u@right.example/host")],
    "an asterisk": [request("*", method="OPTIONS")],
    "a fragment": [request("/plain#x")],
    "a fragment behind a query": [request("/plain?a#x")],
    "a backslash": [request("/tree/a\\b")],
    "a broken escape": [request("/tree/%zz")],
    "%00": [request("/tree/%00")],
    "a target without a slash": [request("plain")],
    "a byte over 127 in the path": [request("/tree/\xe9")],
    "a byte over 127 in the query": [request("/plain?\xe9")],
    # --- limits
    "a URL up to the limit": [request("/tree/" + "a" * (1024 - 6))],
    "a URL over the limit": [request("/tree/" + "a" * (1024 - 5))],
    "a query over the limit": [request("/plain?" + "a" * 1024)],
    "a URL far over the limit": [request("/tree/" + "a" * 20_000)],
    "as many headers as may be": [request("/plain", *[f"X-{n}: 1" for n in range(29)])],
    "too many headers": [request("/plain", *[f"X-{n}: 1" for n in range(30)])],
    "headers over the limit": [request("/plain", "X: " + "a" * 4096)],
    "headers far over the limit": [request("/plain", "X: " + "a" * 20_000)],
    # --- what is no request
    "a bare LF in one place": [b"GET /plain HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"],
    "a folded line": [request("/plain", "X: 1", " 2")],
    "a folded Transfer-Encoding": [request("/plain", "Transfer-Encoding:", " chunked", body=b"0\r\n\r\n")],
    "a NUL": [request("/plain", "X: a\0b")],
    "a control character": [request("/plain", "X: a\x01b")],
    "a bare CR": [request("/plain", "X: a\rb")],
    "a space before the colon": [request("/plain", "X : 1")],
    "no colon": [request("/plain", "X")],
    "no name": [request("/plain", ": x")],
    "a name that is no token": [request("/plain", "X(y): 1")],
    **{
        f"Content-Length: {value}": [request("/plain", f"Content-Length: {value}", method="POST", body=b"hello")]
        for value in ("+5", "0x5", "-1", "5 5", "5, 5", "5, 6", "5;5", "five", "9" * 30)
    },
    "an empty Content-Length": [request("/plain", "Content-Length:", method="POST")],
    "two equal Content-Lengths": [
        request("/plain", "Content-Length: 5", "Content-Length: 5", method="POST", body=b"hello")
    ],
    "two unequal Content-Lengths": [
        request("/plain", "Content-Length: 5", "Content-Length: 6", method="POST", body=b"hello!")
    ],
    "both framings": [
        request("/plain", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\n")
    ],
    "both framings the other way round": [
        request("/plain", "Transfer-Encoding: chunked", "Content-Length: 5", method="POST", body=b"0\r\n\r\n")
    ],
    **{
        f"Transfer-Encoding: {value}": [
            request("/plain", f"Transfer-Encoding: {value}", method="POST", body=b"0\r\n\r\n")
        ]
        for value in (
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "identity",
            "xchunked",
            "chunked;a=b",
        )
    },
    "Transfer-Encoding: Chunked": [request("/plain", "Transfer-Encoding: Chunked", method="POST", body=b"0\r\n\r\n")],
    "two Transfer-Encodings": [
        request("/plain", *["Transfer-Encoding: chunked"] * 2, method="POST", body=b"0\r\n\r\n")
    ],
    "a chunk size that is no number": [
        request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"x\r\n\r\n")
    ],
    "a chunk longer than it says": [
        request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"2\r\nabc\r\n0\r\n\r\n")
    ],
    "a chunk size with a sign": [
        request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"+1\r\na\r\n0\r\n\r\n")
    ],
    "two spaces": [b"GET  /plain HTTP/1.1\r\nHost: a\r\n\r\n"],
    "a space behind the version": [b"GET /plain HTTP/1.1 \r\nHost: a\r\n\r\n"],
    "HTTP/0.9": [b"GET /plain\r\n\r\n"],
    "HTTP/1.2": [request("/plain", version="1.2")],
    "HTTP/2.0": [request("/plain", version="2.0")],
    "another protocol": [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    "TLS": [b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n"],
    "CONNECT": [request("a:80", method="CONNECT")],
    "an unknown method": [request("/plain", method="BREW")],
    "a method in small letters": [request("/plain", method="get")],
    "an empty line first": [b"\r\n" + GET],
    "two empty lines first": [b"\r\n\r\n" + GET],
}
"""What is sent on one connection; each part when all of the part before it is answered."""

LINES = re.compile(rb"([A-Z]+) \S+ HTTP/1\.[01]\r\n")
PROBE = b"GET /early HTTP/1.1\r\nHost: probe\r\n\r\n"


def run(way, parts):
    """Send a case one way and tell everything that can be seen of it: answers, end, what reached the backend, calls."""
    way.backend.requests.clear()
    way.gate.finished.clear()
    answers, end = [], ""
    with way.connect() as wire:
        for part in parts:
            wire.send_if_open(part)
            for method in LINES.findall(part) or [b"GET"]:
                end = "" if end else _answer(wire, method.decode(), answers)
        if not end:
            end = _end(wire, answers[-1])
    calls = [
        (each.outcome, each.response and each.response.status, each.fault and each.fault.reason)
        for each in way.settled()
        if each.request.host != "probe"
    ]
    reached = [(r.method, r.path, r.query, r.headers, r.body) for r in way.backend.requests]
    return {"answers": answers, "end": end, "reached": reached, "calls": calls}


def _answer(wire, method, answers):
    try:
        answer = wire.answer(method)
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "hangs"
    except Ended as broken:
        return "broke off" if broken.data else "closed"
    headers = sorted(each for each in answer.headers if each[0] != "date" or each[1] == "today")
    answers.append((answer.status, headers, answer.body, answer.interim))
    return _end_of(wire) if answer.closes else ""


def _end_of(wire):
    try:
        return "closed" if wire.rest() == b"" else "goes on behind its end"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "stays open though it said close"


def _end(wire, last):
    try:
        wire.send_if_open(PROBE)
        return "kept" if wire.answer().status == 200 else "desynchronised"
    except TimeoutError:
        return "hangs"
    except (Ended, ConnectionResetError):
        return "closed without a word"


def short(seen):
    """The statuses of the answers, and the end."""
    return [status for status, *_ in seen["answers"]], seen["end"]


H11 = "h11 stops the call when its body is framed wrongly; in the lane that is a fault like any other"
CONTINUE = "Hypercorn sends 100 whenever it is expected; the lane when somebody reads a body that is still to come"
HEAD = "h11 names the framing that the answer to GET would have; both may (RFC 9110, 9.3.2)"
NAMED = "the lane names the fault of a body of another length than was said, h11 does not let us"
ALLOWED_DIFFERENCES = {
    "HEAD of an answer in chunks": (HEAD, [200], "kept", [200], "kept"),
    "HTTP/1.0 keep-alive": ("h11 keeps no connection of HTTP/1.0", [200], "kept", [200], "closed"),
    "Expect: 100-continue with the body at once": (CONTINUE, [200], "kept", [200], "kept"),
    "Expect: 100-continue without a body": (CONTINUE, [200], "kept", [200], "kept"),
    "Expect: 100-continue with an empty body": (CONTINUE, [200], "kept", [200], "kept"),
    "a chunk size that is no number": (H11, [400], "closed", [400], "closed"),
    "a chunk longer than it says": (H11, [400], "closed", [400], "closed"),
    "a chunk size with a sign": (H11, [400], "closed", [400], "closed"),
    "a body that says more than a step gives": (NAMED, [], "broke off", [], "broke off"),
    "a body that says less than a step gives": (NAMED, [200], "closed without a word", [200], "closed without a word"),
}
"""Case -> why they may differ, then answers and end of the lane, then those of the edge."""


@pytest.mark.parametrize("name", CASES)
def test_lane_and_edge_do_the_same(ways, name):
    lane, edge = run(ways["lane"], CASES[name]), run(ways["edge"], CASES[name])
    if name in ALLOWED_DIFFERENCES:
        assert (*short(lane), *short(edge)) == ALLOWED_DIFFERENCES[name][1:]
        assert lane != edge, "this is no difference any more: take it out of the list"
    else:
        assert lane == edge


LATER = [name for name, parts in CASES.items() if all(b" /plain" in part and b"async" not in part for part in parts)]
"""Cases that can take another route."""


@pytest.mark.parametrize(("here", "there"), [("/sync", "/async"), ("/read", "/read-async")])
@pytest.mark.parametrize("name", LATER)
def test_an_async_hook_changes_nothing_that_can_be_seen(way, name, here, there):
    seen = [
        run(way, [part.replace(b" /plain", b" " + path.encode()) for part in CASES[name]]) for path in (here, there)
    ]
    for each, path in zip(seen, (here, there), strict=True):
        each["reached"] = [(method, at.replace(path, "/plain"), *more) for method, at, *more in each["reached"]]
    assert seen[0] == seen[1]


def test_each_case_has_a_name_of_its_own_and_each_difference_a_case():
    assert set(ALLOWED_DIFFERENCES) <= set(CASES)
    assert len(CASES) > 150
