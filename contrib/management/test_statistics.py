"""Statistics through the public door: a gateway of its own process, over lane and edge, reloads and kill -9."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from hookgate_statistics import Question
from hookgate_statistics.keeping import ask
from hookgate_storage import Database

from .served import environment, serving

PASSWORD = "correct horse battery"
DOCUMENT = """\
gateway:
  listen: ["127.0.0.1:0"]
  lame_duck: 0
  observers: [{statistics: {url: "sqlite:///counts.db", flush: 1h}}]
management:
  listen: ["127.0.0.1:0"]
  apps:
    - health
    - management:
        callers:
          ann: {token: token-of-ann}
          pub: {token: token-of-pub, permissions: [statistics]}
          eve: {token: token-of-eve, permissions: [read]}
routes:
  - name: hello
    match: {path: /hello}
    flow: [{auth: {methods: [people]}}, {respond: {body: hello}}]
  - {name: open, match: {path: /open}, flow: [{respond: {body: open}}]}
  - {name: bad, match: {path: /bad}, flow: [{respond: {status: 503}}]}
apis:
  - name: shop
    version: v1
    base_path: /shop
    default_version: true
    flow: [client-id, {respond: {body: shop}}]
    resources: [{path: /items, operations: {GET: {}}}]
applications:
  till: {client_ids: [till-id], plans: {shop: basic}}
plans:
  basic: {}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", DOCUMENT) as served:
        served.folder = folder
        for name in ("joe", "jane"):
            told = served.call("POST", "/users", {"name": name, "roles": [], "password": PASSWORD})
            assert told.status_code == 201, told.text
        yield served


def counted(gate, query="", token="token-of-pub"):
    answer = gate.call("GET", f"/statistics?{query}", token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def calls(gate, by, query=""):
    return {row[by]: row["calls"] for row in counted(gate, f"by={by}&{query}")}


@pytest.mark.row("KC-10")
def test_every_call_is_counted_by_api_application_and_user_over_lane_and_edge_and_reloads(gate):
    def fire(n):
        with httpx.Client(base_url=gate.public, trust_env=False, timeout=60) as client:
            for _ in range(10):
                client.get("/shop/items", headers={"client_id": "till-id"})
                client.get("/open")
            client.get("/hello", auth=("joe", PASSWORD))
            client.get("/bad")
            client.get(f"/nowhere/{n}")
        with httpx.Client(http1=False, http2=True, base_url=gate.public, trust_env=False, timeout=60) as client:
            assert {client.get("/open").http_version for _ in range(10)} == {"HTTP/2"}

    with ThreadPoolExecutor(4) as pool:
        firing = [pool.submit(fire, n) for n in range(8)]
        for n in range(2):
            body = {"name": f"more-{n}", "match": {"path": f"/more-{n}"}, "flow": [{"respond": {}}]}
            assert gate.call("PUT", f"/objects/routes/more-{n}?wait=live", body).status_code == 201
        for each in firing:
            each.result(60)

    assert calls(gate, "api") == {"shop": 80, "": 80 + 80 + 8 + 8 + 8}
    assert calls(gate, "application", "api=shop&version=v1") == {"till": 80}
    assert calls(gate, "operation", "application=till") == {"GET /items": 80}
    assert calls(gate, "user", "route=hello") == {"joe": 8}
    routes = {row["route"]: row for row in counted(gate, "by=route")}
    assert (routes["open"]["calls"], routes["bad"]["server_errors"], routes[""]["client_errors"]) == (160, 8, 8)
    assert 0 < routes["open"]["p50"] <= routes["open"]["p99"] < 60
    (whole,) = counted(gate, "resolution=day")
    assert (whole["calls"], whole["client_errors"], whole["server_errors"]) == (264, 8, 8)
    assert sum(row["calls"] for row in counted(gate, "series=true&resolution=minute")) == 264
    page = gate.call("GET", "/statistics?by=route&limit=1&after=1").json()
    assert (len(page["rows"]), page["next"]) == (1, 2)


def test_a_publisher_sees_all_and_a_person_sees_the_own_calls_only(gate):
    for name in ("joe", "jane"):
        assert httpx.get(f"{gate.public}/hello", auth=(name, PASSWORD), trust_env=False, timeout=60).status_code == 200
    seen = calls(gate, "user")
    assert {"joe", "jane", ""} <= set(seen)
    for query in ("by=user", "by=user&user=joe&user=jane"):
        url = f"{gate.management}/-/api/statistics?{query}"
        own = httpx.get(url, auth=("jane", PASSWORD), trust_env=False, timeout=60).json()["rows"]
        assert [(row["user"], row["calls"]) for row in own] == [("jane", seen["jane"])]
    assert gate.call("GET", "/objects/routes", token="token-of-pub").status_code == 403
    assert gate.call("GET", "/statistics", token="token-of-eve").status_code == 403
    assert gate.call("GET", "/statistics", token="").status_code == 401


@pytest.mark.row("KC-84")
def test_who_has_the_role_publisher_sees_all_statistics_and_a_subscriber_the_own_ones(gate):
    command = [sys.executable, "-m", "hookgate", "people", "roles", "gateway.yaml"]
    told = environment(f"sqlite:///{gate.folder / 'store.db'}")
    subprocess.run(command, cwd=gate.folder, env=told, check=True, capture_output=True)
    for name, role in (("pam", "publisher"), ("sue", "subscriber"), ("sam", "subscriber"), ("cat", "creator")):
        made = gate.call("POST", "/users", {"name": name, "roles": [role], "password": PASSWORD})
        assert made.status_code == 201, made.text
    for name, times in (("sue", 2), ("sam", 1), ("cat", 1)):
        for _ in range(times):
            answer = httpx.get(f"{gate.public}/hello", auth=(name, PASSWORD), trust_env=False, timeout=60)
            assert answer.status_code == 200

    def seen(name, query="by=user"):
        url = f"{gate.management}/-/api/statistics?{query}"
        answer = httpx.get(url, auth=(name, PASSWORD), trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        return {row["user"]: row["calls"] for row in answer.json()["rows"]}

    assert seen("pam").items() >= {"sue": 2, "sam": 1, "cat": 1}.items()
    assert seen("pam", "by=user&user=sam") == {"sam": 1}
    assert (seen("sue"), seen("sam"), seen("cat")) == ({"sue": 2}, {"sam": 1}, {"cat": 1})
    assert seen("sue", "by=user&user=sam") == {}


@pytest.mark.parametrize(
    "query",
    ["by=name", "from=x", "from=5&to=5", "to=nan", "resolution=week", "series=1", "limit=0", "after=-1", "user=%00"],
)
def test_a_question_with_a_mistake_is_refused(gate, query):
    assert gate.call("GET", f"/statistics?{query}").status_code == 400


@pytest.mark.parametrize("asked", ["statistics?from", "statistics?to", "audit?since", "audit?until"])
def test_a_time_of_a_query_is_read_alike_wherever_it_stands(gate, asked):
    name = asked.partition("?")[2]
    for written in ("x", "nan", "inf", "-1", "1e12", "", "1" * 400):
        told = gate.call("GET", f"/{asked}={written}")
        said = f"{name}={written[:50]} is no Unix time, in seconds."
        assert (told.status_code, told.json()["detail"]) == (400, said), written
    earlier = "" if name != "to" else "&from=0"
    for written in ("1", "1e3", "1790000000.5"):
        assert gate.call("GET", f"/{asked}={written}{earlier}").status_code == 200, written


def test_the_command_prints_a_table_json_and_csv(gate):
    gate.get("/open")

    def typed(*words):
        command = [sys.executable, "-m", "hookgate", "statistics", "--management", gate.management, *words]
        environ = {"HOOKGATE_MANAGEMENT_TOKEN": "token-of-pub", "PATH": "", "COLUMNS": "200"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True).stdout

    words = ("--by", "route", "--only", "route=open")
    expected = calls(gate, "route")["open"]
    assert str(expected) in typed(*words)
    assert [(row["route"], row["calls"]) for row in json.loads(typed(*words, "--format", "json"))] == [
        ("open", expected)
    ]
    (row,) = csv.DictReader(io.StringIO(typed(*words, "--format", "csv")))
    assert (row["route"], row["calls"]) == ("open", str(expected))


async def test_killed_it_loses_what_came_since_the_last_writing_and_nothing_else(gate):
    for _ in range(5):
        gate.get("/open")
    written = calls(gate, "route")["open"]  # who asks has it written
    for _ in range(3):
        gate.get("/open")
    gate.process.send_signal(signal.SIGKILL)
    gate.process.wait(60)
    database = Database(f"sqlite:///{gate.folder / 'counts.db'}")
    try:
        question = Question(time.time() - 3600, time.time() + 60, ("route",), {"route": ["open"]})
        (answer,) = await ask(database, question)
    finally:
        await database.close()
    assert answer.cell.calls == written
