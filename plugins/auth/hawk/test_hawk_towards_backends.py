"""Hawk towards backends (HC-12), held against published values, `@hapi/hawk` and `mohawk`."""

import asyncio

import pytest

from hookgate import Body, ConfigError, Exchange, Headers, Outbound, Request, Response, Secret, Target
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_auth_hawk import HawkCredential
from hookgate_auth_hawk.scheme import Artifacts, attributes, authority, challenge_in, time_mac

KEY = "werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn"
ID = "dh37fgj492je"
THEN = 1353832234
TSM = "z5QBMrxKpjj/1OPfWaYrOajuW8cjtj1eyXLwac3ad1Y="
"""What `@hapi/hawk` says of the time 1353832999, sha256."""


def credential(**options):
    made = build(HawkCredential, **{"id": ID, "key": KEY, **options})
    made.startup(TestHost(clock=MovableClock(THEN)))
    return made


def attempt(method="GET", url="http://example.com:8000/resource/1?b=1&a=2", body=b"", **headers):
    scheme, _, rest = url.partition("://")
    host, _, resource = rest.partition("/")
    path, _, query = resource.partition("?")
    target = Target(scheme, "192.0.2.7", 9999)
    fields = Headers({"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    return Outbound(method, target, "/" + path, query, fields, Body(body))


def signed(made, outbound, received=()):
    request = Request(headers=Headers([("authorization", line) for line in received]))
    made.sign(Exchange(request), outbound)
    return outbound.headers.getall("authorization")


@pytest.fixture
def nonce(monkeypatch):
    monkeypatch.setattr("hookgate_auth_hawk.outbound.new_nonce", lambda: "j4h3g2")


EXT = {"ext": "some-app-ext-data"}
START = f'Hawk id="{ID}", ts="1353832234", nonce="j4h3g2", '


@pytest.mark.parametrize(
    ("options", "call", "line"),
    [
        (EXT, {}, 'ext="some-app-ext-data", mac="6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="'),
        (
            {"hash_payload": True, **EXT},
            {"method": "POST", "body": b"Thank you for flying Hawk", "content_type": "text/plain"},
            (
                'hash="Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY=", ext="some-app-ext-data", '
                'mac="aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw="'
            ),
        ),
        (
            {"algorithm": "sha1"},
            {"method": "delete", "url": "https://EXAMPLE.com/a;b=c/%20x?q=%2f"},
            'mac="CXwXZJghoBEYT18Mp1pDQcCAloE="',
        ),
        (
            {"algorithm": "sha1", "hash_payload": True, "app": "my-app", "dlg": "delegate", "ext": "e=1, f:2"},
            {
                "method": "PUT",
                "url": "http://example.com/",
                "body": '{"a":"ü"}'.encode(),
                "content_type": "Application/JSON; charset=utf-8",
            },
            (
                'hash="ZfrAJum9hMn95kU+nBV1uo5TdGM=", ext="e=1, f:2", mac="499usyo1Rw8TI9NtHbp4yAycdBE=", '
                'app="my-app", dlg="delegate"'
            ),
        ),
        (
            {"hash_payload": True, "app": "my-app"},
            {"url": "http://example.com/x"},
            (
                'hash="B0weSUXsMcb5UhL41FZbrUJCAotzSI3HawE1NPLRUz8=", '
                'mac="PJhPeVuVX6n/810tuP4gjFwGiH4N1u3PnODrZ2pvzto=", app="my-app"'
            ),
        ),
    ],
    ids=["readme", "readme-payload", "sha1-https", "sha1-app-dlg-json", "empty-payload-app"],
)
@pytest.mark.usefixtures("nonce")
def test_the_line_is_that_of_hapi_hawk_byte_for_byte(options, call, line):
    """The first two are in the README of Hawk, the others were made with `@hapi/hawk` 8.0.0."""
    assert signed(credential(**options), attempt(**call)) == [START + line]


def test_the_normalized_string_is_that_of_the_readme():
    artifacts = Artifacts(
        "1353832234", "j4h3g2", "get", "/resource/1?b=1&a=2", "Example.COM", "8000", ext="some-app-ext-data"
    )

    assert artifacts.normalized() == (
        "hawk.1.header\n1353832234\nj4h3g2\nGET\n/resource/1?b=1&a=2\nexample.com\n8000\n\nsome-app-ext-data\n"
    )


@pytest.mark.parametrize(
    ("host", "scheme", "found"),
    [
        ("example.com", "http", ("example.com", "80")),
        ("example.com", "https", ("example.com", "443")),
        ("example.com:8443", "https", ("example.com", "8443")),
        ("example.com:", "https", ("example.com", "443")),
        ("[2001:db8::1]", "http", ("2001:db8::1", "80")),
        ("[2001:db8::1]:81", "http", ("2001:db8::1", "81")),
        ("a:b:c", "http", ("a:b:c", "80")),
        ("", "http", ("", "80")),
    ],
)
def test_a_host_without_a_port_has_that_of_the_scheme(host, scheme, found):
    assert authority(host, scheme) == found


@pytest.mark.usefixtures("nonce")
def test_the_host_of_the_target_counts_where_no_other_is_sent():
    outbound = Outbound("GET", Target("http", "example.com", 8000), "/resource/1", "b=1&a=2")

    assert signed(credential(), outbound) == signed(credential(), attempt())


def test_each_attempt_has_a_nonce_of_its_own():
    made = credential()
    nonces = {
        attributes(signed(made, attempt())[0][5:], frozenset({"id", "ts", "nonce", "mac"}))["nonce"] for _ in "abc"
    }

    assert len(nonces) == 3
    assert all(len(nonce) == 12 for nonce in nonces)


def test_what_the_caller_sent_goes_and_what_others_wrote_stays():
    outbound = attempt(authorization="Bearer of-a-header-action")
    outbound.headers.add("authorization", "Hawk of-the-caller")
    lines = signed(credential(), outbound, received=["Hawk of-the-caller"])

    assert lines[0] == "Bearer of-a-header-action"
    assert len(lines) == 2
    assert lines[1].startswith(f'Hawk id="{ID}"')


def test_the_body_is_read_only_where_it_is_hashed():
    assert credential().reads == frozenset()
    assert credential(hash_payload=True).reads == {"request.body"}
    assert HawkCredential.signs_message


def refusal(*lines):
    return Response(401, [("www-authenticate", line) for line in lines])


LATER = f'Hawk ts="1353832999", tsm="{TSM}", error="Stale timestamp"'


@pytest.mark.parametrize(
    "lines",
    [
        [LATER],
        [f'hawk ts="1353832999",tsm="{TSM}"'],
        ['Basic realm="x"', LATER],
        [f'Basic realm="a, b", {LATER}, Digest realm="c", nonce="d"'],
        [f'Hawk realm="ours", ts="1353832999" , tsm="{TSM}"'],
    ],
)
def test_the_clock_of_the_backend_counts_if_it_proves_that_it_has_the_key(lines):
    made = credential()
    first, again, later = attempt(), attempt(), attempt()
    signed(made, first)

    assert made.rejected(Exchange(Request()), first, refusal(*lines)) is True
    assert 'ts="1353832999"' in signed(made, again)[0]
    assert made.rejected(Exchange(Request()), again, refusal(*lines)) is False
    assert 'ts="1353832999"' in signed(made, later)[0]


def test_sha1_proves_with_sha1():
    made = credential(algorithm="sha1")
    outbound = attempt()
    signed(made, outbound)

    assert made.rejected(Exchange(Request()), outbound, refusal(LATER)) is False
    line = 'Hawk ts="1353832999", tsm="sh+L+9JYV0s21RXhXimBDJ9HHMk="'
    assert made.rejected(Exchange(Request()), outbound, refusal(line)) is True


@pytest.mark.parametrize(
    "line",
    [
        "Hawk",
        'Hawk error="Bad mac"',
        f'Hawk ts="1353833000", tsm="{TSM}"',
        'Hawk ts="1353832999"',
        'Hawk ts="1353832999", tsm=""',
        f'Hawk tsm="{TSM}"',
        f'Hawk ts="-1", tsm="{time_mac("-1", Secret(KEY), "sha256")}"',
        f'Hawk ts="{"9" * 13}", tsm="{time_mac("9" * 13, Secret(KEY), "sha256")}"',
        f'Hawk ts="1353832234", tsm="{time_mac("1353832234", Secret(KEY), "sha256")}"',
        f'Hawk ts="1353832999", tsm="{TSM[:-2]}\xe9="',
        f'Basic ts="1353832999", tsm="{TSM}"',
        "Hawk " + "," * 100_000,
    ],
    ids=["plain", "error", "forged", "no-tsm", "empty-tsm", "no-ts", "sign", "long", "same", "latin", "basic", "huge"],
)
def test_a_time_that_is_not_proved_moves_no_clock(line):
    made = credential()
    outbound = attempt()
    signed(made, outbound)

    assert made.rejected(Exchange(Request()), outbound, refusal(line)) is False
    assert 'ts="1353832234"' in signed(made, attempt())[0]


def test_the_clock_stays_where_that_is_said():
    made = credential(adjust_clock=False)
    outbound = attempt()
    signed(made, outbound)

    assert made.rejected(Exchange(Request()), outbound, refusal(LATER)) is False


def test_who_was_signed_before_the_clock_was_set_may_try_again():
    """Fifty calls are refused at once; the first sets the clock, and each of them is signed anew."""
    made = credential()
    attempts = [attempt() for _ in range(3)]
    for each in attempts:
        signed(made, each)

    assert [made.rejected(Exchange(Request()), each, refusal(LATER)) for each in attempts] == [True] * 3


def test_the_clock_goes_on_after_it_was_set():
    made = credential()
    clock = MovableClock(THEN)
    made.startup(TestHost(clock=clock))
    outbound = attempt()
    signed(made, outbound)
    made.rejected(Exchange(Request()), outbound, refusal(LATER))
    asyncio.run(clock.advance(10))

    assert 'ts="1353833009"' in signed(made, attempt())[0]


def test_an_attempt_without_our_line_is_not_ours():
    made = credential()
    outbound = attempt(authorization="Basic eDp5")

    assert made.rejected(Exchange(Request()), outbound, refusal(LATER)) is False
    assert made.rejected(Exchange(Request()), attempt(), refusal(LATER)) is False
    assert made.rejected(Exchange(Request()), attempt(authorization="Hawk x"), refusal(LATER)) is False


def test_a_challenge_is_found_among_others():
    assert challenge_in(f'Basic realm="hawk x", {LATER}, Bearer a="b"') == {
        "ts": "1353832999",
        "tsm": TSM,
        "error": "Stale timestamp",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": ""}, "id: .*at least one character"),
        ({"id": 'a"b'}, "double quote"),
        ({"ext": "a\\b"}, "backslash"),
        ({"ext": "ü"}, "ASCII"),
        ({"key": ""}, "the key is empty"),
        ({"key": "********"}, "asterisks"),
        ({"algorithm": "md5"}, "algorithm"),
        ({"dlg": "x"}, "no app"),
        ({"header": "X Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        credential(**options)


def test_the_key_is_in_no_representation():
    made = credential()

    assert KEY not in repr(made) + repr(made.options) + made.options.model_dump_json()


def through_a_gateway(backend, clock=None, **options):
    document = {
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "backend"}}],
        "connections": {
            "backend": {"targets": [{"url": backend.url}], "auth": [{"hawk": {"id": ID, "key": KEY, **options}}]}
        },
    }
    return running(document, clock=clock)


@pytest.mark.row("HC-12")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.usefixtures("nonce")
def test_the_lines_of_the_readme_reach_the_backend(lane):
    host, text = {"host": "example.com:8000"}, b"Thank you for flying Hawk"
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "to": {"connection": "backend", "preserve_host": True}}],
            "connections": {"backend": {"targets": backend.url, "auth": [{"hawk": {"id": ID, "key": KEY, **EXT}}]}},
        }
        with running(document, clock=MovableClock(THEN)) as gate:
            gate.request("GET", "/resource/1?b=1&a=2", headers=host)
            document["connections"]["backend"]["auth"][0]["hawk"]["hash_payload"] = True
            gate.reload(document)
            gate.request("POST", "/resource/1?b=1&a=2", headers={**host, "content-type": "text/plain"}, content=text)

    first, second = (request.all("authorization") for request in backend.requests)
    assert first == [START + 'ext="some-app-ext-data", mac="6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE="']
    assert second == [
        START + 'hash="Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY=", ext="some-app-ext-data", '
        'mac="aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw="'
    ]


@pytest.mark.row("HC-12")
@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_mohawk_takes_what_a_gateway_has_signed(algorithm):
    mohawk = pytest.importorskip("mohawk")
    with upstream() as backend, through_a_gateway(backend, algorithm=algorithm, hash_payload=True, ext="more") as gate:
        gate.request("POST", "/a/b?c=d", content=b'{"e": 1}', headers={"content-type": "application/json"})
        gate.request("GET", "/")

    keys = {ID: {"id": ID, "key": KEY, "algorithm": algorithm}}
    for request in backend.requests:
        url = f"http://{request.header('host')}{request.path}" + (f"?{request.query}" if request.query else "")
        assert mohawk.Receiver(
            keys.__getitem__,
            request.header("authorization"),
            url,
            request.method,
            content=request.body,
            content_type=request.header("content-type") or "",
            seen_nonce=lambda *nonce: False,
        )


def test_a_gateway_goes_by_the_clock_of_the_backend_and_calls_once_more():
    ahead = THEN + 3600

    def answer(request):
        given = attributes(request.header("authorization")[5:], frozenset({"id", "ts", "nonce", "mac"}))
        if abs(int(given["ts"]) - ahead) > 60:
            tsm = time_mac(str(ahead), Secret(KEY), "sha256")
            return 401, {"www-authenticate": f'Hawk ts="{ahead}", tsm="{tsm}", error="Stale timestamp"'}, b""
        return 200, {}, b"welcome"

    with upstream(answer) as backend, through_a_gateway(backend, clock=MovableClock(THEN)) as gate:
        assert gate.request("GET", "/").text == "welcome"
        assert len(backend.requests) == 2
        assert gate.request("POST", "/", content=b"small").text == "welcome"
        assert len(backend.requests) == 3


def test_a_backend_that_never_agrees_is_asked_twice_and_no_more():
    def answer(request):
        ts = str(THEN + 1000 * len(backend.requests))
        tsm = time_mac(ts, Secret(KEY), "sha256")
        return 401, {"www-authenticate": f'Hawk ts="{ts}", tsm="{tsm}"'}, b""

    with upstream(answer) as backend, through_a_gateway(backend, clock=MovableClock(THEN)) as gate:
        assert gate.request("GET", "/").status_code == 401
        assert len(backend.requests) == 2
