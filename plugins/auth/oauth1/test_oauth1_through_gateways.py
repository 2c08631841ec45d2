"""Whole gateways against `oauthlib`, as the server of what they sign and as the client of what they check."""

import oauthlib.oauth1
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hookgate.testing import MovableClock, running, upstream

FORM = "application/x-www-form-urlencoded"
KEY = "dpf43f3p2l4k3l03"
SECRET = "kd94hf93k423kf44"
TOKEN = "nnch734d00sl2jdk"
TOKEN_SECRET = "pfkkdhi9sl3r4s00"
PHOTOS = {"consumer_key": KEY, "consumer_secret": SECRET, "token": TOKEN, "token_secret": TOKEN_SECRET}
CONSUMERS = {KEY: {"secret": SECRET}}
TOKENS = {TOKEN: {"secret": TOKEN_SECRET, "consumer": KEY, "subject": "jane"}}


class Server(oauthlib.oauth1.RequestValidator):
    """The other end, as `oauthlib` has it."""

    enforce_ssl = False
    client_key_length = nonce_length = (1, 99)
    dummy_client = "nobody"

    def __init__(self):
        super().__init__()
        self.seen = set()

    def validate_client_key(self, client_key, request):
        return client_key == PHOTOS["consumer_key"]

    def get_client_secret(self, client_key, request):
        return PHOTOS["consumer_secret"]

    def get_access_token_secret(self, client_key, token, request):
        return PHOTOS["token_secret"] if token == PHOTOS["token"] else "wrong"

    def validate_timestamp_and_nonce(self, client_key, timestamp, nonce, request, **more):
        new = (timestamp, nonce) not in self.seen
        self.seen.add((timestamp, nonce))
        return new


CALLS = [
    ("GET", "/", b"", ""),
    ("GET", "/photos/a%20b;c?file=vacation.jpg&size=original&x=%C3%BC+&y", b"", ""),
    ("POST", "/photos?file=a", b"c2&a3=2+q&a3=a&%C3%BC=%E2%82%AC", FORM),
    ("PUT", "/photos", b'{"a": 1}', "application/json"),
]


@pytest.mark.row("HC-8")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize(
    ("wall", "nonce", "options", "signature"),
    [
        (1191242096, "kllo9940pd9333jh", {}, "tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D"),
        (137131202, "chapoH", {"version": False}, "MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D"),
    ],
    ids=["oauth-core", "without-version"],
)
def test_the_published_signatures_reach_the_backend(wall, nonce, options, signature, lane, monkeypatch):
    monkeypatch.setattr("hookgate_auth_oauth1.outbound.new_nonce", lambda: nonce)
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "to": {"connection": "photos", "preserve_host": True}}],
            "connections": {"photos": {"targets": backend.url, "auth": [{"oauth1": {**PHOTOS, **options}}]}},
        }
        with running(document, clock=MovableClock(wall)) as gate:
            gate.request("GET", "/photos?file=vacation.jpg&size=original", headers={"host": "photos.example.net"})

    (line,) = backend.requests[0].all("authorization")
    assert f'oauth_timestamp="{wall}", oauth_nonce="{nonce}"' in line
    assert f'oauth_signature="{signature}"' in line
    assert ("oauth_version" in line) is not bool(options)


@pytest.mark.row("HC-8")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"signature_method": "HMAC-SHA256", "realm": "photos"},
        {"signature_method": "PLAINTEXT", "plaintext_over_http": True},
        {"token": None, "token_secret": None},
        {"body_hash": True, "version": False},
    ],
    ids=["sha1", "sha256", "plaintext", "2-legged", "body-hash"],
)
def test_oauthlib_takes_what_a_gateway_has_signed(options):
    chosen = {name: value for name, value in {**PHOTOS, **options}.items() if value is not None}
    with upstream() as backend:
        document = {
            "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": [{"url": backend.url}], "auth": [{"oauth1": chosen}]}},
        }
        with running(document) as gate:
            for method, target, body, kind in CALLS:
                headers = {"content-type": kind} if kind else {}
                assert gate.request(method, target, content=body, headers=headers).status_code == 200

    endpoint = oauthlib.oauth1.SignatureOnlyEndpoint(Server())
    for request in backend.requests:
        uri = f"http://{request.header('host')}{request.path}" + (f"?{request.query}" if request.query else "")
        headers = {"Authorization": request.header("authorization")}
        if request.header("content-type"):
            headers["Content-Type"] = request.header("content-type")
        body = request.body.decode()
        assert endpoint.validate_request(uri, request.method, body, headers)[0], request
        if options.get("signature_method") != "PLAINTEXT":
            fresh = oauthlib.oauth1.SignatureOnlyEndpoint(Server())
            assert not fresh.validate_request(uri + "x", request.method, body, headers)[0]
    assert len(backend.requests) == len(CALLS)


@pytest.mark.parametrize("algorithm", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"])
def test_a_gateway_lets_in_who_signs_with_oauthlib(algorithm):
    client = oauthlib.oauth1.Client(KEY, SECRET, TOKEN, TOKEN_SECRET, signature_method=algorithm, realm="photos")
    options = {"consumers": CONSUMERS, "tokens": TOKENS, "signature_methods": [algorithm], "realm": "photos"}
    told = {"host": "photos.example.net", "x-forwarded-proto": "https"}
    target = "/photos/a%20b;c?file=vacation.jpg&x=%C3%BC&y="

    def signed(method, body=None, kind=None):
        headers = {"Content-Type": kind} if kind else {}
        _, headers, sent = client.sign(f"https://photos.example.net{target}", method, body, headers)
        return {"method": method, "path": target, "headers": {**headers, **told}, "content": sent or b""}

    with upstream() as backend:
        document = {
            "gateway": {"trusted_proxies": ["127.0.0.1"]},
            "routes": [
                {
                    "name": "all",
                    "match": {"path": "/{rest...}"},
                    "flow": [{"auth": {"methods": [{"oauth1": options}]}}],
                    "to": {"connection": "backend"},
                }
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        with running(document) as gate:
            for sent in (
                signed("GET"),
                signed("POST", "a=b&c=%C3%BC+d", FORM),
                signed("POST", '{"a": 1}', "application/json"),
            ):
                assert gate.request(**sent).status_code == 200
                if algorithm == "PLAINTEXT":
                    continue
                assert gate.request(**sent).status_code == 401, "it was there before"
                again = signed(sent["method"], sent["content"] or None, sent["headers"].get("Content-Type"))
                if again["content"]:
                    again["content"] += "&e=f"
                else:
                    again["path"] += "z"
                assert gate.request(**again).status_code == 401
            answer = gate.request("GET", target)

    assert answer.headers["www-authenticate"] == 'OAuth realm="photos"'
    assert backend.bodies == [b"", b"a=b&c=%C3%BC+d", b'{"a": 1}']


def test_two_gateways_understand_each_other_with_rsa():
    """`oauthlib` checks RSA only with another package beside it, so the second gateway does."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    checks = {"auth": {"methods": [{"oauth1": {"consumers": {KEY: {"public_key": public.decode()}}}}]}}
    signs = {"oauth1": {"consumer_key": KEY, "signature_method": "RSA-SHA1", "private_key": private}}

    def document(url, *, flow=(), credentials=()):
        return {
            "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "flow": [*flow], "to": {"connection": "on"}}],
            "connections": {"on": {"targets": [{"url": url}], "auth": [*credentials]}},
        }

    with (
        upstream() as backend,
        running(document(backend.url, flow=[checks])) as second,
        running(document(second.url, credentials=[signs])) as first,
    ):
        assert first.request("GET", "/a;b?c=%20&d").status_code == 200
        assert first.request("POST", "/a", data={"c": "d e"}).status_code == 200
        assert second.request("GET", "/a").status_code == 401

    assert backend.bodies == [b"", b"c=d+e"]
