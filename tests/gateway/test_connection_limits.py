"""Bounds on connections and on calls in flight, the same in the lane and in Hypercorn."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["lane", "hypercorn"])
def lane(request):
    return request.param


def document(lane=True, limits=None, **more):
    gateway = {"lane": lane, "limits": limits or {}, **more}
    return {"gateway": gateway, "routes": [{"name": "all", "flow": [{"respond": {"body": "hello"}}]}]}


def connect(gate, host=None):
    address = urlsplit(gate.url)
    return socket.create_connection((host or address.hostname, address.port), timeout=60)


def ask(connection, words=GET):
    connection.sendall(words)
    answer = b""
    while b"hello" not in answer:
        data = connection.recv(65536)
        if not data:
            break
        answer += data
    return answer


def everything(connection):
    found = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def listener_of(gate):
    return httpx.get(gate.management + "/-/health").json()["listener"]


def wait_until(wanted):
    end = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_connection_too_many_is_told_so_and_a_place_that_is_free_is_given_again(lane):
    with running(document(lane, {"connections": 2})) as gate, ExitStack() as stack:
        first, second = (stack.enter_context(connect(gate)) for _ in range(2))
        assert ask(first).startswith(b"HTTP/1.1 200")
        assert ask(second).startswith(b"HTTP/1.1 200")
        with connect(gate) as third:
            third.sendall(GET)
            answer = everything(third)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nConnection: close\r\n" in answer
        assert listener_of(gate) == {"connections": 2, "refused": {"connections": 1}, "problems": []}

        first.close()
        wait_until(lambda: listener_of(gate)["connections"] == 1)
        with connect(gate) as fourth:
            assert ask(fourth).startswith(b"HTTP/1.1 200")
        assert ask(second).startswith(b"HTTP/1.1 200")
    assert len(gate.finished) == 4


def test_no_address_takes_all_connections_unless_it_is_a_trusted_proxy(lane):
    limits = {"connections_per_client": 1}
    with running(document(lane, limits)) as gate, connect(gate) as first:
        assert ask(first).startswith(b"HTTP/1.1 200")
        with connect(gate) as second:
            assert everything(second).startswith(b"HTTP/1.1 503")
        assert listener_of(gate)["refused"] == {"connections_per_client": 1}
    with running(document(lane, limits, trusted_proxies=["127.0.0.1"])) as gate:
        with connect(gate) as first, connect(gate) as second:
            assert ask(first).startswith(b"HTTP/1.1 200")
            assert ask(second).startswith(b"HTTP/1.1 200")


def test_another_address_is_another_client():
    other = socket.socket()
    with running(document(limits={"connections_per_client": 1})) as gate, connect(gate) as first, other:
        assert ask(first).startswith(b"HTTP/1.1 200")
        other.bind(("127.0.0.2", 0))
        other.connect(first.getpeername())
        assert ask(other).startswith(b"HTTP/1.1 200")


def test_limits_of_a_new_document_hold_for_connections_to_come(lane):
    with running(document(lane)) as gate, connect(gate) as first:
        assert ask(first).startswith(b"HTTP/1.1 200")
        gate.reload(document(lane, {"connections": 1}))
        with connect(gate) as second:
            assert everything(second).startswith(b"HTTP/1.1 503")
        assert ask(first).startswith(b"HTTP/1.1 200")


def test_the_log_has_one_line_a_second_with_the_count(lane):
    with running(document(lane, {"connections": 1})) as gate, connect(gate) as first:
        assert ask(first).startswith(b"HTTP/1.1 200")
        for _ in range(30):
            with connect(gate) as refused:
                assert everything(refused).startswith(b"HTTP/1.1 503")
        said = [record.getMessage() for record in gate.log if "refused connections" in record.getMessage()]
        assert len(said) <= 2
    said = [record.getMessage() for record in gate.log if "refused connections" in record.getMessage()]
    assert sum(int(line.split(": ")[1].split()[0]) for line in said) == 30


def test_a_flood_of_refused_connections_is_not_kept_either(lane):
    with running(document(lane, {"connections": 1})) as gate, ExitStack() as stack:
        kept = stack.enter_context(connect(gate))
        assert ask(kept).startswith(b"HTTP/1.1 200")
        flood = [stack.enter_context(connect(gate)) for _ in range(150)]
        wait_until(lambda: listener_of(gate)["refused"] == {"connections": 150})
        silent = sum(not everything(each) for each in flood)
        assert silent >= 40
        assert ask(kept).startswith(b"HTTP/1.1 200")


def test_http2_counts_like_any_other(lane):
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.check_output([curl, "-V"], text=True):
        pytest.skip("there is no curl that speaks HTTP/2")
    with running(document(lane, {"connections": 1})) as gate:
        call = [curl, "-sS", "--http2-prior-knowledge", gate.url]
        assert subprocess.check_output(call) == b"hello"
        wait_until(lambda: listener_of(gate)["connections"] == 0)
        with connect(gate) as first:
            assert ask(first).startswith(b"HTTP/1.1 200")
            assert subprocess.run(call, capture_output=True, check=False).stdout != b"hello"
        assert listener_of(gate)["refused"] == {"connections": 1}


@needs_openssl
def test_over_tls_one_too_many_is_closed_before_its_handshake(lane, tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    server = authority.issue("server", "DNS:localhost")
    context = ssl.create_default_context(cafile=authority.certificate)
    tls = {"listen": ["https://127.0.0.1:0"], "tls": {"certificates": [server]}}
    with running(document(lane, {"connections": 1}, **tls)) as gate:
        with connect(gate) as idle:  # one that has not shaken hands has its place, too
            wait_until(lambda: listener_of(gate)["connections"] == 1)
            with connect(gate) as plain, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(plain, server_hostname="localhost")
            with context.wrap_socket(idle, server_hostname="localhost") as first:
                assert ask(first).startswith(b"HTTP/1.1 200")
        wait_until(lambda: listener_of(gate)["connections"] == 0)
        with context.wrap_socket(connect(gate), server_hostname="localhost") as again:
            assert ask(again).startswith(b"HTTP/1.1 200")
        assert listener_of(gate)["refused"] == {"connections": 1}


def test_calls_that_are_too_many_get_503_and_when_to_come_again(lane):
    go_on = threading.Event()

    def slowly(_):
        go_on.wait(60)
        return 200, {}, "hello"

    with upstream(slowly) as backend:
        slow = {**document(lane, {"in_flight": 2}, flow=["request-id"])}
        slow["routes"] = [{"name": "all", "to": {"connection": "backend"}}]
        slow["connections"] = {"backend": {"targets": backend.url}}
        with running(slow) as gate, ExitStack() as stack:
            waiting = [stack.enter_context(connect(gate)) for _ in range(2)]
            for each in waiting:
                each.sendall(GET)
            wait_until(lambda: httpx.get(gate.management + "/-/health").json()["in_flight"] == 2)

            refused = gate.request("POST", "/", content=b"x" * 1000)
            assert (refused.status_code, refused.json()["reason"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"

            go_on.set()
            assert all(ask(each, b"").startswith(b"HTTP/1.1 200") for each in waiting)
            assert gate.request("GET", "/").status_code == 200
            gate.wait_for_exchanges(4)
