import asyncio
import base64
import hashlib
import hmac
from email.utils import formatdate

import pytest

from hookgate import Body, ConfigError, ServiceUnavailable, Unauthorized
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_signature import Signature

from .calls import (
    EDWARDS,
    HELLO,
    HELLO_SHA_256,
    KEYS,
    NOW,
    RSA,
    call,
    identify,
    line,
    method,
    private_pem,
    public_pem,
    refused,
    usual,
)


def test_the_owner_of_the_key_is_known():
    found = identify(method(), call(line(usual())))

    assert (found.subject, found.method, found.roles, found.application) == ("ann", "signature", ("clerk",), "shop")
    assert found.claims == {"key_id": "ann"}


def test_the_subject_may_be_another_than_the_key_id():
    keys = {"ann": {**KEYS["ann"], "subject": "Ann Smith"}}

    assert identify(method(keys=keys), call(line(usual()))).subject == "Ann Smith"


def test_without_a_signature_nobody_is_known():
    for authorization in (None, "Basic eDp5", "Bearer x", "Signatures x"):
        assert identify(method(), call(authorization)) is None
    assert identify(method(standard="rfc9421"), call(line(usual()))) is None


@pytest.mark.parametrize(
    "change",
    [{"verb": "POST"}, {"path": "/b"}, {"query": "x=2"}, {"at": NOW + 1}, {"headers": [("Host", "other")]}],
)
def test_a_message_that_was_changed_is_refused(change):
    assert refused(method(), call(line(usual()), **change)) == "wrong-credentials"


@pytest.mark.parametrize(
    "how", [{"secret": b"other"}, {"key_id": "bob"}, {"algorithm": "hmac-sha512"}, {"algorithm": "none"}]
)
def test_wrong_key_unknown_key_and_wrong_algorithm_are_one_answer(how):
    made = method()
    with pytest.raises(Unauthorized) as fault:
        identify(made, call(line(usual(), **how)))

    assert (fault.value.reason, fault.value.detail) == ("wrong-credentials", "The signature is not good.")


@pytest.mark.parametrize("algorithm", ["", "hs2019", "HMAC-SHA256"])
def test_the_message_need_not_say_the_algorithm(algorithm):
    assert identify(method(), call(line(usual(), algorithm=algorithm))).subject == "ann"


def test_a_public_key_is_never_taken_for_a_shared_secret():
    pem = public_pem(RSA)
    made = method(keys={"ann": {"algorithm": "rsa-sha256", "public_key": pem}})

    for algorithm in ("hmac-sha256", "hs2019", "rsa-sha256", ""):
        assert refused(made, call(line(usual(), secret=pem.encode(), algorithm=algorithm))) == "wrong-credentials"


@pytest.mark.parametrize("dropped", ["(request-target)", "host", "date"])
def test_a_signature_over_too_little_is_refused(dropped):
    less = [pair for pair in usual() if pair[0] != dropped]

    assert refused(method(), call(line(less))) == "insufficient-signature"


def test_the_deployer_says_what_must_be_covered():
    made = method(required=["date", "X-Customer"])
    customer = [("date", formatdate(NOW, usegmt=True)), ("x-customer", "7")]

    assert identify(made, call(line(customer), headers=[("X-Customer", "7")])).subject == "ann"
    assert refused(made, call(line(usual()))) == "insufficient-signature"


@pytest.mark.parametrize(("age", "good"), [(0, True), (60, True), (61, False), (-60, True), (-61, False)])
def test_a_message_is_good_for_a_minute(age, good):
    exchange = call(line(usual(NOW - age)), at=NOW - age)

    if good:
        assert identify(method(), exchange).subject == "ann"
    else:
        assert refused(method(), exchange) == "expired-credentials"


def timed(created, expires=None, **how):
    extra = f"created={created}," + (f"expires={expires}," if expires else "")
    covered = [("(request-target)", ""), ("host", "api.example.org"), ("(created)", created)]
    covered += [("(expires)", expires)] if expires else []
    return line(covered, **{"algorithm": "hs2019", "extra": extra, **how})


@pytest.mark.parametrize(
    ("created", "expires", "reason"),
    [
        (NOW, None, None),
        (NOW - 60, None, None),
        (NOW - 61, None, "expired-credentials"),
        (NOW + 60, None, None),
        (NOW + 61, None, "expired-credentials"),
        (NOW, NOW + 10, None),
        (NOW - 59, NOW - 59, None),
        (NOW - 100, NOW - 61, "expired-credentials"),
        (NOW, NOW - 61, "expired-credentials"),
    ],
)
def test_created_and_expires_are_held(created, expires, reason):
    exchange = call(timed(created, expires))

    if reason is None:
        assert identify(method(), exchange).subject == "ann"
    else:
        assert refused(method(), exchange) == reason


def test_created_goes_with_hs2019_only_and_counts_only_where_it_is_signed():
    assert refused(method(), call(timed(NOW, algorithm="hmac-sha256"))) == "malformed-credentials"
    unsigned = line(
        [("(request-target)", ""), ("host", "api.example.org")], algorithm="hs2019", extra=f"created={NOW},"
    )
    assert refused(method(), call(unsigned)) == "insufficient-signature"
    assert refused(method(required=["host"]), call(unsigned)) == "insufficient-signature"
    old = line(usual(NOW - 100), algorithm="hs2019", extra=f"created={NOW},")
    assert refused(method(), call(old, at=NOW - 100)) == "expired-credentials"


def test_time_can_be_left_out_if_the_deployer_says_so():
    covered = [("(request-target)", ""), ("host", "api.example.org")]

    assert refused(method(required=["host"]), call(line(covered))) == "insufficient-signature"
    assert identify(method(required=["host"], require_time=False), call(line(covered))).subject == "ann"


@pytest.mark.parametrize("date", ["", "yesterday", "2023-11-14T22:13:20Z", "Tue, 99 Nov 2023 22:13:20 GMT"])
def test_a_date_that_is_none_is_refused(date):
    exchange = call(line([*usual()[:2], ("date", date)]))
    exchange.request.headers.set("Date", date)

    assert refused(method(), exchange) == "malformed-credentials"


POSTED = {"verb": "POST", "body": HELLO}
SIGNED_DIGEST = ("digest", f"SHA-256={HELLO_SHA_256}")


def test_a_body_is_good_with_a_digest_that_is_covered():
    authorization = line(usual(NOW, SIGNED_DIGEST), target="post /a?x=1")

    assert identify(method(), call(authorization, headers=[SIGNED_DIGEST], **POSTED)).subject == "ann"
    told = ("content-digest", f"sha-256=:{HELLO_SHA_256}:")
    authorization = line(usual(NOW, told), target="post /a?x=1")
    assert identify(method(), call(authorization, headers=[told], **POSTED)).subject == "ann"


def test_a_body_needs_a_digest_that_is_covered():
    authorization = line(usual(), target="post /a?x=1")

    for headers in ([], [SIGNED_DIGEST]):
        assert refused(method(), call(authorization, headers=headers, **POSTED)) == "insufficient-signature"
    assert identify(method(body="unprotected"), call(authorization, **POSTED)).subject == "ann"


@pytest.mark.parametrize(
    "told",
    [
        f"SHA-256={HELLO_SHA_256}",
        f"sha-256={HELLO_SHA_256},MD5=AAAA",
        "SHA-512=WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==",
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_digest_is_held_against_the_body(told, streamed):
    def body(data):
        async def chunks():
            yield data

        return Body(chunks()) if streamed else data

    authorization = line(usual(NOW, ("digest", told)), target="post /a?x=1")
    for made in (method(), method(body="unprotected")):
        good = call(authorization, headers=[("digest", told)], verb="POST", body=body(HELLO))
        assert identify(made, good).subject == "ann"
        assert good.request.body.data == HELLO
        wrong = call(authorization, headers=[("digest", told)], verb="POST", body=body(HELLO + b"\n"))
        assert refused(made, wrong) == "wrong-digest"


@pytest.mark.parametrize(
    "told",
    [
        "",
        "MD5=Sd/dVLAcvNLSq16eXua5uQ==",
        "SHA-256",
        "SHA-256=!!!!",
        f"SHA-256={HELLO_SHA_256},SHA-512=AAAA",
        f"SHA-256={HELLO_SHA_256},SHA-256=AAAA",
        "x" * 3000,
    ],
)
def test_a_digest_that_says_nothing_of_the_body_is_wrong(told):
    authorization = line(usual(NOW, ("digest", told)), target="post /a?x=1")

    assert refused(method(), call(authorization, headers=[("digest", told)], **POSTED)) == "wrong-digest"


@pytest.mark.parametrize(
    "told",
    [
        "sha-256=:AAAA:",
        f"sha-256={HELLO_SHA_256}",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        "unixsum=:AAA=:",
        "",
        "sha-256=:!!!!:",
        f"SHA-256=:{HELLO_SHA_256}:",
        f"sha-256=:{HELLO_SHA_256}:, sha-512=:AAAA:",
        f"sha-256=:{HELLO_SHA_256}:, sha-256=:{HELLO_SHA_256}:",
        'sha-256="AAAA"',
        "sha-256=é",
    ],
)
def test_a_malformed_or_wrong_content_digest_is_wrong(told):
    pair = ("content-digest", told)
    text = "\n".join(f"{n}: {'post /a?x=1' if n == '(request-target)' else v}" for n, v in usual(NOW, pair))
    signature = base64.b64encode(hmac.digest(b"s3same-as-ours", text.encode("latin-1"), "sha256")).decode()
    names = "(request-target) host date content-digest"
    authorization = f'Signature keyId="ann",headers="{names}",signature="{signature}"'

    assert refused(method(), call(authorization, headers=[pair], **POSTED)) == "wrong-digest"


def test_a_body_of_unknown_length_may_turn_out_empty():
    async def nothing():
        return
        yield b""

    authorization = line(usual(), target="post /a?x=1")
    assert identify(method(), call(authorization, verb="POST", body=Body(nothing()))).subject == "ann"


def test_the_body_is_not_read_for_a_wrong_signature():
    async def chunks():
        raise AssertionError("read")
        yield b""

    authorization = line(usual(NOW, SIGNED_DIGEST), target="post /a?x=1", secret=b"wrong")
    exchange = call(authorization, headers=[SIGNED_DIGEST], verb="POST", body=Body(chunks()))
    assert refused(method(), exchange) == "wrong-credentials"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        'keyId="ann"',
        'keyId="ann",signature=""',
        'keyId="",signature="AAAA"',
        'keyId="ann",signature="AAAA",',
        ',keyId="ann",signature="AAAA"',
        'keyId="ann" signature="AAAA"',
        'keyId="ann",signature="A!AA"',
        'keyId="ann",signature="AAAAA"',
        'keyId="ann",keyId="ann",signature="AAAA"',
        'keyId=1,signature="AAAA"',
        'keyId="ann",created="1700000000",signature="AAAA"',
        'keyId="ann",created=-1,signature="AAAA"',
        'keyId="ann",created=1e9,signature="AAAA"',
        'keyId="ann",created=9999999999999999999999,signature="AAAA"',
        'keyId="ann",headers="",signature="AAAA"',
        'keyId="ann",headers="date date",signature="AAAA"',
        'keyId="ann",headers="date  host",signature="AAAA"',
        'keyId="ann",headers="(other)",signature="AAAA"',
        'keyId="ann",headers="a:b",signature="AAAA"',
        'keyId="ann",headers="x-none",signature="AAAA"',
        'keyId="ann",headers="(created)",algorithm="hs2019",signature="AAAA"',
        'keyId="ann\\n",signature="AAAA"',
        'keyId="ann,signature="AAAA"',
        'keyId="ann",headers="{}",signature="AAAA"'.format(" ".join(f"x{n}" for n in range(65))),
        'keyId="{}",signature="AAAA"'.format("x" * 20000),
    ],
)
def test_a_malformed_header_is_refused(text):
    assert refused(method(), call(f"Signature {text}")) == "malformed-credentials"


def test_quotation_marks_and_blanks_in_the_header_are_understood():
    keys = {'a"n\\n': KEYS["ann"]}
    spaced = line(usual(), key_id='a\\"n\\\\n').replace(",", " , ").replace("keyId=", "keyId = ")

    assert identify(method(keys=keys), call(spaced)).subject == 'a"n\\n'


def test_without_a_list_the_date_alone_is_meant():
    authorization = line([("date", formatdate(NOW, usegmt=True))]).replace('headers="date",', "")

    assert refused(method(), call(authorization)) == "insufficient-signature"
    assert identify(method(required=["date"]), call(authorization)).subject == "ann"


def test_header_and_prefix_can_be_others():
    authorization = line(usual())
    made = method(header="X-Signature", prefix="Custom")
    bare = method(header="Signature", prefix="")
    text = authorization.removeprefix("Signature ")

    assert identify(made, call(None, headers=[("X-Signature", f"custom {text}")])).subject == "ann"
    assert identify(made, call(authorization)) is None
    assert identify(bare, call(None, headers=[("Signature", text)])).subject == "ann"


def test_the_host_is_the_one_the_call_is_for():
    exchange = call(line(usual()))
    exchange.request.host = "admin.example.org"  # the request line named another than the header

    assert refused(method(), exchange) == "wrong-credentials"


def test_the_challenge_says_what_to_sign():
    assert method().challenge(call(None)) == 'Signature realm="hookgate",headers="(request-target) host date"'
    assert method(standard="rfc9421", realm="orders").challenge(call(None)) == 'Signature realm="orders"'


def test_a_message_is_good_once_if_replays_are_refused():
    house = TestHost(clock=MovableClock(NOW))
    made = method(house, replay="refuse")
    authorization = line(usual())

    assert identify(made, call(authorization)).subject == "ann"
    assert refused(made, call(authorization)) == "replayed"
    assert identify(made, call(line(usual(), target="get /b"), path="/b", query="")).subject == "ann"
    assert identify(method(), call(authorization)).subject == "ann"


def test_replays_are_remembered_for_as_long_as_the_message_is_good():
    house = TestHost(clock=MovableClock(NOW))
    made = method(house, replay="refuse", replay_size=2)
    early = formatdate(NOW + 60, usegmt=True)
    authorization = line([*usual()[:2], ("date", early)])

    assert identify(made, call(authorization, at=NOW + 60)).subject == "ann"
    asyncio.run(house.clock.advance(120))
    assert refused(made, call(authorization, at=NOW + 60)) == "replayed"
    asyncio.run(house.clock.advance(1))
    assert refused(made, call(authorization, at=NOW + 60)) == "expired-credentials"
    for _ in range(5):  # what is forgotten makes room
        asyncio.run(house.clock.advance(121))
        at = house.clock.wall()
        assert identify(made, call(line(usual(at)), at=at)).subject == "ann"


def test_a_full_memory_refuses_rather_than_forgets():
    made = method(replay="refuse", replay_size=1)

    assert identify(made, call(line(usual()))).subject == "ann"
    with pytest.raises(ServiceUnavailable):
        identify(made, call(line(usual(), target="get /b"), path="/b", query=""))
    assert refused(made, call(line(usual()))) == "replayed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": {}}, "keys"),
        ({"keys": {"": KEYS["ann"]}}, "keys"),
        ({"keys": {"a": {"algorithm": "hmac-sha256"}}}, "either secret or public_key"),
        ({"keys": {"a": {"algorithm": "hmac-sha256", "secret": "s3same-as-ours", "public_key": "x"}}}, "either"),
        ({"keys": {"a": {"algorithm": "hmac-sha256", "secret": ""}}}, "empty"),
        ({"keys": {"a": {"algorithm": "rsa-sha256", "secret": "s3same-as-ours"}}}, "PEM"),
        ({"keys": {"a": {"algorithm": "hmac-sha256", "public_key": public_pem(RSA)}}}, "shared secret"),
        ({"keys": {"a": {"algorithm": "ed25519", "public_key": public_pem(RSA)}}}, "kind"),
        ({"keys": {"a": {"algorithm": "hmac-sha1", "secret": "s3same-as-ours"}}}, "allow_weak"),
        (
            {"keys": {"a": {"algorithm": "hmac-sha512", "secret": "s3same-as-ours"}}, "standard": "rfc9421"},
            "RFC 9421 has no",
        ),
        ({"required": ["(other)"]}, "no header name"),
        ({"required": ["@status"], "standard": "rfc9421"}, "no component"),
        ({"tag": "x"}, "tag is not for"),
        ({"header": "X-A", "standard": "rfc9421"}, "header is not for"),
        ({"replay": "refuse", "require_time": False}, "require_time"),
        ({"realm": 'a"b'}, "realm"),
        ({"header": "X Y"}, "header"),
        ({"prefix": "two words"}, "prefix"),
        ({"required": []}, "required"),
        ({"max_age": 0}, "max_age"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message) as failure:
        build(Signature, **{"keys": KEYS, **options})

    assert "s3same-as-ours" not in str(failure.value)


def test_the_secret_is_in_no_representation():
    made = method()

    assert "s3same-as-ours" not in repr(made.options) + repr(made) + made.options.model_dump_json() + repr(vars(made))


def document(backend, *methods):
    flow = [{"auth": {"methods": list(methods)}}, {"headers": {"request": {"set": {"X-Known": "yes"}}}}]
    return {
        "routes": [
            {
                "name": "REGISTER HOST TO LOAD BALANCER",
                "match": {"path": "/{rest...}"},
                "flow": flow,
                "to": {"connection": "backend"},
            }
        ],
        "connections": {"backend": {"targets": [{"url": backend.url}]}},
    }


def test_a_route_is_secured_by_signatures_until_the_profile_is_replaced():
    with upstream() as backend:
        with running(document(backend, {"signature": {"keys": KEYS}}), clock=MovableClock(NOW)) as gate:
            host = gate.url.removeprefix("http://")
            covered = [("(request-target)", ""), ("host", host), ("date", formatdate(NOW, usegmt=True)), SIGNED_DIGEST]
            authorization = line(covered, target="post /hosts?x=1")
            headers = {"date": covered[2][1], "digest": SIGNED_DIGEST[1], "authorization": authorization}
            good = gate.request("POST", "/hosts?x=1", content=HELLO, headers=headers)
            streamed = gate.request("POST", "/hosts?x=1", content=iter([HELLO[:3], HELLO[3:]]), headers=headers)
            tampered = gate.request("POST", "/hosts?x=1", content=HELLO + b"\n", headers=headers)
            elsewhere = gate.request("POST", "/hosts?x=2", content=HELLO, headers=headers)
            unsigned = gate.request("POST", "/hosts?x=1", content=HELLO)
            gate.reload(document(backend, {"basic": {"users": {"user": "pwd"}}}))
            basic = gate.request("POST", "/hosts", content=HELLO, auth=("user", "pwd"))
            gone = gate.request("POST", "/hosts?x=1", content=HELLO, headers=headers)

    assert [good.status_code, streamed.status_code, basic.status_code] == [200, 200, 200]
    assert [response.status_code for response in (tampered, elsewhere, unsigned, gone)] == [401] * 4
    assert unsigned.headers["www-authenticate"].startswith("Signature realm=")
    assert backend.bodies == [HELLO] * 3


@pytest.mark.parametrize("standard", ["cavage", "rfc9421"])
def test_one_gateway_knows_another_by_its_signature(standard):
    key = {"algorithm": "ed25519", "key": private_pem(EDWARDS), "standard": standard}
    method = {"keys": {"front": {"algorithm": "ed25519", "public_key": public_pem(EDWARDS)}}, "standard": standard}
    with upstream() as backend, running(document(backend, {"signature": method})) as behind:
        front = {
            "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "front"}}],
            "connections": {"front": {"targets": [{"url": behind.url}], "auth": [{"signature": key}]}},
        }
        with running(front) as gate:
            answers = [
                gate.request("GET", "/a%20b?x=%20&y"),
                gate.request("POST", "/", content=HELLO, headers={"content-type": "application/json"}),
                gate.request("PUT", "/c?", content=iter([b"a", b"b"])),
            ]
        direct = behind.request("GET", "/")

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert direct.status_code == 401
    assert backend.bodies == [b"", HELLO, b"ab"]
    assert hashlib.sha256(backend.bodies[1]).digest() == base64.b64decode(HELLO_SHA_256)
