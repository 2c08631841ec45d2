"""Hawk of callers (AC-44): who is let in, what is refused, and what is remembered."""

import asyncio
from inspect import isawaitable

import pytest

from hookgate import BadRequest, Body, ConfigError, Exchange, Headers, Request, Secret, ServiceUnavailable, Unauthorized
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_hawk import Hawk
from hookgate_auth_hawk.scheme import Artifacts, mac, payload_hash, time_mac

KEY = "werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn"
ID = "dh37fgj492je"
THEN = 1353832234
GET = (
    f'Hawk id="{ID}", ts="1353832234", nonce="j4h3g2", ext="some-app-ext-data", '
    'mac="6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="'
)
POST = (
    f'Hawk id="{ID}", ts="1353832234", nonce="j4h3g2", hash="Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY=", '
    'ext="some-app-ext-data", mac="aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw="'
)


def method(clock=None, caller=None, **options):
    made = build(Hawk, **{"credentials": {ID: {"key": KEY, **(caller or {})}}, **options})
    made.startup(TestHost(clock=clock or MovableClock(THEN)))
    return made


def call(*lines, verb="GET", path="/resource/1", query="b=1&a=2", host="example.com:8000", scheme="http", **more):
    headers = Headers([("authorization", line) for line in lines])
    if "content_type" in more:
        headers.add("content-type", more["content_type"])
    body = more.get("body", b"")
    return Exchange(Request(verb, path, query, host=host, scheme=scheme, headers=headers, body=body or Body(b"")))


def posted(*lines, body=b"Thank you for flying Hawk", content_type="text/plain", streamed=False):
    async def chunks():
        yield body[:5]
        yield body[5:]

    return call(*lines, verb="POST", body=Body(chunks() if streamed else body), content_type=content_type)


def line(ts=THEN, nonce="n", key=KEY, name=ID, verb="GET"):
    """Sign a call of the resource in the README."""
    artifacts = Artifacts(str(ts), nonce, verb, "/resource/1?b=1&a=2", "example.com", "8000")
    return f'Hawk id="{name}", ts="{ts}", nonce="{nonce}", mac="{mac(artifacts, Secret(key), "sha256")}"'


def identify(made, exchange):
    async def wait(found):
        return await found

    found = made.identify(exchange)
    return asyncio.run(wait(found)) if isawaitable(found) else found


def refused(made, exchange, error=Unauthorized):
    with pytest.raises(error) as refusal:
        identify(made, exchange)
    return refusal.value.reason


def test_the_calls_of_the_readme_are_recognised():
    made = method(caller={"roles": ["clerk"], "application": "shop"})
    identity = made.identify(call(GET))

    assert (identity.subject, identity.method, identity.roles) == (ID, "hawk", ("clerk",))
    assert identity.application == "shop"
    assert identity.claims == {"ext": "some-app-ext-data"}
    assert identify(method(), posted(POST)).subject == ID
    assert identify(method(), posted(POST, streamed=True)).subject == ID


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (
            'mac="CXwXZJghoBEYT18Mp1pDQcCAloE="',
            {"verb": "DELETE", "path": "/a;b=c/%20x", "query": "q=%2f", "host": "EXAMPLE.com", "scheme": "https"},
        ),
        (
            (
                'hash="ZfrAJum9hMn95kU+nBV1uo5TdGM=", ext="e=1, f:2", mac="499usyo1Rw8TI9NtHbp4yAycdBE=", '
                'app="my-app", dlg="delegate"'
            ),
            {
                "verb": "PUT",
                "path": "/",
                "query": "",
                "host": "example.com",
                "body": Body('{"a":"ü"}'.encode()),
                "content_type": "Application/JSON; charset=utf-8",
            },
        ),
    ],
)
def test_what_hapi_hawk_signs_with_sha1_is_recognised(line, request_):
    """Lines of `@hapi/hawk` 8.0.0."""
    made = method(caller={"algorithm": "sha1"})
    exchange = call(f'Hawk id="{ID}", ts="1353832234", nonce="j4h3g2", {line}', **request_)

    assert identify(made, exchange).subject == ID


@pytest.mark.parametrize("lines", [[], ["Basic eDp5"], ["Hawkish a"], [""], ["Hawk,x"]])
def test_other_kinds_of_credentials_are_none_of_its_business(lines):
    assert method().identify(call(*lines)) is None


def test_its_scheme_counts_in_any_case_and_a_second_line_is_refused():
    assert method().identify(call(GET.replace("Hawk", "HAWK ", 1))).subject == ID
    with pytest.raises(BadRequest, match="more than once"):
        method().identify(call("Basic eDp5", GET))


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "POST"},
        {"path": "/resource/2"},
        {"query": "b=1&a=3"},
        {"query": ""},
        {"host": "example.org:8000"},
        {"host": "example.com:8001"},
        {"host": "example.com"},
        {"host": ""},
    ],
    ids=str,
)
def test_another_request_than_the_signed_one_is_refused(change):
    assert refused(method(), call(GET, **change)) == "wrong-credentials"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ts=", 'app="a", ts='),
        ("ts=", 'app="a", dlg="b", ts='),
        ("ts=", 'hash="Yi9L", ts='),
        ("j4h3g2", "j4h3g3"),
        ("1353832234", "1353832235"),
        ("some-app", "other-app"),
        (', ext="some-app-ext-data"', ""),
        (ID, "somebody"),
        ("6R4r", "6R4s"),
        ("LAE=", "LAE"),
    ],
)
def test_a_changed_line_is_refused_in_the_same_words(old, new):
    with pytest.raises(Unauthorized, match=r"^The Hawk credentials do not match the request\.$"):
        method().identify(call(GET.replace(old, new)))


def test_an_unknown_caller_is_compared_too(monkeypatch):
    compared = []
    monkeypatch.setattr("hookgate_auth_hawk.inbound.same", lambda one, other: compared.append(len(one)) or False)
    made = method()
    for name in (ID, "somebody"):
        refused(made, call(GET.replace(ID, name)))

    assert compared == [44, 44]


@pytest.mark.parametrize(
    "text",
    [
        "Hawk",
        "Hawk ",
        "Hawk ,",
        f'Hawk id="{ID}"',
        GET.replace('nonce="j4h3g2", ', ""),
        GET.replace('nonce="j4h3g2"', 'nonce=""'),
        GET + f', id="{ID}"',
        GET + ', realm="x"',
        GET + ' ext2="x"',
        GET.replace('"j4h3g2"', "j4h3g2"),
        GET.replace("j4h3g2", "j4h\\3g2"),
        GET.replace("j4h3g2", "j4h\xe93g2"),
        GET.replace("1353832234", "now"),
        GET.replace("1353832234", "-1"),
        GET.replace("1353832234", "1353832234.5"),
        GET.replace("1353832234", "9" * 13),
        GET.replace("j4h3g2", "x" * 4096),
    ],
)
def test_malformed_credentials_are_refused(text):
    assert refused(method(), call(text)) == "malformed-credentials"


@pytest.mark.parametrize(
    ("off", "fits"), [(0, True), (60, True), (-60, True), (61, False), (-61, False), (-7200, False)]
)
def test_a_timestamp_may_be_a_minute_off(off, fits):
    made = method(MovableClock(THEN - off))
    if fits:
        assert made.identify(call(GET)).subject == ID
    else:
        assert refused(made, call(GET)) == "stale-timestamp"
        assert made.challenge(call(GET)) == (
            f'Hawk ts="{THEN - off}", tsm="{time_mac(str(THEN - off), Secret(KEY), "sha256")}", error="Stale timestamp"'
        )


def test_the_time_is_told_only_to_those_who_have_the_key():
    made = method(MovableClock(THEN + 765))

    assert made.challenge(call(GET)) == (
        'Hawk ts="1353832999", tsm="z5QBMrxKpjj/1OPfWaYrOajuW8cjtj1eyXLwac3ad1Y=", error="Stale timestamp"'
    )
    for text in (GET.replace("6R4r", "6R4s"), GET.replace(ID, "somebody"), "Hawk x", "Basic eDp5"):
        assert made.challenge(call(text)) == "Hawk"
    assert method().challenge(call(GET)) == "Hawk"


def test_a_request_is_taken_once():
    made = method()

    assert made.identify(call(GET)).subject == ID
    assert refused(made, call(GET)) == "replayed"
    assert made.challenge(call(GET)) == "Hawk"
    assert made.identify(call(line(nonce="another"))).subject == ID
    assert made.identify(call(line(THEN + 1, "j4h3g2"))).subject == ID, "a nonce belongs to its second"


def test_callers_do_not_share_nonces():
    made = method(credentials={ID: {"key": KEY}, "other": {"key": "other"}})

    assert made.identify(call(line())).subject == ID
    assert made.identify(call(line(name="other", key="other"))).subject == "other"


def test_what_is_refused_uses_up_no_nonce():
    made = method()
    refused(made, call(GET.replace("6R4r", "6R4s")))
    assert identify(made, call(GET)).subject == ID
    made = method()
    assert refused(made, posted(POST, body=b"Thank you for flying with us")) == "wrong-payload-hash"
    assert identify(made, posted(POST)).subject == ID


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "change", [{"body": b"Thank you for flying hawk"}, {"body": b""}, {"content_type": "text/html"}], ids=str
)
def test_another_body_than_the_signed_one_is_refused(change, streamed):
    assert refused(method(), posted(POST, **change, streamed=streamed)) == "wrong-payload-hash"


def test_two_of_the_same_that_wait_for_their_bodies_are_taken_once():
    made = method()

    async def both():
        return await asyncio.gather(*(made.identify(posted(POST, streamed=True)) for _ in "ab"), return_exceptions=True)

    taken, replayed = asyncio.run(both())
    assert taken.subject == ID
    assert replayed.reason == "replayed"


def test_a_body_without_a_hash_is_taken_unless_it_is_required():
    good = posted(line(verb="POST"))

    assert method().identify(good).subject == ID
    assert refused(method(payload="required"), good) == "missing-payload-hash"
    assert method(payload="required").identify(call(GET)).subject == ID, "there is no body to protect"
    assert identify(method(payload="required"), posted(POST)).subject == ID


def test_a_hash_may_be_left_unchecked_so_that_bodies_stream():
    exchange = posted(POST, body=b"something else", streamed=True)

    assert method(payload="ignored").identify(exchange).subject == ID
    assert exchange.request.body.held is None


def test_memory_has_a_bound_and_what_is_forgotten_is_refused():
    made = method(nonces=3)
    for ts in (THEN - 2, THEN - 1, THEN):
        assert made.identify(call(line(ts, "first"))).subject == ID
    assert made.identify(call(line(THEN, "second"))).subject == ID
    store = made._nonces[ID]
    assert len(store) == 3

    assert refused(made, call(line(THEN - 2, "first"))) == "stale-timestamp", "it is not known any more"
    assert refused(made, call(line(THEN - 2, "new"))) == "stale-timestamp"
    assert "Stale timestamp" in made.challenge(call(line(THEN - 2, "new")))
    assert refused(made, call(line(THEN - 1, "first"))) == "replayed"
    assert made.identify(call(line(THEN, "third"))).subject == ID
    assert len(store) == 3


def test_what_is_forgotten_while_a_body_arrives_is_refused_too():
    made = method(nonces=1)

    async def arriving():
        waiting = made.identify(posted(POST, streamed=True))
        made.identify(call(line(THEN)))
        made.identify(call(line(THEN + 1)))
        await waiting

    with pytest.raises(Unauthorized) as refusal:
        asyncio.run(arriving())
    assert refusal.value.reason == "stale-timestamp"


def test_more_requests_of_one_second_than_can_be_remembered_are_put_off():
    made = method(nonces=2)
    for nonce in "ab":
        assert made.identify(call(line(nonce=nonce))).subject == ID

    with pytest.raises(ServiceUnavailable) as refusal:
        made.identify(call(line(nonce="c")))
    assert dict(refusal.value.headers) == {"Retry-After": "1"}
    assert refused(made, call(line(nonce="a"))) == "replayed"
    assert made.identify(call(line(THEN + 1, "c"))).subject == ID
    assert refused(made, call(line(nonce="a"))) == "stale-timestamp"


def test_what_is_too_old_to_be_replayed_is_forgotten():
    clock = MovableClock(THEN)
    made = method(clock)
    made.identify(call(line()))
    asyncio.run(clock.advance(60))
    assert refused(made, call(line())) == "replayed"
    asyncio.run(clock.advance(1))
    assert refused(made, call(line())) == "stale-timestamp"
    made.identify(call(line(THEN + 61)))

    assert len(made._nonces[ID]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credentials": {}}, "credentials"),
        ({"credentials": {'a"b': {"key": "k"}}}, "double quote"),
        ({"credentials": {"a": {"key": ""}}}, "the key is empty"),
        ({"credentials": {"a": {"key": "k", "algorithm": "md5"}}}, "algorithm"),
        ({"skew": 0}, "skew"),
        ({"nonces": 0}, "nonces"),
        ({"payload": "maybe"}, "payload"),
        ({"header": "X Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        method(**options)


def test_the_key_is_in_no_representation():
    made = method()

    assert KEY not in repr(made) + repr(made.options) + made.options.model_dump_json()


def gateway(backend, clock=None, **options):
    methods = [{"hawk": {"credentials": {ID: {"key": KEY, "roles": ["clerk"]}}, **options}}]
    return running(
        {
            "gateway": {"trusted_proxies": ["127.0.0.1"]},
            "routes": [
                {
                    "name": "all",
                    "match": {"path": "/{rest...}"},
                    "flow": [{"auth": {"methods": methods}}],
                    "to": {"connection": "backend"},
                }
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        },
        clock=clock,
    )


def test_a_gateway_lets_in_who_signs_with_mohawk():
    mohawk = pytest.importorskip("mohawk")

    def sent(url, verb, content, content_type):
        keys = {"id": ID, "key": KEY, "algorithm": "sha256"}
        sender = mohawk.Sender(keys, url, verb, content=content, content_type=content_type)
        return {"authorization": sender.request_header, **({"content-type": content_type} if content_type else {})}

    with upstream() as backend, gateway(backend, payload="required") as gate:
        good = sent(f"{gate.url}/a/b?c=d", "POST", b'{"e": 1}', "application/json")
        assert gate.request("POST", "/a/b?c=d", content=b'{"e": 2}', headers=good).status_code == 401
        assert gate.request("POST", "/a/b?c=d", content=b'{"e": 1}', headers=good).status_code == 200
        assert gate.request("POST", "/a/b?c=d", content=b'{"e": 1}', headers=good).status_code == 401
        behind = sent("https://shop.example/a", "GET", b"", "")
        told = {"host": "shop.example", "x-forwarded-proto": "https"}
        assert gate.request("GET", "/a", headers={**behind, "host": "shop.example"}).status_code == 401
        assert gate.request("GET", "/a", headers={**behind, **told}).status_code == 200
        assert gate.request("GET", "/a").headers["www-authenticate"] == "Hawk"

    assert backend.bodies == [b'{"e": 1}', b""]


def test_a_client_with_a_wrong_clock_is_told_the_time():
    with upstream() as backend, gateway(backend, clock=MovableClock(THEN + 765)) as gate:
        answer = gate.request("GET", "/resource/1?b=1&a=2", headers={"authorization": GET, "host": "example.com:8000"})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Hawk ts="1353832999", tsm="z5QBMrxKpjj/1OPfWaYrOajuW8cjtj1eyXLwac3ad1Y=", error="Stale timestamp"'
    )


def test_two_gateways_understand_each_other():
    """The first signs, with a clock that is an hour off; the second checks, and tells it the time."""
    with upstream() as backend, gateway(backend, payload="required") as second:
        document = {
            "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "second"}}],
            "connections": {
                "second": {
                    "targets": [{"url": second.url}],
                    "auth": [{"hawk": {"id": ID, "key": KEY, "hash_payload": True, "ext": "from the first"}}],
                }
            },
        }
        with running(document, clock=MovableClock(THEN)) as first:
            assert first.request("POST", "/a?b=c", content=b"d").status_code == 200
            assert first.request("GET", "/a").status_code == 200

    assert backend.bodies == [b"d", b""]
    assert len(second.finished) == 3


def test_a_body_hash_covers_the_media_type_without_its_parameters():
    assert payload_hash(b"a", "text/plain; charset=x", "sha256") == payload_hash(b"a", " TEXT/plain", "sha256")
    assert payload_hash(b"a", None, "sha256") == payload_hash(b"a", "", "sha256")
    assert payload_hash(b"a", "text/html", "sha256") != payload_hash(b"a", "text/plain", "sha256")
