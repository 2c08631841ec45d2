"""Drafts: saved and not served until they are deployed."""

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import time

import httpx
import pytest

from .served import DOCUMENT, environment, serving

SECRET = "the-password-of-the-draft"
CRM = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "gate", "password": SECRET}}]}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}") as served:
        served.folder = folder
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def api(name, body="old", **more):
    return {"name": name, "base_path": f"/{name}", "flow": [{"respond": {"body": body}}], **more}


def assert_told(folder, gate):
    """An operator learns of the draft where operators look: health, which it does not spoil, metrics, plan and diff."""
    told = {"undeployed": 1, "stale": 0, "objects": ["apis/orders"]}
    until(lambda: gate.health()["plugins"].get("management/management", {}).get("drafts") == told, gate.health)
    assert gate.health()["status"] == "ok"
    shown = httpx.get(f"{gate.management}/-/metrics", timeout=30, trust_env=False).text
    assert 'hookgate_management_drafts{stale="false"} 1' in shown, shown
    assert "hookgate_management_draft_oldest_time_seconds 1" in shown
    (folder / "orders.yaml").write_text(json.dumps({"apis": [api("orders", "third")]}))
    variables = {"HOOKGATE_MANAGEMENT_URL": gate.management, "HOOKGATE_MANAGEMENT_TOKEN": "token-of-ann"}
    diff = [sys.executable, "-m", "hookgate", "diff", "orders.yaml"]
    said = subprocess.run(diff, cwd=folder, env=os.environ | variables, check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "~ apis/orders: " in said.stdout
    assert "(has a draft of ann that is not deployed)" in said.stdout


def until(true, shown, seconds=60):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, shown()["plugins"]
        time.sleep(0.05)  # there is no event to wait for from outside


@pytest.mark.row("FL-33")
def test_an_edited_flow_is_served_when_it_is_deployed_and_survives_a_restart(tmp_path, database_url):
    document = DOCUMENT.replace("- health", "- health\n    - prometheus").replace(
        "gateway: {", "gateway: {observers: [prometheus], "
    )
    with serving(tmp_path, database_url, document) as gate:
        gate.call("PUT", "/objects/apis/orders?wait=live", api("orders"))
        saved = gate.call("PUT", "/objects/apis/orders/draft", api("orders", "new"))
        again = gate.call(
            "PUT",
            "/objects/routes/other?wait=live",
            {"name": "other", "match": {"path": "/other"}, "flow": [{"respond": {}}]},
        )
        assert (saved.status_code, saved.json()["saved"], saved.json()["mistakes"]) == (201, True, [])
        assert again.json()["live"]
        assert gate.get("/orders/x").text == "old"
        assert gate.call("GET", "/objects/apis/orders").json()["draft"]["author"] == "ann"
        assert_told(tmp_path, gate)
    backup = [sys.executable, "-m", "hookgate", "storage", "backup", "all.backup", "gateway.yaml"]
    subprocess.run(backup, cwd=tmp_path, env=environment(database_url), check=True, capture_output=True)
    with serving(tmp_path, database_url) as gate:
        assert gate.get("/orders/x").text == "old"
        (told,) = gate.call("GET", "/drafts").json()["drafts"]
        assert (told["kind"], told["name"], told["stale"]) == ("apis", "orders", False)
        done = gate.call("POST", "/objects/apis/orders/draft/deploy?wait=live")
        assert (done.status_code, done.json()["live"]) == (200, True), done.text
        assert gate.get("/orders/x").text == "new"
        assert gate.call("GET", "/drafts").json()["drafts"] == []
        until(lambda: "drafts" not in str(gate.health()["plugins"].get("management/management")), gate.health)
        gate.call("PUT", "/objects/apis/orders/draft?deploy=true&wait=live", api("orders", "newest"))
        assert gate.get("/orders/x").text == "newest"
        assert "draft" not in gate.call("GET", "/objects/apis/orders").json()


def test_a_draft_of_what_was_changed_since_is_stale_until_somebody_has_looked(gate, name):
    gate.call("PUT", f"/objects/apis/{name}", api(name))
    gate.call("PUT", f"/objects/apis/{name}/draft", api(name, "mine"))
    gate.call("PUT", f"/objects/apis/{name}", api(name, "theirs"))

    (listed,) = [each for each in gate.call("GET", "/objects/apis").json()["objects"] if each["name"] == name]
    assert listed["draft"]["stale"]
    refused = gate.call("POST", f"/objects/apis/{name}/draft/deploy")
    assert refused.status_code == 412
    assert "rebase=true" in refused.json()["detail"]
    gate.call("PUT", f"/objects/apis/{name}/draft", api(name, "mine too"))
    assert gate.call("POST", f"/objects/apis/{name}/draft/deploy").status_code == 412  # saving again is no looking
    gate.call("PUT", f"/objects/apis/{name}/draft?rebase=true", api(name, "both"))
    assert gate.call("POST", f"/objects/apis/{name}/draft/deploy?wait=live").status_code == 200
    assert gate.get(f"/{name}/").text == "both"


def test_two_who_edit_one_draft_do_not_overwrite_each_other(gate, name):
    place = f"/objects/apis/{name}/draft"
    first = gate.call("PUT", place, api(name, "1"), If_None_Match="*")
    assert first.status_code == 201
    assert gate.call("PUT", place, api(name, "2"), If_None_Match="*").status_code == 412
    second = gate.call("PUT", place, api(name, "2"), If_Match=first.headers["ETag"])
    assert second.status_code == 200
    for method, path in (("PUT", place), ("DELETE", place), ("POST", f"{place}/deploy")):
        body = api(name) if method == "PUT" else None
        assert gate.call(method, path, body, If_Match=first.headers["ETag"]).status_code == 412
    dropped = gate.call("DELETE", place, If_Match=second.headers["ETag"])
    assert (dropped.status_code, dropped.json()["dropped"]) == (200, True)
    assert gate.call("GET", place).status_code == 404
    third = gate.call("PUT", place, api(name, "3"))
    assert int(third.headers["ETag"].strip('"')) > int(second.headers["ETag"].strip('"'))


def test_a_draft_with_mistakes_is_kept_and_not_deployed(gate, name):
    body = api(name, to={"connection": f"{name}-not-there"})
    saved = gate.call("PUT", f"/objects/apis/{name}/draft", body)
    assert saved.json()["mistakes"][0]["pointer"] == "/to/connection"
    assert gate.call("POST", f"/objects/apis/{name}/draft/deploy").status_code == 422
    gate.call("PUT", f"/objects/connections/{name}-not-there/draft", CRM)
    both = [{"kind": "apis", "name": name}, {"kind": "connections", "name": f"{name}-not-there"}]
    dry = gate.call("POST", "/drafts/deploy?dry_run=true", {"drafts": both})
    assert (dry.status_code, dry.json()["written"]) == (200, False)
    done = gate.call("POST", "/drafts/deploy", {"drafts": both, "comment": "together"})
    assert done.status_code == 200, done.text
    assert {each["name"] for each in done.json()["changes"]} == {name, f"{name}-not-there"}
    assert not {name, f"{name}-not-there"} & {each["name"] for each in gate.call("GET", "/drafts").json()["drafts"]}


def test_a_draft_shows_no_secret_and_keeps_it(gate, name):
    place = f"/objects/connections/{name}"
    gate.call("PUT", f"{place}/draft", CRM)
    read = gate.call("GET", f"{place}/draft").json()["body"]
    gate.call("PUT", f"{place}/draft", read | {"tags": ["x"]})
    gate.call("POST", f"{place}/draft/deploy")
    written = gate.call("GET", f"{place}/diff?from=0&to=live")
    gate.call("PUT", f"{place}/draft", gate.call("GET", place).json()["body"] | {"tags": ["y"]})
    differs = gate.call("GET", f"{place}/diff").json()["differences"]
    audit = gate.call("GET", f"/audit?object=connections/{name}").text

    assert read["auth"][0]["basic"]["password"] == "********"
    assert [each["pointers"] for each in differs] == [["/tags/0"]]
    assert written.json()["differences"][0]["change"] == "added"
    assert {"draft", "create"} <= {each["action"] for each in gate.call("GET", "/audit").json()["entries"]}
    assert SECRET not in audit + written.text
    with sqlite3.connect(gate.folder / "store.db") as database:
        assert SECRET.encode() not in b"".join(
            bytes(row[0]) for row in database.execute("SELECT sealed FROM hookgate_drafts")
        )
    asterisks = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "a", "password": "********"}}]}
    assert gate.call("PUT", f"/objects/connections/{name}-none/draft", asterisks).status_code == 422


def test_who_may_change_the_kind_may_draft_it_and_nobody_else(gate, name):
    for token in ("token-of-bob", "token-of-eve"):
        for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/deploy")):
            body = api(name) if method == "PUT" else None
            assert gate.call(method, f"/objects/apis/{name}/draft{path}", body, token).status_code == 403
    assert gate.call("PUT", f"/objects/connections/{name}/draft", CRM, "token-of-bob").status_code == 201
    gate.call("PUT", f"/objects/apis/{name}/draft", api(name))
    both = {"drafts": [{"kind": "connections", "name": name}, {"kind": "apis", "name": name}]}
    assert gate.call("POST", "/drafts/deploy", both, "token-of-bob").status_code == 403
    assert gate.call("GET", "/drafts", token="token-of-eve").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/objects/routes/hello/draft", {"name": "hello"}, 409),
        ("/objects/apis/x/draft", 5, 422),
        ("/objects/apis/x/draft", [], 422),
        ("/objects/apis/x/draft", {"name": "y"}, 422),
        ("/objects/apis/%20x/draft", {"name": " x"}, 422),
        ("/objects/nonsense/x/draft", {}, 404),
        ("/objects/connections/x/draft", {"targets": "${env:HOME}"}, 422),
        ("/objects/connections/x/draft", {"targets": "x" * 1_050_000}, 413),
        ("/objects/connections/x/draft?dry_run=maybe", {}, 400),
    ],
)
def test_what_is_no_draft_is_refused_and_nothing_kept(gate, path, body, status):
    answer = gate.call("PUT", path, body)
    assert answer.status_code == status, answer.text
    assert not {"x", " x", "hello"} & {each["name"] for each in gate.call("GET", "/drafts").json()["drafts"]}
