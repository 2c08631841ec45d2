"""Apps behind a flow: the way of a call, from its head to the end of its answer."""

import contextlib
import http.client
import re
import socket
import subprocess
import threading
import time

import httpx
import pytest

from hookgate.testing import running

from .strangers import ANNA, AUTH, answering, behind, calling, events_of, exposing, sent, wait_for


def test_a_page_behind_auth_knows_who_calls(site, lane):
    with running(exposing(lane, behind(AUTH)), plugins_dir=site) as gate:
        refused = gate.request("GET", "/desk/echo")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert gate.request("GET", "/desk/echo", auth=("anna", "wrong")).status_code == 401
        assert gate.request("GET", "/desk/echo", auth=ANNA).json()["who"] == "anna"
        assert gate.request("GET", "/desk%2Fecho").text == "a route"
        for detour in ("/x/../desk/echo", "/%64esk/echo", "//desk/echo"):
            assert gate.request("GET", detour).status_code in (200, 401)
            assert "who" not in gate.request("GET", detour).text


def test_curl_shows_a_page_behind_auth(site, lane):
    with running(exposing(lane, behind(AUTH)), plugins_dir=site) as gate:
        for flags in (["-L", gate.url + "/desk"], ["--http2-prior-knowledge", gate.url + "/desk/"]):
            command = ["curl", "-s", "-u", "anna:secret", *flags]
            assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "home"


def test_the_steps_of_the_gateway_and_of_the_entry_see_the_call(site, lane):
    entry = behind("note", response=[{"security-headers": {}}], labels={"team": "office"}, **{"x-owner": "anna"})
    with running(exposing(lane, entry, flow=["request-id"], observers=["access-log"]), plugins_dir=site) as gate:
        answer = gate.request("GET", "/desk/by/anna")
        assert (answer.text, answer.headers["x-note"]) == ("anna", "gateway.expose/desk/note")
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        (call,) = gate.wait_for_exchanges(1)
        assert (call.route.name, call.outcome, call.passed[-1]) == ("expose /desk", "ok", "gateway.expose/desk/note")
        assert (call.route.labels, call.route.extensions) == ({"team": "office"}, {"x-owner": "anna"})
        assert events_of(gate, "note") == ["> /desk/by/anna", "done ok"]
        assert gate.request("GET", "/desk/nothing").status_code == 404, "by the app"
        assert gate.request("PUT", "/desk/echo").status_code == 405, "by the app, too"
        assert gate.request("GET", "/desk/nothing").headers["x-note"]


def test_metrics_limits_and_traces_know_the_route(site, lane):
    limit = {"rate-limit": {"limit": 2, "window": 3600}}
    document = {
        **exposing(lane, behind(limit, name="office"), observers=["prometheus"]),
        "management": {"apps": ["health", "prometheus"]},
        "trace": {"sample": 1},
    }
    with running(document, plugins_dir=site) as gate:
        assert [gate.request("GET", "/desk/by/a").status_code for _ in range(3)] == [200, 200, 429]
        assert all(call.trace is not None for call in gate.wait_for_exchanges(3))
        told = httpx.get(gate.management + "/-/metrics", trust_env=False).text
        assert 'route="office"' in told


def test_the_app_gets_the_request_as_it_came(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        got = gate.request(
            "POST",
            "/desk/echo?a=b%20c&d",
            content=b"hello",
            headers={"X-Two": "2", "Connection": "x-hop", "X-Hop": "1", "Te": "x", "X-Forwarded-For": "1.2.3.4"},
        ).json()
        assert (got["method"], got["path"], got["raw"], got["query"], got["body"]) == (
            *("POST", "/desk/echo", "/desk/echo"),
            *("a=b%20c&d", "hello"),
        )
        assert (got["client"], got["url"]) == ("127.0.0.1", gate.url + "/desk/echo?a=b%20c&d")
        assert got["headers"]["x-two"] == "2"
        assert not {"x-hop", "connection", "te", "x-forwarded-for"} & got["headers"].keys()
        assert gate.request("GET", "/desk/by/a%20b%3F").text == "a b?"
        assert gate.request("GET", "/desk/by/a%2Fb").json()["reason"] == "malformed-path"


def test_answers_without_a_body_are_what_they_should_be(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        head = gate.request("HEAD", "/desk/status/200")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "4")
        for code in (204, 304):
            answer = gate.request("GET", f"/desk/status/{code}")
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (code, b"", '"1"')
        assert gate.request("GET", "/desk/status/418").status_code == 418
        cookies = gate.request("GET", "/desk/headers")
        assert cookies.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
        assert "keep-alive" not in cookies.headers
        assert gate.request("HEAD", "/desk/flood").status_code == 200
        wait_for(lambda: "flood over" in events_of(gate) or not events_of(gate))
        assert gate.request("GET", "/desk").status_code == 308, "as Quart does it"


def test_events_come_one_by_one(site, lane):
    with running(exposing(lane, behind("note", timeout=5)), plugins_dir=site) as gate:
        with answering(gate, "/desk/events") as answer:
            for number in range(3):
                assert answer.read1() == b"data: %d\n\n" % number
                if number == 1:
                    time.sleep(5.2)  # a stream is bound until its head only
                events_of(gate).append(f"heard {number}")
            assert answer.read() == b""
        assert gate.wait_for_exchanges(1)[0].outcome == "ok"


def test_a_client_that_leaves_ends_the_view(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        with calling(gate, "GET /desk/never"):
            wait_for(lambda: "never begins" in events_of(gate))
        wait_for(lambda: "never ends" in events_of(gate))
        assert gate.wait_for_exchanges(1)[0].outcome == "aborted"

        with answering(gate, "/desk/events") as answer:
            assert answer.read1() == b"data: 0\n\n"
        wait_for(lambda: "events over" in events_of(gate))
        assert gate.wait_for_exchanges(2)[1].outcome == "aborted"


def test_over_http_2_events_come_and_a_client_that_leaves_ends_the_view(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        command = ["curl", "-sN", "--http2-prior-knowledge", gate.url + "/desk/events"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
            try:
                assert curl.stdout.readline() == b"data: 0\n"
            finally:
                curl.kill()
        wait_for(lambda: "events over" in events_of(gate))
        assert gate.wait_for_exchanges(1)[0].outcome == "aborted"


@pytest.mark.parametrize("page", ["raises", "exits", "odd"])
def test_a_view_that_raises_is_named_in_the_log_and_told_to_nobody(site, lane, page):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        answer = gate.request("GET", f"/desk/{page}")
        assert (answer.status_code, answer.json()["reason"], answer.headers["x-note"][:7]) == (
            500,
            "plugin-error",
            "gateway",
        )
        assert not {"tiger", "ValueError", "SystemExit", "999"} & set(re.findall(r"\w+", answer.text))
        assert [each for each in gate.log if "gateway/desk failed in blueprint" in each.getMessage()]
        assert gate.request("GET", "/desk/by/b").text == "b", "and the gateway goes on"


def test_a_fault_of_the_house_is_one_for_the_client(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        answer = gate.request("GET", "/desk/refuses")
        assert (answer.status_code, answer.json()["reason"]) == (400, "bad-month")


def test_an_answer_that_breaks_off_is_seen_to_be_broken(site, lane):
    # Long enough for the head on a machine that stands still for a moment: one that ends before it is another answer.
    with running(exposing(lane, behind("note", timeout=5)), plugins_dir=site) as gate:
        for count, page in enumerate(("breaks", "stalls"), 1):
            with answering(gate, f"/desk/{page}") as answer:
                with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                    answer.read()
            assert gate.wait_for_exchanges(count)[-1].outcome == ("broken" if page == "breaks" else "timeout")
        assert [each for each in gate.log if "gateway/desk failed within its answer" in each.getMessage()]


def test_a_view_that_never_answers_is_bounded(site, lane):
    with running(exposing(lane, behind("note", timeout=0.2)), plugins_dir=site) as gate:
        answer = gate.request("GET", "/desk/never")
        assert (answer.status_code, answer.json()["reason"]) == (502, "destination-timeout")
        wait_for(lambda: "never ends" in events_of(gate))
        assert [each for each in gate.log if "gateway/desk has not answered /desk/never" in each.getMessage()]


def test_a_slow_reader_slows_the_view(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        with calling(gate, "GET /desk/flood"):
            wait_for(lambda: events_of(gate))
            seen = -1
            while seen != len(events_of(gate)):
                seen = len(events_of(gate))
                time.sleep(0.3)
            assert seen < 500, "32 MB fit into no buffer"
        wait_for(lambda: "flood over" in events_of(gate))


def test_a_view_that_reads_slowly_slows_the_upload(site, lane):
    length = 15 << 20
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        with calling(gate, "POST /desk/count?wait=1", f"Content-Length: {length}") as upload:
            upload.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sending = threading.Thread(target=upload.sendall, args=(b"x" * length,), daemon=True)
            sending.start()
            sending.join(0.7)
            assert sending.is_alive(), "15 MB fit into no buffer"
            events_of(gate).append("go on")
            sending.join(60)
            assert upload.recv(65536).endswith(b"%d" % length)


def test_a_body_that_is_too_long_is_refused(site, lane):
    with running(exposing(lane, behind("note", limits={"request_body": 100})), plugins_dir=site) as gate:
        assert gate.request("POST", "/desk/count", content=b"x" * 100).text == "100"
        told = gate.request("POST", "/desk/count", content=b"x" * 101)
        assert (told.status_code, told.json()["reason"]) == (413, "content-too-large")
        untold = gate.request("POST", "/desk/count", content=iter([b"x" * 60, b"x" * 60]))
        assert (untold.status_code, untold.json()["reason"]) == (413, "content-too-large")


def test_an_upload_may_be_as_long_as_the_entry_says(site, lane):
    body = b"x" * (17 << 20)
    for limits, said in (({}, 413), ({"request_body": len(body)}, 200)):
        with running(exposing(lane, behind("note", limits=limits)), plugins_dir=site) as gate:
            with calling(gate, "POST /desk/count", f"Content-Length: {len(body)}") as made:
                sending = threading.Thread(target=sent, args=(made, body), daemon=True)
                sending.start()
                assert made.recv(65536).startswith(b"HTTP/1.1 %d " % said)
                with contextlib.suppress(OSError):  # the gateway may have hung up already
                    made.shutdown(socket.SHUT_RDWR)
                sending.join(60)


def test_an_answer_that_is_too_long_is_refused(site, lane):
    with running(exposing(lane, behind("note", limits={"response_body": 3})), plugins_dir=site) as gate:
        assert gate.request("GET", "/desk/by/ann").text == "ann"
        told = gate.request("GET", "/desk/by/anna")
        assert (told.status_code, told.json()["reason"]) == (502, "too-large")
    with running(exposing(lane, behind("note", limits={"response_body": 100_000})), plugins_dir=site) as gate:
        with answering(gate, "/desk/flood") as answer, pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        wait_for(lambda: "flood over" in events_of(gate))


def test_steps_may_read_both_bodies(site, lane):
    entry = behind("note", {"compress": {"min_size": 1}})
    with running(exposing(lane, entry), plugins_dir=site) as gate:
        answer = gate.request("GET", "/desk/by/" + "a" * 2000, headers={"accept-encoding": "gzip"})
        assert (answer.headers["content-encoding"], answer.text) == ("gzip", "a" * 2000)


def test_a_websocket_is_refused_with_a_reason(site, lane):
    with running(exposing(lane, behind("note")), plugins_dir=site) as gate:
        answer = gate.request(
            "GET",
            "/desk/by/a",
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version": "13",
            },
        )
        assert (answer.status_code, answer.json()["reason"]) == (501, "no-websocket")
