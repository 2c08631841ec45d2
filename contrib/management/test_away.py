"""While the database is away, locked or full, writes are answered with 503 that names it, and calls are served."""

import resource
import sqlite3
import time

import pytest

from .served import serving

CRM = {"targets": "http://127.0.0.1:9"}
ROUTE = {"name": "stored", "match": {"path": "/stored"}, "flow": [{"respond": {"body": "stored"}}]}


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}") as served:
        served.folder, served.database = folder, folder / "store.db"
        assert served.call("PUT", "/objects/routes/stored?wait=live", ROUTE).json()["live"]
        yield served


def refused(gate, method="PUT", path="/objects/connections/new", body=CRM, **headers):
    """A write is answered with 503 that names the database, within bounds, and calls are served meanwhile."""
    began = time.monotonic()
    answer = gate.call(method, path, body, **headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:hookgate:problem:store-away"), answer.text
    assert str(gate.database) in answer.json()["detail"]
    assert time.monotonic() - began < 50
    assert gate.get("/stored").text == "stored"
    assert gate.get("/hello").text == "hello"
    return answer.json()["detail"]


def works(gate):
    again = gate.call("PUT", "/objects/connections/new?wait=live", CRM)
    assert again.json()["live"], again.text
    assert gate.call("DELETE", "/objects/connections/new").status_code == 200


def test_writes_while_somebody_else_holds_the_database(gate):
    other = sqlite3.connect(gate.database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert "is held by somebody else" in refused(gate)
        assert gate.call("GET", "/objects/routes/stored").status_code == 200  # reading waits for nobody
    finally:
        other.close()
    works(gate)


def test_writes_while_the_database_is_gone(gate):
    aside = gate.database.with_name("aside.db")
    gate.database.rename(aside)
    try:
        assert "is away" in refused(gate)
        refused(gate, Idempotency_Key="k")
        refused(gate, "DELETE", "/objects/routes/stored", None)
        refused(gate, "POST", "/rollback", {"to": 0})
        refused(gate, "POST", "/plan", {"document": {"connections": {"new": CRM}}})
        refused(gate, "GET", "/objects/routes/stored/used-by", None)
        refused(gate, "GET", "/export", None)
    finally:
        aside.rename(gate.database)
    works(gate)
    assert gate.call("PUT", "/objects/connections/new", CRM, Idempotency_Key="k").status_code == 201
    assert gate.call("DELETE", "/objects/connections/new").status_code == 200


def test_writes_while_no_file_may_grow(gate):
    before = resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        refused(gate)
    finally:
        resource.prlimit(gate.process.pid, resource.RLIMIT_FSIZE, before)
    works(gate)
