"""How instances go through their cells: ways that part and meet, circles, and what ends them."""

import pytest

from .served import document, serving, setter, workflow

RESPONSE = "*response*"


def graph(transitions, **cells):
    made = {
        name: cell if "original_name" in cell else {"original_name": "context_setter", "params": cell}
        for name, cell in cells.items()
    }
    return {
        "cells": {"start": {"original_name": "start"}, "end": {"original_name": "end"}, **made},
        "transitions": [each.split(" > ") for each in transitions],
    }


def node(name, **params):
    return {"original_name": name, "params": params}


COUNT = {"key": "n", "value": "{{ (context.n or 0) + 1 }}"}
TOLD = {"key": RESPONSE, "value": {"body": "{{ context }}"}}
ANSWER = '{"a": "{{ context.a }}", "b": {{ context.b | tojson }}, "r": {{ context.r | length }}}'
FOURFOLD = "{{ context.x ~ context.x ~ context.x ~ context.x }}"
ROWS = [{"a": 1, "b": 'x, "y"'}, {"a": None, "c": [1]}]
WORKFLOWS = {
    "join": graph(
        [
            *("start.ok > a", "start.ok > b", "a.ok > join", "b.ok > pause", "pause.ok > join", "join.ok > count"),
            *("count.ok > told", "told.ok > end"),
        ],
        a={"key": "a", "value": 1},
        b={"key": "b", "value": 2},
        pause=node("timer", timeout="20 ms"),
        join=node("sync_outputs"),
        count=COUNT,
        told=TOLD,
    ),
    "first": graph(
        ["start.ok > a", "start.ok > b", "a.ok > or", "b.ok > or", "or.ok > count", "count.ok > told", "told.ok > end"],
        a={"key": "a", "value": 1},
        b={"key": "b", "value": 2},
        **{"or": node("or_outputs")},
        count=COUNT,
        told=TOLD,
    ),
    "circle": graph(
        [
            "start.ok > or",
            "or.ok > count",
            "count.ok > enough",
            "enough.false > or",
            "enough.true > told",
            "told.ok > end",
        ],
        **{"or": node("or_outputs")},
        count=COUNT,
        enough=node("boolean_expression", expression="context.n >= 5"),
        told=TOLD,
    ),
    "jump": graph(
        ["start.ok > count", "count.ok > enough", "enough.no > back", "enough.default > told", "told.ok > end"],
        count=COUNT,
        enough=node("switch", expressions={"no": "{{ context.n < 3 }}", "never": "context.n < 3"}),
        back=node("goto", target="count"),
        told=TOLD,
    ),
    "endless": graph(
        ["start.ok > count", "count.ok > ask", "ask.true > count", "ask.false > end"],
        count=COUNT,
        ask=node("boolean_expression", expression="true"),
    ),
    "stuck": graph(
        ["start.ok > ask", "ask.true > a", "ask.false > join", "a.ok > join", "join.ok > end"],
        ask=node("boolean_expression", expression="true"),
        a={"key": "a", "value": 1},
        join=node("sync_outputs"),
    ),
    "open": graph(["start.ok > ask", "ask.false > end"], ask=node("boolean_expression", expression="true")),
    "caught": graph(
        ["start.ok > bad", "bad.ok > end", "bad.error > told", "told.ok > end"],
        bad={"key": "x", "value": "{{ none.y.z }}"},
        told={"key": RESPONSE, "value": {"body": "{{ tasks.bad.status }}"}},
    ),
    "marked": graph(
        ["start.ok > a", "a.ok > mark", "mark.ok > status", "status.ok > told", "told.ok > end"],
        a={"key": "a", "value": 1},
        mark=node("set_task_status", target_id="a", status="ERROR", message="look at {{ context.a }}"),
        status=node("set_request_status", status="half done"),
        told=TOLD,
    ),
    "many": workflow(
        ("set", node("multi_context_setter", entries={"a": "{{ request.params.x }}", "b": ["{{ 1 + 1 }}"]})),
        ("random", node("generate_random_string", output_context_key="r", length=40, special_chars=True)),
        ("answer", node("sync_response", status="{{ 200 + 1 }}", body=ANSWER)),
    ),
    "rows": workflow(
        ("file", node("create_csv", filename="{{ request.params.name }}", inputs=ROWS)),
        ("answer", setter("*doc_response*", "{{ request.params.name }}")),
    ),
    "large": workflow(("set", setter("x", "{{ 'x' ~ request.params.x }}")), ("more", setter("y", FOURFOLD))),
    "late": workflow(("wait", node("timer", timeout="30 sec"))),
    "slow": workflow(("wait", node("timer", timeout="300 ms"))),
}


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    routes = [
        {"route": f"/{name}", "method": "get", "workflow": name, "sync": True, "public": True} for name in WORKFLOWS
    ]
    routes[list(WORKFLOWS).index("slow")]["timeout"] = "100ms"
    made = document(WORKFLOWS, routes, workflow_engine={"limits": {"cells": 100, "context": 4096}})
    with serving(folder, f"sqlite:///{folder / 'store.db'}", made) as served:
        yield served


def last(farm):
    done = [each.facts for each in farm.gate.wait_for_exchanges(1) if "workflow" in each.facts]
    return farm.transaction(done[-1]["workflow"]["guid"]).json()


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("join", {"a": 1, "b": 2, "n": 1}),
        ("first", {"a": 1, "n": 1}),
        ("circle", {"n": 5}),
        ("jump", {"n": 3}),
    ],
)
def test_ways_part_and_meet(farm, name, context):
    told = farm.public(f"/{name}").json()

    assert {key: value for key, value in told.items() if key != "b" or name == "join"} == context


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("endless", "more than 100 cells were run"),
        ("stuck", "join waits for inputs that never come"),
        ("open", "it ended at 'true', which leads nowhere"),
    ],
)
def test_what_can_reach_no_end_fails_with_a_reason(farm, name, why):
    told = farm.public(f"/{name}")

    assert (told.status_code, told.json()["reason"]) == (500, "workflow-failed")
    assert (last(farm)["status"], last(farm)["errors"][-1]["message"]) == ("CLOSED_IN_ERRORS", why)


def test_a_failure_that_leads_somewhere_is_none(farm):
    assert farm.public("/caught").text == "ERROR"
    assert last(farm)["status"] == "CLOSED_IN_SUCCESS"


@pytest.mark.row("CR-8")
def test_a_workflow_gives_its_request_and_its_tasks_a_status(farm):
    farm.public("/marked")
    told = last(farm)

    assert (told["status"], told["request_status"]) == ("CLOSED_IN_SUCCESS", "half done")
    assert [(task["status"], task["error"]) for task in told["tasks"] if task["cell"] == "a"] == [
        ("ERROR", "look at 1")
    ]


def test_several_values_a_text_by_chance_and_an_answer(farm):
    told = farm.public("/many?x=1")

    assert (told.status_code, told.json()) == (201, {"a": "1", "b": [2], "r": 40})


def test_rows_may_be_objects_and_a_file_has_no_path(farm):
    told = farm.public("/rows?name=a%20b.csv")
    assert told.text == 'a,b,c\r\n1,"x, ""y""",\r\n,,[1]\r\n'

    for name in ("../x.csv", "a/b.csv", ".."):
        assert farm.public("/rows", params={"name": name}).json()["reason"] == "workflow-failed"


def test_a_context_has_a_limit(farm):
    assert farm.public("/large", params={"x": "x" * 2000}).json()["reason"] == "workflow-failed"
    assert last(farm)["errors"][0]["message"] == "the context would have more than 4096 bytes with y"


@pytest.mark.row("CR-6")
def test_a_call_does_not_wait_for_ever_and_the_instance_goes_on(farm):
    told = farm.public("/slow")
    assert (told.status_code, told.json()["reason"]) == (504, "workflow-timeout")
    assert farm.closed(last(farm)["guid"])["status"] == "CLOSED_IN_SUCCESS"

    told = farm.public("/late")
    assert (told.status_code, told.json()["reason"]) == (504, "workflow-waits")
    assert last(farm)["waits_for"] == "time"
