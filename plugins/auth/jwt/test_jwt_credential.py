import pytest

from hookgate import ConfigError, Exchange, Headers, Outbound, Request, Target
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_jwt import JwtCredential

NOW = 1_700_000_000
SECRET = "a secret of thirty-two bytes!!!!" * 2


@pytest.fixture
def credential(maker):
    def make(**options):
        if not {"key", "secret"} & set(options):
            options["key"] = maker.private_pem(maker.key())
        made = build(JwtCredential, **options)
        made.house = TestHost()
        made.startup(made.house)
        return made

    return make


def signed(*credentials, received=(), prepared=(), name="authorization"):
    """Sign one attempt as a connection does, and return the lines of a header."""
    exchange = Exchange(Request(headers=Headers([(name, line) for line in received])))
    outbound = Outbound("GET", Target("http", "backend", 80), "/", headers=exchange.request.headers.copy())
    for value in prepared:
        outbound.headers.add(name, value)
    for each in credentials:
        each.sign(exchange, outbound)
    return outbound.headers.getall(name)


def token_of(line):
    word, _, token = line.partition(" ")
    assert word == "Bearer"
    return token


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RSA", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("ES256", ["ES256"]),
        ("ES384", ["ES384"]),
        ("ES512", ["ES512"]),
        ("EdDSA", ["EdDSA", "Ed25519"]),
    ],
)
def test_others_can_check_what_a_key_has_signed(credential, maker, kind, algorithms):
    pair = maker.key(kind)
    for algorithm, written in [(algorithms[0], None), *((name, name) for name in algorithms)]:
        made = credential(key=maker.private_pem(pair), algorithm=written, key_id="k1")
        token = token_of(signed(made)[0])

        header, claims = maker.verified(token, algorithm, pair)
        assert header == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
        assert claims.keys() == {"iat", "exp", "jti"}
        with pytest.raises(maker.InvalidSignature):
            maker.verified(token, algorithm, maker.key(kind, 1))


@pytest.mark.parametrize("algorithm", [None, "HS256", "HS384", "HS512"])
def test_others_can_check_what_a_secret_has_signed(credential, maker, algorithm):
    token = token_of(signed(credential(secret=SECRET, algorithm=algorithm))[0])

    header, _ = maker.verified(token, algorithm or "HS256", SECRET.encode())
    assert header == {"alg": algorithm or "HS256", "typ": "JWT"}


def test_the_claims_are_those_of_the_document(credential, maker):
    made = credential(
        issuer="gateway",
        subject="crm",
        audience=["a", "b"],
        lifetime=60,
        claims={"tenant": "zoë", "level": 3, "list": [1, None]},
        type="at+jwt",
    )
    header, claims = maker.verified(token_of(signed(made)[0]), "RS256", maker.key())

    assert header["typ"] == "at+jwt"
    assert len(claims.pop("jti")) >= 22
    assert claims == {
        "iss": "gateway",
        "sub": "crm",
        "aud": ["a", "b"],
        "iat": NOW,
        "exp": NOW + 60,
        "tenant": "zoë",
        "level": 3,
        "list": [1, None],
    }
    one = credential(audience=["a"])
    assert maker.verified(token_of(signed(one)[0]), "RS256", maker.key())[1]["aud"] == "a"


@pytest.mark.parametrize(("lifetime", "used"), [(300, 270), (60, 30), (20, 10)])
async def test_calls_share_a_token_until_shortly_before_it_expires(credential, maker, lifetime, used):
    made = credential(lifetime=lifetime)

    first = signed(made)
    await made.house.clock.advance(used - 0.5)
    assert signed(made) == first
    await made.house.clock.advance(0.5)
    second = signed(made)
    before, after = (maker.verified(token_of(line[0]), "RS256", maker.key())[1] for line in (first, second))
    assert after["exp"] == NOW + used + lifetime
    assert after["jti"] != before["jti"]


def test_a_token_can_be_for_one_attempt_only(credential, maker):
    made = credential(reuse=False)
    ids = {maker.verified(token_of(signed(made)[0]), "RS256", maker.key())[1]["jti"] for _ in range(5)}

    assert len(ids) == 5


def test_what_the_caller_sent_goes_and_what_others_wrote_stays(credential):
    first, second = credential(), credential(secret=SECRET, prefix="JWT")
    lines = signed(first, second, received=["Bearer of-the-caller"], prepared=["Basic of-a-header-action"])

    assert [line.split(".")[0].split(" ")[0] for line in lines] == ["Basic", "Bearer", "JWT"]
    assert "Bearer of-the-caller" not in lines


def test_the_token_may_stand_alone_in_another_header(credential, maker):
    (line,) = signed(credential(prefix="", header="X-Token"), received=["forged"], name="x-token")

    assert maker.verified(line, "RS256", maker.key())


def test_a_gateway_shows_its_backend_who_it_is(maker):
    options = {"key": maker.private_pem(maker.key("ES256")), "issuer": "gateway", "audience": ["crm"]}
    document = {
        "routes": [{"name": "all", "match": {"path": "/"}, "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": [], "auth": [{"jwt": options}]}},
    }
    clock = MovableClock()
    with upstream() as backend:
        document["connections"]["backend"]["targets"] = [{"url": backend.url}]
        with running(document, clock=clock) as gate:
            for _ in range(2):
                gate.request("GET", "/", headers={"authorization": "Bearer of-the-caller"})
            gate.run(clock.advance(300))
            gate.request("GET", "/")

    (first,), (second,), (third,) = (request.all("authorization") for request in backend.requests)
    assert first == second != third
    assert maker.verified(token_of(third), "ES256", maker.key("ES256"))[1]["iat"] == NOW + 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either key or secret"),
        ({"secret": SECRET, "key": "-----BEGIN "}, "either key or secret"),
        ({"secret": ""}, "0 bytes"),
        ({"secret": "short"}, "secret: .*has 5 bytes; HS256 needs 32"),
        ({"secret": SECRET, "algorithm": "RS256"}, "RS256 goes with a key"),
        ({"secret": SECRET, "algorithm": "none"}, "algorithm"),
        ({"secret": SECRET, "key_password": "x"}, "key_password: there is no key"),
        ({"key": "nonsense"}, "key: .*not PEM"),
        ({"key": "-----BEGIN PRIVATE KEY-----"}, "key: this is not a PEM private key"),
        ({"secret": "s" * 47, "algorithm": "HS384"}, "47 bytes; HS384 needs 48"),
        ({"secret": SECRET, "claims": {"exp": 1}}, "written by the gateway"),
        ({"secret": SECRET, "claims": {"big": "x" * 9000}}, "characters"),
        ({"secret": SECRET, "lifetime": 1}, "lifetime"),
        ({"secret": SECRET, "prefix": "a b"}, "prefix"),
        ({"secret": SECRET, "header": "a b"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as wrong:
        build(JwtCredential, **options)

    assert SECRET not in str(wrong.value)


def test_wrong_keys_are_refused_at_load(maker):
    from cryptography.hazmat.primitives.asymmetric import rsa

    hidden = maker.private_pem(maker.key(), b"s3same")
    assert build(JwtCredential, key=hidden, key_password="s3same")
    for options, message in [
        ({"key": maker.public_pem(maker.key())}, "public key"),
        ({"key": maker.private_pem(rsa.generate_private_key(65537, 1024))}, "has 1024"),
        ({"key": maker.private_pem(maker.key("ES256")), "algorithm": "ES384"}, "take ES256"),
        ({"key": maker.private_pem(maker.key()), "algorithm": "HS256"}, "HS256 does not go"),
        ({"key": hidden}, "opens with the password"),
        ({"key": hidden, "key_password": "wr0ng"}, "opens with the password"),
    ]:
        with pytest.raises(ConfigError, match=message) as wrong:
            build(JwtCredential, **options)
        assert not any(secret in str(wrong.value) for secret in ("BEGIN", "s3same", "wr0ng"))


def test_no_secret_is_in_a_representation(maker):
    pem = maker.private_pem(maker.key(), b"s3same")
    for made, secrets in [
        (build(JwtCredential, secret=SECRET), [SECRET]),
        (build(JwtCredential, key=pem, key_password="s3same"), ["s3same", pem.split("\n")[1]]),
    ]:
        text = repr(made) + repr(made.options) + made.options.model_dump_json() + repr(made._signer)
        assert not any(secret in text for secret in secrets)
