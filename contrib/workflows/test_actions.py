"""What instances ask people: approvals, actions by hand, and the one answer that counts (WF-1)."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from typer.testing import CliRunner

from hookgate.commands import app

from .served import document, refused, serving, setter

START, END = {"original_name": "start"}, {"original_name": "end"}


def asking(node, outputs, **params):
    cells = {"start": START, "ask": {"original_name": node, "params": params}, "end": END}
    transitions = [["start.ok", "ask"]]
    for output in outputs:
        cells[f"is {output}"] = setter("way", output)
        transitions += [[f"ask.{output}", f"is {output}"], [f"is {output}.ok", "end"]]
    return {"cells": cells, "transitions": transitions}


BOTH = ("approved", "refused")
CANCELLED = asking("trigger_manual_action", ("done", "cancelled"), title="Call the customer", roles=["boss"])
CANCELLED["cells"] |= {
    "other": {"original_name": "user_approval", "params": {"title": "Withdraw it?", "users": ["bob"]}},
    "cancel": {"original_name": "cancel_manual_action", "params": {"action": "ask"}},
}
CANCELLED["transitions"] += [["start.ok", "other"], ["other.approved", "cancel"], ["cancel.ok", "end"]]
WORKFLOWS = {
    "refund": asking(
        "user_approval",
        BOTH,
        title="Refund {{ request.body.sum }}?",
        text="Order {{ request.body.order }}",
        users=["bob"],
        roles=["boss"],
        output_context_key="answer",
    ),
    "hurry": asking("user_approval", (*BOTH, "timed_out"), title="Now?", users=["bob"], timeout="100 ms"),
    "ship": asking(
        "trigger_manual_action",
        ("sent", "lost"),
        title="Send it",
        roles=["{{ request.body.role }}"],
        actions=["sent", "lost"],
        output_context_key="answer",
    ),
    "cancelled": CANCELLED,
}
ROUTES = [{"route": f"/{name}", "method": "post", "workflow": name} for name in WORKFLOWS]
SENT = {"sum": 20, "order": "A1", "role": "packer"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, store_in(folder), document(WORKFLOWS, ROUTES)) as served:
        yield served


def begun(gate, name, who="ann"):
    told = gate.call(f"/api/v01/custom/{name}", "POST", who=who, json=SENT)
    assert told.status_code == 202, told.text
    return told.json()["id"]


def waits(gate, number):
    return gate.until(number, lambda told: told["waits_for"] == "person")


def listed(gate, number, who="bob", roles=""):
    told = gate.call("/api/v01/actions", who=who, roles=roles).json()["actions"]
    return [each for each in told if each["transaction"] == number]


def answer(gate, action, answer="approved", who="bob", roles="", **more):
    return gate.call(f"/api/v01/actions/{action}", "POST", who=who, roles=roles, json={"answer": answer, **more})


def manage(gate, method, path, body=None):
    url = f"{gate.gate.management}/-/api{path}"
    headers = {"authorization": "Bearer token-of-ann"}
    return httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)


@pytest.mark.stores
@pytest.mark.parametrize("chosen", BOTH)
def test_an_approver_sees_what_is_asked_and_answers_once(gate, chosen):
    number = begun(gate, "refund")
    told = waits(gate, number)
    assert told["reason"] == "ask: asks: Refund 20?"
    (action,) = listed(gate, number)
    assert action["title"] == "Refund 20?"
    assert (action["text"], action["answers"], action["owner"]) == ("Order A1", [*BOTH], "ann")
    assert listed(gate, number, "eve") == listed(gate, number, "ann", "boss") == []
    assert listed(gate, number, "eve", "boss") == listed(gate, number, "ops", "operator") == [action]

    done = answer(gate, action["id"], chosen, comment="as agreed", data={"n": 1})
    assert (done.status_code, done.json()["by"]) == (202, "bob")
    found = gate.closed(number)
    assert (found["status"], found["context"]["way"]) == ("CLOSED_IN_SUCCESS", chosen)
    given = found["context"]["answer"]
    assert (given["answer"], given["comment"], given["data"]) == (chosen, "as agreed", {"n": 1})
    assert listed(gate, number) == []
    again = answer(gate, action["id"])
    assert (again.status_code, again.json()["reason"]) == (409, "unanswerable")
    assert f"bob has answered: {chosen}" in again.json()["detail"]
    (noted,) = manage(gate, "GET", f"/audit?object=transactions/{number}").json()["entries"]
    assert (noted["who"], noted["action"]) == ("bob", "answer")


@pytest.mark.stores
def test_of_many_answers_at_once_one_counts(gate):
    number = begun(gate, "refund")
    waits(gate, number)
    (action,) = listed(gate, number)
    with ThreadPoolExecutor(8) as pool:
        told = [each.status_code for each in pool.map(lambda n: answer(gate, action["id"], BOTH[n % 2]), range(8))]
    assert told.count(202) == 1
    assert {*told} <= {202, 409, 503}
    tasks = gate.closed(number)["tasks"]
    assert len([each for each in tasks if each["cell"].startswith("is ")]) == 1


def test_nobody_answers_for_others_and_bad_answers_change_nothing(gate):
    number = begun(gate, "refund")
    waits(gate, number)
    (action,) = listed(gate, number)
    before = gate.transaction(number).json()
    for who, roles, status in (("", "", 401), ("eve", "", 403), ("ann", "boss", 403), ("ann", "operator", 403)):
        assert answer(gate, action["id"], who=who, roles=roles).status_code == status
    for body in (
        {},
        {"answer": "maybe"},
        {"answer": 1},
        {"answer": "approved", "x": 1},
        [],
        {"answer": "approved", "comment": "x" * 4001},
    ):
        told = gate.call(f"/api/v01/actions/{action['id']}", "POST", who="bob", json=body)
        assert told.status_code == 400, body
    for wrong in ("999999-1", f"{number}-1", f"{number}-99", "x", "0-0"):
        assert answer(gate, wrong).status_code == 404
    assert answer(gate, action["id"], comment="x" * 70_000).status_code == 413
    assert gate.transaction(number).json() == before


@pytest.mark.stores
def test_where_nobody_answers_in_time_it_goes_on_and_answers_are_refused(gate):
    number = begun(gate, "hurry")
    found = gate.closed(number)
    assert found["context"] == {"way": "timed_out"}
    task = found["tasks"][1]["number"]
    told = answer(gate, f"{number}-{task}")
    assert (told.status_code, told.json()["detail"]) == (409, "its transaction is over: CLOSED_IN_SUCCESS.")


def test_an_instance_that_was_closed_takes_no_answer(gate):
    number = begun(gate, "refund")
    waits(gate, number)
    (action,) = listed(gate, number)
    closed = gate.call(f"/api/v01/transactions/{number}/repairs", "POST", who="ann", json={"action": "close"})
    assert closed.status_code == 202
    assert listed(gate, number) == []
    told = answer(gate, action["id"])
    assert (told.status_code, told.json()["detail"]) == (409, "its transaction is over: CLOSED_IN_ERRORS.")


def test_an_action_by_hand_has_answers_of_its_own(gate):
    number = begun(gate, "ship")
    waits(gate, number)
    (action,) = listed(gate, number, "pat", "packer")
    assert action["answers"] == ["sent", "lost"]
    assert answer(gate, action["id"], "lost", "ann", "packer", data="on the way").status_code == 202
    found = gate.closed(number)["context"]
    assert (found["way"], found["answer"]["data"]) == ("lost", "on the way")


def test_an_action_is_withdrawn_by_another_cell(gate):
    number = begun(gate, "cancelled")
    waits(gate, number)
    (action,) = listed(gate, number, "pat", "boss")
    (other,) = listed(gate, number)
    assert answer(gate, other["id"]).status_code == 202
    gate.closed(number)
    assert [each["output"] for each in gate.transaction(number).json()["tasks"] if each["cell"] == "ask"] == [
        "cancelled"
    ]
    assert answer(gate, action["id"], "done", "pat", "boss").status_code == 409


def test_operators_answer_over_the_management_api_and_by_command(gate, monkeypatch):
    monkeypatch.setenv("HOOKGATE_MANAGEMENT_TOKEN", "token-of-ann")
    number, other = begun(gate, "refund", "joe"), begun(gate, "refund")
    waits(gate, number)
    waits(gate, other)
    ids = {each["transaction"]: each["id"] for each in manage(gate, "GET", "/actions").json()["actions"]}
    assert other not in ids, "ann has started it"

    def run(*words):
        return CliRunner().invoke(app, ["workflow", *words, "--management", gate.gate.management])

    assert f"{ids[number]}  Refund 20?  [approved, refused]\n" in run("actions").stdout
    assert manage(gate, "POST", f"/actions/{ids[number]}", {"answer": "x"}).status_code == 422
    assert manage(gate, "POST", "/actions/1-99", {"answer": "x"}).status_code == 404
    done = run("approve", ids[number], "--refuse", "--comment", "too much")
    assert (done.exit_code, done.stdout) == (0, f"refused: transaction {number}\n")
    assert gate.closed(number)["context"]["way"] == "refused"
    assert run("approve", ids[number]).exit_code == 2


def test_actions_that_cannot_be_are_refused(tmp_path):
    bad = asking("trigger_manual_action", ("done",), title="x", actions=["done", "timed_out"])
    told = refused(tmp_path, document({"bad": bad}, []))
    assert "'timed_out' is an output that the cell has anyway" in told
