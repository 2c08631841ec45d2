"""Bulk actions over the management API and in the terminal, and a process that is killed amid a bulk."""

import asyncio
import json
import threading
import time
from collections import Counter

import httpx
import pytest
from typer.testing import CliRunner

from contrib.workflows.served import document, processes, setter, workflow
from hookgate.commands import app
from hookgate.testing import upstream

WORKFLOWS = {"hello": workflow(("set", setter("*response*", {"body": "hello {{ request.body.name }}"})))}
ACTIONS = {
    "hello": {
        "workflow": "hello",
        "options": {"columns": {"Age": {"name": "age", "type": "integer"}}, "delimiter": ";"},
        "validation_schema": {"required": ["name"], "properties": {"age": {"minimum": 18}}},
        "sample_input": "name;Age\nann;30\n",
    },
    "users": {
        "call": {
            "connection": "crm",
            "method": "PUT",
            "url": "/users/{{ request.body.id | urlencode }}",
            "headers": {"x-row": "{{ request.bulk.row }}"},
        },
        "parallel": 2,
    },
    "slow": {"call": {"connection": "crm", "url": "/slow/{{ request.body.id }}"}, "sequence_timeout": 0.3},
}


class Backend:
    """Answers a user once the gate is open; the user `no` is refused until it is told otherwise."""

    def __init__(self):
        self.seen, self.refuses = Counter(), {"no"}
        self.go = threading.Event()
        self.go.set()

    async def __call__(self, request):
        self.seen[request.path] += 1
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        name = request.path.rpartition("/")[2]
        return (
            (409, {}, "taken") if name in self.refuses else (200, {"content-type": "application/json"}, '{"ok":true}')
        )


@pytest.fixture(scope="module")
def crm():
    with upstream() as made:
        made.answer = Backend()
        yield made
        made.answer.go.set()


def made(crm, **more):
    engine = {"lease": 2, "executor": {"local": {"poll": "100ms"}}}
    return document(
        WORKFLOWS,
        [],
        bulk_actions=ACTIONS,
        connections={"crm": {"targets": crm.url}},
        workflow_engine=engine,
        bulk_engine={"poll": "100ms"},
        **more,
    )


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in, crm):
    folder = tmp_path_factory.mktemp("actions")
    with processes(folder, store_in(folder), made(crm)) as start:
        yield start().gate


def ask(gate, method, path, content=None, kind="text/csv"):
    headers = {"authorization": "Bearer token-of-ann", "content-type": kind}
    url = f"{gate.management}/-/api{path}"
    return httpx.request(method, url, content=content, headers=headers, timeout=30, trust_env=False)


def until(gate, number, holds, patience=20.0):
    end = time.monotonic() + patience
    while not holds(told := ask(gate, "GET", f"/bulks/{number}").json()):
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return told


def closed(gate, number):
    return until(gate, number, lambda told: told["status"].startswith("CLOSED"))


def rows(gate, number, query=""):
    return ask(gate, "GET", f"/bulks/{number}/rows{query}").json()["rows"]


@pytest.mark.stores
def test_an_action_is_checked_and_started(gate):
    checked = ask(gate, "POST", "/bulks/check?action=hello", "name;Age\nann;30\nbob;x\ncy;3\n").json()
    sample = ask(gate, "POST", "/bulks/check?action=hello").json()
    before = ask(gate, "GET", "/bulks?action=hello").json()["bulks"]
    started = ask(gate, "POST", "/bulks?action=hello", "name;Age\nann;30\nbob;x\n")

    assert (checked["rows"], checked["valid"], checked["invalid"]) == (3, 1, 2)
    assert checked["first"] == {"name": "ann", "age": 30}
    assert checked["problems"] == [
        {"row": 2, "line": 3, "errors": [{"pointer": "/Age", "detail": "is no integer of up to 18 digits"}]},
        {"row": 3, "line": 4, "errors": [{"pointer": "/age", "detail": "breaks minimum of the schema"}]},
    ]
    assert (sample["rows"], sample["invalid"], before) == (1, 0, [])
    assert (started.status_code, started.json()["invalid"]) == (202, 1)
    told = closed(gate, started.json()["bulk_id"])
    assert (told["owner"], told["stats"]["done"], told["stats"]["invalid"]) == ("ann", 1, 1)
    assert rows(gate, told["id"], "?status=done")[0]["response"] == {"body": "hello ann"}
    for path, content, status in (
        ("/bulks?action=helo", "name\na\n", 404),
        ("/bulks?action=hello", "nam;Age\na;3\n\n", 202),
        ("/bulks?action=hello", "name\na\n", 422),
        ("/bulks/check?action=users", "", 422),
    ):
        assert ask(gate, "POST", path, content).status_code == status, path
    assert ask(gate, "POST", "/bulks?action=hello", "<a/>", "text/xml").status_code == 415


@pytest.mark.stores
def test_calls_that_fail_are_replayed_and_only_these(gate, crm):
    crm.answer.seen.clear()
    number = ask(gate, "POST", "/bulks?action=users", "id\na\nno\nc d\n").json()["bulk_id"]
    first = closed(gate, number)
    crm.answer.refuses = set()
    again = ask(gate, "POST", f"/bulks/{number}/replay", b"{}", "application/json")
    second = closed(gate, number)
    found = rows(gate, number)
    seen = Counter(crm.answer.seen)
    nothing = ask(gate, "POST", f"/bulks/{number}/replay", b"{}", "application/json")
    crm.answer.refuses = {"no"}

    assert (first["status"], first["stats"]["done"], first["stats"]["failed"]) == ("CLOSED_IN_ERRORS", 2, 1)
    assert (again.status_code, again.json()["rows"]) == (202, 1)
    assert (second["status"], second["stats"]["done"]) == ("CLOSED_IN_SUCCESS", 3)
    assert [row["attempt"] for row in found] == [1, 2, 1]
    assert found[0]["response"]["body"] == {"ok": True}
    assert (seen["/users/a"], seen["/users/no"]) == (1, 2)
    assert nothing.status_code == 409
    assert {dict(each.headers)["x-row"] for each in crm.requests if each.path == "/users/a"} == {"1"}


@pytest.mark.stores
def test_a_bulk_is_paused_resumed_cancelled_and_followed(gate, crm):
    crm.answer.go.clear()
    number = ask(gate, "POST", "/bulks?action=users", "id\n" + "".join(f"p{each}\n" for each in range(6))).json()[
        "bulk_id"
    ]
    until(gate, number, lambda told: told["stats"]["running"] == 2)
    paused = ask(gate, "POST", f"/bulks/{number}/pause").json()["status"]
    twice = ask(gate, "POST", f"/bulks/{number}/pause").status_code
    crm.answer.go.set()
    until(gate, number, lambda told: told["stats"]["done"] == 2)
    stands = ask(gate, "GET", f"/bulks/{number}").json()
    crm.answer.go.clear()
    resumed = ask(gate, "POST", f"/bulks/{number}/resume").json()["status"]
    until(gate, number, lambda told: told["stats"]["running"] == 2)
    cancelled = ask(gate, "POST", f"/bulks/{number}/cancel").status_code
    headers = {"authorization": "Bearer token-of-ann"}
    events = []
    with httpx.stream("GET", f"{gate.management}/-/api/bulks/{number}/events", headers=headers, timeout=30) as told:
        assert told.headers["content-type"] == "text/event-stream"
        for line in told.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                crm.answer.go.set()

    assert (paused, twice, resumed, cancelled) == ("PAUSED", 409, "ACTIVE", 202)
    assert (stands["status"], stands["stats"]["queued"], stands["stats"]["running"]) == ("PAUSED", 4, 0)
    assert stands["reason"] == "paused by ann"
    assert events[0]["status"] == "ACTIVE"
    assert events[-1]["status"] == "CLOSED_IN_ERRORS"
    assert (events[-1]["stats"]["done"], events[-1]["stats"]["stopped"]) == (4, 2)
    assert ask(gate, "POST", f"/bulks/{number}/cancel").status_code == 409


def test_a_row_that_takes_too_long_holds_up_no_others(gate, crm):
    crm.answer.go.clear()
    number = ask(gate, "POST", "/bulks?action=slow", "id\n1\n2\n").json()["bulk_id"]
    until(gate, number, lambda told: told["stats"]["running"] == 1)
    until(gate, number, lambda told: told["stats"]["running"] == 2)
    crm.answer.go.set()

    assert closed(gate, number)["stats"]["done"] == 2
    first, second = rows(gate, number)
    assert second["started"] > first["started"]


def test_the_terminal_checks_starts_and_shows(gate, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOKGATE_MANAGEMENT_TOKEN", "token-of-ann")
    file = tmp_path / "people.csv"
    file.write_text("name;Age\nann;30\nbob;3\n")

    def run(*words):
        return CliRunner().invoke(app, ["workflow", "bulk", *words, "--management", gate.management])

    checked = run("check", str(file), "--action", "hello")
    started = run("start", str(file), "--action", "hello", "--follow")
    number = started.output.split()[1].rstrip(":")
    listed, shown = run("list"), run("rows", number)

    assert (checked.exit_code, started.exit_code) == (1, 1)
    assert "2 rows, 1 valid, 1 invalid" in checked.output
    assert "row 2, line 3: /age breaks minimum of the schema" in checked.output
    assert f"bulk {number} hello: CLOSED_IN_ERRORS, 2 rows: 1 done, 1 invalid" in started.output
    assert f"bulk {number} hello: CLOSED_IN_ERRORS" in listed.output
    assert '"hello ann"' in shown.output.replace('""', '"')
    assert run("pause", number).exit_code != 0
    assert run("show", "no such").exit_code == 2
    assert run("start", str(tmp_path / "none.csv"), "--action", "hello").exit_code == 2


def test_a_process_that_is_killed_amid_a_bulk_loses_no_row_and_runs_none_twice(tmp_path, database_url, crm):
    crm.answer.seen.clear()
    crm.answer.go.clear()
    posted = {"call": {"connection": "crm", "method": "PUT", "url": "/k/{{ request.body.id }}"}, "parallel": 5}
    whole = made(crm)
    whole["bulk_actions"] = {"keep": posted}
    with processes(tmp_path, database_url, whole) as start:
        first = start().gate
        text = "id\n" + "".join(f"{each}\n" for each in range(40))
        number = ask(first, "POST", "/bulks?action=keep", text).json()["bulk_id"]
        crm.wait_for(lambda each: len(crm.answer.seen) == 5, 10)
        first.kill()
        crm.answer.go.set()
        second = start().gate
        told, found = closed(second, number), rows(second, number)

    assert (told["status"], told["stats"]["done"]) == ("CLOSED_IN_SUCCESS", 40)
    assert len({row["instance"] for row in found}) == 40
    assert {row["attempt"] for row in found} == {1}
    twice = [path for path, count in crm.answer.seen.items() if count > 1]
    assert len(twice) <= 5  # those calls that were under way, and that may be repeated
    assert max(crm.answer.seen.values()) <= 2
    assert sum("/k/" in path for path in crm.answer.seen) == 40
