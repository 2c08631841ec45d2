"""Assertions of others that become tokens (RFC 7523), and a grant of somebody else."""

import json
import time
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor

import pytest
from authlib.oauth2.rfc7523 import JWTBearerGrant
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from hookgate.testing import upstream

from .town import serving

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ISSUER, OTHER = "https://partner.example", "https://other.example"
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
STRANGER = ECKey.generate_key("P-256", {"kid": "one"})
OAUTH = "operations: {GET: {scopes: [news_read]}}"
HERE = "https://login.example"


def keys():
    return {"keys": [KEY.as_dict(private=False)]}


@pytest.fixture(scope="module")
def partner():
    with upstream(lambda _: (200, {}, json.dumps(keys()))) as served:
        yield served


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend, partner):
    folder = tmp_path_factory.mktemp("bearer")
    issuers = {
        ISSUER: {"jwks_uri": f"{partner.url}/keys"},
        OTHER: {"jwks": keys(), "users": ["tom"], "clients": ["nobody-has-this-id"]},
        f"{OTHER}/john": {"jwks": keys(), "users": ["john"]},
    }
    grant = json.dumps({"jwt-bearer": {"issuers": issuers}})
    keymanager = f"issuer: '{HERE}', extension_grants: [{grant}]"
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, OAUTH, keymanager) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client(GRANT, "refresh_token", callbacks=())


numbers = iter(range(1_000_000))


def assertion(key=KEY, header=(), **more):
    now = int(time.time())
    said = {"iss": ISSUER, "aud": HERE, "sub": "tom", "exp": now + 300, "iat": now, "jti": f"n{next(numbers)}"} | more
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": "one", **dict(header)}, said, key)


def ask(gate, client, text, **form):
    told = gate.ask(client, grant_type=GRANT, assertion=text, **form)
    return told.json() if told.status_code == 200 else told.json()["error"]


def test_a_user_whom_a_trusted_issuer_vouches_for_gets_the_scopes_of_the_roles(gate, client):
    told = ask(gate, client, assertion(), scope="news_read news_write")

    assert told.keys() == {"access_token", "token_type", "expires_in", "scope"}  # and no refresh token
    assert told["scope"] == "news_read"
    assert gate.call(told["access_token"]).status_code == 200
    shown = gate.ask(client, "/introspect", token=told["access_token"]).json()
    assert (shown["username"], shown["token_kind"]) == ("tom", "application-user")


def test_a_client_of_another_maker_makes_assertions_that_are_taken(gate, client):
    made = JWTBearerGrant.sign(KEY, ISSUER, f"{HERE}/token", "tom", header={"alg": "ES256"}, claims={"jti": "x1"})

    assert "access_token" in ask(gate, client, made if isinstance(made, str) else made.decode())


def test_an_assertion_is_taken_once_by_whichever_call_is_first(gate, client):
    text = assertion()
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: ask(gate, client, text), range(6)))

    assert sorted(map(type, told), key=str) == [dict, *[str] * 5]
    assert {each for each in told if isinstance(each, str)} == {"invalid_grant"}
    assert ask(gate, client, text) == "invalid_grant"
    assert ask(gate, client, assertion(jti=json.loads(decoded(text))["jti"], sub="john")) == "invalid_grant"


def decoded(text):

    payload = text.split(".")[1]
    return urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def test_an_assertion_that_is_not_for_here_and_now_or_of_somebody_else_is_none(gate, client):
    now = int(time.time())
    wrong = [
        *(assertion(**more) for more in ({"aud": "https://elsewhere.example"}, {"aud": None}, {"iss": None})),
        *(assertion(**more) for more in ({"exp": now - 90}, {"exp": None}, {"exp": now + 86400}, {"nbf": now + 900})),
        *(assertion(**more) for more in ({"sub": None}, {"sub": "nobody"}, {"sub": 5}, {"jti": None}, {"jti": 5})),
        *(assertion(**more) for more in ({"iss": "https://evil.example"}, {"jti": "x" * 600}, {"iss": [ISSUER]})),
        assertion(iss=f"{OTHER}/john"),  # which may not vouch for tom
        assertion(STRANGER),
        assertion(OctKey.import_key("x" * 64), header={"alg": "HS256"}),
        assertion(OctKey.import_key(json.dumps(KEY.as_dict(private=False))), header={"alg": "HS256"}),
        "eyJhbGciOiJub25lIn0." + assertion().split(".")[1] + ".",
        "nonsense",
        "a.b.c",
        "..",
        "x" * 8000,
    ]

    assert [ask(gate, client, each) for each in wrong] == ["invalid_grant"] * len(wrong)
    assert ask(gate, client, assertion(more="x" * 9000)) == "invalid_request"
    assert gate.ask(client, grant_type=GRANT).json()["error"] == "invalid_request"
    assert ask(gate, client, assertion(iss=OTHER)) == "unauthorized_client"
    assert ask(gate, (client[0], "wrong"), assertion()) == "invalid_client"
    assert ask(gate, gate.client("password"), assertion()) == "unauthorized_client"
    assert ask(gate, client, assertion(), scope="a  b") == "invalid_scope"


def test_keys_are_fetched_once_however_many_are_made_up(gate, client, partner):
    assert "access_token" in ask(gate, client, assertion())
    before = len(partner.requests)
    assert {ask(gate, client, assertion(header={"kid": f"made-up-{number}"})) for number in range(8)} == {
        "invalid_grant"
    }
    assert len(partner.requests) <= before + 2  # one in 30 seconds


VOUCHER = '''
from hookgate import Options, hookimpl
from hookgate_keymanager import Grant, Granted, GrantRefused


class Voucher(Grant[Options]):
    """Gives tokens for vouchers, which are names of users written backwards."""

    grant_type = "https://acme.example/voucher"

    @hookimpl
    def grant(self, asked):
        """Take a voucher."""
        if "voucher" not in asked.fields:
            raise GrantRefused("invalid_request", 'there is no "voucher"')
        return Granted(asked.fields["voucher"][::-1], asked.fields.get("scope", ""), refresh=True)
'''


def test_somebody_else_may_add_a_grant(tmp_path, backend):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/voucher.py").write_text(VOUCHER)
    grant = {"grant_type": "https://acme.example/voucher"}
    url = f"sqlite:///{tmp_path / 'store.db'}"
    plugins = tmp_path / "plugins"
    with serving(tmp_path, url, backend.url, OAUTH, "extension_grants: [voucher]", plugins=plugins) as made:
        client = made.client(grant["grant_type"], "refresh_token", callbacks=())
        told = made.ask(client, **grant, voucher="mot", scope="news_read").json()
        assert made.call(told["access_token"]).status_code == 200
        assert made.token(client, grant_type="refresh_token", refresh_token=told["refresh_token"])
        refused = made.ask(client, **grant)
        assert (refused.status_code, refused.json()) == (
            400,
            {"error": "invalid_request", "error_description": "there is no voucher"},
        )
        assert made.ask(client, **grant, voucher="ydobon").json()["error"] == "invalid_grant"
        assert made.ask(made.client(), **grant, voucher="mot").json()["error"] == "unauthorized_client"
        assert grant["grant_type"] in str(made.gate.request("GET", "/.well-known/oauth-authorization-server").json())
