"""A gateway that runs workflows, with its store, for tests."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import httpx
import pytest

from hookgate import ConfigError
from hookgate.server import starting
from hookgate.testing import running
from hookgate_storage import Database, Keys
from hookgate_storage.upgrading import upgrade

ORIGINAL = starting.gateway_for
WHO = '''
"""Says who calls by a header, as a real method would by a token."""
from hookgate import Exchange, Identity, Interceptor, Options, Unauthorized, hookimpl

class Who(Interceptor[Options]):
    name = "who"
    writes = {"identity"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        name = exchange.request.headers.get("x-who")
        if not name:
            raise Unauthorized("Say who you are.")
        roles = tuple((exchange.request.headers.get("x-roles") or "").split())
        exchange.identity = Identity(name, "who", roles)
'''


def workflow(*cells, **more):
    """Make a definition of cells that follow each other: pairs of a name and its node with parameters."""
    made = {"start": {"original_name": "start"}, **dict(cells), "end": {"original_name": "end"}}
    transitions = [[f"{first}.ok", second] for first, second in pairwise(made)]
    return {"cells": made, "transitions": transitions, **more}


def setter(key, value):
    """Make a cell that sets a key."""
    return {"original_name": "context_setter", "params": {"key": key, "value": value}}


class Farm:
    """What a test asks."""

    def __init__(self, gate, url, file):
        self.gate, self.url, self.file = gate, url, file

    def write(self, made):
        """Put another document live."""
        self.file.write_text(json.dumps(made))
        self.gate.run(self.gate.gateway.reload())

    def call(self, path, method="GET", who="", roles="", **more):
        """Call the gateway."""
        headers = ({"x-who": who} if who else {}) | ({"x-roles": roles} if roles else {}) | more.pop("headers", {})
        return self.gate.request(method, path, headers=headers, **more)

    def public(self, path, method="GET", **more):
        """Call a public route."""
        return self.call(f"/api/v01/public{path}", method, **more)

    def transaction(self, number, who="ops", roles="operator"):
        """Return a transaction."""
        return self.call(f"/api/v01/transactions/{number}", who=who, roles=roles)

    def closed(self, number, patience=10.0):
        """Wait until a transaction is over, and return it."""
        return self.until(number, lambda told: told["status"] != "ACTIVE", patience)

    def until(self, number, holds, patience=10.0):
        """Wait until something holds of a transaction, and return it."""
        until = time.monotonic() + patience
        while True:
            found = self.transaction(number)
            assert found.status_code == 200, found.text
            if holds(found.json()):
                return found.json()
            assert time.monotonic() < until, found.json()
            time.sleep(0.02)


def document(workflows, routes, **more):
    """Make a document."""
    engine = {"auth": ["who"], "operators": ["operator"], **more.pop("workflow_engine", {})}
    return {
        "gateway": {"listen": ["127.0.0.1:0"], "lame_duck": 0, **more.pop("gateway", {})},
        "management": {
            "listen": ["127.0.0.1:0"],
            "apps": ["health", {"management": {"callers": {"ann": {"token": "token-of-ann"}}}}],
        },
        "workflows": workflows,
        "custom_routes": routes,
        "workflow_engine": engine,
        **more,
    }


@contextmanager
def serving(folder, url, made, plugins=""):
    """Run a gateway in this process."""
    (folder / "gateway.yaml").write_text(json.dumps(made))
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "who.py").write_text(WHO)
    if plugins:
        (folder / "plugins" / "more.py").write_text(plugins)
    asyncio.run(tables(url))
    key = folder / "store.key"
    Keys.in_file(key, make=True)
    options = json.dumps({"url": url, "key": str(key), "poll": "100ms"})
    made_for, gateways = partial(ORIGINAL, source="store", options=options), []

    def gateway_for(*given):
        gateways.append(made_for(*given))
        return gateways[-1]

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(starting, "gateway_for", gateway_for)
            with running(folder / "gateway.yaml", plugins_dir=folder / "plugins") as gate:
                yield Farm(gate, url, folder / "gateway.yaml")
    finally:
        for gateway in gateways:  # a process closes it with its end, and this one goes on
            if (store := gateway.source._store) is not None:
                asyncio.run(store.close())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of a connection that was being made
            gc.collect()


def refused(folder, made):
    """Return why a document is refused."""
    told = ""
    try:
        with serving(folder, f"sqlite:///{folder / 'store.db'}", made):
            pass
    except ConfigError as error:
        told = str(error)
    return told


class Process:
    """A gateway in a process of its own, which can be killed."""

    def __init__(self, folder, url):
        options = json.dumps({"url": url, "key": str(folder / "store.key"), "poll": "100ms"})
        environ = {**os.environ, "HOOKGATE_SOURCE": "store", "HOOKGATE_SOURCE_OPTIONS": options}
        environ["HOOKGATE_PLUGINS_DIR"] = str(folder / "plugins")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hookgate", "serve", "gateway.yaml"],
            cwd=folder,
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines, found = [], {}
        for line in self.process.stdout:
            self.lines.append(line)
            for what in ("serves", "management on"):
                if match := re.search(rf"{what} (http://[0-9.:]+)", line):
                    found[what] = match[1]
            if len(found) == 2:
                break
        assert len(found) == 2, "".join(self.lines)
        self.url, self.management = found["serves"], found["management on"]
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def request(self, method, path, **more):
        """Call it."""
        return httpx.request(method, f"{self.url}{path}", timeout=30, trust_env=False, **more)

    def manage(self, method, path, body):
        """Call its management API."""
        headers = {"authorization": "Bearer token-of-ann"}
        url = f"{self.management}/-/api{path}"
        return httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)

    def says(self, words, times, patience=10.0):
        """Wait until it has said something so many times."""
        until = time.monotonic() + patience
        while sum(words in line for line in self.lines) < times:
            assert time.monotonic() < until, "".join(self.lines[-20:])
            time.sleep(0.02)

    def kill(self):
        """End it as a failure of power would."""
        self.process.kill()
        self.process.wait(30)
        self.reader.join(30)
        self.process.stdout.close()


@contextmanager
def processes(folder, url, made):
    """Give what starts a gateway in a process of its own; all are ended."""
    (folder / "gateway.yaml").write_text(json.dumps(made))
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "who.py").write_text(WHO)
    asyncio.run(tables(url))
    Keys.in_file(folder / "store.key", make=True)
    started = []

    def start():
        started.append(Process(folder, url))
        return Farm(started[-1], url, folder / "gateway.yaml")

    try:
        yield start
    finally:
        for each in started:
            if each.process.returncode is None:
                each.kill()


async def tables(url):
    """Make the tables."""
    database = Database(url)
    try:
        await upgrade(database)
    finally:
        await database.close()
