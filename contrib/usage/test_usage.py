"""Usage through the public door: who has used what, once and to the last writing, and who may see it."""

import asyncio
import csv
import io
import json
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from typer.testing import CliRunner

from contrib.management.served import environment, serving
from hookgate.commands import app
from hookgate.testing import MovableClock, running
from hookgate_storage import Database
from hookgate_usage.folding import NAMES, NUMBERS, Key, Used
from hookgate_usage.keeping import Question, add, ask, forget

PASSWORD = "correct horse battery"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
DAY = 86_400
TODAY = int(NOON) // DAY * DAY
A, B = "acme.example", "bolt.example"
SHOP, ACME = "/shop/items", "/acme/items"


def known(owner="joe", tier="Gold", application="shop", key_type="production", **more):
    return {"owner": owner, "tier": tier, "application": application, "key_type": key_type, **more}


KNOWN = {
    "k1": known(id="s1"),
    "k2": known(id="s2", owner="jane", tier="Silver", application="till"),
    "k3": known(id="s3", key_type="sandbox"),
    "free": known(id="s4", owner="jane", tier="Free", application="till"),
    "ours": known(id="s5", owner=f"ann@{A}", application=f"app@{A}"),
    "theirs": known(id="s6", owner=f"bob@{B}", application=f"app@{B}"),
}
BILLED = [
    (1000, 5, 0, {"subscription": "i1", "tier": "Gold", "api": "a", "version": "1"}),
    (12, 0, 3, {"subscription": "i1", "tier": "Gold", "api": "b", "version": "2"}),
    (500, 0, 0, {"subscription": "i2", "tier": "Gold", "key_type": "SANDBOX"}),
    (3, 1, 0, {"subscription": "i3", "tier": "Silver"}),
    (7, 0, 0, {"subscription": "i4", "tier": "Free"}),
]
"""Calls, faults and refusals of the application `shop-2` last month: 1012 - 3 refused - 5 faults - 2 included."""
DOCUMENT = {
    "gateway": {"listen": ["127.0.0.1:0"], "lame_duck": 0, "observers": [{"usage": {"flush": "1h"}}]},
    "management": {
        "listen": ["127.0.0.1:0"],
        "apps": [
            "health",
            {
                "management": {
                    "callers": {
                        "ann": {"token": "token-of-ann"},
                        "pub": {"token": "token-of-pub", "permissions": ["monetization"]},
                        "sta": {"token": "token-of-sta", "permissions": ["statistics"]},
                        "eve": {"token": "token-of-eve", "permissions": ["read"]},
                    }
                }
            },
        ],
    },
    "tenants": {A: {}, B: {}},
    "tiers": {"Free": {"limit": 1, "window": "month"}},
    "prices": {
        "Gold": {"currency": "EUR", "per_month": "49.00", "included": 2, "per_1000": "250"},
        "Silver": {"currency": "JPY", "per_call": "1.5", "faults": True},
    },
    "apis": [
        {
            "name": name,
            "version": "1.0",
            "default_version": True,
            "base_path": f"/{name.partition('@')[0]}",
            **({"hosts": [A]} if "@" in name else {}),
            "flow": [{"subscriptions": {"known": KNOWN}}, {"throttle": {}}, {"respond": {"body": "five5"}}],
            "resources": [{"path": "/items", "operations": {"GET": {}, "POST": {}}}],
        }
        for name in ("shop", f"acme@{A}")
    ],
    "routes": [
        {
            "name": "bad",
            "match": {"path": "/bad"},
            "flow": [{"subscriptions": {"known": KNOWN}}, {"respond": {"status": 503}}],
        }
    ],
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory, plugins, store_in):
    folder = tmp_path_factory.mktemp("gate")
    url = store_in(folder)
    environ = {**environment(url), "HOOKGATE_PLUGINS_DIR": str(plugins)}
    with serving(folder, url, json.dumps(DOCUMENT), environ=environ) as served:
        served.folder, served.url, served.environ = folder, url, environ
        served.since = datetime.now(UTC).date()
        for name in ("joe", "jane", f"ann@{A}"):
            told = served.call("POST", "/users", {"name": name, "roles": [], "password": PASSWORD})
            assert told.status_code == 201, told.text
        boss = {"name": f"pub@{A}", "permissions": ["monetization"]}
        assert served.call("POST", "/roles", boss).status_code == 201
        boss = {"name": f"boss@{A}", "roles": [f"pub@{A}"], "password": PASSWORD}
        assert served.call("POST", "/users", boss).status_code == 201
        with httpx.Client(base_url=served.public, trust_env=False, timeout=60) as client:
            for key, path, times in (
                ("k1", SHOP, 6), ("k2", SHOP, 3), ("k3", SHOP, 4), ("free", SHOP, 3), ("none", SHOP, 5),
                ("k1", "/bad", 2), ("k2", "/bad", 1), ("ours", SHOP, 2), ("ours", ACME, 3), ("theirs", ACME, 4),
            ):  # fmt: skip
                host = {"host": A} if path == ACME else {}
                for _ in range(times):
                    client.post(path, headers={"x-key": key, **host}, content=b"abc")
        yield served


def rows(gate, query="", token="token-of-pub", auth=None):
    headers = {} if auth else {"Authorization": f"Bearer {token}"}
    url = f"{gate.management}/-/api/usage?from={gate.since}&{query}"
    answer = httpx.get(url, headers=headers, auth=auth, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def summed(gate, *by, query="", **more):
    """Sums by names: midnight may come while the tests of this file run."""
    found = {}
    for row in rows(gate, f"by={','.join(by)}&{query}", **more):
        counter = found.setdefault(tuple(row[name] for name in by), Counter())
        counter.update({name: row[name] for name in NUMBERS})
    return found


def calls(gate, *by, **more):
    return {names: counter["calls"] for names, counter in summed(gate, *by, **more).items()}


@pytest.mark.row("KC-81")
def test_each_subscription_has_its_usage_by_api_tier_and_day(gate):
    assert calls(gate, "subscription", "tier") == {
        ("s1", "Gold"): 8,
        ("s2", "Silver"): 4,
        ("s3", "Gold"): 4,
        ("s4", "Free"): 3,
        ("s5", "Gold"): 5,
        ("s6", "Gold"): 4,
    }
    names = ("subscription", "api", "version", "tier", "application", "owner", "key_type")
    free = summed(gate, *names, query="subscription=s4")[("s4", "shop", "1.0", "Free", "till", "jane", "production")]
    assert (free["calls"], free["refused"], free["faults"]) == (3, 2, 0)
    assert free["sent"] > 5
    bad = summed(gate, "api", query="subscription=s1")[("bad",)]
    assert (bad["calls"], bad["faults"], bad["refused"]) == (2, 2, 0)
    shop = summed(gate, "api", query="subscription=s1&period=month")[("shop",)]
    assert (shop["calls"], shop["sent"]) == (6, 30)
    days, months = ({row["period"] for row in rows(gate, f"period={period}")} for period in ("day", "month"))
    assert f"{gate.since}" in days
    assert f"{gate.since:%Y-%m}" in months


def test_it_is_exported_as_csv_and_in_pages_and_no_cell_is_a_formula(gate):
    text = gate.call("GET", f"/usage?from={gate.since}&format=csv&by=subscription,api", token="token-of-sta")
    assert text.headers["content-type"].startswith("text/csv")
    found = Counter()
    for each in csv.DictReader(io.StringIO(text.text)):
        found[each["subscription"], each["api"]] += int(each["calls"])
    assert (found["s1", "shop"], found["s1", "bad"]) == (6, 2)
    query, seen, after = f"from={gate.since}&by=subscription&limit=2", [], 0
    while after is not None:
        page = gate.call("GET", f"/usage?{query}&after={after}").json()
        assert len(page["rows"]) <= 2
        seen += [each["subscription"] for each in page["rows"]]
        after = page.get("next")
    assert sorted(set(seen)) == [f"s{n}" for n in range(1, 7)]


@pytest.mark.row("KC-84")
def test_a_publisher_sees_all_and_a_subscriber_sees_the_own_subscriptions_only(gate):
    assert calls(gate, "owner", token="token-of-sta")[("jane",)] == 7
    assert calls(gate, "subscription", auth=("jane", PASSWORD)) == {("s2",): 4, ("s4",): 3}
    assert calls(gate, "subscription", query="owner=joe&owner=jane", auth=("jane", PASSWORD)) == {
        ("s2",): 4,
        ("s4",): 3,
    }
    assert calls(gate, "subscription", query="subscription=s1", auth=("jane", PASSWORD)) == {}
    for path in ("/usage", "/usage/invoice?application=shop"):
        assert gate.call("GET", path, token="token-of-eve").status_code == 403
        assert gate.call("GET", path, token="nobody").status_code == 401
    assert gate.call("GET", "/usage/invoice?application=shop", token="token-of-sta").status_code == 403
    own = httpx.get(
        f"{gate.management}/-/api/usage/invoice?application=shop", auth=("jane", PASSWORD), trust_env=False, timeout=60
    )
    assert (own.status_code, own.json()["lines"]) == (200, [])


def test_a_tenant_sees_its_apis_and_its_people_and_of_others_no_name(gate):
    boss = (f"boss@{A}", PASSWORD)
    assert calls(gate, "api", "subscription", "owner", auth=boss) == {
        ("shop", "s5", f"ann@{A}"): 2,
        (f"acme@{A}", "s5", f"ann@{A}"): 3,
        (f"acme@{A}", "(other)", "(other)"): 4,
    }
    assert calls(gate, "api", query="subscription=s6", auth=boss) == {}
    assert calls(gate, "api", query=f"application=app@{B}", auth=boss) == {}
    assert calls(gate, "subscription", auth=(f"ann@{A}", PASSWORD)) == {("s5",): 5}


@pytest.mark.row("KC-81")
def test_an_invoice_has_flat_and_variable_prices_included_calls_and_currencies(gate):
    def invoice(application, **more):
        query = "&".join(f"{name}={value}" for name, value in {"application": application, **more}.items())
        answer = gate.call("GET", f"/usage/invoice?{query}", token="token-of-pub")
        assert answer.status_code == 200, answer.text
        return {line["subscription"]: line for line in answer.json()["lines"]}, answer.json()["totals"]

    before = gate.since.replace(day=1) - timedelta(1)
    month, day = f"{before:%Y-%m}", int(datetime(before.year, before.month, 15, tzinfo=UTC).timestamp())

    async def written():
        database = Database(gate.url)
        try:
            for number, (calls, faults, refused, names) in enumerate(BILLED):
                await add(database, "of the test", number, NOON, batch(calls, day, faults, refused, **names))
        finally:
            await database.close()

    asyncio.run(written())
    lines, totals = invoice("shop-2", month=month)
    assert (lines["i1"]["calls"], lines["i1"]["faults"], lines["i1"]["refused"]) == (1012, 5, 3)
    assert [lines["i1"][name] for name in ("billed", "flat", "variable")] == [1002, "49.00", "250.50"]
    assert (lines["i1"]["amount"], lines["i1"]["apis"]) == ("299.50", ["a 1", "b 2"])
    assert (lines["i2"]["billed"], lines["i2"]["amount"]) == (0, "0.00")
    assert (lines["i3"]["billed"], lines["i3"]["amount"], lines["i3"]["currency"]) == (3, "5", "JPY")
    assert (lines["i4"]["calls"], lines["i4"]["amount"]) == (7, None)
    assert totals == {"EUR": "299.50", "JPY": "5"}
    assert invoice("nothing") == invoice("shop-2", month="2020-02") == ({}, {})


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/usage?from=2026-13-01", "from=2026-13-01 is no day"),
        ("/usage?to=today", "to=today is no day"),
        ("/usage?from=2026-01-02&to=2026-01-02", "from is before to"),
        ("/usage?from=2000-01-01", "at most 800 days"),
        ("/usage?by=colour", "by=colour: it may be subscription"),
        ("/usage?period=week", "period is day or month"),
        ("/usage?format=xml", "format is json or csv"),
        ("/usage?api=%00", "without NUL"),
        ("/usage?limit=0", "limit=0"),
        ("/usage/invoice", "application: name"),
        ("/usage/invoice?application=a&month=2026-11-01", "is no month"),
        ("/usage/invoice?application=a&month=2026-00", "is no month"),
        ("/usage/invoice?application=a&month=%D9%A2%D9%A0%D9%A2%D9%A6-11", "is no month"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_says_why(gate, path, says):
    answer = gate.call("GET", path)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["detail"]


def hookgate(gate, *words):
    environ = {"HOOKGATE_MANAGEMENT_URL": gate.management, "HOOKGATE_MANAGEMENT_TOKEN": "token-of-pub"}
    typed = CliRunner().invoke(app, ["usage", *words], env=environ)
    assert typed.exit_code == 0, typed.output
    return typed.stdout


def test_commands_export_and_preview(gate):
    words = ("--from", str(gate.since), "--by", "subscription", "--only", "api=shop", "--only", "owner=joe")
    told = list(csv.DictReader(io.StringIO(hookgate(gate, "export", *words))))
    assert sum(int(each["calls"]) for each in told if each["subscription"] == "s1") == 6
    assert {each["subscription"] for each in told} == {"s1", "s3"}
    told = json.loads(hookgate(gate, "invoice", "nobody", "--month", "2020-02", "--format", "json"))
    assert told == {"application": "nobody", "month": "2020-02", "lines": [], "totals": {}}


def batch(calls=1, day=TODAY, faults=0, refused=0, **names):
    used = Used()
    used.calls, used.faults, used.refused = calls, faults, refused
    told = dict(zip(NAMES, ("s", "a", "", "t", "shop-2", "o", ""), strict=True))
    return {Key(day, **{**told, **names}): used}


async def total(database, **more):
    found = await ask(database, Question(0, int(NOON) * 2, **more))
    return {(each.period, each.names[0]): each.used.calls for each in found}


async def test_a_batch_that_is_sent_twice_counts_once_and_gateways_sum_up(stored):
    database = stored.database
    for writer, number in (("one", 1), ("one", 1), ("two", 1), ("one", 2), ("one", 1)):
        await add(database, writer, number, NOON, batch(5))
    assert await total(database) == {("2026-11-30", "s"): 15}
    await add(
        database, "one", 3, NOON, batch(1, subscription="a\0b\ud800") | batch(2, day=int(NOON) // DAY * DAY - DAY)
    )
    assert await total(database, months=True) == {("2026-11", "s"): 17, ("2026-11", "a\ufffdb?"): 1}
    assert await forget(database, NOON, DAY) == 0
    assert await forget(database, NOON + DAY, DAY) == 1
    assert sum((await total(database)).values()) == 16


async def test_a_database_that_is_away_delays_no_call_and_gets_all_of_it_when_it_is_back(tmp_path, plugins):
    folder, clock = tmp_path / "later", MovableClock(NOON)
    api = {**DOCUMENT["apis"][0], "flow": [{"subscriptions": {"known": KNOWN}}, "respond"]}
    document = {
        "gateway": {"observers": [{"usage": {"url": f"sqlite:///{folder / 'usage.db'}"}}]},
        "management": {"apps": ["health"]},
        "apis": [api],
    }
    with running(document, plugins_dir=plugins, clock=clock) as gate:
        (observer,) = [each for each in gate.gateway.live.config.instances.values() if each.entry.name == "usage"]
        for _ in range(3):
            assert gate.request("GET", "/shop/items", headers={"x-key": "k1"}).status_code == 200
        assert observer.health() == {"unwritten_calls": 3, "lost_calls": 0}
        assert gate.run(observer._flushing.flush()) is False
        assert gate.request("GET", "/shop/items", headers={"x-key": "k1"}).status_code == 200
        told = observer.health()
        assert (told["unwritten_calls"], "is away" in told["problems"][0]) == (4, True)
        folder.mkdir()
        assert gate.run(observer._flushing.flush()) is True
        assert gate.run(observer._flushing.flush()) is True
        assert observer.health() == {"unwritten_calls": 0, "lost_calls": 0}
        found = gate.run(observer.ask(Question(0, int(NOON) * 2)))
        assert [(each.names[0], each.used.calls) for each in found] == [("s1", 4)]
        assert gate.request("GET", SHOP, headers={"x-key": "k1"}).status_code == 200
    database = Database(f"sqlite:///{folder / 'usage.db'}")
    try:
        assert await total(database) == {("2026-11-30", "s1"): 5}  # a gateway that stops writes what is left
    finally:
        await database.close()


def test_a_process_that_is_killed_loses_what_health_has_told_and_no_more(gate):
    """Last: it ends the gateway of this file."""
    assert calls(gate, "subscription", query="subscription=s1") == {("s1",): 8}  # which writes it
    for _ in range(3):
        assert (
            httpx.get(f"{gate.public}/shop/items", headers={"x-key": "k1"}, trust_env=False, timeout=60).status_code
            == 200
        )
    health = json.dumps(gate.health())
    gate.process.send_signal(signal.SIGKILL)
    gate.process.wait(60)
    with serving(gate.folder, gate.url, json.dumps(DOCUMENT), ready=False, environ=gate.environ) as again:
        again.since = gate.since
        left = calls(again, "subscription", query="subscription=s1")
    assert '"unwritten_calls": 3' in health
    assert left == {("s1",): 8}
