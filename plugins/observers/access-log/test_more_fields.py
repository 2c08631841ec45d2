"""What an access log can be asked to tell, through running gateways."""

import json

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_observer_access_log import AccessLog


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_any_header_claim_and_variable_is_written_that_is_asked_for(tmp_path, lane, style):
    """On whichever way the call came; secrets are masked by their names, and what a step has hidden."""
    path = tmp_path / "access.log"
    more = {
        "tenant": "claims.tenant",
        "note": "vars.note",
        "agent": "request.headers['user-agent']",
        "etag": "response.headers.etag",
        "login": "request.headers.authorization",
        "card": "request.headers['x-card']",
        "roles": "identity.roles",
        "missing": "request.headers['x-nothing']",
        "failing": "1 + 'a'",
        "cipher": "request.tls.cipher",
    }
    (tmp_path / "knows.py").write_text(KNOWS)
    document = {
        "gateway": {"lane": lane, "observers": [{"access-log": {"output": str(path), "more": more, "format": style}}]},
        "routes": [{"name": "all", "flow": ["knows", {"respond": {"headers": {"ETag": '"7"'}}}]}],
    }
    with running(document, plugins_dir=tmp_path) as gate:
        gate.request("GET", "/", headers={"User-Agent": "a b", "Authorization": "Basic eDp5", "X-Card": "4111"})
        gate.wait_for_exchanges(1)

    line = path.read_text()
    if style == "text":
        assert 'more.agent="a b"' in line
        assert "more.tenant=acme" in line
        assert 'more.roles="[' in line
        assert "more.missing" not in line
        assert "4111" not in line
        return
    assert json.loads(line)["more"] == {
        "tenant": "acme",
        "note": 7,
        "agent": "a b",
        "etag": '"7"',
        "login": "********",
        "card": "********",
        "roles": ["a", "b"],
        "missing": None,
        "failing": None,
        "cipher": None,
    }
    assert json.loads(line)["user_agent"] == "a b"


KNOWS = """
from hookgate import Identity, Interceptor, Options, hookimpl


class Knows(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        exchange.identity = Identity("joe", roles=("a", "b"), claims={"tenant": "acme"})
        exchange.variables["note"] = 7
        exchange.hide("request.headers.X-Card")
"""


@pytest.mark.parametrize(
    "more",
    [{"body": "request.body"}, {"A": "claims"}, {"a": "1 +"}, {f"n{number}": "claims" for number in range(33)}],
)
def test_what_cannot_be_written_is_refused_at_load(more):
    with pytest.raises(ConfigError):
        build(AccessLog, more=more)


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_the_path_is_the_one_that_came_beside_what_became_of_it(tmp_path, lane):
    path = tmp_path / "access.log"
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane, "observers": [{"access-log": {"output": str(path)}}]},
            "routes": [
                {"name": "moved", "match": {"path": "/old"}, "flow": [{"rewrite": {"path": "/new"}}], "to": GO},
                {"name": "all", "match": {"path": "/{rest...}"}, "to": GO},
            ],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            gate.request("GET", "/old")
            gate.request("GET", "/%7Ea")
            gate.request("GET", "/plain")
            gate.wait_for_exchanges(3)

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = [(line["path"], line["rewritten_path"]) for line in lines]
    assert found == [("/old", "/new"), ("/%7Ea", "/~a"), ("/plain", None)]


GO = {"connection": "crm"}
