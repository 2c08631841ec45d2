"""Gateways with the step in many routes, before a backend that counts, for tests."""

import itertools

numbers = itertools.count()


FRESH = {"content-type": "text/plain", "cache-control": "max-age=60"}


OLD = {**FRESH, "age": "61", "etag": '"v1"'}
"""Stale as soon as it comes."""


class Answers:
    """Answers by path, each with what its test has said."""

    def __init__(self):
        self.said = {}

    def __call__(self, request):
        """Answer a request."""
        said = self.said[request.path]
        return said(request) if callable(said) else said


def document(backend, *, lane, **gateway):
    """Return a document with a route for each set of options."""
    steps = {
        "plain": ["cache"],
        "ttl": [{"cache": {"ttl": 60}}],
        "shared": [{"cache": {"ttl": 60, "share": "all"}}],
        "caller": [{"cache": {"share": "caller"}}],
        "key": [{"cache": {"share": "all", "key": ["request.headers['x-tenant']"]}}],
        "small": [{"cache": {"max_body": 10}}],
        "tags": [{"cache": {"tags": "Surrogate-Key"}}],
        "grace": [{"cache": {"stale_if_error": "1h"}}],
        "hasty": [{"cache": {"wait": "1ms"}}],
        "deaf": [{"cache": {"obey_clients": False}}],
        "quiet": [{"cache": {"tell": False}}],
        "trusting": [{"cache": {"vary": ["X-Client"]}}],
        "guessing": [{"cache": {"heuristics": True}}],
        "guarded": [{"auth": {"methods": [{"basic": {"users": {"ann": "a", "bob": "b"}}}]}}, {"cache": {"ttl": 60}}],
        "ahead": [
            {"cache": {"ttl": 60, "share": "all"}},
            {"auth": {"methods": [{"api-key": {"keys": {"ann": "key-of-ann"}}}]}},
        ],
        "packed": ["compress", "cache"],
        "inside": ["cache", "compress"],
        "moved": [{"destination": {"to": "request.headers['x-to']", "among": ["backend", "other"]}}, "cache"],
        "changed": ["cache", {"mask": {"response": {"text": ["secret"]}}}],
    }
    return {
        "gateway": {"lane": lane, **gateway},
        "management": {"apps": ["health", "cache"]},
        "routes": [
            {"name": name, "match": {"path": f"/{name}/{{rest...}}"}, "flow": flow, "to": {"connection": "backend"}}
            for name, flow in steps.items()
        ],
        "connections": {
            "backend": {"targets": backend.url},
            "other": {"targets": backend.url, "base_path": "/other"},
        },
    }


class Served:
    """A gateway and its backend; each test asks for places of its own."""

    def __init__(self, gate, backend):
        self.gate = gate
        self.backend = backend

    def place(self, said, route="plain"):
        """Return a path of its own, at which the backend says that."""
        path = f"/{route}/{next(numbers)}"
        self.backend.answer.said[path] = said
        return Place(self, path)


class Place:
    """A path that one test has for itself."""

    def __init__(self, served, path):
        self.served, self.path = served, path

    def say(self, said):
        """Have the backend say something else."""
        self.served.backend.answer.said[self.path] = said

    def get(self, method="GET", query="", **headers):
        """Call it through the gateway."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.served.gate.client.cookies.clear()  # of other tests, which would be credentials
        return self.served.gate.request(method, self.path + query, headers=fields)

    @property
    def asked(self):
        """What has come to the backend."""
        return [request for request in self.served.backend.requests if request.path == self.path]

    @property
    def calls(self):
        """How many of them."""
        return len(self.asked)

    def wait_for(self, calls):
        """Wait until so many have come."""
        self.served.backend.wait_for(lambda _: self.calls == calls)


def status_of(answer):
    """Return what `Cache-Status` says."""
    return answer.headers["cache-status"].removeprefix("hookgate; ")


def counting(headers=FRESH, status=200):
    """An answer with a number of its own each time."""
    made = itertools.count(1)
    return lambda _: (status, headers, f"answer {next(made)}")


# --- validation ----------------------------------------------------------------------------------------------------


def validating(request):
    """Answer a call that has the version there is with a 304."""
    if request.header("if-none-match") == '"v1"':
        return 304, {"etag": '"v1"', "cache-control": "max-age=60", "x-new": "1"}, b""
    return 200, {**OLD, "x-old": "1"}, "the body"
