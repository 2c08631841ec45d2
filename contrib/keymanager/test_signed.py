"""Access tokens that are signed (RFC 9068): what others read of them, what counts here, and whose keys are shown."""

import asyncio
import base64
import json
import time

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from typer import Typer
from typer.testing import CliRunner

from hookgate.jose import Registry
from hookgate_keymanager import signing as signing_module
from hookgate_keymanager.clients import Clients
from hookgate_keymanager.command import KeyManagerCommands
from hookgate_keymanager.ending import Endings
from hookgate_keymanager.records import SigningRecord
from hookgate_keymanager.signing import Signing
from hookgate_storage import Keys, open_store

from .town import PASSWORD, prepared, serving

ISSUER = "https://login.example"
OAUTH = "operations: {GET: {scopes: [news_read]}, POST: {scopes: [news_write]}, DELETE: {}}"
SIGNED = f'access_tokens: jwt, issuer: "{ISSUER}", audience: [news, other], allow_scopes: [some_random_scope]'


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("signed")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, OAUTH, SIGNED) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


def key_set(gate):
    return gate.gate.request("GET", "/jwks").json()


def read(gate, token):
    """Read a token as somebody does who has nothing but the published keys."""
    return jwt.decode(token, KeySet.import_key_set(key_set(gate)), algorithms=["RS256", "ES256"])


def unsigned(text):
    return (
        base64.urlsafe_b64encode(text if isinstance(text, bytes) else json.dumps(text).encode()).rstrip(b"=").decode()
    )


@pytest.mark.row("AC-44")
def test_others_read_a_token_with_the_keys_that_are_published_and_a_tampered_one_is_none(gate, client):
    told = gate.token(client, username="john", scope="news_read news_write")
    token = told["access_token"]
    found = read(gate, token)
    now = time.time()
    claims = found.claims

    assert (found.header["typ"], found.header["alg"]) == ("at+jwt", "RS256")
    assert [found.header["kid"]] == [each["kid"] for each in key_set(gate)["keys"]]
    assert claims["iss"] == ISSUER
    assert claims["aud"] == ["news", "other"]
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("john", client[0], "news_read news_write")
    assert (claims["application"], claims["token_kind"], claims["key_type"]) == (
        "newsroom",
        "application-user",
        "production",
    )
    assert claims["exp"] - claims["iat"] == told["expires_in"] == 3600
    assert abs(claims["iat"] - now) < 300
    assert len(claims["jti"]) >= 20
    assert gate.call(token).status_code == 200
    head, payload, signature = token.split(".")
    more = unsigned({**claims, "scope": "news_read news_write admin"})
    broken = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    for tampered in (
        f"{head}.{more}.{signature}",
        f"{head}.{payload}.{broken}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
    ):
        refused = gate.call(tampered)
        assert (refused.status_code, refused.json()["code"]) == (401, 900901)


def test_no_token_that_somebody_else_has_made_is_taken_whatever_it_says_of_its_key(gate, client):
    claims = read(gate, gate.token(client)["access_token"]).claims | {"sub": "john", "scope": "news_read"}
    public = key_set(gate)["keys"][0]
    own, kid = RSAKey.generate_key(2048, {"kid": public["kid"]}), public["kid"]
    pem = RSAKey.import_key(public).as_pem(private=False).hex()
    forged = [
        f"{unsigned({'alg': 'none', 'typ': 'at+jwt', 'kid': kid})}.{unsigned(dict(claims))}.",
        jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": kid}, claims, own),
        jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": kid}, claims, OctKey.import_key(pem)),
        jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": kid, "jwk": own.as_dict(private=False)}, claims, own),
        jwt.encode({"alg": "RS256", "typ": "at+jwt", "kid": "../../etc/passwd"}, claims, own),
        "eyJ" + "A" * 7000 + "..",
    ]

    for each in forged:
        refused = gate.call(each)
        assert (refused.status_code, refused.json()["code"]) == (401, 900901)
        assert gate.ask(client, "/introspect", token=each).json() == {"active": False}


@pytest.mark.row("KC-61", "KC-64")
@pytest.mark.parametrize(
    ("user", "asked", "got"),
    [
        ("tom", "news_read news_write", "news_read"),
        ("john", "news_read news_write", "news_read news_write"),
        ("tom", "news_write", "default"),
        ("tom", "some_random_scope", "some_random_scope"),
        ("tom", "some_random_scopes", "default"),
    ],
)
def test_a_signed_token_has_the_scopes_that_are_granted(gate, client, user, asked, got):
    told = gate.token(client, username=user, scope=asked)

    assert (told["scope"], told["expires_in"]) == (got, 3600)
    assert read(gate, told["access_token"]).claims["scope"] == got


@pytest.mark.row("KC-62", "KC-63")
def test_a_signed_token_reaches_what_its_scopes_let_it(gate, client):
    token = gate.token(client, scope="news_read news_write")["access_token"]

    refused = gate.call(token, method="POST")
    assert (refused.status_code, refused.json()["code"]) == (403, 900910)
    assert token not in refused.text
    without = gate.token(client, grant_type="client_credentials")["access_token"]
    assert gate.call(without, method="DELETE").status_code == 200
    assert gate.call(without).json()["code"] == 900910


def test_what_ends_a_token_ends_a_signed_one(gate):
    client, going = gate.client(), gate.client()
    one, family, twice, gone = (gate.token(each, scope="news_read") for each in (client, client, client, going))
    assert {gate.call(each["access_token"]).status_code for each in (one, family, twice, gone)} == {200}

    assert gate.ask(client, "/revoke", token=one["access_token"]).status_code == 200
    assert gate.ask(client, "/revoke", token=family["refresh_token"]).status_code == 200
    for _ in range(2):
        gate.ask(client, grant_type="refresh_token", refresh_token=twice["refresh_token"])
    for each in (one, family, twice):
        assert gate.call(each["access_token"]).json()["code"] == 900901
        assert gate.ask(client, "/introspect", token=each["access_token"]).json() == {"active": False}
    gate.store(lambda store: Clients(store, Endings(store)).remove(going[0]))
    until = time.monotonic() + 60
    while gate.call(gone["access_token"]).status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_introspection_tells_of_a_signed_token_what_it_tells_of_others(gate, client):
    told = gate.token(client, scope="news_read")
    shown = gate.ask(client, "/introspect", token=told["access_token"]).json()

    assert (shown["active"], shown["username"], shown["scope"]) == (True, "tom", "news_read")
    assert gate.ask(gate.client(), "/introspect", token=told["access_token"]).json() == {"active": False}


def test_a_client_may_have_tokens_of_the_other_kind(gate, backend, tmp_path):
    opaque = gate.token(gate.client(format="opaque"), scope="news_read")["access_token"]
    assert opaque.startswith("hga_")
    assert gate.call(opaque).status_code == 200
    changed = gate.client(format="opaque")
    gate.store(lambda store: Clients(store, Endings(store)).change(changed[0], {"format": "jwt"}))
    assert read(gate, gate.token(changed)["access_token"]).claims["client_id"] == changed[0]

    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url) as made:
        assert made.token(made.client())["access_token"].startswith("hga_")
        assert key_set(made) == {"keys": []}  # nothing was to be signed yet
        refused = made.ask(made.client(format="jwt"), grant_type="client_credentials")
        assert (refused.status_code, refused.json()["error"]) == (500, "server_error")
        assert "keymanager.issuer" in refused.json()["error_description"]


def test_what_others_read_of_the_server_says_where_the_keys_are(gate):
    oauth = gate.gate.request("GET", "/.well-known/oauth-authorization-server").json()
    openid = gate.gate.request("GET", "/.well-known/openid-configuration").json()

    assert oauth["jwks_uri"] == f"{ISSUER}/jwks"
    assert oauth.items() <= openid.items()
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]


def test_a_key_that_signs_no_more_is_shown_while_its_tokens_are_good(tmp_path, backend, monkeypatch):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", backend.url, OAUTH, SIGNED) as made:
        monkeypatch.setenv("HOOKGATE_SOURCE", "store")
        monkeypatch.setenv("HOOKGATE_SOURCE_OPTIONS", made.options)
        client = made.client()
        first = made.token(client, scope="news_read")["access_token"]
        (old,) = (each["kid"] for each in key_set(made)["keys"])

        assert "signs from now on" in rotate(made)
        second = made.token(client, scope="news_read")["access_token"]
        new = read(made, second).header["kid"]
        assert new != old
        assert [each["kid"] for each in key_set(made)["keys"]] == [new, old]
        assert read(made, first).header["kid"] == old
        assert {made.call(each).status_code for each in (first, second)} == {200}
        made.ask(client, "/revoke", token=first)
        assert [each["kid"] for each in key_set(made)["keys"]] == [new]
        assert not any("d" in each or "p" in each for each in key_set(made)["keys"])

        assert "no token of another key is good" in rotate(made, "--end")
        assert new not in [each["kid"] for each in key_set(made)["keys"]]
        until = time.monotonic() + 60
        while made.call(second).status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.02)


def rotate(made, *more):
    commands = Typer()
    KeyManagerCommands.add_commands(None, commands)
    ran = CliRunner().invoke(commands, ["keymanager", "rotate-keys", str(made.folder / "gateway.yaml"), *more])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_of_several_nodes_one_makes_the_key_and_age_makes_another(tmp_path, monkeypatch):
    made = prepared(tmp_path, f"sqlite:///{tmp_path / 'store.db'}")
    pairs, make = [], signing_module._MAKE["ES256"]
    monkeypatch.setitem(signing_module._MAKE, "ES256", lambda: pairs.append(make()) or pairs[-1])

    async def whole():
        stores = [await open_store(made.url, Keys.in_file(made.key)) for _ in range(4)]
        try:
            clock = stores[0].clock
            signing = [Signing(each, Endings(each), SigningRecord(algorithm="ES256", age=3600)) for each in stores]
            found = await asyncio.gather(*(each.signer() for each in signing for _ in range(3)))
            (kid,) = {each.kid for each in found}
            for each in stores:
                each.clock = lambda: clock() + 3601
            later = await asyncio.gather(*(each.signer() for each in signing for _ in range(3)))
            (other,) = {each.kid for each in later}
            assert len(pairs) <= 2 * len(stores)  # no node makes one for each who waits, which takes long for RSA
            text, signed_by = await signing[0].sign({"sub": "tom"})
            assert signed_by == other != kid
            header = jws.extract_compact(text.encode(), None, Registry(("ES256",))).headers()
            assert (header["alg"], header["kid"]) == ("ES256", other)
            assert isinstance(later[0].key, ECKey)
        finally:
            for each in stores:
                await each.close()

    asyncio.run(whole())


def test_nothing_of_a_private_key_or_a_token_stands_in_the_store_or_the_log(gate, client):
    token = gate.token(client, scope="news_read")["access_token"]
    gate.call(token)

    async def private(store):
        signer = await Signing(store, Endings(store), SigningRecord()).signer()
        return signer.key.as_dict(private=True)["d"]

    secret = gate.store(private)
    files = [path for path in gate.folder.glob("store.db*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    lines = " ".join(record.getMessage() for record in gate.gate.log)
    for each in (secret, secret[:40], token.split(".")[2], PASSWORD):
        assert each.encode() not in kept
        assert each not in lines
