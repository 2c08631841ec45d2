"""Apps behind a flow: the calls below their path take the way of a route, over the lane and the edge alike."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hookgate.exchange.errors import ConfigError
from hookgate.server.edge.handover import HandOver
from hookgate.testing import running, upstream

from .strangers import ANNA, AUTH, behind, calling, events_of, exposing

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
