"""A gateway of its own process whose APIs people read and write about."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from contrib.management import served
from hookgate_people.shipped import SHIPPED
from hookgate_storage import Keys, open_store

A, B = "a.example", "b.example"
FLOW = [{"respond": {"body": "here"}}]
SETTINGS = {"document_visibility_levels": True, "writes": 1000}
_numbers = itertools.count(1)


class Square:
    """What a test asks."""

    def __init__(self, gate, url, key):
        self.gate, self.url, self.key = gate, url, key
        self.tokens = {None: None, "root": "token-of-ann", "reader": "token-of-eve"}
        self.client = httpx.Client(base_url=f"{gate.management}/-/api", timeout=60, trust_env=False)

    def api(self, method, path, body=None, who="root", **headers):
        """Call the management API, as somebody."""
        shown = {} if self.tokens[who] is None else {"authorization": f"Bearer {self.tokens[who]}"}
        sent = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, path, headers=shown | headers, **sent)

    def told(self, method, path, body=None, who="root", status=None):
        """Call it, and return what is told; it has to be good."""
        answer = self.api(method, path, body, who)
        assert answer.is_success if status is None else answer.status_code == status, answer.text
        return answer.json()

    def person(self, *roles, name=None, display=""):
        """Make somebody with these roles, which are made if need be; return the name."""
        name = name or f"someone-{next(_numbers)}"
        tenant = name.partition("@")[1] + name.partition("@")[2]
        for role in roles:
            permissions = SHIPPED[role].permissions if role in SHIPPED else ()
            self.api("POST", "/roles", {"name": role + tenant, "permissions": permissions})
        said = {"name": name, "roles": [role + tenant for role in roles], "service": True}
        said |= {"display": display} if display else {}
        self.told("POST", "/users", said)
        self.tokens[name] = self.told("POST", "/tokens", {"name": "of the test", "user": name})["token"]
        return name

    def publish(self, name=None, version="1.0", level=None, state="PUBLISHED", **more):
        """Make an API, which nobody sees but those of its level; return its name with its version."""
        name = name or f"api{next(_numbers)}"
        tenant = name.partition("@")[2]
        api = {"name": name, "version": version, "base_path": f"/{name.partition('@')[0]}", "flow": FLOW, **more}
        api |= {"hosts": [tenant]} if tenant else {}
        whole = f"{name} {version}"
        changes = [{"kind": "apis", "name": whole, "body": api}]
        if state != "PUBLISHED":
            changes.append({"kind": "lifecycles", "name": whole, "body": {"state": state}})
        if level is not None:
            changes.append({"kind": "visibilities", "name": whole, "body": level})
        self.live("POST", "/apply", {"changes": changes})
        return whole

    def live(self, method, path, body=None):
        """Change something, and wait for it."""
        told = self.told(method, f"{path}?wait=live", body)
        assert told["live"], told
        return told

    @contextmanager
    def settings(self, **more):
        """Have other settings for a while."""
        self.live("PUT", "/objects/community/community", SETTINGS | more)
        try:
            yield
        finally:
            self.live("PUT", "/objects/community/community", SETTINGS)

    def document(self, api, who="root", **more):
        """Make a document; return what is told of it."""
        said = {"name": "Guide", "type": "HOWTO", "text": "# How"} | more
        if said.get("source", "inline") != "inline":
            del said["text"]
        return self.told("POST", f"/apis/{api}/documents", said, who, 201)

    def statuses(self, calls, who):
        """Return the statuses of calls of somebody."""
        return [self.api(*each, who=who).status_code for each in calls]

    def audited(self, action):
        """Return what the audit has of an action: who, what, and what was there before."""
        entries = self.told("GET", f"/audit?action={action}&limit=1000")["entries"]
        return [(each["who"], each["object"], each["before"]) for each in entries]

    def store(self, what):
        """Run something with the store, from outside of the gateway."""

        async def whole():
            store = await open_store(self.url, Keys.in_file(self.key))
            try:
                return await what(store)
            finally:
                await store.close()

        with ThreadPoolExecutor(1) as other:
            return other.submit(asyncio.run, whole()).result()


@contextmanager
def serving(folder, url):
    """Run such a gateway, with two tenants; documents have levels, and people may write much."""
    with served.serving(folder, url, served.DOCUMENT) as gate:
        made = Square(gate, url, folder / "hookgate-store.key")
        with made.client:
            changes = [{"kind": "tenants", "name": tenant, "body": {}} for tenant in (A, B)]
            changes.append({"kind": "community", "name": "community", "body": SETTINGS})
            made.live("POST", "/apply", {"changes": changes})
            yield made
