import json

import pytest
from joserfc import jws

from hookgate import ConfigError, Exchange, Headers, Request, Unauthorized
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_jwt import Jwt

NOW = 1_700_000_000
SECRET = "a secret of thirty-two bytes!!!!" * 2
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


@pytest.fixture
def method(maker):
    """Make a method that knows the first RSA key."""

    def make(**options):
        if not {"jwks", "secret", "public_key"} & set(options):
            options["public_key"] = maker.public_pem(maker.key())
        made = build(Jwt, **options)
        made.house = TestHost()
        made.startup(made.house)
        return made

    return make


def call(token, name="authorization", prefix="Bearer "):
    return Exchange(Request(headers=Headers({name: f"{prefix}{token}"})))


async def refused(method, token):
    """Return why a token is refused."""
    exchange = call(token)
    with pytest.raises(Unauthorized) as fault:
        await method.identify(exchange)
    challenge = method.challenge(exchange)
    assert challenge == f'Bearer realm="hookgate", error="invalid_token", error_description="{fault.value.detail}"'
    return fault.value.detail


def document(backend, **options):
    return {
        "routes": [
            {
                "name": "all",
                "match": {"path": "/"},
                "flow": [{"auth": {"methods": [{"jwt": options}]}}],
                "to": {"connection": "backend"},
            }
        ],
        "connections": {"backend": {"targets": [{"url": backend.url}]}},
    }


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("source", ["public_key", "jwks"])
async def test_a_good_signature_of_every_algorithm_is_taken(method, maker, algorithm, source):
    pair = maker.key(maker.kind(algorithm))
    key = maker.public_pem(pair) if source == "public_key" else {"keys": [maker.jwk(pair, kid="k")]}
    made = method(**{source: key})

    identity = await made.identify(call(maker.token(algorithm=algorithm, kid="k")))
    assert (identity.subject, identity.method) == ("anna", "jwt")
    other = maker.key(maker.kind(algorithm), 1)
    assert "signature" in await refused(made, maker.token(algorithm=algorithm, signer=other, kid="k"))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_good_signature_with_a_secret_is_taken(method, maker, algorithm):
    made = method(secret=SECRET, algorithms=[algorithm])

    token = maker.token(algorithm=algorithm, signer=SECRET.encode())
    assert (await made.identify(call(token))).subject == "anna"
    assert "signature" in await refused(made, maker.token(algorithm=algorithm, signer=b"another"))


async def test_every_changed_character_is_noticed(method, maker):
    made = method()
    good = maker.token()
    assert await made.identify(call(good))

    for place in [*range(0, len(good), 7), len(good) - 1]:
        for other in ("A" if good[place] != "A" else "B", ".", "=", ""):
            await refused(made, good[:place] + other + good[place + 1 :])
    await refused(made, good + "A")
    await refused(made, good + ".")
    head, _, signed = good.split(".")
    await refused(made, f"{head}.{maker.token({'sub': 'root'}).split('.')[1]}.{signed}")


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", "", None, 5, [], ["RS256"], {}])
async def test_an_unsigned_token_is_refused(method, maker, none):
    head = maker.b64(json.dumps({"alg": none, "typ": "JWT"}).encode())
    token = f"{head}.{maker.token().split('.')[1]}."

    for made in (method(), method(secret=SECRET), method(jwks={"keys": [maker.jwk(maker.key())]})):
        await refused(made, token)
        await refused(made, token + maker.token().split(".")[2])


@pytest.mark.parametrize("source", ["public_key", "jwks"])
async def test_a_public_key_is_no_secret(method, maker, source):
    pem = maker.public_pem(maker.key())
    made = method(**{source: pem if source == "public_key" else {"keys": [maker.jwk(maker.key())]}})

    for secret in (pem, pem.strip(), pem.replace("\n", "")):
        for algorithm in ("HS256", "HS512"):
            token = maker.token(algorithm=algorithm, signer=secret.encode())
            assert "algorithm" in await refused(made, token)


async def test_only_algorithms_of_the_list_count(method, maker):
    made = method(algorithms=["PS256"])

    assert await made.identify(call(maker.token(algorithm="PS256")))
    assert "algorithm" in await refused(made, maker.token(algorithm="RS256"))
    assert "algorithm" in await refused(method(secret=SECRET), maker.token(algorithm="HS512", signer=SECRET.encode()))


async def test_a_key_for_something_else_does_not_check_signatures(method, maker):
    pair, spare = maker.key(), maker.jwk(maker.key("ES256"), kid="spare")
    for more in (
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["sign"]},
    ):
        made = method(jwks={"keys": [maker.jwk(pair, **more), spare]})
        assert "signature" in await refused(made, maker.token())
    assert await method(jwks={"keys": [maker.jwk(pair, use="sig", alg="RS256", key_ops=["verify"])]}).identify(
        call(maker.token())
    )


async def test_the_kid_names_the_key_and_without_one_all_that_fit_are_tried(method, maker):
    first, second, third = maker.key(), maker.key(number=1), maker.key("ES256")
    keys = [maker.jwk(first, kid="one"), maker.jwk(second, kid="two"), maker.jwk(third, kid="three")]
    made = method(jwks={"keys": keys})

    assert await made.identify(call(maker.token(signer=second, kid="two")))
    assert await made.identify(call(maker.token(signer=second)))
    assert await made.identify(call(maker.token(algorithm="ES256", signer=third)))
    assert "signature" in await refused(made, maker.token(signer=second, kid="one"))
    assert "signature" in await refused(made, maker.token(signer=second, kid="four"))
    await refused(made, maker.token(signer=second, kid=["two"]))


async def test_keys_of_other_kinds_do_not_count_as_tries(method, maker):
    others = [maker.jwk(maker.key("ES256", number)) for number in range(10)]
    made = method(jwks={"keys": [*others, maker.jwk(maker.key())]})

    assert await made.identify(call(maker.token()))
    assert "signature" in await refused(made, maker.token(algorithm="ES256", signer=maker.key("ES256", 9)))


async def test_a_token_brings_no_key_of_its_own(method, maker):
    mine = maker.key(number=1)
    made = method(jwks={"keys": [maker.jwk(maker.key(), kid="k")]})

    for header in (
        {"jwk": maker.jwk(mine)},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/chain"},
        {"kid": "../../dev/null"},
    ):
        await refused(made, maker.token(signer=mine, **header))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"crit": ["exp"]}, None),
        ({"crit": ["b64"], "b64": False}, None),
        ({"b64": False}, None),
        ({"crit": []}, None),
        ({}, b""),
        ({}, b"[]"),
        ({}, b"null"),
        ({}, b"\xff"),
        ({}, b"[" * 5000),
        ({}, b'{"sub": "a", "sub": "b", "exp": 1700000300}'),
        ({}, b'{"sub": "a", "exp": Infinity}'),
    ],
)
async def test_what_is_signed_must_be_a_token(method, maker, header, payload):
    await refused(method(), maker.token(payload=payload, **header))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "é.b.c", "x" * 9000, "W10.W10.W10", "IiI.e30.AA"],
)
async def test_what_is_no_token_is_refused(method, text):
    await refused(method(), text)


async def test_a_header_that_nests_too_deep_or_is_too_long_is_refused(method, maker):
    await refused(method(), f"{maker.b64(b'[' * 5000)}.e30.AA")
    await refused(method(max_token=65536), maker.token(padding="x" * 20_000))


# --- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "options", "why"),
    [
        ({"exp": NOW - 60}, {}, "expired"),
        ({"exp": NOW}, {"leeway": 0}, "expired"),
        ({"exp": None}, {}, "no exp"),
        ({"exp": "1700000300"}, {}, "not a time"),
        ({"exp": True}, {}, "not a time"),
        ({"exp": 1e300}, {}, "not a time"),
        ({"nbf": NOW + 61}, {}, "not valid yet"),
        ({"nbf": []}, {}, "not a time"),
        ({"iat": NOW + 61}, {}, "in the future"),
        ({}, {"issuer": "https://a"}, "another issuer"),
        ({"iss": "https://a/"}, {"issuer": "https://a"}, "another issuer"),
        ({"iss": ["https://a"]}, {"issuer": "https://a"}, "another issuer"),
        ({}, {"audience": ["crm"]}, "another service"),
        ({"aud": "crm2"}, {"audience": ["crm"]}, "another service"),
        ({"aud": ["erp", 5]}, {"audience": ["crm"]}, "another service"),
        ({"aud": {"crm": 1}}, {"audience": ["crm"]}, "another service"),
        ({}, {"required": ["exp", "tenant"]}, "no tenant"),
        ({"tenant": ""}, {"required": ["tenant"]}, "no tenant"),
        ({"cnf": {"jkt": "x"}}, {}, "bound to a key"),
        ({"sub": None}, {}, "whose it is"),
        ({"sub": ""}, {}, "whose it is"),
        ({"sub": 5}, {}, "whose it is"),
        ({}, {"subject_claim": "mail"}, "whose it is"),
        ({}, {"type": "at+jwt"}, "another type"),
    ],
)
async def test_a_token_that_is_not_for_here_and_now_is_refused(method, maker, claims, options, why):
    assert why in await refused(method(**options), maker.token(claims))


@pytest.mark.parametrize(
    ("claims", "options", "header"),
    [
        ({"exp": NOW - 59, "nbf": NOW + 60, "iat": NOW + 60}, {}, {}),
        ({"exp": NOW + 0.5}, {"leeway": 0}, {}),
        ({"exp": None}, {"required": []}, {}),
        ({"iss": "https://a"}, {"issuer": "https://a"}, {}),
        ({"aud": "crm"}, {"audience": ["erp", "crm"]}, {}),
        ({"aud": ["bi", "crm"]}, {"audience": ["crm"]}, {}),
        ({"tenant": 0}, {"required": ["tenant"]}, {}),
        ({}, {"type": "at+jwt"}, {"typ": "application/AT+JWT"}),
        ({}, {}, {"x5c": ["MII" * 300], "own": {"a": 1}}),
        ({"scope": "b a"}, {"scopes": "a"}, {}),
        ({"scp": ["a", "b"]}, {"scopes": ["a", "b"]}, {}),
    ],
)
async def test_a_token_that_is_for_here_and_now_is_taken(method, maker, claims, options, header):
    assert await method(**options).identify(call(maker.token(claims, **header)))


async def test_claims_become_the_identity(method, maker):
    claims = {"sub": "1", "mail": "a@b", "realm_access": {"roles": ["x", 5, "y"]}, "azp": "web", "a.b": "dotted"}
    token = maker.token(claims)
    usual = await method().identify(call(maker.token({"roles": "x y", "client_id": "app"})))
    other = await method(subject_claim="mail", roles_claim="realm_access.roles", application_claim="azp").identify(
        call(token)
    )

    assert (usual.subject, usual.roles, usual.application) == ("anna", ("x", "y"), "app")
    assert (other.subject, other.roles, other.application) == ("a@b", ("x", "y"), "web")
    assert other.claims["realm_access"] == {"roles": ["x", 5, "y"]}
    assert (await method(subject_claim="a.b").identify(call(token))).subject == "dotted"
    assert (await method(roles_claim="sub.roles").identify(call(token))).roles == ()


async def test_a_token_that_was_good_is_not_checked_again_before_it_expires(method, maker, monkeypatch):
    made = method(cache_seconds=100, cache_size=2)
    clock = made.house.clock
    checked = []
    check = jws.validate_compact
    monkeypatch.setattr(jws, "validate_compact", lambda *given, **more: checked.append(1) or check(*given, **more))
    short, long, third = (maker.token({"exp": NOW + seconds}) for seconds in (-10, 1000, 1001))

    async def checks(token):
        checked.clear()
        await made.identify(call(token))
        return len(checked)

    assert [await checks(token) for token in (short, short, long, long)] == [1, 0, 1, 0]
    await clock.advance(50)
    assert "expired" in await refused(made, short)
    assert await checks(long) == 0
    await clock.advance(50)
    assert [await checks(token) for token in (long, long)] == [1, 0]
    other = maker.token({"exp": NOW + 1002})
    assert [await checks(token) for token in (third, long, other, long, third)] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearerx a.b.c", "Token a.b.c", ""])
async def test_other_credentials_are_none_of_its_business(method, value):
    exchange = call(value, prefix="")

    assert await method().identify(exchange) is None
    assert method().challenge(exchange) == 'Bearer realm="hookgate"'


# --- through a gateway ------------------------------------------------------------------------------------------------


@pytest.mark.row("AC-44")
def test_a_gateway_lets_a_good_token_in_and_no_tampered_one(maker):
    good = maker.token({"aud": "crm"})
    with upstream() as backend:
        settings = document(backend, public_key=maker.public_pem(maker.key()), audience=["crm"])
        with running(settings, clock=MovableClock()) as gate:

            def get(token):
                return gate.request("GET", "/", headers={"authorization": f"Bearer {token}"})

            assert get(good).status_code == 200
            head, payload, signed = good.split(".")
            forged = json.loads(maker.unb64(payload)) | {"sub": "root"}
            tampered = get(f"{head}.{maker.b64(json.dumps(forged).encode())}.{signed}")
            assert (tampered.status_code, tampered.json()["reason"]) == (401, "wrong-credentials")
            assert 'Bearer realm="hookgate", error="invalid_token"' in tampered.headers["www-authenticate"]
            missing = gate.request("GET", "/")
            assert (missing.status_code, missing.headers["www-authenticate"]) == (401, 'Bearer realm="hookgate"')
            assert gate.wait_for_exchanges(1)[0].identity.subject == "anna"

    assert [request.header("authorization") for request in backend.requests] == [f"Bearer {good}"]


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"header": "X-Token"}, {"x-token": "bearer {}"}),
        ({"header": "X-Token", "prefix": ""}, {"x-token": "{}"}),
        ({"prefix": "JWT"}, {"authorization": "jwt  {}"}),
    ],
)
def test_the_token_may_come_in_another_header_and_be_hidden(maker, options, headers):
    name, value = next(iter(headers.items()))
    with upstream() as backend:
        settings = document(backend, public_key=maker.public_pem(maker.key()), hide=True, **options)
        with running(settings, clock=MovableClock()) as gate:
            answer = gate.request("GET", "/", headers={name: value.format(maker.token())})

    assert answer.status_code == 200
    assert backend.requests[0].header(name) is None


def test_a_missing_scope_is_forbidden(maker):
    with upstream() as backend:
        settings = document(backend, public_key=maker.public_pem(maker.key()), scopes=["orders", "items"])
        with running(settings, clock=MovableClock()) as gate:
            token = maker.token({"scope": "orders"})
            answer = gate.request("GET", "/", headers={"authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["reason"]) == (403, "insufficient-scope")
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope", scope="orders items"')


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is nothing"),
        ({"secret": SECRET, "jwks_uri": "https://a/keys"}, "jwks_uri and secret"),
        ({"discover": True}, "write issuer"),
        ({"discover": True, "issuer": "http://issuer.example"}, "issuer: .*keys of his own"),
        ({"jwks_uri": "http://issuer.example/keys"}, "jwks_uri: .*keys of his own"),
        ({"jwks_uri": "/keys"}, "absolute https URL"),
        ({"jwks_uri": "https://a:b@issuer.example/keys"}, "user or password"),
        ({"secret": "a short secret"}, "14 bytes; HS256 needs 32"),
        ({"secret": "s" * 40, "algorithms": ["HS256", "HS512"]}, "40 bytes; HS512 needs 64"),
        ({"secret": "-----BEGIN PUBLIC KEY-----\n" + "x" * 40}, "key of a key pair"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "RS256 goes with a key pair"),
        ({"jwks_uri": "https://a/keys", "algorithms": ["HS256"]}, "HS256 goes with a secret"),
        ({"jwks_uri": "https://a/keys", "algorithms": ["RS256", "none"]}, "algorithms"),
        ({"jwks_uri": "https://a/keys", "algorithms": []}, "the list is empty"),
        ({"public_key": "nonsense"}, "public_key: .*PEM"),
        ({"public_key": "-----BEGIN PUBLIC KEY-----"}, "public_key: this is not a PEM public key"),
        ({"jwks": {}}, "list"),
        ({"jwks": {"keys": []}}, "no public key"),
        ({"jwks": {"keys": [5, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": []}, {"kty": "RSA"}]}}, "no public key"),
        ({"secret": SECRET, "realm": "a\nb"}, "realm"),
        ({"secret": SECRET, "prefix": "a b"}, "prefix"),
        ({"secret": SECRET, "header": "a b"}, "header"),
        ({"secret": SECRET, "scopes": ["a b"]}, "scope"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as wrong:
        build(Jwt, **options)

    assert SECRET not in str(wrong.value)


def test_wrong_keys_are_refused_at_load(maker):
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    small = rsa.generate_private_key(65537, 1024)
    private = maker.b64(maker.key().private_numbers().d.to_bytes(256, "big"))
    curve = ec.generate_private_key(ec.SECP256K1())
    for options, message in [
        ({"public_key": maker.private_pem(maker.key())}, "private key"),
        ({"public_key": maker.public_pem(small)}, "has 1024"),
        ({"public_key": maker.public_pem(curve)}, "secp256k1"),
        ({"public_key": maker.public_pem(maker.key("ES256")), "algorithms": ["ES384"]}, "ES384 does not go"),
        ({"jwks": {"keys": [maker.jwk(small)]}}, "no public key"),
        ({"jwks": {"keys": [{**maker.jwk(maker.key()), "d": private}]}}, "no public key"),
    ]:
        with pytest.raises(ConfigError, match=message) as wrong:
            build(Jwt, **options)
        assert "BEGIN" not in str(wrong.value)


def test_the_secret_is_in_no_representation():
    made = build(Jwt, secret=SECRET)

    assert SECRET not in repr(made) + repr(made.options) + made.options.model_dump_json()
