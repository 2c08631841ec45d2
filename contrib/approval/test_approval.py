"""Calls that wait for a person, through real sockets over each kind of store."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from contrib.management import served
from hookgate_approval.tables import approvals
from hookgate_storage import Database

DOCUMENT = served.DOCUMENT.replace(
    "routes:\n",
    """routes:
  - name: pay
    match: {path: /pay}
    flow:
      - auth: {methods: [{bearer: {tokens: {ann: of-ann, kim: of-kim}}}]}
      - approval: {headers: [X-Limit]}
      - respond: {body: paid}
""",
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("approval")
    url = store_in(folder)
    with served.serving(folder, url, DOCUMENT) as made:
        made.url = url
        yield made


def pay(gate, key=None, *, who="kim", method="POST", path="/pay?to=x", body='{"sum": 9, "password": "p4"}', **more):
    headers = {"authorization": f"Bearer of-{who}", "content-type": "application/json", "x-limit": "1"} | more
    headers |= {} if key is None else {"x-approval": key}
    return httpx.request(method, gate.public + path, content=body, headers=headers, timeout=60, trust_env=False)


def asked(gate, **more):
    answer = pay(gate, **more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def decide(gate, key, decision="approve", **more):
    return gate.call("POST", f"/call-approvals/{key}", {"decision": decision, **more})


def reason(answer):
    return answer.status_code, answer.json()["reason"]


def row(gate, key, **values):
    """Return a row as it lies in the database, after it was changed behind the back of the gateway."""

    async def whole():
        database = Database(gate.url)
        try:
            async with database.transaction(writes=True) as connection:
                if values:
                    await connection.execute(update(approvals).where(approvals.c.id == key).values(**values))
                return dict((await connection.execute(select(approvals).where(approvals.c.id == key))).mappings().one())
        finally:
            await database.close()

    return asyncio.run(whole())


@pytest.mark.stores
def test_a_call_runs_once_after_a_person_has_seen_it_masked_and_approved_it(gate):
    key = asked(gate)
    assert pay(gate, key).status_code == 202
    shown = gate.call("GET", f"/call-approvals/{key}").json()
    assert shown["call"]["body"] == {"sum": 9, "password": "***"}
    assert (shown["caller"], shown["route"], shown["stale"]) == ("kim", "pay", False)
    assert key in [each["id"] for each in gate.call("GET", "/call-approvals").json()["approvals"]]
    assert decide(gate, key, comment="fine").json()["state"] == "approved"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pay(gate, key), range(8)))
    assert sorted(each.status_code for each in answers) == [200] + [409] * 7
    assert next(each.text for each in answers if each.status_code == 200) == "paid"
    assert reason(pay(gate, key)) == (409, "approval-used")
    stored = row(gate, key)["call"]
    assert b"sum" not in stored
    assert b"p4" not in stored
    entries = gate.call("GET", "/audit?limit=100").json()["entries"]
    mine = [(each["action"], each["who"]) for each in entries if each["object"] == f"call-approvals/{key}"]
    assert mine == [("run-approved-call", "kim"), ("approve-call", "ann"), ("ask-for-approval", "kim")]


def test_no_other_call_passes_with_an_approval_and_none_spends_it(gate):
    key = asked(gate)
    decide(gate, key)
    others = [
        {"body": '{"sum": 10, "password": "p4"}'},
        {"body": '{"sum": 9, "password": "p5"}'},
        {"body": ""},
        {"path": "/pay?to=y"},
        {"path": "/pay"},
        {"method": "PUT"},
        {"x-limit": "2"},
        {"content-type": "text/plain"},
    ]
    for each in others:
        assert reason(pay(gate, key, **each)) == (409, "approval-changed"), each
    assert reason(pay(gate, key, who="ann")) == (404, "no-approval")
    assert reason(pay(gate, "x" * 99)) == (404, "no-approval")
    assert pay(gate, key).text == "paid"


WORD = st.text("ab=&%20", max_size=3)


def test_no_changed_argument_passes(gate):
    first = {"method": "POST", "path": "/pay?a=b", "body": "ab", "x-limit": "a"}
    key = asked(gate, **first)
    decide(gate, key)

    @settings(max_examples=20, deadline=None)
    @given(st.sampled_from(["POST", "PUT"]), st.text("ab=&", max_size=3), WORD, st.text("ab", min_size=1, max_size=2))
    def try_others(method, query, body, limit):
        other = {"method": method, "path": f"/pay?{query}", "body": body, "x-limit": limit}
        if other != first:
            assert reason(pay(gate, key, **other)) == (409, "approval-changed")

    try_others()
    assert pay(gate, key, **first).text == "paid"


def test_a_body_that_can_be_read_in_two_ways_is_not_shown_as_one_of_them(gate):
    key = asked(gate, body='{"sum": 9000, "sum": 9}')
    told = gate.call("GET", f"/call-approvals/{key}").json()["call"]
    assert "body" not in told
    assert told["size"] == 23


def test_what_is_refused_over_or_of_an_earlier_generation_does_not_run(gate):
    refused, late, stale = asked(gate), asked(gate), asked(gate)
    assert decide(gate, refused, "refuse", comment="too much").status_code == 200
    assert reason(pay(gate, refused)) == (403, "approval-refused")
    assert "too much" in pay(gate, refused).text
    assert decide(gate, refused).status_code == 409
    decide(gate, late)
    row(gate, late, expires=1.0)
    assert reason(pay(gate, late)) == (409, "approval-expired")
    decide(gate, stale)
    pending = asked(gate)
    body = {"targets": "http://127.0.0.1:9"}
    assert gate.call("PUT", "/objects/connections/new?wait=live", body).json()["live"]
    assert reason(pay(gate, stale)) == (409, "approval-stale")
    assert gate.call("GET", f"/call-approvals/{pending}").json()["stale"] is True
    late = decide(gate, pending)
    assert late.status_code == 409
    assert "has changed since" in late.json()["detail"]


def test_who_asks_does_not_approve_and_others_without_the_permission_see_nothing(gate):
    key = asked(gate, who="ann")
    assert decide(gate, key).status_code == 403
    assert pay(gate, key, who="ann").status_code == 202
    assert gate.call("GET", f"/call-approvals/{key}", token="token-of-eve").status_code == 403
    assert decide(gate, key, "maybe").status_code == 422


def test_bounds(gate):
    assert pay(gate, body="x" * 65_537).status_code == 413
    assert pay(gate, who="nobody").status_code == 401
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pay(gate, who="ann"), range(22)))
    assert {each.status_code for each in answers} == {202, 429}
    assert reason(pay(gate, who="ann")) == (429, "approvals-waiting")
