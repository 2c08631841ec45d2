import pytest

from hookgate import ConfigError, Exchange, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_when import When


class StepOptions(Options):
    name: str
    answers: bool = False
    fails: str = ""
    claims: bool = False


class Step(Interceptor[StepOptions]):
    """Notes what it goes through in `exchange.variables["trace"]`."""

    def note(self, exchange: Exchange, sign: str, hook: str) -> None:
        exchange.variables.setdefault("trace", []).append(sign + self.options.name)
        if self.options.fails == hook:
            raise RuntimeError(hook)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        self.note(exchange, ">", "on_request")
        return Response(201) if self.options.answers else None

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        self.note(exchange, "<", "on_response")

    @hookimpl
    def on_fault(self, exchange: Exchange) -> Response | None:
        self.note(exchange, "!", "on_fault")
        return Response(299) if self.options.claims else None

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        exchange.variables.setdefault("done", []).append(self.options.name)


def step(name, **options):
    return build(Step, name=name, **options)


def trace(exchange):
    return " ".join(exchange.variables.get("trace", []))


POST = "request.method == 'POST'"


def test_the_steps_of_a_condition_that_holds_stand_in_its_place():
    branch = build(When, **{"if": POST, "flow": [step("b"), step("c")]})

    assert trace(through(step("a"), branch, step("d"), method="POST")) == ">a >b >c >d <d <c <b <a"
    assert trace(through(step("a"), branch, step("d"), method="GET")) == ">a >d <d <a"


def test_otherwise_runs_where_it_does_not_hold():
    branch = build(When, **{"if": POST, "flow": [step("b")], "otherwise": {"flow": [step("c"), step("d")]}})

    assert trace(through(step("a"), branch, method="POST")) == ">a >b <b <a"
    assert trace(through(step("a"), branch, method="GET")) == ">a >c >d <d <c <a"


def test_sides_of_a_contained_flow_are_drawn_as_everywhere():
    branch = build(When, **{"if": "true", "flow": [step("b")], "request": [step("c")], "response": [step("d")]})

    assert trace(through(step("a"), branch, step("e"))) == ">a >b >c >e <e <d <b <a"


def test_conditions_nest():
    inner = build(When, **{"if": "request.query.deep", "flow": [step("c")], "otherwise": {"flow": [step("x")]}})
    outer = build(When, **{"if": POST, "flow": [step("b"), inner, step("d")]})

    assert trace(through(step("a"), outer, step("e"), method="POST", query="deep=1")) == (
        ">a >b >c >d >e <e <d <c <b <a"
    )
    assert trace(through(step("a"), outer, step("e"), method="POST")) == ">a >b >x >d >e <e <d <x <b <a"
    assert trace(through(step("a"), outer, step("e"))) == ">a >e <e <a"


def test_a_contained_step_may_answer():
    branch = build(When, **{"if": "true", "flow": [step("b"), step("c", answers=True), step("d")]})
    exchange = through(step("a"), branch, step("e"))

    assert exchange.response.status == 201
    assert trace(exchange) == ">a >b >c <b <a"
    assert exchange.variables["done"] == ["b", "a"]


def test_a_fault_inside_goes_left_through_the_steps_inside_and_then_those_outside():
    branch = build(When, **{"if": "true", "flow": [step("b"), step("c", fails="on_request"), step("d")]})
    exchange = through(step("a"), branch, step("e"))

    assert exchange.response.status == 500
    assert trace(exchange) == ">a >b >c !b !a <b <a"


def test_a_fault_to_the_right_is_seen_inside_and_may_be_answered_there():
    branch = build(When, **{"if": "true", "flow": [step("b"), step("c", claims=True), step("d")]})
    exchange = through(step("a"), branch, step("e", fails="on_request"))

    assert exchange.response.status == 299
    assert trace(exchange) == ">a >b >c >d >e !d !c <d <c <b <a"


def test_a_fault_passes_by_the_flow_that_was_not_entered():
    branch = build(When, **{"if": "false", "flow": [step("b", claims=True)]})
    exchange = through(step("a"), branch, step("e", fails="on_request"))

    assert exchange.response.status == 500
    assert trace(exchange) == ">a >e !a <a"


def test_a_contained_step_that_fails_on_the_way_out_is_answered_further_left():
    branch = build(When, **{"if": "true", "flow": [step("b", claims=True), step("c", fails="on_response")]})
    exchange = through(step("a"), branch)

    assert exchange.response.status == 299
    assert trace(exchange) == ">a >b >c <c !b <b <a"


def test_every_step_that_let_the_call_pass_is_done_once():
    branch = build(When, **{"if": POST, "flow": [step("b"), step("c")], "otherwise": {"flow": [step("x")]}})

    assert through(step("a"), branch, step("d"), method="POST").variables["done"] == ["d", "c", "b", "a"]
    assert through(step("a"), branch, step("d")).variables["done"] == ["d", "x", "a"]


def test_the_choice_is_made_once_on_the_way_in():
    class Changing(Interceptor[Options]):
        @hookimpl
        def on_request(self, exchange: Exchange) -> None:
            exchange.request.method = "DELETE"

    branch = build(When, **{"if": POST, "flow": [Changing(Options()), step("b")], "otherwise": {"flow": [step("x")]}})

    assert trace(through(branch, method="POST")) == ">b <b"


@pytest.mark.parametrize(("status", "expected"), [(503, "<b <a"), (200, "<c <a")])
def test_on_the_way_out_the_condition_may_look_at_the_response(status, expected):
    condition = {"if": "response.status >= 500", "flow": [step("b")], "otherwise": {"flow": [step("c")]}}
    exchange = through(step("a"), response=(build(When, **condition),), upstream=lambda exchange: Response(status))

    assert trace(exchange) == f">a {expected}"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("null", False),
        ("''", False),
        ("0", False),
        ("{}", False),
        ("request.headers['x-env']", True),
        ("request.query", False),
        ("identity", False),
        ("'a' in {'a'}", True),
    ],
)
def test_what_counts_as_true(condition, holds):
    branch = build(When, **{"if": condition, "flow": [step("b")]})

    assert trace(through(branch, headers={"x-env": "qly"})) == (">b <b" if holds else "")


def test_a_condition_that_cannot_be_evaluated_is_an_error_and_not_false():
    branch = build(
        When, **{"if": "request.headers['x-none'] > 5", "flow": [step("b")], "otherwise": {"flow": [step("c")]}}
    )
    exchange = through(step("a"), branch, step("d"))

    assert (exchange.response.status, exchange.fault.reason) == (500, "plugin-error")
    assert trace(exchange) == ">a !a <a"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"if: .*required"),
        ({"if": "request.path ="}, r"if: column \d+: "),
        ({"if": True}, r"if: an expression is written as a string"),
        ({"if": "true", "else": {}}, r"else: "),
        ({"if": "true", "otherwise": {"if": "true"}}, r"otherwise.*if"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(When, **options)


def test_a_document_nests_it_and_the_backend_sees_what_the_branch_does():
    document = """
        routes:
          - name: all
            flow:
              - when:
                  if: request.headers['x-env'] == 'qly'
                  flow:
                    - when: {if: "request.path.startswith('/closed')", flow: [{respond: {status: 418}}]}
                    - request-id: {header: X-Qly-Id}
                  otherwise:
                    flow: [{respond: {status: 404}}]
            to: {connection: backend}
        connections: {backend: {targets: BACKEND}}
    """
    with upstream() as backend, running(document.replace("BACKEND", backend.url)) as gate:
        inside = gate.request("GET", "/open", headers={"x-env": "qly"})
        assert inside.status_code == 200
        assert inside.headers["x-qly-id"] == backend.requests[0].header("x-qly-id")
        assert gate.request("GET", "/closed", headers={"x-env": "qly"}).status_code == 418
        assert gate.request("GET", "/open").status_code == 404
        assert len(backend.requests) == 1


@pytest.mark.parametrize("place", ["if", "when"])
def test_a_condition_may_look_at_the_body_which_is_kept_for_it(place):
    asked = "request.body.split('&').{? #this == 'b=2'}"
    closed = {"respond": {"status": 418}}
    step = {"when": {"if": asked, "flow": [closed]}}
    if place == "when":
        step = {"respond": {"status": 418, "_": {"when": asked}}}
    with upstream() as backend:
        document = {
            "gateway": {"limits": {"buffered_body": 300_000}},
            "routes": [{"name": "all", "flow": [step], "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            for body, status in [("a=1&b=2", 418), ("a=1&b=3", 200), ("", 200), ("a" * 400_000, 413)]:
                assert gate.request("POST", "/", content=body.encode()).status_code == status
                halves = [body[:3].encode(), body[3:].encode()]
                assert gate.request("POST", "/", content=iter(halves)).status_code == status

    assert [request.body for request in backend.requests] == [b"a=1&b=3", b"a=1&b=3", b"", b""]
