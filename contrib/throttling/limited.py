"""Routes with the step, and who calls them, for tests."""

import itertools

MINUTE = 1_700_000_040.0
"""Unix time at which a minute begins, an hour does not."""


_days = itertools.count()


SUBSCRIPTIONS = '''
"""Looks subscriptions up as the step of that name does, in a table of the test."""
from hookgate import Exchange, Interceptor, Options, hookimpl

class SubscriptionsOptions(Options):
    known: dict[str, dict[str, str]]
    """What is known, by application."""

class Subscriptions(Interceptor[SubscriptionsOptions]):
    name = "subscriptions"
    writes = {"variables"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        found = self.options.known.get(exchange.identity.application or "")
        if found is not None:
            exchange.variables["subscription"] = {"application": exchange.identity.application, **found}
'''


BOB, ANN, EVE = ({"authorization": f"Bearer token-of-{name}"} for name in ("bob", "ann", "eve"))


AUTH = {
    "auth": {
        "methods": [
            {
                "bearer": {
                    "tokens": {
                        "ann": {"token": "token-of-ann", "application": "App1"},
                        "bob": {"token": "token-of-bob", "application": "App1"},
                        "eve": {"token": "token-of-eve", "application": "App2"},
                    }
                }
            }
        ]
    }
}


OK = {"respond": {"body": "ok"}}


def route(name, throttle, *before, last=OK):
    """Return a route with the step."""
    patient = {"patience": 10, **throttle}  # on a busy machine a database takes longer than half a second
    return {"name": name, "match": {"path": f"/{name}"}, "flow": [*before, {"throttle": patient}, last]}


def statuses(gate, count, path="/orders", method="GET", **headers):
    """Call so many times, and return the statuses."""
    return [gate.request(method, path, headers=headers).status_code for _ in range(count)]


def refused(answer):
    """Return status, code and reason of a refusal."""
    said = answer.json()
    return answer.status_code, said["code"], said["reason"]


def api(name="shop", get=None, **said):
    """Return an API."""
    return {
        "name": name,
        "version": "1.0",
        "base_path": f"/{name}",
        "flow": [{"throttle": {"_": {"id": f"{name}-limits"}, "patience": 10, **said}}, OK],
        "resources": [
            {
                "path": "/items",
                "operations": {"GET": {"overrides": {f"{name}-limits": get or {}}}, "POST": {}},
            },
            {"path": "/orders", "operations": {"GET": {}}},
        ],
    }
