"""Two gateways that are processes of their own, on one database."""

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from hookgate.testing import postgresql


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
