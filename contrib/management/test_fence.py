"""What is stored runs no code, names no file, and reads nothing of the process that nobody has allowed."""

import asyncio
import json
import os

import pytest

from hookgate_storage import Change, Keys, open_store

from .served import DOCUMENT, serving

NAMED = """
plugins:
  dock: {transport/unix: {path: /nowhere/app.sock}}
  own-script: {script: {file: own.py}}
  a-log: {message-log: {output: messages.jsonl}}
"""
FILE = "names a file of this machine"
TARGETS = {"targets": "https://127.0.0.1:9"}
CASES = {
    "script": ("routes", {"flow": [{"script": {"file": "own.py"}}]}, "/flow/0/script", "script runs code"),
    "script-inside": (
        "routes",
        {"flow": [{"when": {"if": "true", "flow": [{"script": {"file": "own.py"}}]}}]},
        "/flow/0/when/flow/0/script",
        "script runs code",
    ),
    "contract": ("routes", {"flow": [{"schema": {"file": "/etc/passwd"}}]}, "/flow/0/schema/file", FILE),
    "output": ("routes", {"flow": [{"message-log": {"output": "/x"}}]}, "/flow/0/message-log/output", FILE),
    "socket": (
        "connections",
        {"targets": "http://app", "transport": {"unix": {"path": "/run/x"}}},
        "/transport/unix/path",
        FILE,
    ),
    "authorities": ("connections", {**TARGETS, "tls": {"ca_file": "/x"}}, "/tls/ca_file", FILE),
    "certificate": (
        "connections",
        {**TARGETS, "auth": [{"mutual-tls": {"certificate": "/x", "key": "/y"}}]},
        "/auth/0/mutual-tls/certificate",
        FILE,
    ),
    "discovery": ("connections", {"discovery": {"file": {"path": "/x"}}}, "/discovery/file/path", FILE),
    "variable": (
        "connections",
        {**TARGETS, "headers": [{"set": "X", "from": {"env": {"name": "HOME"}}}]},
        "/headers/0/from/env",
        "env reads variables",
    ),
    "named": ("plugins", {"message-log": {"output": "/x"}}, "/message-log/output", FILE),
    "database": (
        "plugins",
        {"state/postgresql": {"url": "postgresql://h/d?sslkey=/x"}},
        "/state~1postgresql/url",
        FILE,
    ),
    "reference": (
        "connections",
        {**TARGETS, "auth": [{"bearer": {"token": "${env:HOME}"}}]},
        "/auth/0/bearer/token",
        "refers to",
    ),
}


def body_of(case, name):
    kind, body, *_ = CASES[case]
    return {"name": name, "match": {"path": f"/{name}"}, **body} if kind == "routes" else body


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fence")
    (folder / "own.py").write_text("def on_request(exchange): exchange.variables['x'] = 'y'\n")
    os.environ["HOOKGATE_SCRIPTS"] = str(folder)
    try:
        with serving(folder, f"sqlite:///{folder / 'store.db'}", DOCUMENT + NAMED) as served:
            served.folder = folder
            yield served
    finally:
        del os.environ["HOOKGATE_SCRIPTS"]


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_when_it_is_written(gate, case):
    kind, _, place, why = CASES[case]
    told = gate.call("PUT", f"/objects/{kind}/{case}?dry_run=true", body_of(case, case))

    assert told.status_code == 422, told.text
    assert [each for each in told.json()["errors"] if each["pointer"] == place and why in each["detail"]], told.text


async def test_it_is_left_out_when_it_was_put_behind_the_back_of_the_api(gate):
    store = await open_store(f"sqlite:///{gate.folder / 'store.db'}", Keys.in_file(gate.folder / "hookgate-store.key"))
    names = {case: f"behind-{case}" for case in CASES}
    try:
        changes = [
            Change(CASES[case][0], name, body_of(case, name), "list" if CASES[case][0] == "routes" else "names")
            for case, name in names.items()
        ]
        good = {"name": "good", "match": {"path": "/good"}, "flow": [{"respond": {"body": "good"}}]}
        changes.append(Change("routes", "good", good, "list"))
        changes.append(Change("secrets", "vault", {"url": "http://127.0.0.1:9"}))
        made = await store.write(changes, "mallory")
        nodes = await store.live(made.number, 60)
    finally:
        await store.close()
    rejected = {each["name"]: each["why"] for each in nodes[0].rejected}

    assert rejected.keys() == {*names.values(), "vault"}
    for case, name in names.items():
        assert CASES[case][3] in rejected[name]
    assert (await asyncio.to_thread(gate.get, "/good")).text == "good"


def test_what_stands_in_the_file_may_be_placed_by_its_name(gate):
    stored = {
        "name": "by-name",
        "match": {"path": "/by-name"},
        "flow": ["own-script", "a-log", {"respond": {"body": "x"}}],
    }
    made = gate.call("PUT", "/objects/routes/by-name?wait=live", stored)
    socket = gate.call("PUT", "/objects/connections/by-name", {"targets": "http://app", "transport": "dock"})

    assert (made.status_code, socket.status_code) == (201, 201), made.text + socket.text
    assert gate.get("/by-name").text == "x"


def test_what_is_allowed_may_be_stored(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("def on_request(exchange): exchange.variables['x'] = 'y'\n")
    monkeypatch.setenv("HOOKGATE_SCRIPTS", str(tmp_path))
    allowed = {"allow": ["files", "code", "environment"], "references": ["env:HOME"]}
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", **allowed) as gate:
        for case in ("script", "output", "socket", "variable", "named", "reference", "discovery"):
            body = json.loads(json.dumps(body_of(case, case)).replace('"/x"', json.dumps(str(tmp_path / "x.yaml"))))
            told = gate.call("PUT", f"/objects/{CASES[case][0]}/{case}", body)
            assert told.status_code == 201, told.text
