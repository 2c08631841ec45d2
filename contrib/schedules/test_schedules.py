"""Schedules of gateways in processes of their own: one start over nodes, a missed one made up for once, and by hand."""

import asyncio
import time

import httpx
import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner

from contrib.workflows.served import document, processes, refused, setter, workflow
from hookgate.commands import app
from hookgate_schedules.records import ScheduleSection
from hookgate_schedules.tables import runs, schedules
from hookgate_storage import Database

WORKFLOWS = {"tidy": workflow(("set", setter("told", "{{ request.body.what }} {{ request.schedule.kind }}")))}
YEARLY = {"workflow": "tidy", "cron": "0 0 1 1 *", "time_zone": "Europe/Vienna", "body": {"what": "books"}}
SCHEDULES = {
    "yearly": YEARLY,
    "off": YEARLY | {"enabled": False},
    "skips": YEARLY | {"missed": "skip"},
    "fresh": YEARLY,
    "changed": YEARLY,
    "minutely": {"workflow": "tidy", "cron": "* * * * *", "body": {"what": "each"}},
}


async def behind(url):
    """Have schedules be as they are where no gateway was up for two years."""
    now, database = time.time(), Database(url)
    then = now - 2 * 366 * 86_400
    rows = [
        {"name": name, "digest": ScheduleSection(**SCHEDULES[name]).digest, "since": then, "seen": then}
        for name in ("yearly", "off", "skips", "changed")
    ]
    rows.append({"name": "changed", "digest": "another", "since": then, "seen": then + 1000})
    digest = ScheduleSection(**SCHEDULES["minutely"]).digest
    rows.append({"name": "minutely", "digest": digest, "since": now - 61, "seen": now})
    try:
        async with database.transaction(writes=True) as connection:
            await connection.execute(insert(schedules), rows)
    finally:
        await database.close()


async def kept(url):
    database = Database(url)
    try:
        async with database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(select(runs))).mappings()]
    finally:
        await database.close()


def ask(gate, method, path):
    headers = {"authorization": "Bearer token-of-ann"}
    return httpx.request(method, f"{gate.management}/-/api{path}", headers=headers, timeout=30, trust_env=False)


def until(gate, path, holds, patience=20.0):
    end = time.monotonic() + patience
    while not holds(told := ask(gate, "GET", path).json()):
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return told


@pytest.mark.row("WF-5")
def test_two_nodes_make_each_start_once_and_one_missed_start_is_made_up_for(tmp_path, database_url, monkeypatch):
    made = document(WORKFLOWS, [], schedules=SCHEDULES)
    with processes(tmp_path, database_url, made) as start:
        asyncio.run(behind(database_url))
        first, second = start().gate, start().gate
        told = until(first, "/schedules/yearly", lambda told: told["last"] is not None)
        until(second, "/schedules/minutely", lambda told: told["last"] is not None)
        by_hand = ask(second, "POST", "/schedules/off/runs")
        history = ask(first, "GET", "/schedules/off/runs").json()["runs"]
        again = ask(first, "GET", "/schedules/off").json()
        listed = {each["name"]: each for each in ask(second, "GET", "/schedules").json()["schedules"]}
        instance = until(first, f"/transactions/{told['last']['instance']}", lambda told: told["closed"])
        unknown = [ask(first, "GET", f"/schedules/none{rest}").status_code for rest in ("", "/runs")]
        wrong = ask(first, "GET", "/schedules/off/runs?before=x").status_code
        monkeypatch.setenv("HOOKGATE_MANAGEMENT_TOKEN", "token-of-ann")
        words = ["workflow", "schedule", "run", "fresh", "--management", first.management]
        ran = CliRunner().invoke(app, words)
        shown = CliRunner().invoke(app, ["workflow", "schedule", "list", "--management", first.management])
        time.sleep(2)  # two more looks of each node
        transactions = ask(first, "GET", "/transactions").json()["transactions"]
    starts = asyncio.run(kept(database_url))

    of = {name: [each for each in starts if each["name"] == name] for name in SCHEDULES}
    assert [each["kind"] for each in of["yearly"]] == ["missed"]
    assert of["yearly"][0]["due"] == max(ScheduleSection(**YEARLY).times.after(time.time() - 2 * 366 * 86_400, 2))
    assert (of["skips"], of["changed"], [each["kind"] for each in of["off"]]) == ([], [], ["manual"])
    assert [each["kind"] for each in of["fresh"]] == ["manual"]
    assert {each["kind"] for each in of["minutely"]} == {"due"}
    assert len({each["due"] for each in of["minutely"]}) == len(of["minutely"])
    assert len(transactions) == len(starts)
    assert {each["id"] for each in transactions} == {each["instance"] for each in starts}

    assert (instance["status"], instance["label"]) == ("CLOSED_IN_SUCCESS", "schedule yearly")
    assert instance["context"] == {"told": "books missed"}
    assert told["next"][0].startswith(f"{time.gmtime().tm_year + 1}-01-01T00:00:00+01:00")
    assert len(told["next"]) == 5
    assert (by_hand.status_code, history[0]["by"], history[0]["instance"]) == (202, "ann", by_hand.json()["id"])
    assert (again["enabled"], again["next"]) == (False, [])
    assert listed.keys() == SCHEDULES.keys()
    assert (unknown, wrong) == ([404, 404], 400)
    assert ran.output.startswith("instance ")
    assert "off: tidy at 0 0 1 1 * Europe/Vienna, next switched off" in shown.output


def test_a_schedule_that_cannot_be_is_refused_with_its_place(tmp_path):
    wrong = {
        "cron": YEARLY | {"cron": "0 0 31 4,6 *"},
        "zone": YEARLY | {"time_zone": "Europe/Wien"},
        "flow": YEARLY | {"workflow": "tidi"},
    }
    told = refused(tmp_path, document(WORKFLOWS, [], schedules=wrong))

    assert "schedules.cron" in told
    assert "is no cron: Bad day-of-month" in told
    assert "there is no time zone 'Europe/Wien'" in told
    assert "tidy" in told
