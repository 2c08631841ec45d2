import base64
import hashlib

import pytest

from hookgate import Body, ConfigError, Exchange, Outbound, Request, Target
from hookgate.testing import build, running, upstream
from hookgate_header_digest import Digest

HELLO = b'{"hello": "world"}'
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def digested(body, **options):
    outbound = Outbound("POST", Target("http", "crm", 80), "/", body=Body(body))
    return build(Digest, **options).value(Exchange(Request()), outbound)


@pytest.mark.parametrize(
    ("body", "sha256", "sha512"),
    [
        (
            HELLO,  # the example of RFC 9530 and of the signature draft
            "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
            "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==",
        ),
        (
            HELLO + b"\n",
            "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=",
            "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==",
        ),
        (
            b"",
            EMPTY,
            "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        ),
        (
            bytes(range(256)),
            "QK/y6dLYki5Hr9RkjmlnSXFYeF+9Hahw5xECZr+USIA=",
            "HnuAvI7cVSyP7rJ4DhEUd+W8cEZfrBp3sps1mAw/DOSgNqbJRiA2gkvVaAHmKvfp/rpcIu2KWvh3v33hF9ysbQ==",
        ),
        (
            "€ ünï".encode(),
            "TWpGPUy6MLcTh/y1pYyTX9NwNezebYuag1ZRckcP2t0=",
            "shzywlWIZeIzpwidkyRFpZFD4xk0owYWRPUpztAv08qMn53OMcoyuIVwpXX9+8iTmPg7xBhN60LrXjnetMZXdQ==",
        ),
    ],
)
def test_known_digests(body, sha256, sha512):
    assert digested(body) == f"SHA-256={sha256}"
    assert digested(body, algorithm="sha-512") == f"SHA-512={sha512}"
    assert digested(body, format="content-digest") == f"sha-256=:{sha256}:"
    assert digested(body, algorithm="sha-512", format="content-digest") == f"sha-512=:{sha512}:"


@pytest.mark.parametrize("options", [{"algorithm": "md5"}, {"algorithm": "SHA-256"}, {"format": "repr-digest"}])
def test_other_algorithms_and_forms_are_refused(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}: "):
        build(Digest, **options)


def document(backend, *flow, **connection):
    headers = [
        {"set": "Digest", "from": "digest"},
        {"set": "Content-Digest", "from": {"digest": {"algorithm": "sha-512", "format": "content-digest"}}},
    ]
    return {
        "gateway": {"limits": {"buffered_body": 300_000}},
        "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": backend.url, "headers": headers, **connection}},
    }


def sha(name, body):
    return base64.b64encode(hashlib.new(name, body).digest()).decode()


@pytest.mark.row("AC-22")
def test_the_backend_gets_the_digest_of_what_it_gets():
    with upstream() as backend, running(document(backend)) as gate:
        gate.request("POST", "/", content=HELLO, headers={"Digest": "SHA-256=lie", "Content-Digest": "sha-256=:lie:"})
        gate.request("POST", "/", content=iter([HELLO[:5], HELLO[5:]]))
        gate.request("GET", "/")
        gate.request("PUT", "/", content=b"")

    assert [request.body for request in backend.requests] == [HELLO, HELLO, b"", b""]
    assert [request.all("digest") for request in backend.requests] == [
        ["SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="],
        ["SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="],
        [f"SHA-256={EMPTY}"],
        [f"SHA-256={EMPTY}"],
    ]
    for request in backend.requests:
        assert request.all("content-digest") == [f"sha-512=:{sha('sha512', request.body)}:"]


def test_a_body_above_the_limit_is_refused_and_the_backend_hears_nothing():
    with upstream() as backend, running(document(backend)) as gate:
        assert gate.request("POST", "/", content=b"a" * 300_000).status_code == 200
        assert gate.request("POST", "/", content=b"a" * 300_001).status_code == 413
        assert gate.request("POST", "/", content=iter([b"a" * 100_000] * 4)).status_code == 413

    assert [len(request.body) for request in backend.requests] == [300_000]


PLUGINS = '''
from hookgate import Interceptor, Options, hookimpl


class Shout(Interceptor[Options]):
    """Changes the body as it streams."""

    writes = {"request.body"}

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.map(bytes.upper, lambda: b"!")


class Replace(Interceptor[Options]):
    """Puts another body in the place of the client's."""

    writes = {"request.body"}

    @hookimpl
    def on_request(self, exchange):
        exchange.request.body.set(b"something else")
'''


@pytest.mark.parametrize(("step", "body"), [("shout", b"ABCDEF!"), ("replace", b"something else")])
def test_the_digest_is_of_what_the_steps_made_of_the_body(tmp_path, step, body):
    (tmp_path / "steps.py").write_text(PLUGINS)
    with upstream() as backend, running(document(backend, step), plugins_dir=tmp_path) as gate:
        assert gate.request("POST", "/", content=b"abcdef").status_code == 200
        assert gate.request("POST", "/", content=iter([b"abc", b"def"])).status_code == 200

    for request in backend.requests:
        assert request.body == body
        assert request.all("digest") == [f"SHA-256={sha('sha256', body)}"]
    assert len(backend.requests) == 2
