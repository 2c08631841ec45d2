"""`/-/connections` and `hookgate connections`: what operators see of the backends."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time

import httpx
import pytest

from hookgate.testing import running, upstream


def document(targets, **connection):
    return {
        "management": {"apps": ["health", "connections"]},
        "routes": [
            {"name": "crm", "match": {"path": "/crm/{rest...}"}, "to": {"connection": "crm", "timeout": 0.3}},
            {"name": "erp", "to": {"connection": "erp"}},
        ],
        "connections": {
            "crm": {"targets": targets, "tags": ["EU", "customers"], **connection},
            "erp": {"targets": "http://127.0.0.1:1", "tags": ["us"]},
        },
    }


def shown(gate, path=""):
    answer = httpx.get(f"{gate.management}/-/connections{path}", trust_env=False)
    return answer.json()


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", "connections", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@pytest.mark.row("AC-8")
def test_every_target_is_shown_with_health_and_last_seen():
    started = time.time()
    monitor = {"http": {"path": "/", "interval": 0.02, "at_most": 0.02, "unhealthy_after": 1, "timeout": 5}}
    with upstream() as good, upstream(lambda request: (500, {}, "ill")) as bad:
        targets = [{"url": good.url, "weight": 4}, {"url": bad.url}, {"url": "http://127.0.0.1:1", "active": False}]
        with running(document(targets, monitor=monitor)) as gate:
            for backend in (good, bad):
                backend.wait_for(lambda backend: len(backend.requests) >= 2)
            crm = shown(gate, "/crm")
            assert shown(gate, "?health=degraded")["connections"][0]["name"] == "crm"

    well, ill, off = crm["targets"]
    assert (well["url"], well["weight"], well["health"], well["failures"]) == (good.url, 4, "healthy", 0)
    assert started <= well["last_seen"] <= time.time()
    assert well["last_seen_at"].startswith(time.strftime("%Y-%m-%dT", time.gmtime(well["last_seen"])))
    assert (ill["health"], ill["last_seen"], ill["last_seen_at"]) == ("unhealthy", None, None)
    assert ill["failures"] >= 1
    assert "500" in ill["reason"]
    assert off["active"] is False
    assert (crm["health"], crm["monitors"], crm["transport"], crm["max_tries"]) == ("degraded", ["http"], "http", 1)
    assert crm["balancer"] == "weighted-round-robin"


@pytest.mark.row("AC-34")
def test_a_tag_filters_the_connections_whatever_its_case():
    with running(document("http://127.0.0.1:1")) as gate:
        assert [each["name"] for each in shown(gate, "?tag=eu")["connections"]] == ["crm"]
        assert [each["name"] for each in shown(gate, "?tag=%20US")["connections"]] == ["erp"]
        assert shown(gate, "?tag=eu&tag=us") == {"connections": []}
        assert shown(gate, "/crm")["tags"] == ["EU", "customers"]


def test_a_tag_is_what_is_left_without_blanks_around_it_and_counts_once():
    written = document("http://127.0.0.1:1", tags=["  EU ", "eu", "Eu\t", " ", "customers"])
    with running(written) as gate:
        tags = shown(gate, "/crm")["tags"]
        found = [[each["name"] for each in shown(gate, f"?tag={tag}")["connections"]] for tag in ("eu", "EU%20", "")]

    assert [tag.lower() for tag in tags] == ["eu", "customers"]
    assert found[:2] == [["crm"], ["crm"]]
    assert all(tag == tag.strip() for tag in tags)


@pytest.mark.row("HC-20")
def test_errors_are_counted_by_where_they_arose():
    """Three time-outs and two answers 502 of `crm`; all five are errors for our callers."""

    async def answer(request):
        if request.path.endswith("slow"):
            await asyncio.get_running_loop().create_future()
        return 502 if request.path.endswith("bad") else 200, {}, "told"

    with upstream(answer) as backend, running(document(backend.url)) as gate:
        statuses = [
            gate.request("GET", f"/crm/{each}").status_code for each in ("slow", "slow", "slow", "bad", "bad", "good")
        ]
        gate.request("GET", "/refused")
        gate.wait_for_exchanges(7)
        crm, erp = shown(gate)["connections"]

    assert statuses == [502, 502, 502, 502, 502, 200]
    assert (crm["network_issues"], crm["southbound_errors"], crm["northbound_errors"]) == (3, 2, 5)
    assert (crm["counts"]["calls"], crm["counts"]["ok"], crm["counts"]["timeout"]) == (6, 3, 3)
    assert (erp["network_issues"], erp["southbound_errors"], erp["northbound_errors"]) == (1, 0, 1)


def test_the_target_that_a_balancer_keeps_to_is_shown(tmp_path):
    (tmp_path / "last.py").write_text(
        """
from hookgate import Balancer, Options, hookimpl

class Last(Balancer[Options]):
    current = None

    @hookimpl
    def pick(self, exchange, targets):
        self.current = targets[-1]
        return self.current
"""
    )
    with upstream() as backend:
        written = document(["http://127.0.0.1:1", backend.url], balancer="last")
        with running(written, plugins_dir=tmp_path) as gate:
            before = shown(gate, "/crm")["current"]
            assert gate.request("GET", "/crm/a").status_code == 200
            after = shown(gate, "/crm")["current"]
            table = command("crm", "--management", gate.management).stdout

    assert (before, after) == (None, backend.url)
    assert f"→ {backend.url}" in table


def test_the_pool_is_shown():
    with upstream() as backend, running(document(backend.url)) as gate:
        gate.request("GET", "/crm/a")
        pool = shown(gate, "/crm")["pool"]

    assert (pool["open"], pool["idle"], pool["in_use"]) == (1, 1, 0)


def test_a_document_without_the_app_shows_nothing_there():
    without = document("http://127.0.0.1:1")
    del without["management"]
    with running(without) as gate:
        assert httpx.get(f"{gate.management}/-/connections", trust_env=False).status_code == 404
        told = command("--management", gate.management)

    assert told.returncode == 3
    assert "does not show its connections: write `management: {apps: [health, connections]}`" in told.stderr


def test_the_command_shows_a_table_json_and_one_connection():
    with upstream() as backend, running(document(backend.url)) as gate:
        gate.request("GET", "/crm/a")
        table = command(HOOKGATE_MANAGEMENT_URL=gate.management)
        one = command("crm", "--json", "--management", gate.management)
        tagged = command("--tag", "us", "--json", "--management", gate.management)
        page = shown(gate, "/crm")

    assert (table.returncode, table.stderr) == (0, "")
    titles, crm, erp = (re.split(r" {2,}", line.strip()) for line in table.stdout.splitlines())
    assert titles == ["connection", "target", "health", "last seen", "in flight", "pool", "calls", "errors"]
    healthy = "healthy (not checked yet)"
    assert crm[:8] == ["crm (EU, customers)", backend.url, healthy, "never", "0", "1 open, 0 in use", "1", "0"]
    assert erp[0] == "erp (us)"
    assert json.loads(one.stdout) == page
    assert [each["name"] for each in json.loads(tagged.stdout)["connections"]] == ["erp"]


def test_the_command_says_what_is_wrong_and_tells_it_by_its_exit_code():
    with running(document("http://127.0.0.1:1")) as gate:
        told = {
            arguments: command(*arguments, "--management", gate.management)
            for arguments in (("none",), ("--tag", "none"), ("--health", "ill"), ("crm", "--tag", "eu"))
        }
        stopped = gate.management
    gone = command("--management", stopped)
    strange = command("--management", "not a URL")

    assert [each.returncode for each in told.values()] == [1, 1, 2, 2]
    assert [each.stderr.strip() for each in told.values()][:2] == [
        "There is no connection named 'none'.",
        "no connection matches",
    ]
    assert "'ill' is no health" in told["--health", "ill"].stderr
    assert (gone.returncode, strange.returncode) == (3, 3)
    assert f"no gateway answers on {stopped}" in gone.stderr
    assert "Traceback" not in gone.stderr + strange.stderr
