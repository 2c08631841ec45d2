"""The acceptance tests of API connections (AC-4 to AC-43) over both ways in: what each row's last column says."""

import asyncio
import concurrent.futures as futures
import hashlib
import hmac
import socket
import threading
import time
from base64 import b64encode
from email.utils import parsedate_to_datetime

import httpx
import pytest

from hookgate.testing import MovableClock, running, upstream

from .test_connections_attacked import BOTH, at_rest, document, until
from .test_connections_reloaded import closed, named
from .test_rows_of_connections import checked, healths, next_check, statuses


def texts(gate, count):
    return "".join(gate.request("GET", "/").text for _ in range(count))


@pytest.mark.row("AC-4", "AC-5", "AC-6")
@BOTH
def test_heavy_hosts_come_up_more_often_and_inactive_ones_never(lane):
    with upstream(named("A")) as a, upstream(named("B")) as b, upstream(named("C")) as c:
        hosts = [{"url": a.url, "weight": 5}, {"url": b.url}, {"url": c.url}]
        described = document(lane=lane)
        described["connections"]["crm"]["targets"] = hosts
        with running(described) as gate:
            shown = gate.gateway.status()["connections"]["crm"]
            assert [(each["url"], each["weight"], each["active"]) for each in shown] == [
                (a.url, 5, True),
                (b.url, 1, True),
                (c.url, 1, True),
            ]
            assert texts(gate, 7) == "AABACAA"
            assert texts(gate, 7) == "AABACAA"
            hosts[:] = [{"url": a.url, "weight": 3}, {"url": b.url}]
            gate.reload(described)
            assert texts(gate, 8) == "AABAAABA"
            hosts[1]["active"] = False
            gate.reload(described)
            assert texts(gate, 4) == "AAAA"
            hosts[0]["weight"] = 0
            gate.reload(described)
            assert gate.request("GET", "/").json()["reason"] == "no-active-target"


@pytest.mark.row("AC-7")
@BOTH
def test_tries_are_attempts_in_all_and_only_what_could_not_connect_is_tried_again(lane):
    with closed() as a, upstream() as b:
        with running(document(a, b, lane=lane, balancer="weighted-round-robin", max_tries=2)) as gate:
            assert gate.request("POST", "/", content=iter([b"body"])).status_code == 200
            (exchange,) = gate.wait_for_exchanges(1)
            assert [each.outcome.kind for each in exchange.attempts] == ["connect-failed", "ok"]
        assert b.bodies == [b"body"]
        with running(document(a, b, lane=lane, balancer="weighted-round-robin", max_tries=1)) as gate:
            assert gate.request("GET", "/").status_code == 502
        assert len(b.requests) == 1


@pytest.mark.row("AC-10", "AC-12", "AC-14")
@BOTH
def test_the_third_wrong_code_takes_a_host_out_and_all_out_is_503_unless_told_otherwise(lane):
    said, clock = {"a": 204, "b": 204}, MovableClock()

    def server(name):
        return lambda request: (said[name], {}, b"") if request.path == "/health" else (200, {}, name)

    check = {"path": "/health", "expect": 204, "interval": 30, "backoff": 1, "unhealthy_after": 3}
    with upstream(server("a")) as a, upstream(server("b")) as b:
        described = document(a, b, lane=lane, balancer="weighted-round-robin", monitor={"http": check})
        with running(described, clock=clock) as gate:
            checked(gate, clock)
            said["a"] = 200  # not the code that is configured
            for rotation in ("abab", "abab", "bbbb"):
                next_check(gate, clock)
                assert texts(gate, 4) == rotation
            said["a"] = 204
            next_check(gate, clock)
            assert sorted(texts(gate, 4)) == list("aabb")
            said |= {"a": 500, "b": 500}
            for _ in range(3):
                next_check(gate, clock)
            assert healths(gate) == ["unhealthy"] * 2
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.headers["x-hookgate-reason"]) == (503, "all-targets-unhealthy")
            described["connections"]["crm"]["on_all_unhealthy"] = "use_all"
            gate.reload(described)
            assert statuses(gate, 2) == [200, 200]


SIGNATURE = {"algorithm": "hmac-sha256", "key": "k0", "key_id": "gate"}


@pytest.mark.row("AC-15")
@BOTH
def test_three_profiles_make_three_lines_in_order_and_the_signature_covers_what_was_added(lane):
    oauth = {"client_id": "c", "client_secret": "s3cret"}
    token = b'{"access_token": "t", "expires_in": 3600}'
    with upstream(lambda request: (200, {}, token)) as server, upstream() as backend:
        oauth["token_endpoint"] = f"{server.url}/token"
        basic = {"username": "u", "password": "p"}
        auth = [{"basic": basic}, {"oauth2": oauth}, {"signature": SIGNATURE}]
        with running(document(backend, lane=lane, auth=auth)) as gate:
            (warning,) = gate.gateway.status()["warnings"]
            gate.request("GET", "/a?b=c")
            covered = ["(request-target)", "host", "date", "x-up-auth"]
            signature = {**SIGNATURE, "signed_headers": covered}
            auth[:] = [{"basic": {**basic, "header": "X-Up-Auth"}}, {"signature": signature}]
            gate.reload(document(backend, lane=lane, auth=auth))
            assert gate.gateway.status()["warnings"] == []
            gate.request("GET", "/a?b=c")

    assert "basic and oauth2 and signature" in warning
    assert [line.split()[0] for line in backend.requests[0].all("authorization")] == ["Basic", "Bearer", "Signature"]
    second = backend.requests[1]
    assert second.all("x-up-auth") == ["Basic dTpw"]
    text = f"(request-target): get /a?b=c\nhost: 127.0.0.1:{backend.port}\ndate: {second.header('date')}\n"
    mac = hmac.new(b"k0", (text + "x-up-auth: Basic dTpw").encode(), hashlib.sha256).digest()
    assert f'signature="{b64encode(mac).decode()}"' in second.header("authorization")


@pytest.mark.row("AC-18", "AC-26")
@BOTH
def test_the_known_answer_of_the_signature_comes_out_of_a_gateway(lane):
    signature = {"algorithm": "hmac-sha256", "key": "don't tell", "key_id": "k", "digest": "none"}
    headers = {"host": "example.org", "date": "Tue, 07 Jun 2014 20:51:35 GMT"}
    with upstream() as backend:
        for listed in (["content-length", "host", "date", "(request-target)"], ["date"]):
            auth = [{"signature": {**signature, "signed_headers": listed}}]
            with running(document(backend, lane=lane, auth=auth, to={"preserve_host": True})) as gate:
                gate.request("GET", "/foo/Bar", headers=headers, content=b'{"hello": "world"}')
        auth = [{"signature": {**signature, "signed_headers": ["x-missing"]}}]
        with running(document(backend, lane=lane, auth=auth)) as gate:
            refused = gate.request("GET", "/")

    first, second = (request.header("authorization") for request in backend.requests)
    assert 'signature="yT/NrPI9mKB5R7FTLRyFWvB+QLQOEAvbGmauC0tI+Jg="' in first
    assert 'signature="WbB9VXuVdRt1LKQ5mDuT+tiaChn8R7WhdAWAY1lhKZQ="' in second
    assert (refused.status_code, refused.json()["reason"]) == (502, "signature-failed")


@pytest.mark.row("AC-19", "AC-20", "AC-21", "AC-22")
@BOTH
def test_header_actions_add_set_and_compute(lane):
    def action(what, name, provider, value=None):
        return {what: name, "from": {provider: {"value": value}} if value else provider}

    actions = [
        action("add", "X-A", "default", "2"),
        action("set", "x-b", "default", "3"),
        action("set", "X-New", "default", "v"),
        action("set", "Date", "date"),
        action("set", "Digest", "digest"),
        action("set", "X-Who", "expression", "request.headers['x-user'] + '-' + connection.name"),
    ]
    sent = [("x-a", "1"), ("X-B", "1"), ("X-B", "2"), ("x-user", "joe"), ("digest", "forged")]
    with upstream() as backend, running(document(backend, lane=lane, headers=actions)) as gate:
        before = int(time.time())
        gate.request("POST", "/", headers=sent, content=iter([b'{"hello": ', b'"world"}']))
        after = time.time()
        gate.request("GET", "/", headers=sent)

    first, second = backend.requests
    assert [first.all(name) for name in ("x-a", "x-b", "x-new", "x-who")] == [["1", "2"], ["3"], ["v"], ["joe-crm"]]
    assert before <= parsedate_to_datetime(first.header("date")).timestamp() <= after
    assert first.all("digest") == ["SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="]
    assert second.all("digest") == ["SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]


@BOTH
def test_a_variable_of_the_environment_or_none(lane, monkeypatch):
    monkeypatch.setenv("HOOKGATE_ROW", "1")
    monkeypatch.delenv("HOOKGATE_NONE", raising=False)
    names = {"X-Set": "HOOKGATE_ROW", "X-Unset": "HOOKGATE_NONE"}
    actions = [{"set": name, "from": {"env": {"name": variable}}} for name, variable in names.items()]
    with upstream() as backend, running(document(backend, lane=lane, headers=actions)) as gate:
        gate.request("GET", "/", headers={"x-unset": "forged"})
    assert [backend.requests[0].all(name) for name in ("x-set", "x-unset")] == [["1"], []]


@pytest.mark.row("AC-27")
@BOTH
def test_the_third_of_three_slow_calls_waits_while_two_are_open(lane):
    going = threading.Event()

    async def slow(request):
        await asyncio.to_thread(going.wait, 20)
        return 200, {}, "ok"

    pool = {"pool": {"max_connections": 2}, "timeouts": {"connect": 20}}
    with upstream(slow) as a, upstream(slow) as b, running(document(a, b, lane=lane, **pool)) as gate:
        facts = gate.gateway.connection("crm").transport.facts
        with futures.ThreadPoolExecutor(3) as threads:
            calls = [threads.submit(gate.request, "GET", "/") for _ in range(3)]
            until(lambda: (facts()["open"], facts()["waiting"]) == (2, 1))
            until(lambda: a.open + b.open == 2)
            going.set()
            assert [call.result().status_code for call in calls] == [200] * 3
        at_rest(gate)


@pytest.mark.row("AC-31", "AC-32")
@BOTH
def test_drips_end_at_the_request_timeout_and_silence_at_the_read_timeout(lane):
    async def drip():
        for _ in range(70):
            yield b"x"
            await asyncio.sleep(0.1)

    async def body_then_silence():
        yield b"x"
        await asyncio.get_running_loop().create_future()

    async def answer(request):
        if request.path == "/silent":
            await asyncio.get_running_loop().create_future()
        return 200, {}, body_then_silence() if request.path == "/half" else drip()

    with upstream(answer) as backend:
        described = document(lane=lane)
        limits = {"brief": {"request": 5}, "crm": {"request": 60, "read": 5}}
        described["connections"] = {name: {"targets": backend.url, "timeouts": each} for name, each in limits.items()}
        described["routes"] = [
            {"name": path, "match": {"path": f"/{path}"}, "to": {"connection": connection}}
            for path, connection in (("cut", "brief"), ("silent", "crm"), ("half", "crm"), ("drip", "crm"))
        ]
        with running(described) as gate, futures.ThreadPoolExecutor(4) as threads:
            cut, silent, half, drips = [
                threads.submit(gate.request, "GET", f"/{path}") for path in ("cut", "silent", "half", "drip")
            ]
            for broken in (cut, half):
                with pytest.raises(httpx.RemoteProtocolError):
                    broken.result()
            assert (silent.result().status_code, silent.result().json()["reason"]) == (504, "read-timeout")
            assert drips.result().content == b"x" * 70
            ended = {exchange.request.path: exchange for exchange in gate.wait_for_exchanges(4)}
            assert {path: exchange.outcome for path, exchange in ended.items()} == {
                "/cut": "timeout",
                "/silent": "ok",
                "/half": "timeout",
                "/drip": "ok",
            }
            assert ended["/cut"].attempts[0].outcome.seconds > 4.9
            at_rest(gate)


@pytest.mark.row("AC-31")
@BOTH
def test_a_head_that_drips_is_504_at_the_request_timeout(lane):
    with socket.create_server(("127.0.0.1", 0)) as server, futures.ThreadPoolExecutor(1) as threads:

        def drip():
            accepted, _ = server.accept()
            with accepted:
                try:
                    accepted.recv(65536)
                    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 100:
                        accepted.sendall(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    return

        dripping = threads.submit(drip)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with running(document(url, lane=lane, timeouts={"request": 0.4})) as gate:
            answer = gate.request("GET", "/")
            at_rest(gate)
        dripping.result(20)
    assert (answer.status_code, answer.json()["reason"]) == (504, "request-timeout")


@pytest.mark.row("AC-43")
@BOTH
def test_any_takes_either_and_all_takes_both(lane):
    basic, bearer = {"basic": {"users": {"u": "p"}}}, {"bearer": {"tokens": {"x": "t"}, "header": "X-Token"}}
    sent = ({}, {"authorization": "Basic dTpw"}, {"x-token": "Bearer t"})
    sent = (*sent, {**sent[1], **sent[2]})
    with upstream() as backend:
        for require, expected in (("any", [401, 200, 200, 200]), ("all", [401, 401, 401, 200])):
            described = document(backend, lane=lane)
            described["routes"][0]["flow"] = [{"auth": {"require": require, "methods": [basic, bearer]}}]
            with running(described) as gate:
                assert [gate.request("GET", "/", headers=each).status_code for each in sent] == expected
