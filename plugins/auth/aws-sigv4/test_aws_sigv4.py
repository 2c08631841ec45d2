import hashlib
import hmac
from calendar import timegm
from time import strptime

import pytest

from hookgate import BadGateway, Body, ConfigError, Exchange, Headers, Outbound, Request, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_auth_aws_sigv4 import AwsSigV4Credential
from hookgate_auth_aws_sigv4.sigv4 import canonical_path, canonical_query, canonical_request, signing_key

SUITE = {
    "region": "us-east-1",
    "service": "service",
    "access_key": "AKIDEXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
BUCKET = {
    "region": "us-east-1",
    "service": "s3",
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
TOKEN = "FwoGZXIvYXdzEXAMPLE=="
EMPTY = hashlib.sha256().hexdigest()


def house(stamp):
    class House:
        clock = MovableClock(timegm(strptime(stamp, "%Y%m%dT%H%M%SZ")))

    return House()


def sign(
    options,
    *,
    method="GET",
    host="example.amazonaws.com",
    path="/",
    query="",
    headers=(),
    received=(),
    body=b"",
    at=None,
):
    """Sign one attempt as a connection does; ``received`` came from the caller, ``headers`` from header actions."""
    credential = build(AwsSigV4Credential, **options)
    credential.startup(house(at or "20150830T123600Z"))
    exchange = Exchange(Request(headers=Headers(received)))
    sent = Headers([("Host", host), *received, *headers])
    outbound = Outbound(
        method, Target("https", host, 443), path, query, sent, body if isinstance(body, Body) else Body(body)
    )
    credential.sign(exchange, outbound)
    return outbound.headers


def signature(headers):
    return headers["authorization"].rpartition("Signature=")[2]


def test_the_example_of_the_test_suite_comes_out():
    headers = sign(SUITE)

    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )
    assert "x-amz-content-sha256" not in headers


def test_the_example_of_iam_comes_out():
    headers = sign(
        {**SUITE, "service": "iam"},
        host="iam.amazonaws.com",
        query="Action=ListUsers&Version=2010-05-08",
        headers=[("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
    )

    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_the_key_of_the_documentation_comes_out():
    key = signing_key(SUITE["secret_key"], "20150830", "us-east-1", "iam")

    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


@pytest.mark.parametrize(
    ("call", "options", "expected"),
    [
        (
            {"path": "/test.txt", "received": [("Range", "bytes=0-9")]},
            {"signed_headers": ["Range"]},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            {
                "method": "PUT",
                "path": "/test$file.text",
                "received": [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("X-Amz-Storage-Class", "REDUCED_REDUNDANCY")],
                "body": b"Welcome to Amazon S3.",
            },
            {"signed_headers": ["date"], "caller_headers": ["X-Amz-Storage-Class"]},
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ({"query": "lifecycle"}, {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ({"query": "max-keys=2&prefix=J"}, {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["get", "put", "lifecycle", "list"],
)
def test_the_examples_of_s3_come_out(call, options, expected):
    headers = sign({**BUCKET, **options}, host="examplebucket.s3.amazonaws.com", at="20130524T000000Z", **call)

    assert signature(headers) == expected
    assert headers["x-amz-content-sha256"] == hashlib.sha256(call.get("body", b"")).hexdigest()


# Computed with botocore 1.44.5 (SigV4Auth, and S3SigV4Auth for s3), without and with a session token.
BOTOCORE = [
    (
        ("service", "GET", "/", "Param2=value2&Param1=value1", (), b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        "9b7eb549e017072e0a60eee1a363734bed7158fce168b6639fb250562646de28",
    ),
    (
        ("service", "GET", "/", "Param1=b&Param1=a&param0=%E1%88%B4&empty=&flag=", (), b""),
        "7a067d244b8c0ec62f9657d911ef06094aa86458ea1740f6287a764f7f206040",
        "5bf3c5c1bef495c4492670c99e2e6b63bea13ed2cbbb2e2fa3e3371659bc1d69",
    ),
    (
        ("service", "GET", "/a//b/./c/../d%20e/", "", (), b""),
        "1227524b02626874526f88f9ab4f4fb3074b470418293e9904f609a83b909577",
        "b00d0eb198d59ee71c63702276ad4a9f97de1ef4b5e3788d2d02d0e585907ad0",
    ),
    (
        ("service", "GET", "/%E1%88%B4/-._~/x%2Fy", "a=%2F%20", (), b""),
        "67ccad9300ae2bb9d20e4c01ebdd250a62d48a366221cbccddb2dc35657f3f33",
        "1891ba1141f5609d25556ca319596034efb03f059de000707664293579dc7a81",
    ),
    (
        (
            "service",
            "POST",
            "/",
            "",
            (("Content-Type", "application/x-www-form-urlencoded"),),
            b"Param1=value1",
        ),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        "2f27192cc1b51ea525adbd9e7d3c198f1e95f6fa632c940ef319a31dab0fd4cf",
    ),
    (
        (
            "execute-api",
            "PUT",
            "/stage/items/1",
            "",
            (("Content-Type", "application/json"), ("X-Amz-Target", "T.Op  x")),
            b'{"a": 1}',
        ),
        "23e5b75c53817cc21ba7bd24fa921ac7cb936ff4f02fa9689b215e5ada9608ad",
        "ad3f6b66dc34310bda77eb43605a82ce52b61c08ebb00ccfb42ffe9115bc124f",
    ),
    (
        ("s3", "GET", "/bucket/a%20b/../c//d", "list-type=2&prefix=a%2Fb", (), b""),
        "392db83c51055c0bf5c195f0df0ea9a3fabfa89bd6098f29e0cb379a5bdbdddb",
        "6aeaef118f2fd4d57f7ab928d7f6ec0c1d090147ca00a78140ffab58aa00a183",
    ),
    (
        ("s3", "PUT", "/bucket/%C3%BC%2Bplus", "", (("Content-Type", "text/plain"),), b"Welcome"),
        "e030e4e71287ac10282a71b2a2b4fd13005541a8996ae494129e782b68a0f9dc",
        "91a7384e550c71d36eb8865dadffced270c6362a6afebad3b02bc6400f8bed13",
    ),
]


@pytest.mark.parametrize(("call", "plain", "with_token"), BOTOCORE)
def test_botocore_signs_in_the_same_way(call, plain, with_token):
    service, method, path, query, headers, body = call
    given = {"method": method, "path": path, "query": query, "headers": headers, "body": body}

    assert signature(sign({**SUITE, "service": service}, **given)) == plain
    signed = sign({**SUITE, "service": service, "session_token": TOKEN}, **given)
    assert signature(signed) == with_token
    assert signed["x-amz-security-token"] == TOKEN


@pytest.mark.parametrize(
    ("path", "standard", "s3"),
    [
        ("", "/", "/"),
        ("/", "/", "/"),
        ("/a+b", "/a%2Bb", "/a%2Bb"),
        ("/a%20b", "/a%2520b", "/a%20b"),
        ("/a%7eb~", "/a%257eb~", "/a~b~"),
        ("/a/../b/./c//d/", "/b/c/d/", "/a/../b/./c//d/"),
        ("/..", "/", "/.."),
        ("//", "/", "//"),
        ("/%ff", "/%25ff", "/%FF"),
        ("/*!'()", "/%2A%21%27%28%29", "/%2A%21%27%28%29"),
    ],
)
def test_paths_are_signed_by_the_rules_of_the_service(path, standard, s3):
    assert (canonical_path(path, s3=False), canonical_path(path, s3=True)) == (standard, s3)


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("", ""),
        ("b=1&a=2", "a=2&b=1"),
        ("a=2&a=1&A=3", "A=3&a=1&a=2"),
        ("acl", "acl="),
        ("a=b=c", "a=b%3Dc"),
        ("a=x+y&b=x%20y", "a=x%20y&b=x%20y"),
        ("a=%2b&b=%7E/~", "a=%2B&b=~%2F~"),
        ("&&a=1&", "a=1"),
        ("a-b=1&a=2", "a=2&a-b=1"),
        ("a=%FF", "a=%FF"),
    ],
)
def test_queries_are_signed_in_one_spelling(query, canonical):
    assert canonical_query(query) == canonical


def test_values_of_headers_are_folded():
    headers = Headers([("Host", "h"), ("My-Header1", "  a   b  "), ("My-Header2", "x"), ("my-header2", "y \t z")])
    request = canonical_request("GET", "/", "", headers, ["host", "my-header1", "my-header2"], EMPTY, s3=False)

    assert request.decode() == (
        f"GET\n/\n\nhost:h\nmy-header1:a b\nmy-header2:x,y z\n\nhost;my-header1;my-header2\n{EMPTY}"
    )


def test_an_unsigned_payload_is_said_to_be_and_not_read():
    async def chunks():
        raise AssertionError("read")
        yield b""

    headers = sign({**BUCKET, "payload": "unsigned"}, method="PUT", body=Body(chunks()))

    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-amz-content-sha256" in headers["authorization"]
    assert sign({**SUITE, "payload": "unsigned"})["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert "request.body" in build(AwsSigV4Credential, **BUCKET).reads
    assert "request.body" not in build(AwsSigV4Credential, **BUCKET, payload="unsigned").reads


def test_the_rules_of_s3_hold_where_the_document_says_so():
    assert "x-amz-content-sha256" in sign({**SUITE, "s3": True})
    assert "x-amz-content-sha256" not in sign({**BUCKET, "s3": False})


def test_what_only_the_gateway_may_say_is_taken_out_of_what_callers_sent():
    received = [
        ("Authorization", "AWS4-HMAC-SHA256 Credential=of-the-caller"),
        ("X-Amz-Date", "20000101T000000Z"),
        ("X-Amz-Security-Token", "of-the-caller"),
        ("X-Amz-Copy-Source", "/other/secret"),
        ("X-Amz-Meta-Colour", "red"),
        ("X-Amz-Acl", "public-read"),
    ]
    options = {**BUCKET, "caller_headers": ["X-Amz-Meta-*", "x-amz-date", "x-amz-security-token"]}
    headers = sign(options, received=received, headers=[("X-Amz-Acl", "private")])

    assert len(headers.getall("authorization")) == 1
    assert headers.getall("x-amz-date") == ["20150830T123600Z"]
    assert headers.getall("x-amz-acl") == ["private"]
    assert headers.getall("x-amz-meta-colour") == ["red"]
    assert "x-amz-security-token" not in headers
    assert "x-amz-copy-source" not in headers
    assert "host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-meta-colour," in headers["authorization"]


def test_a_header_that_is_to_be_signed_must_be_there():
    with pytest.raises(BadGateway, match="range") as refused:
        sign({**BUCKET, "signed_headers": ["Range"]})

    assert refused.value.reason == "signature-failed"


def test_the_key_is_derived_anew_each_day():
    credential = build(AwsSigV4Credential, **SUITE)
    for stamp in ("20150830T235959Z", "20150831T000000Z", "20150830T235959Z"):
        credential.startup(house(stamp))
        headers = Headers({"host": "example.amazonaws.com"})
        outbound = Outbound("GET", Target("https", "example.amazonaws.com", 443), "/", "", headers)
        credential.sign(Exchange(Request()), outbound)

        assert headers["authorization"] == sign(SUITE, at=stamp)["authorization"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "US East"}, "region"),
        ({"service": ""}, "service"),
        ({"access_key": "A/B"}, "access_key"),
        ({"secret_key": ""}, "secret_key"),
        ({"session_token": ""}, "session_token"),
        ({"session_token": "a\nb"}, "session_token"),
        ({"payload": "none"}, "payload"),
        ({"signed_headers": ["Authorization"]}, "signed_headers"),
        ({"signed_headers": ["a b"]}, "signed_headers"),
        ({"expires": 3}, "expires"),
    ],
)
def test_wrong_options_are_refused_at_load(change, message):
    with pytest.raises(ConfigError, match=message) as refused:
        build(AwsSigV4Credential, **{**SUITE, **change})

    assert "wJalr" not in str(refused.value)


def test_the_secrets_are_in_no_representation():
    credential = build(AwsSigV4Credential, **SUITE, session_token=TOKEN)
    shown = repr(credential.options) + repr(credential) + credential.options.model_dump_json() + repr(vars(credential))

    assert "wJalr" not in shown
    assert TOKEN not in shown


def expected_signature(request, stamp, payload):
    """Sign what a backend received, written out once more from the documentation."""
    line = request.header("authorization")
    names = line.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    lines = [request.method, request.path, request.query]
    lines += [f"{name}:{request.header(name)}" for name in names]
    lines += ["", ";".join(names), payload]
    hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{stamp[:8]}/us-east-1/s3/aws4_request\n{hashed}"
    key = b"AWS4" + BUCKET["secret_key"].encode()
    for part in (stamp[:8], "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def document(backend, *credentials):
    return {
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "bucket"}}],
        "connections": {"bucket": {"targets": [{"url": backend.url}], "auth": list(credentials)}},
    }


def test_a_gateway_signs_what_its_backend_receives():
    with upstream() as backend, running(document(backend, {"aws-sigv4": BUCKET}), clock=MovableClock()) as gate:
        gate.request("GET", "/bucket/a%20b?max-keys=2&prefix=J", headers={"authorization": "Bearer of-the-caller"})
        gate.request("PUT", "/bucket/x", content=b"Welcome", headers={"x-amz-acl": "public-read"})
        gate.request("PUT", "/bucket/y", content=iter([b"Wel", b"come"]))

    for request, body in zip(backend.requests, (b"", b"Welcome", b"Welcome"), strict=True):
        digest = hashlib.sha256(body).hexdigest()
        assert request.body == body
        assert request.header("x-amz-content-sha256") == digest
        (line,) = request.all("authorization")
        assert line.endswith(f"Signature={expected_signature(request, '20231114T221320Z', digest)}")
    assert backend.requests[1].header("x-amz-acl") is None
    assert backend.requests[2].header("content-length") == "7"


def test_a_gateway_refuses_to_sign_before_others_have_written():
    basic = {"basic": {"username": "user", "password": "pwd", "header": "X-Up-Auth"}}
    with upstream() as backend:
        with pytest.raises(ConfigError, match="comes last"), running(document(backend, {"aws-sigv4": BUCKET}, basic)):
            pass
        with running(document(backend, basic, {"aws-sigv4": {**BUCKET, "signed_headers": ["x-up-auth"]}})) as gate:
            assert gate.request("GET", "/").status_code == 200

    assert "x-up-auth" in backend.requests[0].header("authorization")
