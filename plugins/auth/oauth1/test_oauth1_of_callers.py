"""OAuth 1.0a of callers (AC-44): who is let in, what is refused, and what is remembered."""

import asyncio
from inspect import isawaitable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hookgate import (
    BadRequest,
    Body,
    ConfigError,
    ContentTooLarge,
    Exchange,
    Headers,
    Request,
    Secret,
    ServiceUnavailable,
    Unauthorized,
)
from hookgate.testing import MovableClock, TestHost, build
from hookgate_auth_oauth1 import OAuth1
from hookgate_auth_oauth1.signatures import (
    base_string,
    base_uri,
    header_line,
    pairs,
    rsa_signature,
    shared_signature,
)

FORM = "application/x-www-form-urlencoded"
THEN = 1191242096
KEY = "dpf43f3p2l4k3l03"
SECRET = "kd94hf93k423kf44"
TOKEN = "nnch734d00sl2jdk"
TOKEN_SECRET = "pfkkdhi9sl3r4s00"
CONSUMERS = {KEY: {"secret": SECRET, "roles": ["reader"], "application": "printer"}, "other": {"secret": "other's"}}
TOKENS = {TOKEN: {"secret": TOKEN_SECRET, "consumer": KEY, "subject": "jane", "roles": ["owner"]}}
PHOTOS = (
    f'OAuth realm="http://photos.example.net/", oauth_consumer_key="{KEY}", oauth_token="{TOKEN}", '
    f'oauth_signature_method="HMAC-SHA1", oauth_timestamp="{THEN}", oauth_nonce="kllo9940pd9333jh", '
    'oauth_version="1.0", oauth_signature="tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D"'
)
"""The request for a resource of OAuth Core 1.0a, A.5."""


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip


def method(clock=None, **options):
    made = build(OAuth1, **{"consumers": CONSUMERS, "tokens": TOKENS, **options})
    made.startup(TestHost(clock=clock or MovableClock(THEN)))
    return made


def call(*lines, verb="GET", path="/photos", query="file=vacation.jpg&size=original", **more):
    headers = Headers([("authorization", line) for line in lines])
    if "content_type" in more:
        headers.add("content-type", more["content_type"])
    return Exchange(
        Request(
            verb,
            path,
            query,
            host=more.get("host", "photos.example.net"),
            scheme=more.get("scheme", "http"),
            headers=headers,
            body=Body(more.get("body", b"")),
        )
    )


def posted(*lines, body=b"c2&a3=2+q", content_type=FORM, streamed=False):
    async def chunks():
        yield body[:3]
        yield body[3:]

    exchange = call(*lines, verb="POST", content_type=content_type, body=body)
    if streamed:
        exchange.request.body = Body(chunks())
    return exchange


def line(
    verb="GET",
    form=b"",
    secret=SECRET,
    token_secret="",
    algorithm="HMAC-SHA1",
    key=None,
    query="file=vacation.jpg&size=original",
    **change,
):
    """Sign a call; `change` holds protocol parameters without `oauth_`, and `None` takes one out."""
    protocol = {"consumer_key": KEY, "signature_method": algorithm, "timestamp": str(THEN), "nonce": "n"} | change
    protocol = {f"oauth_{name}": value for name, value in protocol.items() if value is not None}
    parameters = [*pairs(query), *pairs(form), *protocol.items()]
    base = base_string(verb, base_uri("http", "photos.example.net", "/photos"), parameters)
    if key is not None:
        signature = rsa_signature(base, key)
    else:
        signature = shared_signature(algorithm, base, Secret(secret), Secret(token_secret))
    return header_line([*protocol.items(), ("oauth_signature", signature)], None)


def identify(made, exchange):
    async def wait(found):
        return await found

    found = made.identify(exchange)
    return asyncio.run(wait(found)) if isawaitable(found) else found


def refused(made, exchange, error=Unauthorized):
    with pytest.raises(error) as refusal:
        identify(made, exchange)
    return refusal.value.reason


def test_the_example_of_oauth_core_is_recognised():
    identity = method().identify(call(PHOTOS))

    assert (identity.subject, identity.method, identity.roles) == ("jane", "oauth1", ("owner",))
    assert identity.application == "printer"
    assert identity.claims == {"consumer": KEY}


def test_a_consumer_may_call_in_its_own_name():
    identity = method().identify(call(line()))

    assert (identity.subject, identity.roles, identity.application) == (KEY, ("reader",), "printer")
    assert method().identify(call(line(token=""))).subject == KEY, "an empty token is none"
    assert refused(method(require_token=True), call(line())) == "missing-token"
    assert refused(method(require_token=True), call(line(token=""))) == "missing-token"
    assert method(require_token=True).identify(call(PHOTOS)).subject == "jane"


@pytest.mark.parametrize("algorithm", ["HMAC-SHA1", "HMAC-SHA256"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_form_is_part_of_what_is_signed(algorithm, streamed):
    text = line("POST", b"c2&a3=2+q", algorithm=algorithm)

    assert identify(method(), posted(text, streamed=streamed)).subject == KEY
    assert identify(method(), posted(text, body=b"a3=2%20q&c2=", streamed=streamed)).subject == KEY, "the same form"
    assert refused(method(), posted(text, body=b"c2&a3=2+r", streamed=streamed)) == "wrong-credentials"
    assert refused(method(), posted(text, content_type="text/plain", streamed=streamed)) == "wrong-credentials"


def test_another_body_streams_unless_its_hash_was_sent():
    exchange = posted(line("POST"), content_type="application/json", streamed=True)

    assert method().identify(exchange).subject == KEY
    assert exchange.request.body.held is None
    for hashed in ("Lve95gjOVATpfV8EL5X4nxwjKHE=", "f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk="):
        for streamed in (False, True):
            text = line("POST", body_hash=hashed)
            good = posted(text, body=b"Hello World!", content_type="text/plain", streamed=streamed)
            other = posted(text, body=b"Hello world!", content_type="text/plain", streamed=streamed)
            assert identify(method(), good).subject == KEY
            assert refused(method(), other) == "wrong-body-hash"


def test_rsa_needs_the_key_of_the_consumer(rsa_key):
    other = rsa.generate_private_key(65537, 2048)
    consumers = {"signer": {"public_key": public(rsa_key)}, "second": {"public_key": public(other)}, **CONSUMERS}

    def made():
        return method(consumers=consumers)

    def signed(key, name="signer"):
        return call(line(algorithm="RSA-SHA1", key=key, consumer_key=name))

    assert made().identify(signed(rsa_key)).subject == "signer"
    assert refused(made(), signed(other)) == "wrong-credentials"
    assert refused(made(), signed(rsa_key, "second")) == "wrong-credentials"
    assert refused(made(), signed(rsa_key, "nobody")) == "wrong-credentials"
    assert refused(made(), signed(rsa_key, KEY)) == "wrong-credentials"
    assert refused(method(), signed(rsa_key, KEY)) == "wrong-credentials", "nobody signs with RSA"
    assert refused(made(), call(line(secret="", consumer_key="signer"))) == "wrong-credentials", "it has no secret"


def test_plaintext_is_accepted_only_where_that_is_said_and_over_tls():
    made = method(signature_methods=["PLAINTEXT"])
    text = f'OAuth oauth_consumer_key="{KEY}", oauth_signature_method="PLAINTEXT", oauth_signature="{SECRET}%26"'

    assert made.identify(call(text, scheme="https")).subject == KEY
    assert refused(made, call(text)) == "plaintext-without-tls"
    assert refused(method(), call(text, scheme="https")) == "wrong-signature-method"
    assert refused(made, call(text.replace("%26", ""), scheme="https")) == "wrong-credentials"
    assert refused(made, call(PHOTOS, scheme="https")) == "wrong-signature-method"
    assert refused(made, call(text.replace(SECRET, ""), scheme="https")) == "wrong-credentials"


@pytest.mark.parametrize("lines", [[], ["Basic eDp5"], ["OAuth2 a"], ["Bearer a"], [""]])
def test_other_kinds_of_credentials_are_none_of_its_business(lines):
    assert method().identify(call(*lines)) is None


def test_its_scheme_counts_in_any_case_and_a_second_line_is_refused():
    assert method().identify(call(PHOTOS.replace("OAuth", "oauth", 1))).subject == "jane"
    with pytest.raises(BadRequest, match="more than once"):
        method().identify(call("Bearer a", PHOTOS))


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "POST"},
        {"path": "/photo"},
        {"query": "file=vacation.jpg"},
        {"query": "file=vacation.jpg&size=original&more"},
        {"host": "photos.example.org"},
        {"host": "photos.example.net:8080"},
        {"host": "photos.example.net:443"},
        {"scheme": "https"},
    ],
    ids=str,
)
def test_another_request_than_the_signed_one_is_refused(change):
    assert refused(method(), call(PHOTOS, **change)) == "wrong-credentials"


@pytest.mark.parametrize(
    "change",
    [
        {"query": "size=original&file=vacation.jpg"},
        {"host": "PHOTOS.example.net:80"},
        {"query": "file=vacation%2Ejpg&size=original"},
    ],
    ids=str,
)
def test_the_same_request_written_otherwise_is_recognised(change):
    assert method().identify(call(PHOTOS, **change)).subject == "jane"


@pytest.mark.parametrize(
    "text",
    [
        PHOTOS.replace("tR3", "tR4"),
        PHOTOS.replace(KEY, "nobody"),
        PHOTOS.replace(KEY, "other"),
        PHOTOS.replace(TOKEN, "no-token"),
        PHOTOS.replace(f'oauth_token="{TOKEN}", ', ""),
        PHOTOS.replace("kllo", "kllp"),
        PHOTOS.replace(str(THEN), str(THEN + 1)),
        PHOTOS.replace("HMAC-SHA1", "HMAC-SHA256"),
        PHOTOS.replace('oauth_version="1.0", ', ""),
        PHOTOS + ', more="x"',
        line(consumer_key="other", secret="other's", token=TOKEN, token_secret=TOKEN_SECRET),
        line(token="no-token"),
        line(secret=""),
    ],
)
def test_a_changed_line_is_refused_in_the_same_words(text):
    with pytest.raises(Unauthorized, match=r"^The OAuth credentials do not match the request\.$"):
        method().identify(call(text))


def test_an_unknown_consumer_is_compared_too(monkeypatch):
    compared = []
    monkeypatch.setattr("hookgate_auth_oauth1.inbound.same", lambda one, other: compared.append(len(one)) or False)
    made = method()
    for text in (PHOTOS, PHOTOS.replace(KEY, "nobody"), PHOTOS.replace(TOKEN, "no-token")):
        refused(made, call(text))

    assert compared == [28, 28, 28]


@pytest.mark.parametrize(
    "text",
    [
        "OAuth",
        "OAuth ,",
        f'OAuth oauth_consumer_key="{KEY}"',
        PHOTOS.replace('oauth_nonce="kllo9940pd9333jh", ', ""),
        PHOTOS.replace("kllo9940pd9333jh", ""),
        PHOTOS.replace(f'oauth_timestamp="{THEN}", ', ""),
        PHOTOS.replace(str(THEN), "now"),
        PHOTOS.replace(str(THEN), "-1"),
        PHOTOS.replace(str(THEN), "%D9%A1"),
        PHOTOS.replace(str(THEN), "9" * 13),
        PHOTOS.replace('version="1.0"', 'version="2.0"'),
        PHOTOS + f', oauth_token="{TOKEN}"',
        PHOTOS + f', oauth%5Ftoken="{TOKEN}"',
        PHOTOS.replace("kllo", "%FF"),
        PHOTOS.replace('"kllo9940pd9333jh"', "kllo9940pd9333jh"),
        PHOTOS.replace("kllo", "x" * 9000),
    ],
    ids=lambda text: f"{len(text)}",
)
def test_malformed_credentials_are_refused(text):
    assert refused(method(), call(text)) == "malformed-credentials"


def test_a_parameter_that_is_there_twice_is_refused():
    query = "oauth_nonce=n"
    assert refused(method(), call(line(query=query), query=query)) == "malformed-credentials"
    assert refused(method(), posted(line("POST", b"oauth_nonce=n"), body=b"oauth_nonce=n")) == "malformed-credentials"
    assert method().identify(call(line(query="oauth_x=y"), query="oauth_x=y")).subject == KEY


def test_a_form_has_a_bound():
    text = line("POST", b"a" * 101)
    for streamed in (False, True):
        exchange = posted(text, body=b"a" * 101, streamed=streamed)
        assert refused(method(body_limit=100), exchange, ContentTooLarge) == "content-too-large"
    assert identify(method(body_limit=101), posted(text, body=b"a" * 101)).subject == KEY
    assert refused(method(), posted(text, body=b"a&" * 10_000)) == "malformed-credentials"


@pytest.mark.parametrize(("off", "fits"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_timestamp_may_be_five_minutes_off(off, fits):
    made = method(MovableClock(THEN - off))
    if fits:
        assert made.identify(call(PHOTOS)).subject == "jane"
    else:
        assert refused(made, call(PHOTOS)) == "stale-timestamp"


def test_a_request_is_taken_once():
    made = method()

    assert made.identify(call(PHOTOS)).subject == "jane"
    assert refused(made, call(PHOTOS)) == "replayed"
    assert made.identify(call(line(nonce="kllo9940pd9333jh"))).subject == KEY, "a nonce belongs to its token"
    assert made.identify(call(line())).subject == KEY
    assert made.identify(call(line(timestamp=str(THEN + 1)))).subject == KEY, "a nonce belongs to its second"
    assert made.identify(call(line(consumer_key="other", secret="other's"))).subject == "other"
    assert refused(made, call(line())) == "replayed"


def test_what_is_refused_uses_up_no_nonce():
    made = method()
    refused(made, call(PHOTOS.replace("tR3", "tR4")))
    assert made.identify(call(PHOTOS)).subject == "jane"
    text = line("POST", body_hash="Lve95gjOVATpfV8EL5X4nxwjKHE=")
    refused(made, posted(text, body=b"Hello", content_type="text/plain"))
    assert identify(made, posted(text, body=b"Hello World!", content_type="text/plain")).subject == KEY


def test_memory_has_a_bound_and_what_is_forgotten_is_refused():
    made = method(nonces=2)
    for second in (0, 1, 2):
        made.identify(call(line(timestamp=str(THEN + second))))
    store = made._nonces[KEY]

    assert len(store) == 2
    assert refused(made, call(line())) == "stale-timestamp"
    assert refused(made, call(line(timestamp=str(THEN + 1)))) == "replayed"
    assert refused(made, call(line(timestamp=str(THEN + 1), nonce="m")), ServiceUnavailable) == "nonces-used-up"
    assert len(store) == 2


def test_what_is_too_old_to_be_replayed_is_forgotten():
    clock = MovableClock(THEN)
    made = method(clock)
    made.identify(call(line()))
    asyncio.run(clock.advance(301))
    assert refused(made, call(line())) == "stale-timestamp"
    made.identify(call(line(timestamp=str(THEN + 301))))

    assert len(made._nonces[KEY]) == 1


def test_the_challenge_names_the_realm():
    assert method(realm="photos").challenge(call()) == 'OAuth realm="photos"'


SMALL = rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consumers": {}}, "consumers"),
        ({"consumers": {"": {"secret": "x"}}, "tokens": {}}, "empty"),
        ({"consumers": {"a": {}}, "tokens": {}}, "write secret or public_key"),
        ({"consumers": {"a": {"secret": ""}}, "tokens": {}}, "write secret or public_key"),
        ({"consumers": {"a": {"public_key": "x"}}, "tokens": {}}, "BEGIN PUBLIC KEY"),
        ({"consumers": {"a": {"public_key": public(SMALL)}}, "tokens": {}}, "1024 bits"),
        ({"consumers": {"a": {"public_key": public(ec.generate_private_key(ec.SECP256R1()))}}}, "no RSA public key"),
        ({"consumers": {"a": {"secret": "s3same"}}}, "none of the consumers"),
        ({"tokens": {}, "require_token": True}, "there are no tokens"),
        ({"signature_methods": []}, "signature_methods"),
        ({"signature_methods": ["MD5"]}, "signature_methods"),
        ({"skew": 0}, "skew"),
        ({"realm": 'a"b'}, "realm"),
        ({"header": "X Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        method(**options)
    assert not any(secret in str(refusal.value) for secret in ("s3same", SECRET, TOKEN_SECRET))


def test_no_secret_is_in_a_representation():
    made = method()
    text = repr(made) + repr(made.options) + made.options.model_dump_json()

    assert not any(secret in text for secret in (SECRET, TOKEN_SECRET))
