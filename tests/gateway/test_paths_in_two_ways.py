"""A path that a backend could read in another way than the gateway is refused; an encoded slash alone is none."""

import socket
from urllib.parse import urlsplit

import pytest

from hookgate.testing import running, upstream

from .both_ways.http2 import Http2

REFUSED = [
    "/public/..%2fadmin",
    "/public/%2e%2e%2Fadmin",
    "/public/..;/admin",
    "/public/..%3b/admin",
    "/public%2f../admin",
]
SERVED = {"/public/a%2fb": "/public/a%2fb", "/public/a%2F..b": "/public/a%2F..b", "/public/x/%2e%2e/b": "/public/b"}


def document(backend, lane):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "public", "match": {"path": "/public/*"}, "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def over_http1(gate, target):
    address = urlsplit(gate.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return int(answer.split(b" ", 2)[1])


def over_http2(gate, target):
    with Http2(gate.url) as client:
        return client.call(target).status


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize("call", [over_http1, over_http2])
def test_what_hides_a_dot_segment_is_refused_and_other_escapes_go_on(lane, call):
    with upstream() as backend, running(document(backend, lane)) as gate:
        assert [call(gate, target) for target in REFUSED] == [400] * len(REFUSED)
        assert [call(gate, target) for target in SERVED] == [200] * len(SERVED)
        assert call(gate, "/public/../admin") == 404

    assert [request.target for request in backend.requests] == list(SERVED.values())
