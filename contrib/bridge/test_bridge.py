"""Apps behind a flow: the calls below their path take the way of a route, over the lane and the edge alike."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate.exchange.errors import ConfigError
from hookgate.server.edge.handover import HandOver
from hookgate.testing import running, upstream

STRANGERS = '''
"""Pages and a step as a stranger writes them: public names only."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from quart import Blueprint, Response, request

from hookgate import App, BadRequest, Exchange, Host, Interceptor, Options, exchange_of, hookimpl


class Desk(App[Options]):
    """Pages that do what a test wants of them."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.events: list[str] = []

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        pages = Blueprint("desk", __name__)

        @pages.route("/echo", methods=["GET", "POST"])
        async def echo() -> dict[str, Any]:
            call = exchange_of(request)
            return {
                "method": request.method,
                "path": request.path,
                "raw": str(request.scope["raw_path"], "ascii"),
                "query": request.query_string.decode(),
                "url": request.url,
                "client": request.remote_addr,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": await request.get_data(as_text=True),
                "who": call.identity.subject if call is not None and call.identity is not None else None,
                "route": call.route.name if call is not None else None,
            }

        @pages.get("/")
        async def home() -> str:
            return "home"

        @pages.get("/by/<name>")
        async def by(name: str) -> str:
            return name

        @pages.get("/status/<int:code>")
        async def status(code: int) -> Response:
            return Response(b"" if code in (204, 304) else b"text", code, headers={"etag": '"1"'})

        @pages.get("/headers")
        async def headers() -> Response:
            answer = Response("x", headers={"Keep-Alive": "timeout=5"})
            answer.set_cookie("a", "1")
            answer.set_cookie("b", "2")
            return answer

        @pages.get("/raises")
        async def raises() -> str:
            raise ValueError("the password is tiger")

        @pages.get("/exits")
        async def exits() -> str:
            raise SystemExit("the password is tiger")

        @pages.get("/refuses")
        async def refuses() -> str:
            raise BadRequest("There is no such month.", reason="bad-month")

        @pages.get("/odd")
        async def odd() -> Response:
            return Response("x", status=999)

        @pages.get("/events")
        async def events() -> Response:
            async def each() -> AsyncIterator[str]:
                try:
                    for number in range(3):
                        yield f"data: {number}\\n\\n"
                        while f"heard {number}" not in self.events:
                            await asyncio.sleep(0.01)
                finally:
                    self.events.append("events over")

            return Response(each(), content_type="text/event-stream")

        @pages.get("/never")
        async def never() -> str:
            self.events.append("never begins")
            try:
                await asyncio.Event().wait()
            finally:
                self.events.append("never ends")
            return ""

        @pages.get("/breaks")
        async def breaks() -> Response:
            async def each() -> AsyncIterator[str]:
                yield "first"
                raise ValueError("half way")

            return Response(each())

        @pages.get("/stalls")
        async def stalls() -> Response:
            async def each() -> AsyncIterator[str]:
                yield "first"
                await asyncio.Event().wait()

            return Response(each())

        @pages.get("/flood")
        async def flood() -> Response:
            async def each() -> AsyncIterator[bytes]:
                try:
                    for _ in range(1000):
                        self.events.append("chunk")
                        yield b"x" * 65536
                finally:
                    self.events.append("flood over")

            return Response(each())

        @pages.post("/count")
        async def count() -> str:
            total = 0
            async for chunk in request.body:
                total += len(chunk)
                while request.args.get("wait") and "go on" not in self.events:
                    await asyncio.sleep(0.01)
            return str(total)

        return pages


class Note(Interceptor[Options]):
    """Takes down what passes."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.events: list[str] = []

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        self.events.append(f"> {exchange.request.path}")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        if exchange.response is not None:
            exchange.response.headers.set("x-note", self.entry.id)

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        self.events.append(f"done {exchange.outcome}")
'''
AUTH = {"auth": {"methods": [{"basic": {"users": {"anna": "secret"}}}]}}
ANNA = ("anna", "secret")


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "strangers.py").write_text(STRANGERS)
    return folder


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    return request.param


def exposing(lane, entry, *, routes=(), **gateway):
    answered = {"name": "rest", "flow": [{"respond": {"body": "a route"}}]}
    return {"gateway": {"lane": lane, "expose": {"/desk": entry}, **gateway}, "routes": [*routes, answered]}


def behind(*flow, **more):
    return {"app": "desk", "flow": list(flow), **more}


def events_of(gate, name="desk"):
    (found,) = [each for each in gate.gateway.live.config.instances.values() if each.entry.name == name]
    return found.events


def wait_for(what, patience=60):
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


@contextmanager
def answering(gate, path):
    """The answer to a GET, to be read piece by piece; the client leaves where the block ends."""
    address = urlsplit(gate.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=60)) as calling:
        calling.request("GET", path)
        with calling.getresponse() as answer:
            yield answer


@contextmanager
def calling(gate, head, *fields):
    """A connection on which a request has been sent."""
    address = urlsplit(gate.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as made:
        made.sendall("\r\n".join([f"{head} HTTP/1.1", "Host: x", *fields, "", ""]).encode())
        yield made


def sent(made, body):
    with suppress(OSError):  # whoever has refused it does not read it to its end
        made.sendall(body)


# --- what a document says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{flow: [note]}", "6:12: gateway.expose./desk.app: is required"),
        ("{app: desk, flwo: []}", "6:24: gateway.expose./desk.flwo: there is no option 'flwo'; did you mean 'flow'?"),
        ("{app: dsk}", "6:18: gateway.expose./desk.app: no app is installed under the name 'dsk'"),
        ("{app: desk, flow: note}", "6:30: gateway.expose./desk.flow: should be a list"),
        (
            "{app: desk, flow: [note, nte]}",
            "6:37: gateway.expose./desk.flow[1]: no interceptor is installed under the name 'nte'",
        ),
        (
            "{app: desk, request: [{note: {x: 1}}]}",
            "6:42: gateway.expose./desk.request[0].note.x: there is no option 'x'",
        ),
        ("{app: {desk: {x: 1}}}", "6:26: gateway.expose./desk.app.desk.x: there is no option 'x'"),
        ("{app: desk, timeout: 0}", "6:33: gateway.expose./desk.timeout: should be greater than 0"),
        ("{app: desk, limits: {x: 1}}", "6:33: gateway.expose./desk.limits.x: there is no option 'x'"),
        (
            "{app: desk, name: rest}",
            "6:12: gateway.expose./desk: this makes a route 'rest', and there is one of that name",
        ),
        ("{app: {desk: {_: {disabled: true}}}}", "6:18: gateway.expose./desk.app: this plugin cannot be disabled"),
        ("{app: desk, to: {connection: x}}", "6:24: gateway.expose./desk.to: there is no option 'to'"),
        ("{desk: {x: 1}}", "6:20: gateway.expose./desk.desk.x: there is no option 'x'"),
        ("5", "6:12: gateway.expose./desk: an entry is a plugin's name"),
    ],
)
def test_a_mistake_in_an_entry_is_told_with_its_place(site, entry, said):
    text = f"""routes: [{{name: rest}}]
management: {{listen: ["127.0.0.1:0"]}}
gateway:
  listen: ["127.0.0.1:0"]
  expose:
    /desk: {entry}
"""
    with pytest.raises(ConfigError) as refused, running(text, plugins_dir=site):
        pass
    assert said in str(refused.value).removeprefix("document.yaml:")


@pytest.mark.parametrize("prefix", ["/a/{b}", "/a/*", "/%61", "/a/../b", "/ä"])
def test_a_path_behind_a_flow_is_one_of_plain_segments(site, prefix):
    with pytest.raises(ConfigError, match="no path of plain segments"):
        with running({"gateway": {"expose": {prefix: {"app": "desk"}}}}, plugins_dir=site):
            pass


def test_a_plugin_that_is_disabled_alone_is_left_out(site):
    with running(exposing(True, {"desk": {"_": {"disabled": True}}}), plugins_dir=site) as gate:
        assert gate.request("GET", "/desk/echo").text == "a route"


def test_a_route_that_an_app_hides_is_warned_of(site):
    hidden = [
        {"name": "exact", "match": {"path": "/desk/tables"}},
        {"name": "below", "match": {"path": "/desk/{id}", "host": "a.example"}},
        {"name": "all", "match": {"path": "/desk/*"}},
    ]
    seen = [{"name": "beside", "match": {"path": "/desks"}}, {"name": "above", "match": {"path": "/{a}/tables"}}]
    for entry in ("desk", behind("note")):
        with running(exposing(True, entry, routes=[*hidden, *seen]), plugins_dir=site) as gate:
            told = gate.gateway.status()["warnings"]
            warned = [each for each in told if "the app at" in each]
            assert [re.findall("route '(.*)'", each) for each in warned] == [["exact"], ["below"], ["all"]], warned
            assert gate.request("GET", "/desk/echo").json()["path"] == "/desk/echo", "the app comes first"


def test_the_longest_path_of_an_app_counts(site, lane):
    document = exposing(lane, behind("note"))
    document["gateway"]["expose"].update({"/desk/free": "desk", "/open": "desk", "/open/desk": behind(AUTH)})
    with running(document, plugins_dir=site) as gate:
        assert gate.request("GET", "/desk/echo").json()["route"] == "expose /desk"
        assert gate.request("GET", "/desk/free/echo").json()["route"] is None
        assert gate.request("GET", "/open/echo").json()["route"] is None
        assert gate.request("GET", "/open/desk/echo").status_code == 401
        assert gate.request("GET", "/desks").text == "a route"


def test_commands_show_an_app_as_the_destination_of_a_route(site, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(exposing(True, behind("note"))))
    told = subprocess.run(
        [Path(sys.executable).with_name("hookgate"), "routes", "--json", str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "HOOKGATE_PLUGINS_DIR": str(site)},
        check=True,
    )
    (row,) = [each for each in json.loads(told.stdout) if each["name"] == "expose /desk"]
    assert (row["match"], row["request"], row["to"]) == ("* /desk/*", ["note"], "app desk")


# --- the way of a call -----------------------------------------------------------------------------------------------


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
    with running(exposing(lane, behind("note", timeout=0.5)), plugins_dir=site) as gate:
        with answering(gate, "/desk/events") as answer:
            for number in range(3):
                assert answer.read1() == b"data: %d\n\n" % number
                if number == 1:
                    time.sleep(0.7)  # a stream is bound until its head only
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
    with running(exposing(lane, behind("note", timeout=0.5)), plugins_dir=site) as gate:
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


# --- beside that -----------------------------------------------------------------------------------------------------


def test_without_a_flow_an_app_is_no_call_of_the_gateway(site, lane):
    with running(exposing(lane, "desk"), plugins_dir=site) as gate:
        assert gate.request("GET", "/desk/echo").json()["route"] is None
        assert gate.finished == []


def test_the_lane_hands_nothing_over_for_an_app_behind_a_flow(site, monkeypatch):
    handed = []
    monkeypatch.setattr(HandOver, "__call__", lambda *arguments: handed.append(arguments))
    with running(exposing(True, behind("note")), plugins_dir=site) as gate:
        with calling(gate, "GET /desk/by/a") as made:
            for _ in range(2):
                assert made.recv(65536).endswith(b"\r\n\r\na"), "head and body in one piece"
                made.sendall(b"GET /desk/by/a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not handed
        assert gate.wait_for_exchanges(1)[0].response.body.held == b"a"


def test_a_reload_brings_another_flow_and_keeps_the_app(site, lane):
    with running(exposing(lane, behind()), plugins_dir=site) as gate:
        before = events_of(gate)
        assert gate.request("GET", "/desk/echo").json()["who"] is None
        gate.reload(exposing(lane, behind(AUTH)))
        assert gate.request("GET", "/desk/echo").status_code == 401
        assert gate.request("GET", "/desk/echo", auth=ANNA).json()["who"] == "anna"
        assert events_of(gate) is before
        gate.reload(exposing(lane, "desk"))
        assert gate.request("GET", "/desk/echo").json()["route"] is None


def test_what_is_not_protected_is_not_touched(site, lane):
    with upstream() as backend:
        backend.answer = lambda request: (200, {}, b"backend")
        routes = [{"name": "all", "match": {"path": "/crm/*"}, "to": {"connection": "crm"}}]
        document = {**exposing(lane, behind(AUTH), routes=routes), "connections": {"crm": {"targets": backend.url}}}
        with running(document, plugins_dir=site) as gate:
            assert gate.request("GET", "/crm/desk/echo").text == "backend"
