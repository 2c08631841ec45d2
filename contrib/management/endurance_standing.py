"""A PostgreSQL that stands still amid writes: named, within bounds, calls are served, and writes go on after it.

Its name keeps this file out of the ordinary run: it waits for bounds of time.
"""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from .served import serving

CRM = {"targets": "http://127.0.0.1:9"}


def refused(gate, body=CRM, bound=50.0):
    """Write, and return the detail of the 503; calls are served meanwhile."""
    began = time.monotonic()
    answer = gate.call("PUT", "/objects/connections/new", body)
    assert time.monotonic() - began < bound
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:hookgate:problem:store-away"), answer.text
    assert gate.get("/hello").text == "hello"
    return answer.json()["detail"]


def works(gate):
    until = time.monotonic() + 60
    while not (answer := gate.call("PUT", "/objects/connections/new?wait=live", CRM)).is_success:
        assert time.monotonic() < until, answer.text
        time.sleep(0.2)
    assert answer.json()["live"]


def database_of(url):
    """The processes of PostgreSQL: those that serve this database, not those of others."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    master = psutil.Process(int((Path(folder) / "postmaster.pid").read_text().splitlines()[0]))
    return [each for each in master.children() if parts.path[1:] in " ".join(each.cmdline())]


@contextmanager
def stopped(processes):
    for each in processes:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            if each.is_running():
                os.kill(each.pid, signal.SIGCONT)


@pytest.mark.skipif("HOOKGATE_TEST_PG_URL" in os.environ, reason="the server is not ours to stop")
def test_a_postgresql_that_stands_still_is_named_and_writes_go_on_after_it(tmp_path, postgres_url):
    with serving(tmp_path, postgres_url) as gate:
        works(gate)
        with stopped(database_of(postgres_url)):
            assert "does not answer within" in refused(gate, {"targets": "http://127.0.0.1:10"})
        works(gate)
        assert gate.call("GET", "/generations?limit=1").json()["generations"][0]["author"] == "ann"
