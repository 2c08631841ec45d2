"""Two gateways that are processes of their own, on one database or one Valkey."""

import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate.testing import postgresql, valkey


@contextmanager
def served(path):
    """A process that serves, and its URL."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "hookgate", "serve", str(path)]
    with subprocess.Popen(command, env=environment, cwd=path.parent, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"hookgate serves (\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log would fill the pipe
            yield url.rstrip("/")
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.mark.row("KC-32")
@pytest.mark.row("KC-40")
def test_a_tier_counts_over_both_under_load_and_a_burst_in_each_for_itself(tmp_path):
    subscription = {"by": "request.path", "tier": "'Burst'"}
    with postgresql() as url:
        document = {
            "gateway": {"listen": ["127.0.0.1:0"], "counters": {"postgresql": {"url": url, "patience": 10}}},
            "management": {"listen": ["127.0.0.1:0"]},
            "tiers": {
                "Tier": {"limit": 37, "window": 10_000_000},
                "Burst": {"limit": 1000, "window": 10_000_000, "burst": {"limit": 5, "window": 1_000_000}},
            },
            "routes": [
                {
                    "name": name,
                    "match": {"path": f"/{name}"},
                    "flow": [{"throttle": {"patience": 10, **options}}, "respond"],
                }
                for name, options in (("tier", {"api_tier": "Tier"}), ("burst", {"subscription": subscription}))
            ],
        }
        path = tmp_path / "gateway.json"
        path.write_text(json.dumps(document))
        with served(path) as one, served(path) as two, ThreadPoolExecutor(8) as pool, httpx.Client() as client:
            gates = [one, two] * 40

            def statuses(name, count):
                return list(pool.map(lambda gate: client.get(f"{gate}/{name}", timeout=60).status_code, gates[:count]))

            tier, burst = statuses("tier", 80), statuses("burst", 20)

    assert (tier.count(200), tier.count(429)) == (37, 43)
    assert (burst.count(200), burst.count(429)) == (10, 10)


@pytest.mark.row("KC-32")
@pytest.mark.parametrize("lease", [1, 20])
def test_a_tier_of_a_thousand_on_one_valkey_lets_a_thousand_through_under_load_from_both(tmp_path, lease):
    try:
        url = valkey()
    except LookupError as error:
        pytest.skip(str(error))
    counters = {"redis": {"url": url, "prefix": secrets.token_hex(8), "patience": 10, "lease": lease}}
    document = {
        "gateway": {"listen": ["127.0.0.1:0"], "counters": counters},
        "management": {"listen": ["127.0.0.1:0"]},
        "tiers": {"Tier": {"limit": 1000, "window": 10_000_000}},
        "routes": [{"name": "tier", "flow": [{"throttle": {"api_tier": "Tier", "patience": 10}}, "respond"]}],
    }
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps(document))

    def statuses(gate):
        found = []
        with closing(http.client.HTTPConnection(urlsplit(gate).netloc, timeout=60)) as connection:
            for _ in range(150):
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                found.append(answer.status)
        return found

    with served(path) as one, served(path) as two, ThreadPoolExecutor(8) as pool:
        found = [status for each in pool.map(statuses, [one, two] * 4) for status in each]

    assert found.count(200) + found.count(429) == 1200
    assert 1000 - 2 * (lease - 1) <= found.count(200) <= 1000
