"""Tokens that are encrypted (RFC 7516). Those of the tests are made with `cryptography` alone, or published."""

import json
import os
import secrets
import zlib

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Exchange, Headers, Request, Unauthorized
from hookgate.jose import BadToken
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_jwt import Jwt
from hookgate_auth_jwt.encryption import Decryption, EncryptionOptions

KEY = bytes(range(32))
PASSWORD = "a password that both sides have"


def oaep(hashing=hashes.SHA256):
    return padding.OAEP(padding.MGF1(hashing()), hashing(), None)


@pytest.fixture(scope="module")
def pairs():
    from cryptography.hazmat.primitives.asymmetric import rsa

    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "old": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
    }


def pem(pair):
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return pair.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def joined(maker, header, encrypted_key, key, inside, *, iv=None):
    """Encrypt with AES-GCM, whose key is of any size."""
    head, iv = maker.b64(json.dumps(header).encode()), iv or os.urandom(12)
    sealed = AESGCM(key).encrypt(iv, inside, head.encode())
    return ".".join([head, *map(maker.b64, (encrypted_key, iv, sealed[:-16], sealed[-16:]))])


def to_rsa(maker, pair, inside, algorithm="RSA-OAEP-256", enc="A256GCM", **more):
    key = os.urandom({"A256GCM": 32, "A128GCM": 16}[enc])
    hashing = hashes.SHA256 if algorithm == "RSA-OAEP-256" else hashes.SHA1
    pad = padding.PKCS1v15() if algorithm == "RSA1_5" else oaep(hashing)
    header = {"alg": algorithm, "enc": enc, "cty": "JWT", **more}
    header = {name: value for name, value in header.items() if value is not None}
    return joined(maker, header, pair.public_key().encrypt(key, pad), key, inside)


def to_ec(maker, pair, inside, algorithm="ECDH-ES"):
    own = ec.generate_private_key(pair.curve)
    shared = own.exchange(ec.ECDH(), pair.public_key())
    wraps = algorithm.partition("+")[2]
    size = int(wraps[1:4]) // 8 if wraps else 32
    name = (algorithm if wraps else "A256GCM").encode()
    info = len(name).to_bytes(4, "big") + name + bytes(8) + (size * 8).to_bytes(4, "big")
    made = ConcatKDFHash(hashes.SHA256(), size, info).derive(shared)
    key = os.urandom(32) if wraps else made
    header = {"alg": algorithm, "enc": "A256GCM", "epk": maker.jwk(own)}
    return joined(maker, header, keywrap.aes_key_wrap(made, key) if wraps else b"", key, inside)


def with_secret(maker, inside, algorithm="dir", secret=KEY, **more):
    header, key = {"alg": algorithm, "enc": "A256GCM", **more}, secret if algorithm == "dir" else os.urandom(32)
    wrapped = b""
    if algorithm.endswith("GCMKW"):
        iv = os.urandom(12)
        sealed = AESGCM(secret).encrypt(iv, key, b"")
        header |= {"iv": maker.b64(iv), "tag": maker.b64(sealed[-16:])}
        wrapped = sealed[:-16]
    elif algorithm != "dir":
        wrapped = keywrap.aes_key_wrap(secret, key)
    return joined(maker, header, wrapped, key, inside)


def with_password(maker, inside, rounds=1000, password=PASSWORD, **more):
    algorithm, salt, key = "PBES2-HS256+A128KW", os.urandom(16), os.urandom(32)
    count = rounds if type(rounds) is int and rounds > 0 else 1000
    kdf = PBKDF2HMAC(hashes.SHA256(), 16, algorithm.encode() + b"\0" + salt, count)
    header = {"alg": algorithm, "enc": "A256GCM", "p2s": maker.b64(salt), "p2c": rounds, **more}
    return joined(maker, header, keywrap.aes_key_wrap(kdf.derive(password.encode()), key), key, inside)


@pytest.fixture
def method(maker):
    """Make a method; tokens are signed with the first RSA key, and encrypted as the options say."""

    def make(encryption, **options):
        if encryption.get("signed", True):
            options.setdefault("public_key", maker.public_pem(maker.key()))
        made = build(Jwt, encryption=encryption, **options)
        made.startup(TestHost())
        return made

    return make


def call(token):
    return Exchange(Request(headers=Headers({"authorization": f"Bearer {token}"})))


async def refused(method, token):
    with pytest.raises(Unauthorized) as fault:
        await method.identify(call(token))
    return fault.value.detail


# --- through a gateway ------------------------------------------------------------------------------------------------


@pytest.mark.row("FL-47")
def test_tokens_with_hmac_and_rsa_signatures_are_taken_encrypted_and_plain(maker, pairs):
    """HMAC and RSA, each alone, inside of an encrypted token, and claims that are encrypted only."""
    hmac = "a secret of thirty-two bytes!!!!" * 2
    rsa, keys = maker.public_pem(maker.key()), {"keys": [pem(pairs["rsa"])]}
    alone = {"secret": maker.b64(KEY), "signed": False}
    routes = {
        "hmac": {"secret": hmac},
        "rsa": {"public_key": rsa},
        "hmac-in-jwe": {"secret": hmac, "encryption": keys},
        "rsa-in-jwe": {"public_key": rsa, "encryption": keys},
        "jwe": {"encryption": alone},
    }
    signed = {"hmac": maker.token(algorithm="HS256", signer=hmac.encode()), "rsa": maker.token()}
    tokens = {
        **signed,
        "hmac-in-jwe": to_rsa(maker, pairs["rsa"], signed["hmac"].encode()),
        "rsa-in-jwe": to_rsa(maker, pairs["rsa"], signed["rsa"].encode()),
        "jwe": with_secret(maker, json.dumps({"sub": "anna", "exp": maker.NOW + 300}).encode()),
    }
    with upstream() as backend:
        document = {
            "routes": [
                {
                    "name": name,
                    "match": {"path": f"/{name}"},
                    "flow": [{"auth": {"methods": [{"jwt": options}]}}],
                    "to": {"connection": "backend"},
                }
                for name, options in routes.items()
            ],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document, clock=MovableClock()) as gate:

            def status(route, token):
                return gate.request("GET", f"/{route}", headers={"authorization": f"Bearer {token}"}).status_code

            found = {(route, token): status(route, tokens[token]) for route in routes for token in tokens}
            subjects = {each.identity.subject for each in gate.wait_for_exchanges(25) if each.identity}
    assert found == {(route, token): 200 if route == token else 401 for route in routes for token in tokens}
    assert subjects == {"anna"}


# --- what is opened ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256"])
@pytest.mark.parametrize("enc", ["A128GCM", "A256GCM"])
async def test_a_token_for_an_rsa_key_is_opened(method, maker, pairs, algorithm, enc):
    opening = method({"keys": [pem(pairs["rsa"])]})
    token = to_rsa(maker, pairs["rsa"], maker.token().encode(), algorithm, enc)
    assert (await opening.identify(call(token))).subject == "anna"


@pytest.mark.parametrize("algorithm", ["ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"])
async def test_a_token_for_an_elliptic_key_is_opened(method, maker, pairs, algorithm):
    opening = method({"keys": [pem(pairs["ec"])]})
    assert (
        await opening.identify(call(to_ec(maker, pairs["ec"], maker.token().encode(), algorithm)))
    ).subject == "anna"


@pytest.mark.parametrize("algorithm", ["dir", "A256KW", "A256GCMKW"])
async def test_a_token_with_a_secret_is_opened(method, maker, algorithm):
    opening = method({"secret": maker.b64(KEY), "algorithms": [algorithm]})
    token = with_secret(maker, maker.token().encode(), algorithm)
    assert (await opening.identify(call(token))).subject == "anna"


async def test_a_token_with_a_password_is_opened(method, maker):
    opening = method({"password": PASSWORD})
    assert (await opening.identify(call(with_password(maker, maker.token().encode())))).subject == "anna"


async def test_an_old_key_opens_as_long_as_it_is_written(method, maker, pairs):
    both, new = method({"keys": [pem(pairs["rsa"]), pem(pairs["old"])]}), method({"keys": [pem(pairs["rsa"])]})
    token = to_rsa(maker, pairs["old"], maker.token().encode())
    assert (await both.identify(call(token))).subject == "anna"
    assert await refused(new, token) == "The token cannot be decrypted."


async def test_claims_without_a_signature_are_taken_where_only_that_is_expected(method, maker, pairs):
    claims = json.dumps({"sub": "anna", "exp": maker.NOW + 300}).encode()
    alone = method({"secret": maker.b64(KEY), "signed": False}, type="at+jwt")
    assert (await alone.identify(call(with_secret(maker, claims, typ="AT+JWT")))).subject == "anna"
    assert await refused(alone, with_secret(maker, claims, typ="JWT")) == "The token is of another type."
    expired = json.dumps({"sub": "anna", "exp": maker.NOW - 300}).encode()
    assert await refused(alone, with_secret(maker, expired, typ="at+jwt")) == "The token has expired."
    assert "holds something else" in await refused(alone, with_secret(maker, claims, typ="at+jwt", cty="JWT"))
    nested = method({"secret": maker.b64(KEY)})
    assert await refused(nested, with_secret(maker, claims)) == "The token is malformed."
    # what anybody can encrypt for us says nothing about who made it
    public = method({"keys": [pem(pairs["rsa"])]})
    assert await refused(public, to_rsa(maker, pairs["rsa"], claims, cty=None)) == "The token is malformed."


async def test_what_is_inside_is_checked_as_ever(method, maker, pairs):
    opening = method({"keys": [pem(pairs["rsa"])]}, issuer="us")

    async def inside(token):
        return await refused(opening, to_rsa(maker, pairs["rsa"], token.encode()))

    assert await inside(maker.token(signer=maker.key("RSA", 1))) == "The signature of the token is not right."
    assert await inside(maker.token(algorithm="none")) == "The algorithm of the token is not allowed."
    assert await inside(maker.token({"iss": "them"})) == "The token is of another issuer."
    assert await inside("\xff.\xff.\xff") == "The token is malformed."
    twice = to_rsa(maker, pairs["rsa"], maker.token({"iss": "us"}).encode())
    assert await inside(twice) == "The token is malformed."  # one in another: one level is all there is


async def test_a_token_that_is_not_encrypted_is_refused_unless_it_need_not_be(method, maker, pairs):
    keys = {"keys": [pem(pairs["rsa"])]}
    assert await refused(method(keys), maker.token()) == "The token is not encrypted."
    both = method({**keys, "required": False})
    assert (await both.identify(call(maker.token()))).subject == "anna"
    assert (await both.identify(call(to_rsa(maker, pairs["rsa"], maker.token().encode())))).subject == "anna"


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_what_is_on_no_list_is_refused(method, maker, pairs):
    inside, wrong = maker.token().encode(), "The algorithm of the token is not allowed."
    opening = method({"keys": [pem(pairs["rsa"])], "algorithms": ["RSA-OAEP-256"], "content_algorithms": ["A256GCM"]})
    assert await refused(opening, to_rsa(maker, pairs["rsa"], inside, "RSA-OAEP")) == wrong
    assert await refused(opening, to_rsa(maker, pairs["rsa"], inside, "RSA1_5")) == wrong
    assert await refused(opening, to_rsa(maker, pairs["rsa"], inside, enc="A128GCM")) == wrong
    assert await refused(opening, with_secret(maker, inside)) == wrong
    assert await refused(opening, with_password(maker, inside)) == wrong
    secret = method({"secret": maker.b64(KEY)})
    assert await refused(secret, with_secret(maker, inside, "A256KW")) == wrong
    for alg, enc in (([], "A256GCM"), ({}, "A256GCM"), (None, "A256GCM"), ("dir", []), ("dir", "RSA-OAEP"), ("dir", 1)):
        assert await refused(secret, with_secret(maker, inside, alg=alg, enc=enc)) == wrong


@pytest.mark.parametrize("zipping", ["DEF", "", None, 1])
async def test_what_is_compressed_is_refused_before_it_is_opened(method, maker, pairs, zipping):
    packed = zlib.compress(b" " * 50_000_000)[2:-4][:4000]
    opening = method({"keys": [pem(pairs["rsa"])]})
    # None would be left out by the maker of tokens, so it goes through the other one
    token = with_secret(maker, packed, zip=zipping)
    secret = method({"secret": maker.b64(KEY)})
    assert "compressed" in await refused(secret, token)
    if zipping is not None:
        assert "compressed" in await refused(opening, to_rsa(maker, pairs["rsa"], packed, zip=zipping))


@pytest.mark.parametrize("rounds", [0, -1, 999, 5001, 10**9, 1e3, True, "1000", None])
async def test_a_token_asks_for_a_bounded_number_of_rounds(method, maker, rounds, monkeypatch):
    opening = method({"password": PASSWORD, "max_p2c": 5000})
    monkeypatch.setattr("joserfc.jwe.decrypt_compact", lambda *_, **__: pytest.fail("it was tried"))
    token = with_password(maker, maker.token().encode(), 1000, p2c=rounds)
    assert "number of rounds" in await refused(opening, token)


async def test_as_many_rounds_as_are_allowed_are_taken(method, maker):
    opening = method({"password": PASSWORD, "max_p2c": 1500})
    assert (await opening.identify(call(with_password(maker, maker.token().encode(), 1500)))).subject == "anna"
    wrong = with_password(maker, maker.token().encode(), 1500, password=PASSWORD + "!")
    assert await refused(opening, wrong) == "The token cannot be decrypted."


async def test_extensions_and_sizes(method, maker):
    opening = method({"secret": maker.b64(KEY)}, max_token=2000)
    inside = maker.token().encode()
    assert "extension" in await refused(opening, with_secret(maker, inside, crit=["exp"], exp=1))
    assert await refused(opening, with_secret(maker, inside + b" " * 2000)) == "The token is too long."
    head, rest = with_secret(maker, inside).split(".", 1)
    twice = maker.b64(b'{"alg":"RSA-OAEP","alg":"dir","enc":"A256GCM"}')
    assert await refused(opening, f"{twice}.{rest}") == "The token is malformed."
    assert await refused(opening, f"{head}!.{rest}") == "The token is malformed."
    assert await refused(opening, f".{rest}") == "The token is malformed."
    assert await refused(opening, f"{head}.x{rest}") == "The token cannot be decrypted."  # a key, where `dir` has none


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.integers(0, 4), at=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_a_token_of_which_a_byte_is_another_one_is_opened_by_nobody(maker, part, at, byte):
    opening = Decryption(EncryptionOptions(secret=maker.b64(KEY), algorithms=("A256KW",)))
    parts = [maker.unb64(each) for each in with_secret(maker, b"inside", "A256KW").split(".")]
    changed = bytearray(parts[part])
    changed[at % len(changed)] ^= byte
    parts[part] = bytes(changed)
    with pytest.raises(BadToken):
        opening.opened(".".join(map(maker.b64, parts)))


SENT = st.text(alphabet='AZaz09-_.{}"=', max_size=60) | st.from_regex(r"e[\w-]{0,40}(\.[\w-]{0,20}){4}", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(SENT)
def test_whatever_is_sent_is_refused_with_words(token):
    opening = Decryption(EncryptionOptions(secret="AAAAAAAAAAAAAAAAAAAAAA"))
    with pytest.raises(BadToken, match=r"The (algorithm of the )?token .*\."):
        opening.opened(token)


# --- published --------------------------------------------------------------------------------------------------------


def test_the_key_wrap_of_rfc_7516_is_opened():
    """RFC 7516, A.3: A128KW with A128CBC-HS256."""
    token = (
        "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ."
        "AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ"
    )
    opening = Decryption(EncryptionOptions(secret="GawgguFyGrWKav7AX4VKUg", algorithms=("A128KW",)))
    assert opening.opened(token)[1] == b"Live long and prosper."


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encryption", "message"),
    [
        ({}, r"write one of keys, secret, password; there is nothing"),
        ({"secret": "AAAAAAAAAAAAAAAAAAAAAA", "password": PASSWORD}, r"there is secret and password"),
        ({"secret": "no base64url!"}, r"secret: it is not base64url"),
        ({"secret": "a+b/"}, r"secret: it is not base64url"),
        ({"secret": "AAAA"}, r"secret: it has 3 bytes"),
        ({"password": "short"}, r"password: it has 5 bytes"),
        ({"password": PASSWORD, "key_password": "x"}, r"key_password: there is no key"),
        ({"password": PASSWORD, "algorithms": []}, r"the list is empty"),
        ({"password": PASSWORD, "algorithms": ["dir"]}, r"dir does not go with password; there is PBES2"),
        ({"password": PASSWORD, "algorithms": ["RSA1_5"]}, r"encryption.algorithms"),
        ({"password": PASSWORD, "max_p2c": 999}, r"max_p2c"),
        ({"password": PASSWORD, "content_algorithms": []}, r"content_algorithms"),
        ({"password": PASSWORD, "signed": False, "required": False}, r"neither encrypted nor signed"),
        ({"secret": "AAAAAAAAAAAAAAAAAAAAAA", "content_algorithms": ["A256GCM"]}, r"dir does not go with secret"),
        ({"secret": "AAAAAAAAAAAAAAAAAAAAAA", "algorithms": ["A256KW"]}, r"A256KW does not go with secret; .*A128KW"),
        ({"keys": ["no PEM"]}, r"this is not PEM"),
        ({"keys": ["-----BEGIN x"]}, r"keys.0: this is not a PEM private key"),
    ],
)
def test_a_wrong_option_is_refused_at_load(maker, encryption, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(Jwt, encryption=encryption, public_key=maker.public_pem(maker.key()))
    assert PASSWORD not in str(error.value)


def test_keys_that_do_not_fit_are_refused_at_load(maker, pairs):
    public = maker.public_pem(maker.key())
    with pytest.raises(ConfigError, match=r"signed: with a key pair, whoever has the public key"):
        build(Jwt, encryption={"keys": [pem(pairs["rsa"])], "signed": False})
    with pytest.raises(ConfigError, match=r"no signature is checked; leave out public_key"):
        build(Jwt, encryption={"password": PASSWORD, "signed": False}, public_key=public)
    with pytest.raises(ConfigError, match=r"RSA-OAEP does not go with keys; there is ECDH-ES"):
        build(Jwt, encryption={"keys": [pem(pairs["ec"])], "algorithms": ["RSA-OAEP"]}, public_key=public)
    with pytest.raises(ConfigError, match=r"keys.0: a key of this kind decrypts nothing"):
        build(Jwt, encryption={"keys": [maker.private_pem(maker.key("EdDSA"))]}, public_key=public)
    with pytest.raises(ConfigError, match=r"keys.0: this is a public key|this is not a PEM private key"):
        build(Jwt, encryption={"keys": [public]}, public_key=public)


def test_no_secret_is_shown(maker, pairs):
    secret = maker.b64(secrets.token_bytes(32))
    made = build(Jwt, encryption={"secret": secret, "signed": False})
    assert secret not in repr(made.options)
    assert secret not in repr(made.options.encryption)
    held = build(Jwt, encryption={"keys": [pem(pairs["rsa"])]}, public_key=maker.public_pem(maker.key()))
    assert "PRIVATE" not in repr(held.options)
