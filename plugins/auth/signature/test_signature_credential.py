import base64
import hashlib
import hmac
import re

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hookgate import BadGateway, Body, ConfigError, Exchange, Headers, Outbound, Request, Target
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_signature import SignatureCredential

TOMITRIBE = {"algorithm": "hmac-sha256", "key": "don't tell"}
JUNE = "Tue, 07 Jun 2014 20:51:35 GMT"
HELLO = b'{"hello": "world"}'
HELLO_SHA_256 = "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
HELLO_SHA_512 = "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew=="
NOW = "Tue, 14 Nov 2023 22:13:20 GMT"
"""What a clock of tests says."""


def pem_of(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signer(**options):
    credential = build(SignatureCredential, **options)
    credential.startup(TestHost())
    return credential


def sign(credential, *, method="GET", path="/foo/Bar", query="", headers=(), received=(), body=b""):
    """Sign one attempt as a connection does; ``received`` came from the caller, ``headers`` from header actions."""
    exchange = Exchange(Request(headers=Headers(received)))
    sent = Headers([*received, *headers])
    sent.setdefault("host", "example.org")
    if body:
        sent.setdefault("content-length", str(len(body)))
    outbound = Outbound(method, Target("http", "example.org", 80), path, query, sent, Body(body), connection="crm")
    credential.sign(exchange, outbound)
    return outbound


def parameters(line):
    scheme, _, rest = line.partition(" ")
    return scheme, dict(re.findall(r'(\w+)="?([^",]*)"?', rest))


def test_the_signature_of_the_tomitribe_library_comes_out():
    credential = signer(
        **TOMITRIBE, key_id="my-key-name", signed_headers=["content-length", "host", "date", "(request-target)"]
    )
    outbound = sign(credential, headers=[("Date", JUNE), ("Content-Length", "18")])

    assert outbound.headers["authorization"] == (
        'Signature keyId="my-key-name",algorithm="hmac-sha256",headers="content-length host date (request-target)",'
        'signature="yT/NrPI9mKB5R7FTLRyFWvB+QLQOEAvbGmauC0tI+Jg="'
    )


def test_the_signature_of_a_date_comes_out():
    outbound = sign(signer(**TOMITRIBE, signed_headers=["date"]), headers=[("Date", JUNE)])

    assert outbound.headers["authorization"] == (
        'Signature keyId="crm",algorithm="hmac-sha256",headers="date",'
        'signature="WbB9VXuVdRt1LKQ5mDuT+tiaChn8R7WhdAWAY1lhKZQ="'
    )


def test_by_default_target_host_and_date_are_signed():
    outbound = sign(signer(**TOMITRIBE), method="DELETE", path="/a%20b", query="x=1&x=2")
    _, said = parameters(outbound.headers["authorization"])
    text = f"(request-target): delete /a%20b?x=1&x=2\nhost: example.org\ndate: {NOW}"

    assert outbound.headers["date"] == NOW
    assert said["headers"] == "(request-target) host date"
    assert said["signature"] == base64.b64encode(hmac.digest(b"don't tell", text.encode(), "sha256")).decode()


def test_by_default_a_body_is_signed_by_its_digest_and_length():
    outbound = sign(signer(**TOMITRIBE), method="POST", body=HELLO)
    _, said = parameters(outbound.headers["authorization"])
    text = (
        f"(request-target): post /foo/Bar\nhost: example.org\ndate: {NOW}\n"
        f"digest: SHA-256={HELLO_SHA_256}\ncontent-length: 18"
    )

    assert outbound.headers["digest"] == f"SHA-256={HELLO_SHA_256}"
    assert said["headers"] == "(request-target) host date digest content-length"
    assert said["signature"] == base64.b64encode(hmac.digest(b"don't tell", text.encode(), "sha256")).decode()


def test_a_body_that_came_in_chunks_is_signed_with_the_length_it_is_sent_with():
    headers = Headers({"host": "example.org", "transfer-encoding": "chunked"})
    outbound = Outbound("POST", Target("http", "example.org", 80), "/", "", headers, Body(HELLO), connection="crm")
    signer(**TOMITRIBE).sign(Exchange(Request()), outbound)

    assert parameters(headers["authorization"])[1]["headers"].endswith("digest content-length")
    assert "content-length" not in headers


def test_a_body_of_unknown_length_has_none_to_sign():
    async def chunks():
        yield HELLO

    headers = Headers({"host": "example.org", "transfer-encoding": "chunked"})
    outbound = Outbound("POST", Target("http", "example.org", 80), "/", "", headers, Body(chunks()), connection="crm")
    signer(**TOMITRIBE, digest="none").sign(Exchange(Request()), outbound)

    assert parameters(headers["authorization"])[1]["headers"] == "(request-target) host date"


@pytest.mark.parametrize(
    "standard", [{"signed_headers": ["date", "x-none"]}, {"standard": "rfc9421", "components": ["x-none"]}]
)
def test_nothing_is_sent_without_a_header_that_is_to_be_signed(standard):
    with pytest.raises(BadGateway, match="x-none") as refused:
        sign(signer(**TOMITRIBE, **standard))

    assert refused.value.reason == "signature-failed"
    assert "tell" not in refused.value.detail


@pytest.mark.parametrize("written", ["/other?x=1", "https://api.example.org/other?x=1"])
def test_a_request_target_stands_in_the_place_of_the_path(written):
    outbound = sign(signer(**TOMITRIBE, request_target=written, signed_headers=["(request-target)"]), query="y=2")
    expected = hmac.digest(b"don't tell", b"(request-target): get /other?x=1", "sha256")

    assert parameters(outbound.headers["authorization"])[1]["signature"] == base64.b64encode(expected).decode()


def test_the_key_id_is_the_name_of_the_connection_unless_given():
    assert parameters(sign(signer(**TOMITRIBE)).headers["authorization"])[1]["keyId"] == "crm"
    assert parameters(sign(signer(**TOMITRIBE, key_id="k 1")).headers["authorization"])[1]["keyId"] == "k 1"
    assert 'keyid="crm"' in sign(signer(**TOMITRIBE, standard="rfc9421")).headers["signature-input"]


def test_a_name_of_a_connection_that_cannot_be_a_key_id_is_told():
    exchange, headers = Exchange(Request()), Headers({"host": "example.org"})
    outbound = Outbound("GET", Target("http", "example.org", 80), "/", "", headers, connection='a"b')

    with pytest.raises(BadGateway, match="key_id"):
        signer(**TOMITRIBE).sign(exchange, outbound)


@pytest.mark.parametrize(("prefix", "start"), [("Custom", 'Custom keyId="'), ("", 'keyId="')])
def test_prefix_and_header_can_be_others(prefix, start):
    outbound = sign(signer(**TOMITRIBE, prefix=prefix, header="Signature"))

    assert outbound.headers["signature"].startswith(start)
    assert "authorization" not in outbound.headers


@pytest.mark.parametrize(("announce", "said"), [("hs2019", "hs2019"), ("nothing", None), ("algorithm", "hmac-sha256")])
def test_what_is_said_of_the_algorithm(announce, said):
    line = sign(signer(**TOMITRIBE, announce=announce)).headers["authorization"]

    assert parameters(line)[1].get("algorithm") == said


def test_created_and_expires_are_signed():
    credential = signer(
        **TOMITRIBE, announce="hs2019", expires=30, signed_headers=["(created)", "(expires)", "(request-target)"]
    )
    _, said = parameters(sign(credential).headers["authorization"])
    text = b"(created): 1700000000\n(expires): 1700000030\n(request-target): get /foo/Bar"

    assert (said["created"], said["expires"]) == ("1700000000", "1700000030")
    assert said["signature"] == base64.b64encode(hmac.digest(b"don't tell", text, "sha256")).decode()


def test_a_digest_that_fits_stays_and_one_that_does_not_is_replaced():
    credential = signer(**TOMITRIBE)

    good = f"SHA-512={HELLO_SHA_512}"
    assert sign(credential, body=HELLO, headers=[("Digest", good)]).headers.getall("digest") == [good]
    wrong = [("Digest", "SHA-256=AAAA"), ("Digest", "MD5=AAAA")]
    assert sign(credential, body=HELLO, received=wrong).headers.getall("digest") == [f"SHA-256={HELLO_SHA_256}"]


def test_a_listed_digest_is_made_for_an_empty_body_too():
    outbound = sign(signer(**TOMITRIBE, signed_headers=["digest"], digest="sha-512"))

    assert outbound.headers["digest"] == "SHA-512=" + base64.b64encode(hashlib.sha512().digest()).decode()


def test_without_a_digest_the_body_is_not_read():
    credential = signer(**TOMITRIBE, digest="none")
    line = sign(credential, body=HELLO).headers["authorization"]

    assert "request.body" not in credential.reads
    assert "request.body" in signer(**TOMITRIBE).reads
    assert "request.body" not in signer(**TOMITRIBE, signed_headers=["date"]).reads
    assert "request.body" in signer(**TOMITRIBE, signed_headers=["digest"]).reads
    assert parameters(line)[1]["headers"] == "(request-target) host date content-length"


def test_what_the_caller_sent_is_taken_out_and_what_others_wrote_stays():
    outbound = sign(
        signer(**TOMITRIBE),
        received=[("Authorization", "Bearer of-the-caller")],
        headers=[("Authorization", "Basic eDp5")],
    )
    first, second = outbound.headers.getall("authorization")

    assert first == "Basic eDp5"
    assert second.startswith("Signature ")


RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def raw_ecdsa(signature):
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


@pytest.mark.parametrize(
    ("options", "verify"),
    [
        (
            {"algorithm": "rsa-sha256", "key": pem_of(RSA)},
            lambda s, t: RSA.public_key().verify(s, t, padding.PKCS1v15(), hashes.SHA256()),
        ),
        (
            {"algorithm": "rsa-sha512", "key": pem_of(RSA)},
            lambda s, t: RSA.public_key().verify(s, t, padding.PKCS1v15(), hashes.SHA512()),
        ),
        (
            {"algorithm": "ecdsa-sha256", "key": pem_of(P256)},
            lambda s, t: P256.public_key().verify(s, t, ec.ECDSA(hashes.SHA256())),
        ),
        ({"algorithm": "ed25519", "key": pem_of(EDWARDS)}, lambda s, t: EDWARDS.public_key().verify(s, t)),
    ],
    ids=["rsa-sha256", "rsa-sha512", "ecdsa-sha256", "ed25519"],
)
def test_a_signature_with_a_private_key_verifies_with_cryptography_alone(options, verify):
    said = parameters(sign(signer(**options)).headers["authorization"])[1]

    assert said["algorithm"] == options["algorithm"]
    verify(
        base64.b64decode(said["signature"]), f"(request-target): get /foo/Bar\nhost: example.org\ndate: {NOW}".encode()
    )


def test_by_default_rfc9421_signs_method_authority_path_and_query():
    outbound = sign(signer(algorithm="ed25519", key=pem_of(EDWARDS), standard="rfc9421"), query="a=1")
    params = '("@method" "@authority" "@path" "@query");created=1700000000;keyid="crm"'
    text = (
        f'"@method": GET\n"@authority": example.org\n"@path": /foo/Bar\n"@query": ?a=1\n"@signature-params": {params}'
    )

    assert outbound.headers["signature-input"] == f"sig1={params}"
    signature = re.fullmatch(r"sig1=:(.*):", outbound.headers["signature"]).group(1)
    EDWARDS.public_key().verify(base64.b64decode(signature), text.encode())
    assert "date" not in outbound.headers
    assert "authorization" not in outbound.headers


def test_rfc9421_covers_a_body_with_content_digest_and_type():
    credential = signer(algorithm="ecdsa-p256-sha256", key=pem_of(P256), standard="rfc9421", digest="sha-512")
    outbound = sign(credential, method="POST", body=HELLO, headers=[("Content-Type", "application/json")])
    params = '("@method" "@authority" "@path" "@query" "content-digest" "content-type");created=1700000000;keyid="crm"'
    text = (
        '"@method": POST\n"@authority": example.org\n"@path": /foo/Bar\n"@query": ?\n'
        f'"content-digest": sha-512=:{HELLO_SHA_512}:\n"content-type": application/json\n'
        f'"@signature-params": {params}'
    )

    assert outbound.headers["content-digest"] == f"sha-512=:{HELLO_SHA_512}:"
    assert outbound.headers["signature-input"] == f"sig1={params}"
    signature = base64.b64decode(outbound.headers["signature"].removeprefix("sig1=:").removesuffix(":"))
    P256.public_key().verify(raw_ecdsa(signature), text.encode(), ec.ECDSA(hashes.SHA256()))


def test_parameters_and_components_of_rfc9421_are_as_written():
    credential = signer(
        **TOMITRIBE,
        standard="rfc9421",
        components=["@target-uri", '"@query-param";name="id"', "x-a", "date"],
        label="gate",
        key_id="k1",
        expires=60,
        nonce=True,
        tag="app",
        announce="algorithm",
    )
    outbounds = [sign(credential, query="id=7", headers=[("X-A", "1")]) for _ in range(2)]
    said = [outbound.headers["signature-input"] for outbound in outbounds]

    assert re.fullmatch(
        r'gate=\("@target-uri" "@query-param";name="id" "x-a" "date"\);created=1700000000;expires=1700000060;'
        r'keyid="k1";alg="hmac-sha256";nonce="[\w-]{22}";tag="app"',
        said[0],
    )
    assert said[0] != said[1]
    text = (
        '"@target-uri": http://example.org/foo/Bar?id=7\n"@query-param";name="id": 7\n'
        f'"x-a": 1\n"date": {NOW}\n"@signature-params": {said[0].removeprefix("gate=")}'
    )
    expected = base64.b64encode(hmac.digest(b"don't tell", text.encode(), "sha256")).decode()
    assert outbounds[0].headers["signature"] == f"gate=:{expected}:"


def test_rfc9421_takes_signatures_of_the_caller_out_and_keeps_those_of_others():
    mine = [("Signature-Input", 'sig1=("date");keyid="a"'), ("Signature", "sig1=:AAAA:")]
    others = [("Signature-Input", 'proxy=("@method");keyid="b"'), ("Signature", "proxy=:BBBB:")]
    outbound = sign(signer(**TOMITRIBE, standard="rfc9421"), received=mine, headers=others)

    assert [line.partition("=")[0] for line in outbound.headers.getall("signature-input")] == ["proxy", "sig1"]
    assert [line.partition("=")[0] for line in outbound.headers.getall("signature")] == ["proxy", "sig1"]
    assert "sig1=:AAAA:" not in outbound.headers.getall("signature")
    with pytest.raises(BadGateway, match="label sig1"):
        sign(signer(**TOMITRIBE, standard="rfc9421"), headers=mine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "x"}, "algorithm"),
        ({**TOMITRIBE, "algorithm": "none"}, "algorithm"),
        ({**TOMITRIBE, "key": ""}, "empty"),
        ({**TOMITRIBE, "algorithm": "hmac-sha1"}, "allow_weak"),
        ({**TOMITRIBE, "algorithm": "rsa-sha256"}, "PEM"),
        ({**TOMITRIBE, "algorithm": "ecdsa-p256-sha256"}, "rfc9421"),
        ({**TOMITRIBE, "algorithm": "hmac-sha512", "standard": "rfc9421"}, "RFC 9421 has no"),
        ({"algorithm": "ed25519", "key": pem_of(RSA)}, "kind"),
        ({**TOMITRIBE, "signed_headers": ["date", "Date"]}, "twice"),
        ({**TOMITRIBE, "signed_headers": []}, "signed_headers"),
        ({**TOMITRIBE, "signed_headers": ["(other)"]}, "signed_headers"),
        ({**TOMITRIBE, "signed_headers": ["a: b\nhost"]}, "signed_headers"),
        ({**TOMITRIBE, "signed_headers": ["authorization"]}, "cannot be signed"),
        ({**TOMITRIBE, "signed_headers": ["(created)"]}, "hs2019"),
        ({**TOMITRIBE, "signed_headers": ["(expires)"], "announce": "hs2019"}, "expires"),
        ({**TOMITRIBE, "expires": 10}, "expires"),
        ({**TOMITRIBE, "label": "a"}, "label is not for"),
        ({**TOMITRIBE, "standard": "rfc9421", "header": "X-A"}, "header is not for"),
        ({**TOMITRIBE, "standard": "rfc9421", "components": ["@status"]}, "components"),
        ({**TOMITRIBE, "standard": "rfc9421", "components": ["@path", "@path"]}, "twice"),
        ({**TOMITRIBE, "standard": "rfc9421", "components": ["signature"]}, "components"),
        ({**TOMITRIBE, "standard": "rfc9421", "label": "Sig"}, "label"),
        ({**TOMITRIBE, "standard": "rfc9421", "announce": "hs2019"}, "hs2019"),
        ({**TOMITRIBE, "key_id": 'a"b'}, "key_id"),
        ({**TOMITRIBE, "prefix": "two words"}, "prefix"),
        ({**TOMITRIBE, "header": "X Y"}, "header"),
        ({**TOMITRIBE, "request_target": "other"}, "request_target"),
        ({**TOMITRIBE, "request_target": "/a b"}, "request_target"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        build(SignatureCredential, **options)

    assert "don't tell" not in str(refused.value)


def test_weak_algorithms_can_be_allowed():
    line = sign(signer(algorithm="hmac-sha1", key="k", allow_weak=True)).headers["authorization"]

    assert parameters(line)[1]["algorithm"] == "hmac-sha1"


def test_the_key_is_in_no_representation():
    for credential in (signer(**TOMITRIBE), signer(algorithm="rsa-sha256", key=pem_of(RSA))):
        shown = (
            repr(credential.options) + repr(credential) + credential.options.model_dump_json() + repr(vars(credential))
        )
        assert "don't tell" not in shown
        assert "PRIVATE" not in shown


def document(backend, *credentials, **connection):
    return {
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [{"url": backend.url}], "auth": list(credentials), **connection}},
    }


def verified(request, secret=b"don't tell"):
    """Verify a request as its backend would, and return the names that are covered."""
    line = next(line for line in request.all("authorization") if line.startswith("Signature"))
    said = parameters(line)[1]
    lines = []
    for name in said["headers"].split():
        target = f"{request.path}?{request.query}" if request.query else request.path
        value = f"{request.method.lower()} {target}" if name == "(request-target)" else request.header(name)
        lines.append(f"{name}: {value}")
    expected = base64.b64encode(hmac.digest(secret, "\n".join(lines).encode(), "sha256")).decode()
    assert said["signature"] == expected
    return said["headers"]


def test_a_gateway_signs_what_its_backend_receives():
    with upstream() as backend, running(document(backend, {"signature": TOMITRIBE}), clock=MovableClock()) as gate:
        gate.request("GET", "/a%20b/c", params={"x": "1 2"})
        gate.request("POST", "/orders", content=HELLO)
        gate.request("POST", "/orders", content=iter([HELLO[:5], HELLO[5:]]))

    plain, posted, streamed = backend.requests
    assert verified(plain) == "(request-target) host date"
    assert plain.header("date") == NOW
    assert verified(posted) == "(request-target) host date digest content-length"
    assert posted.header("digest") == f"SHA-256={HELLO_SHA_256}"
    assert verified(streamed) == "(request-target) host date digest content-length"
    assert streamed.body == HELLO
    assert parameters(plain.header("authorization"))[1]["keyId"] == "crm"


def test_a_gateway_does_not_send_what_it_cannot_sign():
    signature = {"signature": {**TOMITRIBE, "signed_headers": ["date", "x-customer"]}}
    with upstream() as backend, running(document(backend, signature)) as gate:
        refused = gate.request("GET", "/")
        passed = gate.request("GET", "/", headers={"x-customer": "7"})

    assert (refused.status_code, refused.json()["reason"]) == (502, "signature-failed")
    assert passed.status_code == 200
    assert len(backend.requests) == 1
    assert verified(backend.requests[0]) == "date x-customer"


def test_a_signature_stands_behind_a_password_and_covers_it_where_it_is_elsewhere():
    basic = {"basic": {"username": "user", "password": "pwd"}}
    covering = {**TOMITRIBE, "signed_headers": ["(request-target)", "host", "date", "x-up-auth"]}
    with upstream() as backend:
        with running(document(backend, basic, {"signature": TOMITRIBE})) as gate:
            gate.request("GET", "/")
        elsewhere = {"basic": {**basic["basic"], "header": "X-Up-Auth"}}
        with running(document(backend, elsewhere, {"signature": covering})) as gate:
            gate.request("GET", "/")
        with (
            pytest.raises(ConfigError, match="comes last"),
            running(document(backend, {"signature": TOMITRIBE}, basic)),
        ):
            pass

    both, apart = backend.requests
    assert [line.partition(" ")[0] for line in both.all("authorization")] == ["Basic", "Signature"]
    assert verified(both)
    assert apart.header("x-up-auth") == "Basic dXNlcjpwd2Q="
    assert verified(apart).endswith("x-up-auth")


def test_a_gateway_signs_as_rfc9421_says():
    signature = {"signature": {"algorithm": "ed25519", "key": pem_of(EDWARDS), "standard": "rfc9421"}}
    with upstream() as backend, running(document(backend, signature)) as gate:
        gate.request("PUT", "/a", content=HELLO, headers={"content-type": "application/json"})

    (request,) = backend.requests
    params = request.header("signature-input").removeprefix("sig1=")
    text = (
        f'"@method": PUT\n"@authority": 127.0.0.1:{backend.port}\n"@path": /a\n"@query": ?\n'
        f'"content-digest": sha-256=:{HELLO_SHA_256}:\n"content-type": application/json\n"@signature-params": {params}'
    )
    signature = request.header("signature").removeprefix("sig1=:").removesuffix(":")
    EDWARDS.public_key().verify(base64.b64decode(signature), text.encode())
    assert request.header("content-digest") == f"sha-256=:{HELLO_SHA_256}:"


def test_a_call_that_cannot_be_signed_says_nothing_of_the_target():
    signature = {"signature": {**TOMITRIBE, "signed_headers": ["x-customer"]}}
    with upstream() as one, upstream() as two:
        made = document(one, signature, monitor={"passive": {"floor": 0}})
        made["connections"]["crm"]["targets"].append({"url": two.url})
        with running(made) as gate:
            for _ in range(10):
                gate.request("GET", "/")
            assert gate.request("GET", "/", headers={"x-customer": "7"}).status_code == 200
