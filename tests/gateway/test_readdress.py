"""Sections that change where a call goes before its route is looked for."""

import pytest

from hookgate.testing import running

SECTIONS = """
from hookgate import FlowOptions, Forbidden, Interceptor, Options, Response, Section, Ways, hookimpl

class Stamp(Interceptor[Options]):
    @hookimpl
    async def on_request(self, exchange):
        exchange.variables["stamped"] = exchange.variables.get("stamped", 0) + 1

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.add("x-stamped", str(exchange.variables["stamped"]))

class Turns(Section[FlowOptions]):
    shape = "record"

    @hookimpl
    def readdress(self, host):
        ways = self.record.ways()

        def look(exchange):
            exchange.request.headers.add("x-asked", "turns")
            match exchange.request.path:
                case "/named":
                    return "elsewhere", (ways,)
                case "/moved":
                    exchange.request.path = "/there"
                    return "", (ways,)
                case "/gone":
                    exchange.request.path = "/nowhere"
                    return "", (ways,)
                case "/forbidden":
                    raise Forbidden("not here")
                case "/broken":
                    raise ZeroDivisionError("by zero")
                case "/unknown":
                    return "no such route", ()
                case "/nonsense":
                    return None
            return "", ()

        return look

class MoreTurns(Section[FlowOptions]):
    shape = "record"

    @hookimpl
    def readdress(self, host):
        ways = self.record.ways()

        def look(exchange):
            return "", (ways,) if exchange.request.path == "/there" else ()

        return look
"""
DOCUMENT = """
gateway: {lane: LANE}
turns: {flow: [stamp]}
more-turns: {flow: [stamp]}
routes:
  - {name: there, match: {path: /there}, flow: [{respond: {body: there}}]}
  - {name: elsewhere, match: {path: /e, when: "false"}, flow: [{respond: {body: elsewhere}}]}
"""


@pytest.fixture(params=["true", "false"], ids=["lane", "edge"])
def gate(request, tmp_path):
    (tmp_path / "turns.py").write_text(SECTIONS)
    with running(DOCUMENT.replace("LANE", request.param), plugins_dir=tmp_path) as gate:
        yield gate


def test_a_section_names_a_route_or_changes_the_path_and_its_steps_stand_in_front(gate):
    named, moved, usual = (gate.request("GET", path) for path in ("/named", "/moved", "/there"))

    assert (named.text, named.headers["x-stamped"]) == ("elsewhere", "1")
    assert (moved.text, moved.headers["x-stamped"]) == ("there", "2, 2")
    assert (usual.text, usual.headers["x-stamped"]) == ("there", "1")


def test_its_steps_see_the_answer_where_no_route_is_found(gate):
    gone = gate.request("GET", "/gone")

    assert (gone.status_code, gone.headers["x-stamped"]) == (404, "1")
    assert "x-stamped" not in gate.request("GET", "/other").headers
    assert gate.request("GET", "/e").status_code == 404


def test_a_fault_of_a_section_is_the_answer_and_its_failure_is_500_and_tells_nothing(gate):
    assert gate.request("GET", "/forbidden").status_code == 403
    for path in ("/broken", "/unknown", "/nonsense"):
        answer = gate.request("GET", path)
        assert (answer.status_code, answer.json()["reason"]) == (500, "plugin-error")
        assert "by zero" not in answer.text
    assert any("Turns" in str(record.exc_text) or "turns" in str(record.exc_text) for record in gate.log)
