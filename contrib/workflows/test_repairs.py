"""What people do to instances that have failed: replay, skip, rollback, and closing them (WF-2)."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from hookgate.commands import app
from hookgate.testing import upstream
from hookgate_storage import Database
from hookgate_workflows.tables import instances

from .served import document, serving, setter, workflow

PARAMS = {"connection": "shop", "url": "/pay", "method": "POST", "http_codes": ["2**"]}
FAILS = {"original_name": "http_call", "params": PARAMS}
END = {"original_name": "end"}
START = {"original_name": "start"}
PAY = {
    "cells": {
        "start": START,
        "pay": FAILS,
        "paid": setter("way", "paid"),
        "skipped": setter("way", "skipped"),
        "undone": setter("way", "undone"),
        "end": END,
    },
    "transitions": [
        *(["start.ok", "pay"], ["pay.2**", "paid"], ["pay.skip", "skipped"], ["pay.rollback", "undone"]),
        *([f"{each}.ok", "end"] for each in ("paid", "skipped", "undone")),
    ],
}
PLAIN = {"cells": {"start": START, "pay": FAILS, "end": END}, "transitions": [["start.ok", "pay"], ["pay.2**", "end"]]}
BOTH = {
    "cells": {
        "start": START,
        **{name: {**FAILS, "params": {**PARAMS, "url": f"/{name}"}} for name in ("one", "two")},
        "join": {"original_name": "sync_outputs"},
        "end": END,
    },
    "transitions": [
        *(["start.ok", "one"], ["start.ok", "two"], ["one.2**", "join"], ["two.2**", "join"], ["join.ok", "end"]),
    ],
}
SLOW = workflow(("wait", {"original_name": "timer", "params": {"timeout": "1 h"}}))
WORKFLOWS = {"pay": PAY, "plain": PLAIN, "both": BOTH, "slow": SLOW, "held": PLAIN}
ROUTES = [{"route": f"/{name}", "method": "post", "workflow": name} for name in WORKFLOWS]


class Backend:
    """Refuses as long as it is told to."""

    def __init__(self):
        self.broken, self.go = True, threading.Event()
        self.go.set()

    async def __call__(self, request):
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        return (500 if self.broken else 200), {}, "told"


@pytest.fixture(scope="module")
def shop():
    with upstream() as made:
        made.answer = Backend()
        yield made


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in, shop):
    folder = tmp_path_factory.mktemp("gate")
    made = document(WORKFLOWS, ROUTES, connections={"shop": {"targets": shop.url}})
    made["management"]["apps"][1]["management"]["callers"] |= {
        "eve": {"token": "token-of-eve", "permissions": ["transactions"]}
    }
    with serving(folder, store_in(folder), made) as served:
        yield served


@pytest.fixture(autouse=True)
def _broken(shop):
    shop.answer.broken = True
    shop.answer.go.set()


def begun(gate, name, who="ann"):
    told = gate.call(f"/api/v01/custom/{name}", "POST", who=who)
    assert told.status_code == 202, told.text
    return told.json()["id"]


def failed(gate, name):
    found = gate.closed(begun(gate, name))
    assert found["status"] == "CLOSED_IN_ERRORS"
    return found


def offered(found):
    return {task["cell"]: task["offers"] for task in found["tasks"] if task["offers"]}


def repair(gate, number, action, who="ann", **more):
    body = {"action": action, **more}
    return gate.call(f"/api/v01/transactions/{number}/repairs", "POST", who=who, json=body)


def manage(gate, method, path, body=None, token="token-of-ann"):
    url = f"{gate.gate.management}/-/api{path}"
    return httpx.request(
        method, url, json=body, headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    )


@pytest.mark.stores
@pytest.mark.parametrize(("action", "way"), [("replay", "paid"), ("skip", "skipped"), ("rollback", "undone")])
def test_a_failed_task_offers_what_is_connected_and_the_instance_goes_on(gate, shop, action, way):
    found = failed(gate, "pay")
    assert offered(found) == {"pay": ["replay", "skip", "rollback"]}
    shop.answer.broken = action != "replay"
    told = repair(gate, found["id"], action)
    assert (told.status_code, told.json()) == (202, {"id": found["id"], "guid": found["guid"]})

    after = gate.closed(found["id"])
    assert (after["status"], after["errors"], after["context"]) == ("CLOSED_IN_SUCCESS", [], {"way": way})
    (task,) = (each for each in after["tasks"] if each["cell"] == "pay")
    assert task["attempt"] == (2 if action == "replay" else 1)
    assert f"ann has chosen: {action}" in task["messages"]
    assert offered(after) == {}
    assert repair(gate, found["id"], action).status_code == 409
    (noted,) = manage(gate, "GET", f"/audit?object=transactions/{found['id']}").json()["entries"]
    assert (noted["who"], noted["action"], noted["outcome"]) == ("ann", action, "done")


def test_what_is_not_connected_is_not_offered_and_changes_nothing(gate):
    found = failed(gate, "plain")
    assert offered(found) == {"pay": ["replay"]}
    for more, status in (
        ({"action": "skip"}, 409),
        ({"action": "replay", "task": 1}, 409),
        ({"action": "replay", "task": "2"}, 400),
        ({"action": "undo"}, 400),
        ({"action": "replay", "why": "x"}, 400),
        ({"action": "close", "reason": "x" * 1001}, 400),
        ({"action": "close"}, 409),
    ):
        told = gate.call(f"/api/v01/transactions/{found['id']}/repairs", "POST", who="ann", json=more)
        assert told.status_code == status, (more, told.text)
    assert "task 2 offers replay" in repair(gate, found["id"], "skip").json()["detail"]
    for body in (b"", b"[]", b"{", b"x" * 20_000):
        told = gate.call(f"/api/v01/transactions/{found['id']}/repairs", "POST", who="ann", content=body)
        assert told.status_code in (400, 413)
    assert gate.transaction(found["id"]).json() == found


def test_only_who_has_started_it_and_operators_may(gate):
    number = failed(gate, "pay")["id"]
    assert repair(gate, number, "skip", who="").status_code == 401
    assert repair(gate, number, "skip", who="eve").status_code == 403
    assert repair(gate, 999_999, "skip").status_code == 404
    path = f"/transactions/{number}/repairs"
    assert manage(gate, "POST", path, {"action": "skip"}, "token-of-eve").status_code == 403
    assert manage(gate, "POST", "/transactions/999999/repairs", {"action": "skip"}).status_code == 404
    assert manage(gate, "POST", path, {"action": "undo"}).status_code == 422
    assert manage(gate, "POST", path, {"action": "skip", "task": 1}).status_code == 409
    assert manage(gate, "POST", path, {"action": "skip"}).status_code == 202
    assert gate.closed(number)["context"] == {"way": "skipped"}


def test_who_replays_what_fails_again_may_replay_it_again(gate, shop):
    number = failed(gate, "plain")["id"]
    for attempt in (2, 3):
        assert repair(gate, number, "replay").status_code == 202
        found = gate.until(number, lambda told, n=attempt: told["tasks"][1]["attempt"] == n and told["closed"])
        assert found["status"] == "CLOSED_IN_ERRORS"
    assert len(found["errors"]) == 1
    shop.answer.broken = False
    assert repair(gate, number, "replay").status_code == 202
    assert gate.closed(number)["status"] == "CLOSED_IN_SUCCESS"


@pytest.mark.stores
def test_of_many_who_repair_at_once_one_does(gate, shop):
    number = failed(gate, "plain")["id"]
    before, shop.answer.broken = len(shop.requests), False
    with ThreadPoolExecutor(8) as pool:
        told = [each.status_code for each in pool.map(lambda _: repair(gate, number, "replay"), range(8))]
    assert sorted(told) == [202, *[409] * 7]
    assert gate.closed(number)["status"] == "CLOSED_IN_SUCCESS"
    assert len(shop.requests) == before + 1


def test_two_tasks_that_failed_are_repaired_one_after_the_other(gate, shop):
    found = failed(gate, "both")
    assert offered(found) == {"one": ["replay"], "two": ["replay"]}
    assert "more than one task" in repair(gate, found["id"], "replay").json()["detail"]
    shop.answer.broken = False
    tasks = {task["cell"]: task["number"] for task in found["tasks"]}
    assert repair(gate, found["id"], "replay", task=tasks["two"]).status_code == 202
    half = gate.until(found["id"], lambda told: offered(told) == {"one": ["replay"]})
    assert [each["cell"] for each in half["errors"]] == ["one"]
    assert repair(gate, found["id"], "replay", task=tasks["one"]).status_code == 202
    after = gate.until(found["id"], lambda told: told["status"] == "CLOSED_IN_SUCCESS")
    assert [each["attempt"] for each in after["tasks"]] == [1, 2, 2, 1, 1]


@pytest.mark.stores
def test_one_that_waits_or_runs_is_closed(gate, shop):
    waits = begun(gate, "slow")
    gate.until(waits, lambda told: told["waits_for"] == "time")
    shop.answer.go.clear()
    before = len(shop.requests)
    runs = begun(gate, "held")
    shop.wait_for(lambda each: len(each.requests) > before, 10)
    for number in (waits, runs):
        assert repair(gate, number, "close", reason="asked by the customer").status_code == 202
        found = gate.transaction(number).json()
        assert (found["status"], found["waits_for"]) == ("CLOSED_IN_ERRORS", None)
        assert found["errors"] == [{"cell": "", "node": "", "message": "ann has closed it: asked by the customer"}]
        assert offered(found) == {}
        assert repair(gate, number, "close").status_code == 409
    shop.answer.go.set()
    assert gate.transaction(runs).json()["status"] == "CLOSED_IN_ERRORS"


async def _adopted(url, parent, children):
    database = Database(url)
    try:
        async with database.transaction(writes=True) as connection:
            await connection.execute(update(instances).where(instances.c.id.in_(children)).values(parent=parent))
    finally:
        await database.close()


@pytest.mark.stores
@pytest.mark.row("WF-2")
def test_sub_instances_are_repaired_and_closed_together(gate, shop):
    parent = begun(gate, "slow")
    gate.until(parent, lambda told: told["waits_for"] == "time")
    pays, plain, waits = [failed(gate, "pay")["id"] for _ in range(2)], failed(gate, "plain")["id"], begun(gate, "slow")
    gate.until(waits, lambda told: told["waits_for"] == "time")
    asyncio.run(_adopted(gate.url, parent, [*pays, plain, waits]))
    told = repair(gate, parent, "skip", children=True).json()
    assert (told["done"], told["more"]) == (pays, False)
    assert [each["id"] for each in told["refused"]] == [plain]
    assert [gate.closed(number)["context"] for number in pays] == [{"way": "skipped"}] * 2
    shop.answer.broken = False
    assert repair(gate, parent, "replay", children=True).json()["done"] == [plain]
    assert gate.closed(plain)["status"] == "CLOSED_IN_SUCCESS"
    assert repair(gate, parent, "close", children=True).json()["done"] == [waits]
    assert gate.transaction(parent).json()["status"] == "ACTIVE"

    again = begun(gate, "slow")
    gate.until(again, lambda told: told["waits_for"] == "time")
    asyncio.run(_adopted(gate.url, parent, [again]))
    assert repair(gate, parent, "close").status_code == 202
    assert [gate.transaction(each).json()["status"] for each in (parent, again)] == ["CLOSED_IN_ERRORS"] * 2


def test_commands_repair_a_running_gateway(gate, monkeypatch):
    monkeypatch.setenv("HOOKGATE_MANAGEMENT_TOKEN", "token-of-ann")
    found = failed(gate, "pay")

    def run(*words):
        return CliRunner().invoke(app, ["workflow", *map(str, words), "--management", gate.gate.management])

    refused = run("close", found["id"])
    assert (refused.exit_code, "it is over" in refused.output) == (2, True)
    done = run("skip", found["guid"], found["tasks"][1]["number"])
    assert (done.exit_code, done.stdout) == (0, f"skip: transaction {found['id']}\n")
    assert gate.closed(found["id"])["context"] == {"way": "skipped"}
    done = run("replay", found["id"], "--children")
    assert (done.exit_code, done.stdout) == (0, f"replay: 0 sub-instances of transaction {found['id']}\n")
