"""Whatever is cut wherever: exactly the requests that were sent reach the backend, and nothing that was none."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .test_same_answers import GET, PROBE, chunked, counted, request
from .wire import Ended

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
EVIL = request("/tree/evil")


@st.composite
def calls(draw):
    """A request and what is known of its answer: (bytes, method, path, body, whether the backend gets it)."""
    number = draw(st.integers(0, 10**6))
    kind = draw(
        st.sampled_from(["GET", "HEAD", "counted", "counted", "chunked", "chunked", "early", "missing", "later"])
    )
    body = draw(
        st.one_of(st.binary(max_size=40), st.just(EVIL), st.binary(min_size=1, max_size=1).map(lambda b: b * 3000))
    )
    path = f"/tree/{number}"
    if kind in ("GET", "HEAD"):
        return request(path, method=kind), kind, path, b"", True
    if kind == "counted":
        return counted(path, body), "POST", path, body, True
    if kind == "chunked":
        cut = draw(st.integers(0, len(body)))
        return chunked(path, *[each for each in (body[:cut], body[cut:]) if each]), "POST", path, body, True
    if kind == "later":
        return counted("/read-async", body, method="PUT"), "PUT", "/read-async", body, True
    path = "/early" if kind == "early" else "/missing"
    return counted(path, body), "POST", path, body, False


def cut(data, positions):
    edges = [0, *sorted({position % len(data) for position in positions}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


@given(st.lists(calls(), min_size=1, max_size=6), st.lists(st.integers(0, 100_000), max_size=3))
@settings(SLOW, max_examples=60)
def test_pipelined_requests_are_answered_in_order_wherever_they_are_cut(way, pipeline, positions):
    way.backend.requests.clear()
    with way.connect() as wire:
        pieces = cut(b"".join(data for data, *_ in pipeline), positions)
        for piece in pieces[:-1]:
            wire.send(piece)
            way.turn()
        wire.send(pieces[-1])
        for _, method, path, body, _reaches in pipeline:
            answer = wire.answer(method)
            expected = {"/early": (200, b"early"), "/missing": (404, answer.body)}.get(path, (200, body))
            assert (answer.status, answer.body) == expected
            assert not answer.closes
        assert wire.send(PROBE).answer().status == 200
    received = [(each.method, each.path, each.body) for each in way.backend.requests]
    assert received == [(method, path, body) for _, method, path, body, reaches in pipeline if reaches]


GARBAGE = [
    b"\x00",
    b"\r\n\r\n",
    b" GET /tree/evil HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\0GET /tree/evil HTTP/1.1\r\nHost: a\r\n\r\n",
    b"XGET /tree/evil\r\n\r\n",
    b"GET /tree/evil HTTP/1.1\r\n\r\n",
    b"GET /tree/evil HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /tree/evil\r\n\r\n",
    b"GET /tree/evil HTTP/x.y\r\nHost: a\r\n\r\n",
    b"GET /tree/evil HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    b"GET /tree/evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /tree/evil HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /tree/evil HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    b"POST /tree/evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


@given(
    st.sampled_from([GET, counted("/plain", b"hello"), chunked("/plain", b"hello"), request("/plain?chunks")]),
    st.one_of(st.sampled_from(GARBAGE), st.binary(min_size=1, max_size=60)),
    st.booleans(),
)
@settings(SLOW, max_examples=80)
def test_what_follows_a_request_and_is_none_reaches_nobody(way, first, garbage, apart):
    way.backend.requests.clear()
    with way.connect() as wire:
        if apart:
            assert wire.send(first).answer().status == 200
            wire.send_if_open(garbage)
        else:
            wire.send(first + garbage)
            assert wire.answer().status == 200
        way.turn()
    way.settled()
    assert [each.path for each in way.backend.requests] == ["/plain"]


SMUGGLED = {
    "a length and chunks": request(
        "/plain", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\n" + EVIL
    ),
    "chunks and a length": request(
        "/plain",
        "Transfer-Encoding: chunked",
        f"Content-Length: {len(EVIL) + 5}",
        method="POST",
        body=b"0\r\n\r\n" + EVIL,
    ),
    "two lengths": request("/plain", "Content-Length: 0", f"Content-Length: {len(EVIL)}", method="POST", body=EVIL),
    "a length behind a NUL": request("/plain", f"Content-Length: {len(EVIL)}\0", method="POST", body=EVIL),
    "chunks with a space before the colon": request(
        "/plain", "Transfer-Encoding : chunked", method="POST", body=b"0\r\n\r\n" + EVIL
    ),
    "chunks behind a vertical tab": request(
        "/plain", "Transfer-Encoding: \x0bchunked", method="POST", body=b"0\r\n\r\n" + EVIL
    ),
    "chunks in a folded line": request(
        "/plain", "X: 1", " Transfer-Encoding: chunked", f"Content-Length: {len(EVIL)}", method="POST", body=EVIL
    ),
    "chunks spelt otherwise": request(
        "/plain", "Transfer-Encoding: xchunked", f"Content-Length: {len(EVIL)}", method="POST", body=EVIL
    ),
    "a name with an underscore": request(
        "/plain", "Content_Length: 0", f"Content-Length: {len(EVIL)}", method="POST", body=EVIL
    ),
    "a size that overflows": request(
        "/plain", "Transfer-Encoding: chunked", method="POST", body=b"10000000000000000\r\n" + EVIL
    ),
    "a size that is negative": request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"-1\r\n" + EVIL),
    "a chunk without its end": request(
        "/plain", "Transfer-Encoding: chunked", method="POST", body=b"1\r\naX0\r\n\r\n" + EVIL
    ),
    "a request as a trailer": request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n" + EVIL),
    "an upgrade": request(
        "/plain", "Connection: upgrade", "Upgrade: x", f"Content-Length: {len(EVIL)}", method="GET", body=EVIL
    ),
    "a body of GET": request("/plain", f"Content-Length: {len(EVIL)}", body=EVIL),
    "a body of HEAD": request("/plain", f"Content-Length: {len(EVIL)}", method="HEAD", body=EVIL),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_a_request_within_a_request_is_no_request(way, name):
    with way.connect() as wire:
        wire.send(SMUGGLED[name])
        wire.socket.settimeout(0.5)
        try:
            wire.answer("HEAD" if b"HEAD" in SMUGGLED[name] else "GET")
        except Ended:
            pass
        except TimeoutError:
            assert name in ("a request as a trailer", "a size that overflows")  # read as one that is still to come
        way.turn()
    way.settled()
    assert all(each.path == "/plain" for each in way.backend.requests)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_behind_the_last_request_of_a_connection_nothing_is_one(way, version):
    last = request("/plain", "Connection: close", version=version)
    with way.connect() as wire:
        wire.send(last + EVIL)
        statuses = [wire.answer().status]
        assert wire.rest() == b""
        wire.send_if_open(EVIL)
    way.settled()
    assert statuses == [200]
    assert all(each.path == "/plain" for each in way.backend.requests)
