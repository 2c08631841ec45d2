"""Many who write at a time: what comes together is checked and stored together, and nobody pays for others."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from hookgate_management import app

from .served import serving

CRM = {"targets": "http://127.0.0.1:9"}


def route(name, path=None, **more):
    return {"name": name, "match": {"path": path or f"/{name}"}, "flow": [{"respond": {"body": name}}], **more}


def at_once(*calls):
    """Make calls at the same time, and return the answers in their order."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result(60) for each in [pool.submit(call) for call in calls]]


def test_writes_that_come_together_are_stored_together_and_a_bad_one_is_refused_alone(tmp_path, database_url):
    with serving(tmp_path, database_url) as gate:

        def put(name, body, token="token-of-ann", **headers):
            return lambda: gate.call("PUT", f"/objects/{name}", body, token, **headers)

        assert gate.call("PUT", "/objects/connections/crm", CRM).status_code == 201
        assert gate.call("PUT", "/objects/routes/uses", route("uses", to={"connection": "crm"})).status_code == 201
        good = [put(f"routes/good{n}", route(f"good{n}")) for n in range(12)]
        answers = at_once(
            *good[:6],
            put("routes/typo", route("typo") | {"flwo": []}),
            lambda: gate.call("DELETE", "/objects/connections/crm"),
            put("connections/crm", CRM, If_Match='"7"'),
            put("connections/nope", CRM, "token-of-eve"),
            put("routes/hello", route("hello")),
            put("connections/bobs", CRM, "token-of-bob"),
            *good[6:],
        )
        statuses = [each.status_code for each in answers]
        assert statuses == [201] * 6 + [422, 409, 412, 403, 409, 201] + [201] * 6
        assert answers[6].json()["errors"] == [{"pointer": "/flwo", "detail": answers[6].json()["errors"][0]["detail"]}]
        assert "routes/uses" in answers[7].json()["detail"]
        assert answers[10].json()["type"].endswith(":in-file")

        made = gate.call("GET", "/generations?limit=1000").json()["generations"]
        assert [each["generation"] for each in made] == list(range(15, 0, -1))  # no gaps, and none of a refused one
        assert max(Counter(each["at"] for each in made).values()) > 1  # in one transaction
        told = {answer.json()["generation"]: answer.json() for answer in answers if answer.is_success}
        assert len(told) == 13
        for each in made[:13]:
            mine = told[each["generation"]]
            assert [f"{c['kind']}/{c['name']}" for c in each["changes"]] == [
                f"{c['kind']}/{c['name']}" for c in mine["changes"]
            ]
            assert each["digest"] == mine["digest"]
            assert each["author"] == ("bob" if each["changes"][0]["name"] == "bobs" else "ann")
        audited = gate.call("GET", "/audit?action=create").json()["entries"]
        assert {each["object"] for each in audited if each["outcome"] == "done"} == {
            "connections/crm", "routes/uses", "connections/bobs", *(f"routes/good{n}" for n in range(12))
        }  # fmt: skip
        assert {each["address"] for each in audited} == {"127.0.0.1"}
        assert gate.call("PUT", "/objects/routes/good0?wait=live", route("good0")).json()["live"]
        assert gate.get("/good11").text == "good11"


def test_writes_to_one_object_at_a_time_are_made_one_after_the_other(tmp_path, database_url):
    with serving(tmp_path, database_url) as gate:
        assert gate.call("PUT", "/objects/connections/crm", CRM).headers["ETag"] == '"1"'

        def put(number):
            body = {"targets": f"http://127.0.0.1:{number + 1}"}
            return lambda: gate.call("PUT", "/objects/connections/crm", body, If_Match='"1"')

        answers = at_once(*map(put, range(6)), lambda: gate.call("PUT", "/objects/connections/other", CRM))
        assert Counter(each.status_code for each in answers[:-1]) == {200: 1, 412: 5}
        assert answers[-1].status_code == 201
        won = next(number for number, each in enumerate(answers) if each.status_code == 200)
        held = gate.call("GET", "/objects/connections/crm").json()
        assert (held["version"], held["body"]["targets"]) == (2, f"http://127.0.0.1:{won + 1}")


def test_two_routes_that_take_the_same_calls_are_not_stored_though_they_come_together(tmp_path):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as gate:
        calls = [
            lambda n=n: gate.call("PUT", f"/objects/routes/r{n}", route(f"r{n}", "/same" if n % 2 else f"/r{n}"))
            for n in range(8)
        ]
        answers = at_once(*calls)
        assert [each.status_code for each in answers[::2]] == [201] * 4
        assert Counter(each.status_code for each in answers[1::2]) == {201: 1, 422: 3}


def test_however_many_ask_first_kinds_are_found_out_once(monkeypatch):
    made = []
    monkeypatch.setattr(app, "Kinds", lambda catalogue: made.append(catalogue) or object())

    async def all_at_once():
        management = app.Management(app.ManagementOptions())
        return await asyncio.gather(*(management.kinds() for _ in range(20)))

    assert len(set(asyncio.run(all_at_once()))) == len(made) == 1
