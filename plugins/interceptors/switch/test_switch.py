import pytest

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_switch import Switch

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


class StepOptions(Options):
    name: str


class Step(Interceptor[StepOptions]):
    """Notes what it goes through in `exchange.variables["trace"]`."""

    def note(self, exchange: Exchange, sign: str) -> None:
        exchange.variables.setdefault("trace", []).append(sign + self.options.name)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        self.note(exchange, ">")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        self.note(exchange, "<")

    @hookimpl
    def on_fault(self, exchange: Exchange) -> Response | None:
        self.note(exchange, "!")


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


class Locked(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> Response:
        return Response(403)


def flow(*names):
    return {"flow": [build(Step, name=name) for name in names]}


def trace(*steps, **call):
    return " ".join(through(*steps, **call).variables.get("trace", []))


def test_the_first_case_that_holds_is_the_one():
    switch = build(
        Switch,
        cases=[
            {"when": "request.method == 'PUT'", **flow("a")},
            {"when": "request.query.x", **flow("b", "c")},
            {"when": "request.query.x == '1'", **flow("d")},
        ],
        default=flow("e"),
    )

    assert trace(switch, method="PUT", query="x=1") == ">a <a"
    assert trace(switch, query="x=1") == ">b >c <c <b"
    assert trace(switch) == ">e <e"


def test_a_case_behind_one_that_holds_is_not_asked():
    switch = build(Switch, cases=[{"when": "true", **flow("a")}, {"when": "null + 1", **flow("b")}])

    assert trace(switch) == ">a <a"


def test_without_a_default_nothing_runs_where_no_case_holds():
    switch = build(Switch, cases=[{"when": "false", **flow("a")}])
    exchange = through(switch)

    assert (exchange.response.status, exchange.variables) == (200, {})


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("'gold'", ">a <a"),
        ("'default'", ">z <z"),
        ("'is gold'", ">z <z"),
        ("7", ">b <b"),
        ("'7'", ">b <b"),
        ("1 == 1", ">c <c"),
        ("null", ">z <z"),
        ("{'gold'}", ">z <z"),
        ("request.query.none", ">z <z"),
        ("''", ">d <d"),
    ],
)
def test_a_value_chooses_the_case_of_its_name(on, expected):
    cases = {"gold": flow("a"), "7": flow("b"), "true": flow("c"), "": flow("d"), "None": flow("e")}

    assert trace(build(Switch, on=on, cases=cases, default=flow("z"))) == expected


def test_sides_faults_and_nesting_are_those_of_a_flow():
    inner = build(Switch, cases=[{"when": "true", **flow("c")}])
    case = {"when": "true", "flow": [build(Step, name="b"), inner], "response": [build(Step, name="d")]}
    outer = build(Switch, cases=[case])

    assert trace(build(Step, name="a"), outer) == ">a >b >c <d <c <b <a"
    assert trace(build(Step, name="a"), outer, build(Refusing)) == ">a >b >c !d !c !b !a <d <c <b <a"


def test_on_the_way_out_the_conditions_may_look_at_the_answer():
    switch = build(Switch, on="response.status", cases={"404": flow("a"), "200": flow("b")})

    assert [
        " ".join(through(response=(switch,), upstream=Response(status)).variables.get("trace", []))
        for status in (404, 200, 500)
    ] == ["<a", "<b", ""]


def test_a_condition_that_cannot_be_evaluated_is_an_error_and_not_false():
    locks = [{"when": "null + 1", "flow": [build(Locked)]}]
    exchange = through(build(Switch, cases=locks, default=flow("open")))

    assert (exchange.response.status, exchange.fault.reason) == (500, "plugin-error")


@BOTH
@pytest.mark.row("FL-22")
def test_calls_are_routed_by_their_content(lane):
    with upstream() as usual, upstream() as urgent:
        document = {
            "gateway": {"lane": lane, "limits": {"buffered_body": 100}},
            "routes": [
                {
                    "name": "orders",
                    "flow": [
                        {
                            "switch": {
                                "cases": [
                                    {
                                        "when": "'\"urgent\": true' in request.body",
                                        "flow": [{"destination": {"connection": "urgent"}}],
                                    },
                                    {"when": "request.headers['x-closed']", "flow": [{"respond": {"status": 418}}]},
                                ],
                            },
                        }
                    ],
                    "to": {"connection": "usual"},
                }
            ],
            "connections": {"usual": {"targets": usual.url}, "urgent": {"targets": urgent.url}},
        }
        with running(document) as gate:
            for body in (b'{"urgent": true}', b'{"urgent": false}', b""):
                assert gate.request("POST", "/", content=body).status_code == 200
                assert gate.request("POST", "/", content=iter([body[:5], body[5:]])).status_code == 200
            assert gate.request("POST", "/", headers={"x-closed": "1"}).status_code == 418
            assert gate.request("POST", "/", content=b"x" * 101).status_code == 413

    assert urgent.bodies == [b'{"urgent": true}'] * 2
    assert usual.bodies == [b'{"urgent": false}'] * 2 + [b""] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "cases: is required"),
        ({"cases": []}, "cases: should have at least 1"),
        ({"cases": {}, "on": "1"}, "cases: should have at least 1"),
        ({"cases": [{"flow": []}]}, r"cases\[0\].when: is required"),
        ({"cases": [{"when": "a ="}]}, r"cases\[0\].when: column \d+"),
        ({"cases": {"a": {}}}, "on is required"),
        ({"cases": [{"when": "true"}], "on": "1"}, "needs no `on`"),
        ({"cases": {"a": {"when": "true"}}, "on": "1"}, r"cases.a.when: there is no option"),
        ({"cases": {"a": {"flow": [{"respond": {"statu": 1}}]}}, "on": "1"}, r"cases.a.flow\[0\].respond.statu: "),
        ({"cases": [{"when": "1", "flow": ["nothing"]}]}, r"cases\[0\].flow\[0\]: .*nothing"),
        ({"cases": [{"when": "1", "response": ["respond"]}]}, r"cases\[0\].response\[0\]: respond cannot stand"),
        ({"cases": {"a": {"response": ["respond"]}}, "on": "1"}, r"cases.a.response\[0\]: respond cannot stand"),
        ({"cases": "a"}, "cases: should be a list"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Switch, **options)
