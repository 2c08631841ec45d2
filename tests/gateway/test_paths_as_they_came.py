"""The octets of a target stand beside the path in its one spelling: for signatures, for the log and for backends."""

import hashlib
import hmac
import json
import socket
import time
from base64 import b64encode
from urllib.parse import quote, urlsplit

import pytest

from hookgate.testing import running, upstream

from .both_ways.http2 import Http2

WAYS = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
KEY = "0123456789abcdef0123456789abcdef"
AS_CAME = [
    "/a%2fb",
    "/a%2Fb",
    "/%7Euser",
    "/%61?x=%7e",
    "/x?",
    "/%7euser?",
    "/a//b;c=%3b",
    "/?x=1",
]


def document(backend, lane=True, *flow, **to):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "backend", **to}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def call(gate, target, headers=(), host="gw.test", connection="close"):
    """Send a target as it is; return the status and the answer."""
    address = urlsplit(gate.url)
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", f"Connection: {connection}", *(f"{n}: {v}" for n, v in headers)]
    with socket.create_connection((address.hostname, address.port), timeout=60) as wire:
        wire.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer = b""
        while (connection == "close" or b"\r\n\r\n" not in answer) and (data := wire.recv(65536)):
            answer += data
    return int(answer.split(b" ", 2)[1]), answer


class Nowhere:
    url = "http://127.0.0.1:9"


def now():
    return int(time.time())


def sha256(text):
    return b64encode(hmac.digest(KEY.encode(), text.encode(), "sha256")).decode()


def cavage(target, host="gw.test"):
    text = f"(request-target): get {target}\nhost: {host}\n(created): {now()}"
    told = f'keyId="ann",algorithm="hs2019",created={now()},headers="(request-target) host (created)"'
    return [("Authorization", f'Signature {told},signature="{sha256(text)}"')]


def rfc9421(target, host="gw.test"):
    path, _, query = target.partition("?")
    params = f'("@method" "@request-target" "@path" "@query" "@target-uri" "@authority");created={now()};keyid="ann"'
    lines = [
        '"@method": GET',
        f'"@request-target": {target}',
        f'"@path": {path}',
        f'"@query": ?{query}',
        f'"@target-uri": http://{host}{target}',
        f'"@authority": {host}',
        f'"@signature-params": {params}',
    ]
    return [("Signature-Input", f"s={params}"), ("Signature", f"s=:{sha256(chr(10).join(lines))}:")]


def hawk(target, host="gw.test"):
    ts, nonce = str(now()), hashlib.sha256(target.encode()).hexdigest()[:8]
    text = f"hawk.1.header\n{ts}\n{nonce}\nGET\n{target}\n{host}\n80\n\n\n"
    return [("Authorization", f'Hawk id="ann", ts="{ts}", nonce="{nonce}", mac="{sha256(text)}"')]


def oauth1(target, host="gw.test"):
    path, _, query = target.partition("?")
    own = {
        "oauth_consumer_key": "shop",
        "oauth_nonce": hashlib.sha256(target.encode()).hexdigest()[:8],
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(now()),
        "oauth_version": "1.0",
    }
    sent = [each.partition("=")[::2] for each in query.split("&") if each]
    encoded = sorted((quote(n, safe=""), quote(v.replace("%7e", "~"), safe="~")) for n, v in [*own.items(), *sent])
    pairs = "&".join(f"{name}={value}" for name, value in encoded)
    text = f"GET&{quote(f'http://{host}{path}', safe='~')}&{quote(pairs, safe='~')}"
    signed = b64encode(hmac.digest(f"{KEY}&".encode(), text.encode(), "sha1")).decode()
    line = ", ".join(f'{n}="{quote(v, safe="~")}"' for n, v in {**own, "oauth_signature": signed}.items())
    return [("Authorization", f"OAuth {line}")]


SIGNERS = {
    "cavage": (cavage, {"signature": {"keys": {"ann": {"algorithm": "hmac-sha256", "secret": KEY}}}}),
    "rfc9421": (
        rfc9421,
        {"signature": {"standard": "rfc9421", "keys": {"ann": {"algorithm": "hmac-sha256", "secret": KEY}}}},
    ),
    "hawk": (hawk, {"hawk": {"credentials": {"ann": {"key": KEY}}}}),
    "oauth1": (oauth1, {"oauth1": {"consumers": {"shop": {"secret": KEY}}}}),
}


@WAYS
@pytest.mark.parametrize("name", SIGNERS)
def test_what_was_signed_as_it_came_is_good_and_in_another_spelling_it_is_not(name, lane):
    sign, method = SIGNERS[name]
    with upstream() as backend, running(document(backend, lane, {"auth": {"methods": [method]}})) as gate:
        for target in AS_CAME:
            status, answer = call(gate, target, sign(target))
            assert status == 200, (target, answer)
        for signed, sent in [("/c/a", "/c/%61"), ("/a%2Fb/2", "/a%2fb/2"), ("/~u", "/%7Eu"), ("/x/../d", "/d")]:
            assert call(gate, sent, sign(signed))[0] == 401, sent


@pytest.mark.parametrize("name", ["hawk", "rfc9421"])
def test_octets_come_over_http2_too(name):
    sign, method = SIGNERS[name]
    with upstream() as backend, running(document(backend, True, {"auth": {"methods": [method]}})) as gate:
        for target in AS_CAME:
            with Http2(gate.url) as client:
                fields = [(field.lower(), value) for field, value in sign(target)]
                assert client.call(target, *fields, authority="gw.test").status == 200, target

    assert [request.target for request in backend.requests] == AS_CAME


def test_a_websocket_is_signed_by_its_octets():
    sign, method = SIGNERS["hawk"]
    with upstream() as backend:
        for lane in (True, False):
            with running(document(backend, lane, {"auth": {"methods": [method]}})) as gate:
                upgrade = [
                    ("Upgrade", "websocket"),
                    ("Sec-WebSocket-Version", "13"),
                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ]
                for signed, status in (("/%7Euser?", 401), ("/%7euser?", 200)):
                    answer = call(gate, "/%7euser?", [*upgrade, *sign(signed)], connection="upgrade")
                    assert answer[0] == status, (lane, signed, answer)


@WAYS
def test_digest_goes_by_the_octets_too(lane):
    method = {"digest": {"users": {"ann": KEY}, "algorithms": ["SHA-256"], "realm": "r"}}
    with upstream() as backend, running(document(backend, lane, {"auth": {"methods": [method]}})) as gate:

        def status(signed, sent):
            challenge = call(gate, "/")[1].decode().partition('nonce="')[2].partition('"')[0]
            one = hashlib.sha256(f"ann:r:{KEY}".encode()).hexdigest()
            two = hashlib.sha256(f"GET:{signed}".encode()).hexdigest()
            response = hashlib.sha256(f"{one}:{challenge}:00000001:c:auth:{two}".encode()).hexdigest()
            line = (
                f'Digest username="ann", realm="r", nonce="{challenge}", uri="{signed}", algorithm=SHA-256, '
                f'qop=auth, nc=00000001, cnonce="c", response="{response}"'
            )
            return call(gate, sent, [("Authorization", line)])[0]

        assert [status(target, target) for target in AS_CAME] == [200] * len(AS_CAME)
        assert [status("/c/a", "/c/%61"), status("/x?", "/x"), status("/x", "/x?")] == [401] * 3


@WAYS
def test_an_absolute_target_is_signed_by_its_path(lane):
    sign, method = SIGNERS["hawk"]
    with upstream() as backend, running(document(backend, lane, {"auth": {"methods": [method]}})) as gate:
        assert call(gate, "http://gw.test/%7Eu?x=1", sign("/%7Eu?x=1"))[0] == 200
        assert call(gate, "http://gw.test", sign("/"))[0] == 200


@WAYS
def test_a_step_further_left_that_changes_the_path_does_no_harm_to_a_signature(lane):
    sign, method = SIGNERS["cavage"]
    flow = [{"rewrite": {"path": "/new"}}, {"auth": {"methods": [method]}}]
    with upstream() as backend, running(document(backend, lane, *flow)) as gate:
        assert call(gate, "/old%2f?x=1", sign("/old%2f?x=1"))[0] == 200

    assert backend.requests[0].path == "/new"


@WAYS
def test_a_backend_gets_the_octets_where_no_step_changes_the_path(lane):
    with upstream() as backend, running(document(backend, lane)) as gate:
        for target in AS_CAME:
            assert call(gate, target)[0] == 200
        for target in ("/x/../y%2f", "/x/%2e%2e/y%2f", "/./y%2f"):
            assert call(gate, target)[0] == 200

    assert [request.target for request in backend.requests] == [*AS_CAME, "/y%2F", "/y%2F", "/y%2F"]


@WAYS
@pytest.mark.parametrize(
    ("flow", "to", "sent"),
    [
        ([{"rewrite": {"path": "/new%2fpath"}}], {}, "/new%2fpath?x=1"),
        ([], {"path": "/fixed"}, "/fixed?x=1"),
    ],
)
def test_what_changes_the_path_is_heard(lane, flow, to, sent):
    with upstream() as backend, running(document(backend, lane, *flow, **to)) as gate:
        assert call(gate, "/c/%7ed?x=1")[0] == 200

    assert backend.requests[0].target == sent


@WAYS
def test_an_empty_query_makes_room_for_a_credential(lane):
    with upstream() as backend:
        site = document(backend, lane)
        site["connections"]["backend"]["auth"] = [{"api-key": {"key": "k", "location": "query"}}]
        with running(site) as gate:
            assert call(gate, "/%7eu?")[0] == 200

    assert backend.requests[0].target == "/%7eu?api_key=k"


@WAYS
def test_the_access_log_tells_what_was_asked_for_and_not_what_it_was_rewritten_to(lane, capfd):
    site = document(Nowhere, lane, {"rewrite": {"path": "/new"}}, {"respond": {"body": "x"}})
    site["gateway"]["observers"] = [{"access-log": {"format": "json"}}]
    with running(site) as gate:
        assert call(gate, "/old/%7euser?token=1")[0] == 200
        gate.wait_for_exchanges(1)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]

    assert [line["path"] for line in lines] == ["/old/%7euser"]
