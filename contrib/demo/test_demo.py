"""The demo, as a person starts it."""

import os
import signal
import subprocess
import sys

import httpx


def test_the_demo_runs_from_start_to_ctrl_c():
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "demo", "--port", "0", "--management-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
    )
    try:
        tries = []
        while not any("Ctrl-C" in line for line in tries):
            tries.append(process.stdout.readline())
            assert tries[-1], "the demo ended before it began"
        url = next(line for line in tries if line.startswith("curl")).split()[-1]
        password = next(line for line in tries if "-u demo:" in line).split("demo:")[1].split()[0]
        fail = next(line for line in tries if line.rstrip().endswith("/fail")).split()[-1]

        assert httpx.get(url).json()["served_by"] in ("orders-a", "orders-b")
        assert httpx.post(url, json={"item": "tea"}).status_code == 401
        assert httpx.post(url, json={"item": "tea"}, auth=("demo", password)).status_code == 201
        httpx.post(fail)
        live = iter(process.stdout.readline, "")
        assert next(line for line in live if "is unhealthy" in line)
        assert {httpx.get(url).json()["served_by"] for _ in range(4)} == {"orders-b"}
        httpx.post(next(line for line in tries if line.rstrip().endswith("/recover")).split()[-1])
        assert next(line for line in live if "is healthy again" in line)
        assert httpx.get(url).status_code == 200
        said = "".join(tries)
        assert "about 3 seconds" in said, "people who wait know how long"
        assert "in 4 seconds at most" in said
    finally:
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "200" in rest
    assert "Traceback" not in said
