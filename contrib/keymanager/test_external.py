"""The same API with tokens of the gateway itself, of a server that it asks, and of one whose signatures it checks."""

import time
from contextlib import contextmanager

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from hookgate import ConfigError
from hookgate.testing import running

from .town import serving

DOCUMENT = {
    "management": {"apps": ["health", "prometheus"]},
    "gateway": {"observers": ["prometheus"]},
    "routes": [
        {
            "name": "news",
            "match": {"path": "/news"},
            "flow": [
                {
                    "oauth": {
                        "operations": {
                            "GET": {"scopes": ["news_read"]},
                            "POST": {"scopes": ["news_write"]},
                            "PUT": {"tokens": "application-user"},
                        }
                    }
                }
            ],
            "to": {"connection": "backend"},
        }
    ],
}


@contextmanager
def elsewhere(backend, manager, **connections):
    """A gateway without a store, whose tokens come from somewhere else."""
    connections["backend"] = {"targets": backend.url}
    with running({**DOCUMENT, "keymanager": {"manager": manager}, "connections": connections}) as gate:
        yield gate


@contextmanager
def by_introspection(made, backend):
    client = made.client()
    endpoint = {"introspection_endpoint": f"{made.gate.url}/introspect", "cache_seconds": 0}
    with elsewhere(
        backend,
        {"external": {"method": {"oauth2": {**endpoint, "client_id": client[0], "client_secret": client[1]}}}},
    ) as gate:
        yield gate, _issued(made, client)


@contextmanager
def by_signature(made, backend):
    key = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"}, private=True)
    method = {
        "jwt": {"jwks": {"keys": [key.as_dict(private=False)]}, "issuer": "https://login.example", "audience": ["news"]}
    }

    def token(subject, scope, **more):
        said = {"iss": "https://login.example", "aud": "news", "sub": subject, "client_id": "newsroom", "scope": scope}
        said |= {"exp": int(time.time()) + 600, "iat": int(time.time()), **more}
        return jwt.encode({"alg": "ES256", "kid": "one", "typ": "JWT"}, said, key)

    with elsewhere(backend, {"external": {"method": method}}) as gate:
        yield gate, (token("tom", "news_read"), token("newsroom", "news_read news_write"))


@contextmanager
def by_key_set(made, backend):
    """Tokens that another gateway signs are checked with its keys."""
    manager = {"issuer": "https://login.example", "audience": ["https://login.example"], "type": "at+jwt"}
    manager |= {"connection": "login", "jwks_path": "/jwks"}
    login = {"targets": made.gate.url}
    with elsewhere(backend, {"jwt": manager}, login=login) as gate:
        yield gate, _issued(made, made.client(format="jwt"))


@contextmanager
def in_process(made, backend):
    yield made.gate, _issued(made, made.client())


def _issued(made, client):
    reader = made.token(client, scope="news_read")["access_token"]
    return reader, made.token(client, grant_type="client_credentials", scope="news_read news_write")["access_token"]


@pytest.mark.row("KC-6", "KC-7")
@pytest.mark.parametrize("transport", ["in process", "introspection", "signature", "keys"])
def test_the_same_api_takes_the_tokens_of_whoever_issues_them(tmp_path, backend, transport):
    ways = {"in process": in_process, "introspection": by_introspection, "signature": by_signature, "keys": by_key_set}
    own = "operations: {GET: {scopes: [news_read]}, POST: {scopes: [news_write]}, PUT: {tokens: application-user}}"
    scopes = "{news_read: {roles: [employee]}, news_write: {roles: [employee]}}"
    issuer = 'issuer: "https://login.example"'
    with (
        serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, own, issuer, scopes=scopes) as made,
        ways[transport](made, backend) as (gate, (user, application)),
    ):

        def call(token, method="GET"):
            told = gate.request(method, "/news", headers={"authorization": f"Bearer {token}"})
            return told.status_code, told.json()["code"] if told.status_code != 200 else None

        assert call(user) == (200, None)
        assert call(user, "POST") == (403, 900910)
        assert call(user, "PUT") == (200, None)
        assert call(application) == (200, None)
        assert call(application, "POST") == (200, None)
        assert call(application, "PUT") == (401, 900905)
        assert call("nonsense") == (401, 900901)
        assert call(user[:-5] + "AAAAA") == (401, 900901)
        assert gate.request("GET", "/news").json()["code"] == 900902


def test_while_another_server_is_away_nobody_is_let_in(backend):
    endpoint = {"introspection_endpoint": "http://127.0.0.1:9/x"}
    method = {"oauth2": {**endpoint, "client_id": "x", "client_secret": "y"}}
    with elsewhere(backend, {"external": {"method": method}}) as gate:
        before = len(backend.requests)
        refused = gate.request("GET", "/news", headers={"authorization": "Bearer some-token"})
        assert (refused.status_code, refused.json()["code"]) == (500, 900900)
        assert len(backend.requests) == before
        assert gate.request("POST", "/token", data={"grant_type": "password"}).status_code == 404


def test_a_step_without_a_key_manager_is_refused_with_the_document(backend):
    with pytest.raises(ConfigError, match="no section 'keymanager'"):
        with running({**DOCUMENT, "connections": {"backend": {"targets": backend.url}}}):
            pass
