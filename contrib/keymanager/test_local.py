"""Tokens of another server whose signatures are checked here: its keys, and what its tokens have to say."""

import json
import time
from contextlib import contextmanager

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey

from hookgate import ConfigError
from hookgate.jose import Registry
from hookgate.testing import running, upstream

ISSUER = "https://login.example"
WHO = "principal + ' ' + claims.client_id + ' ' + claims.token_kind + ' ' + claims.key_type + ' ' + claims.scope"
KEYS = {name: ECKey.generate_key("P-256", {"kid": name, "use": "sig"}) for name in ("one", "two", "three")}


class Issuer:
    def __init__(self):
        self.shown = ["one"]
        self.down = False

    def answer(self, request):
        return (500, {}, "") if self.down else (200, {}, json.dumps(key_set(*self.shown)))

    @property
    def fetches(self):
        return len(self.served.requests)


def key_set(*names):
    return {"keys": [KEYS[name].as_dict(private=False) for name in names]}


def token(key="one", header=(), **more):
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "news", "sub": "tom", "exp": now + 600, "iat": now, "client_id": "app"} | more
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": key, "typ": "at+jwt", **dict(header)}, said, KEYS.get(key, KEYS["three"]))


@pytest.fixture
def issuer():
    made = Issuer()
    with upstream(made.answer) as served:
        made.served = served
        yield made


@contextmanager
def serving(backend, **options):
    """A gateway that takes tokens of the issuer."""
    jwt_options = {"issuer": ISSUER, "audience": ["news"], **options}
    seen = {"targets": backend.url, "headers": [{"set": "X-Who", "from": {"expression": {"value": WHO}}}]}
    document = {
        "keymanager": {"manager": {"jwt": jwt_options}, "cache": {"enabled": False}},
        "connections": {"backend": seen},
        "routes": [
            {"name": "all", "match": {"path": "/"}, "flow": [{"oauth": {}}], "to": {"connection": "backend"}},
            {
                "name": "read",
                "match": {"path": "/read"},
                "flow": [{"oauth": {"scopes": ["read"], "tokens": "application"}}],
                "to": {"connection": "backend"},
            },
        ],
    }
    with running(document) as gate:
        yield gate


def status(gate, shown, path="/"):
    told = gate.request("GET", path, headers={"authorization": f"Bearer {shown}"})
    return told.status_code if told.status_code == 200 else told.json()["code"]


@pytest.fixture(scope="module")
def gate(backend, tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps(key_set("one")))
    with serving(backend, file=str(file), type="at+jwt", leeway=300, algorithms=["ES256"]) as made:
        yield made


def test_a_token_that_is_not_for_here_and_now_is_none(gate):
    now = int(time.time())

    assert status(gate, token()) == 200
    for good in ({"aud": ["other", "news"]}, {"exp": now - 60}, {"nbf": now + 100}):
        assert status(gate, token(**good)) == 200, good
    for wrong in (
        *({"iss": "https://evil.example"}, {"iss": None}, {"iss": f"{ISSUER}/"}, {"aud": "other"}, {"aud": None}),
        *({"exp": now - 400}, {"exp": None}, {"exp": "later"}, {"nbf": now + 3600}, {"iat": now + 3600}),
        *({"sub": None}, {"sub": ""}, {"sub": 5}, {"cnf": {"jkt": "x"}}),
    ):
        assert status(gate, token(**wrong)) == 900901, wrong


def test_a_token_chooses_neither_its_algorithm_nor_its_key(gate):
    claims = {"iss": ISSUER, "aud": "news", "sub": "tom", "exp": int(time.time()) + 600}
    public = KEYS["one"].as_dict(private=False)
    payload = json.dumps(claims).encode()
    secret = OctKey.import_key(json.dumps(public))
    forged = [
        jws.serialize_compact({"alg": "HS256", "typ": "at+jwt", "kid": "one"}, payload, secret, algorithms=["HS256"]),
        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + token().split(".")[1] + ".",
        token("two"),
        token("three", header={"kid": "one"}),
        token("three", header={"kid": "one", "jwk": KEYS["three"].as_dict(private=False)}),
        token("three", header={"jku": "https://evil.example/keys"}),
        token(header={"typ": "JWT"}),
        jws.serialize_compact(
            {"alg": "ES256", "kid": "one", "typ": "at+jwt", "crit": ["b64"], "b64": True},
            payload,
            KEYS["one"],
            registry=Registry(("ES256",)),
        ),
        token(more="x" * 9000),
    ]

    for each in forged:
        assert status(gate, each) == 900901


@pytest.mark.parametrize(
    ("more", "who"),
    [
        ({"scope": "a b"}, "tom app application-user production a b"),
        ({"scp": ["a", "b"], "key_type": "sandbox"}, "tom app application-user sandbox a b"),
        ({"client_id": None, "azp": "other"}, "tom other application-user production "),
        ({"sub": "app"}, "app app application production "),
        ({"gty": "client-credentials"}, "tom app application production "),
        ({"token_kind": "application"}, "tom app application production "),
        ({"sub": "app", "token_kind": "application-user"}, "app app application-user production "),
    ],
)
def test_what_a_token_says_is_found_by_the_names_of_claims(gate, backend, more, who):
    assert status(gate, token(**more)) == 200
    assert backend.requests[-1].header("x-who").split(" ") == who.split(" ") or (
        backend.requests[-1].header("x-who") == who.strip()
    )


def test_scopes_and_kinds_count_as_those_of_the_gateway_itself(gate):
    assert status(gate, token(sub="app", scope="read"), "/read") == 200
    assert status(gate, token(sub="app", scope="write"), "/read") == 900910
    assert status(gate, token(scope="read"), "/read") == 900905


def test_names_of_claims_may_be_others(backend, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(key_set("one")))
    names = {"subject_claims": ["user.name"], "scope_claims": ["rights"], "client_claims": ["by"]}
    with serving(backend, file=str(file), **names) as gate:
        said = {"user": {"name": "ann"}, "rights": ["read"], "by": "ann", "sub": None, "client_id": None}
        assert status(gate, token(**said), "/read") == 200
        assert status(gate, token(), "/read") == 900901

        file.write_text("nonsense")
        beside = tmp_path / "new.json"
        beside.write_text(json.dumps(key_set("two")))
        beside.replace(file)
        until = time.monotonic() + 60
        while status(gate, token("two", **said)) != 200:  # until the file is looked at
            assert time.monotonic() < until
            time.sleep(0.05)
        assert status(gate, token("one", **said)) == 900901


def test_keys_are_fetched_when_one_is_new_and_not_for_each_that_somebody_makes_up(backend, issuer):
    with serving(backend, jwks_uri=f"{issuer.served.url}/keys", cooldown="1h") as gate:
        assert status(gate, token()) == 200
        assert issuer.fetches == 1
        issuer.shown = ["two", "one"]
        assert status(gate, token("two")) == 200  # the key is not known, so it is asked for
        assert issuer.fetches == 2
        for number in range(50):
            assert status(gate, token(f"made-up-{number}")) == 900901
        assert issuer.fetches == 2
        assert status(gate, token()) == 200
        issuer.down = True
        assert status(gate, token("two")) == 200  # those it gave before are used on


def test_while_there_are_no_keys_nobody_is_let_in(backend, issuer):
    issuer.down = True
    with serving(backend, jwks_uri=f"{issuer.served.url}/keys") as gate:
        before = len(backend.requests)
        assert status(gate, token()) == 900900
        assert len(backend.requests) == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"jwks_uri": "http://login.example/keys"}, "could be answered by anybody"),
        ({"jwks_uri": f"{ISSUER}/keys", "algorithms": ["HS256"]}, "algorithms"),
        ({"jwks_uri": f"{ISSUER}/keys", "algorithms": ["none"]}, "algorithms"),
        ({"jwks_uri": f"{ISSUER}/keys", "audience": []}, "audience"),
        ({"jwks_path": "/keys"}, "connection goes with jwks_path"),
        ({"jwks_uri": f"{ISSUER}/keys", "file": "x"}, "write one of"),
        ({}, "write one of"),
        ({"file": "nowhere.json"}, "there is no such file"),
        ({"jwks_path": "/keys", "connection": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_document(backend, options, why):
    with pytest.raises(ConfigError, match=why), serving(backend, **options):
        pass
