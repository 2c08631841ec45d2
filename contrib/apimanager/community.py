"""A gateway with people who publish APIs and subscribe to them, a key manager, and tiers."""

import itertools
import json
from contextlib import contextmanager
from functools import partial

import httpx
import pytest

from contrib.keymanager.town import PASSWORD, Town
from hookgate.server import starting
from hookgate.testing import MovableClock, running
from hookgate_people.shipped import SHIPPED

DOCUMENT = """\
gateway: {listen: ["127.0.0.1:0"], lame_duck: 0, observers: [prometheus]}
management:
  listen: ["127.0.0.1:0"]
  apps: [health, prometheus, management: {callers: {root: {token: token-of-root}}}]
keymanager: {}
scopes: {news_read: {title: Read, roles: [employee]}, news_write: {roles: [manager]}, others: {}}
tiers:
  Silver: {limit: 5}
  Gold: {limit: 20, deny: [intern]}
connections: {backend: {targets: "BACKEND"}}
SECTIONS
"""
FLOW = ({"oauth": {}}, "subscription", "throttle")
_numbers = itertools.count(1)


class Community(Town):
    """What a test asks."""

    def __init__(self, folder, url):
        super().__init__(folder, url)
        self.clock = MovableClock()

    def api(self, method, path, body=None, who="root", **headers):
        """Call the management API, as somebody."""
        shown = {"authorization": "Bearer token-of-root"} if who == "root" else {}
        auth = None if who in ("root", None) else (who, PASSWORD)
        url = f"{self.gate.management}/-/api{path}"
        return httpx.request(method, url, json=body, headers=shown | headers, auth=auth, timeout=60, trust_env=False)

    def told(self, method, path, body=None, who="root", status=None):
        """Call it, and return what is told; it has to be good."""
        answer = self.api(method, path, body, who)
        assert answer.is_success if status is None else answer.status_code == status, answer.text
        return answer.json()

    def person(self, *roles, name=None):
        """Make somebody with these roles, which are made if need be; return the name."""
        name = name or f"someone-{next(_numbers)}"
        tenant = name.partition("@")[1] + name.partition("@")[2]
        for role in roles:
            permissions = SHIPPED[role].permissions if role in SHIPPED else ()
            self.api("POST", "/roles", {"name": role + tenant, "permissions": permissions})
        said = {"name": name, "roles": [role + tenant for role in roles], "password": PASSWORD}
        self.told("POST", "/users", said)
        return name

    def publish(self, *flow, name=None, state="PUBLISHED", version="1.0", more=(), **body):
        """Make an API in a state; return its name with its version."""
        name = name or f"api{next(_numbers)}"
        api = {"name": name, "version": version, "base_path": f"/{name.partition('@')[0]}", **body}
        api = {"flow": list(flow or FLOW), "to": {"connection": "backend"}, **api}
        whole = f"{name} {version}"
        changes = [{"kind": "apis", "name": whole, "body": api}]
        changes.append({"kind": "lifecycles", "name": whole, "body": {"state": state}})
        changes += [{"kind": kind, "name": whole, "body": each} for kind, each in more]
        told = self.told("POST", "/apply?wait=live", {"changes": changes})
        assert told["live"], told
        return whole

    def turn(self, api, state):
        """Bring an API into a state."""
        self.told("PUT", f"/objects/lifecycles/{api}?wait=live", {"state": state})

    def application(self, who, name="shop", **more):
        """Make an application; return its id."""
        return self.told("POST", "/applications", {"name": name, **more}, who, 201)["id"]

    def subscribe(self, who, api, application=None, tier="Unlimited"):
        """Subscribe; return the id of the subscription."""
        said = {"api": api, "tier": tier} | ({"application": application} if application else {})
        return self.told("POST", "/subscriptions", said, who, 201)["id"]

    def keys(self, who, application, key_type="production", **more):
        """Make keys; return what a client logs in with."""
        said = {"key_type": key_type, "grants": ["client_credentials", "password"], **more}
        told = self.told("POST", f"/applications/{application}/keys", said, who, 201)
        return told["client_id"], told["client_secret"]

    def app_token(self, client, **form):
        """Get a token of an application."""
        told = self.ask(client, **{"grant_type": "client_credentials", **form})
        assert told.status_code == 200, told.text
        return told.json()["access_token"]

    def subscribed(self, api=None, tier="Unlimited", **more):
        """Have somebody who is subscribed; return who, the API, application, subscription and token."""
        who, api = self.person("subscriber"), api or self.publish()
        application = self.application(who, **more)
        subscription = self.subscribe(who, api, application, tier)
        return who, api, application, subscription, self.app_token(self.keys(who, application))

    def reach(self, api, token, **headers):
        """Call an API with a token; return status and code."""
        name, version = api.rsplit(" ", 1)
        told = self.call(token, f"/{name.partition('@')[0]}/{version}", **headers)
        return told.status_code, None if told.is_success else told.json().get("code")


@contextmanager
def serving(folder, url, backend, sections=""):
    """Run such a gateway in this process."""
    made = Community(folder, url)
    (folder / "gateway.yaml").write_text(DOCUMENT.replace("BACKEND", backend).replace("SECTIONS", sections))
    made.prepare()
    made.options = json.dumps({"url": url, "key": str(made.key), "poll": "100ms"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "gateway_for", partial(starting.gateway_for, source="store", options=made.options))
        with running(folder / "gateway.yaml", clock=made.clock) as gate:
            made.gate = gate
            yield made
