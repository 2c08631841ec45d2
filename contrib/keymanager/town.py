"""A gateway with a key manager, its people, and clients that ask for tokens."""

import asyncio
import json
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from contrib.prepared import prepare
from hookgate.server import starting
from hookgate.testing import running
from hookgate_keymanager.clients import Clients
from hookgate_keymanager.ending import Endings
from hookgate_people import By, People
from hookgate_storage import Keys, open_store

PASSWORD = "correct horse battery"  # noqa: S105
BY = By("the test")
EVERY = ("authorization_code", "client_credentials", "password", "refresh_token")
CALLBACK = "https://app.example/back"
SCOPES = "{news_read: {title: Read the news, roles: [employee]}, news_write: {roles: [manager]}, open: {}}"
DOCUMENT = """\
gateway: {listen: ["127.0.0.1:0"], lame_duck: 0, observers: [prometheus]LISTEN}
management: {listen: ["127.0.0.1:0"], apps: [health, prometheus]}
keymanager: {KEYMANAGER}
scopes: SCOPES
routes:
ROUTES
connections:
  backend: {targets: "BACKEND"}
  seen: {targets: "BACKEND", headers: [{set: X-Who, from: {expression: {value: "WHO"}}}]}
"""
WHO = (
    "principal + ' ' + identity.application + ' ' + claims.client_id + ' ' + claims.token_kind + ' ' + claims.key_type"
)
ROUTE = "  - {name: news, match: {path: /news}, flow: [{oauth: {OAUTH}}], to: {connection: backend}}\n"


class Client(tuple):
    """What a client logs in with: its id and its secret."""


class Town:
    """What a test asks."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.key = folder / "store.key"
        self.gate = None

    def store(self, what):
        """Run something with the store, from outside of the gateway."""

        async def whole():
            store = await open_store(self.url, Keys.in_file(self.key))
            try:
                return await what(store)
            finally:
                await store.close()

        return _apart(whole())

    def prepare(self):
        """Make tables, and people: tom is an employee, john a manager, too."""

        async def people():
            await prepare(self.url)
            Keys.in_file(self.key, make=True)
            store = await open_store(self.url, Keys.in_file(self.key))
            try:
                known = People(store)
                for role in ("employee", "manager"):
                    await known.roles.make(BY, role)
                await known.users.make(BY, "tom", PASSWORD, roles=["employee"])
                await known.users.make(BY, "john", PASSWORD, roles=["employee", "manager"])
            finally:
                await store.close()

        _apart(people())

    def client(self, *grants, callbacks=(CALLBACK,), **more):
        """Make a client, whose application is the owner's."""
        given = {"application": "newsroom", "owner": "tom", **more}

        async def make(store):
            return await Clients(store, Endings(store)).make(grants=grants or EVERY, callbacks=callbacks, **given)

        made, secret = self.store(make)
        return Client((made.client_id, secret))

    def ask(self, client=None, path="/token", **form):
        """Ask at an endpoint."""
        return self.gate.request("POST", path, data=form, auth=client and tuple(client))

    def token(self, client, **form):
        """Get a token."""
        given = {"grant_type": "password", "username": "tom", "password": PASSWORD, **form}
        if given["grant_type"] != "password":
            given = form
        told = self.ask(client, **given)
        assert told.status_code == 200, told.text
        return told.json()

    def call(self, token, path="/news", method="GET", **headers):
        """Call an API."""
        shown = {"authorization": f"Bearer {token}"} if token else {}
        return self.gate.request(method, path, headers=shown | headers)

    def metric(self, name):
        """Return the lines of a metric."""
        told = httpx.get(f"{self.gate.management}/-/metrics", trust_env=False).text
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in told.splitlines()
            if line.startswith(name)
        }

    def health(self):
        """Return what is told on the page of health."""
        return httpx.get(f"{self.gate.management}/-/health", trust_env=False).json()


def prepared(
    folder, url, backend="http://127.0.0.1:9", oauth="", keymanager="", routes="", scopes=SCOPES, listen="", more=""
):
    """Write a document with these options of step and section, and make a store for it."""
    made = Town(folder, url)
    told = {
        "OAUTH": oauth,
        "BACKEND": backend,
        "KEYMANAGER": keymanager,
        "SCOPES": scopes,
        "LISTEN": listen,
        "WHO": WHO,
    }
    text = DOCUMENT.replace("ROUTES", ROUTE + routes) + more
    for word, value in told.items():
        text = text.replace(word, value)
    (folder / "gateway.yaml").write_text(text)
    made.prepare()
    made.options = json.dumps({"url": url, "key": str(made.key), "poll": "100ms"})
    made.environment = {**os.environ, "HOOKGATE_SOURCE": "store", "HOOKGATE_SOURCE_OPTIONS": made.options}
    return made


@contextmanager
def serving(folder, url, *given, plugins=None, **more):
    """Run a gateway in this process, with such a document, and a folder of plugins if need be."""
    made = prepared(folder, url, *given, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "gateway_for", partial(starting.gateway_for, source="store", options=made.options))
        with running(folder / "gateway.yaml", plugins_dir=plugins) as gate:
            made.gate = gate
            yield made


def _apart(coroutine):
    return asyncio.run(coroutine)
