"""The client of the house, against servers that speak raw bytes."""

import gzip
import socket

import pytest

from hookgate import BadGateway
from hookgate.client import Client
from hookgate.client.urls import parsed

from .rawserver import OK, answering, client, fault_of, serving

# --- what goes out ----------------------------------------------------------------------------------------------------


async def test_the_client_returns_the_answer_with_its_body_read():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        assert await reader.readexactly(3) == b"a=1"
        writer.write(OK)

    async with serving(handler) as backend, client() as small:
        url = f"{backend.url}/token?x=%2F"
        response = await small.request("POST", url, headers={"Authorization": "Basic x"}, body=b"a=1")

        assert (response.status, response.body.data) == (200, b"ok")
        assert backend.heads == [
            [
                b"POST /token?x=%2F HTTP/1.1",
                f"Host: 127.0.0.1:{backend.port}".encode(),
                b"Authorization: Basic x",
                b"content-length: 3",
            ]
        ]


async def test_nothing_goes_out_that_was_not_asked_for():
    async with serving(answering(OK)) as backend, client() as small:
        await small.request("GET", f"{backend.url}/", headers={"host": "auth.example"})
        await small.request("Purge", backend.url)

        assert backend.heads == [
            [b"GET / HTTP/1.1", b"host: auth.example"],
            [b"Purge / HTTP/1.1", f"Host: 127.0.0.1:{backend.port}".encode()],
        ]


async def test_a_request_body_of_any_size_goes_out_whole():
    body = bytes(range(256)) * 16384

    async def handler(backend, reader, writer):
        assert b"content-length: %d" % len(body) in await backend.head(reader)
        writer.write(OK if await reader.readexactly(len(body)) == body else b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as backend, client() as small:
        assert (await small.request("PUT", backend.url, body=body)).status == 200


@pytest.mark.parametrize(
    ("url", "target", "path", "query"),
    [
        ("http://h", "http://h", "/", ""),
        ("HTTPS://Example.ORG:443?x=1#f", "https://example.org", "/", "x=1"),
        ("http://h:8080/a/b;v=1/@:?a=b&c=%20&=", "http://h:8080", "/a/b;v=1/@:", "a=b&c=%20&="),
        ("http://h:/a b/\xfc/%zz/%2F/%7e", "http://h", "/a%20b/%C3%BC/%zz/%2F/%7e", ""),
        ("http://h/a/./b/../../../c/%2e%2e", "http://h", "/c/%2e%2e", ""),
        ("http://h//a?x={y}|[z]\xfc'<>", "http://h", "//a", "x={y}|[z]%C3%BC'%3C%3E"),
        ("http://h/?", "http://h", "/", ""),
        ("http://[2001:db8::1]:81/", "http://[2001:db8::1]:81", "/", ""),
        ("http://M\xfcnchen.example/", "http://xn--mnchen-3ya.example", "/", ""),
        ("http://auth_server.internal/", "http://auth_server.internal", "/", ""),
    ],
)
def test_a_url_is_taken_apart_as_browsers_do_it(url, target, path, query):
    place = parsed(url)

    assert (place.target.url, place.path, place.query) == (target, path, query)


@pytest.mark.parametrize(
    "url",
    [
        *("/relative", "ftp://example.org/", "http://", "http://u:p@example.org/", "http://h:port/", " http://h/"),
        *("http://u:p@h:port/", "//h/", "http://:80/", "http://h:0/", "http://h:65536/", "http://h\\@i/"),
        *("http://300.1.1.1/", "http://[::1/", "http://[x]/", "http://a b/", "http://h%2F/", "http://\u2100.example/"),
        *("http://h/\r\nX: y", "http://h\t/", "http://h/\x00", "http://fa\xdf.example/", ""),
    ],
)
async def test_the_client_refuses_what_is_not_a_plain_absolute_url(url):
    async with client() as small:
        with pytest.raises(ValueError, match="URL") as caught:
            await small.request("GET", url)

    assert "u:p" not in str(caught.value)


async def test_proxies_of_the_environment_are_not_looked_at(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(answering(OK)) as backend, client() as small:
        assert (await small.request("GET", backend.url)).status == 200


async def test_a_server_may_have_an_ipv6_address():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with serving(answering(OK), "::1") as backend, client() as small:
        assert (await small.request("GET", backend.url)).body.data == b"ok"

        assert f"Host: [::1]:{backend.port}".encode() in backend.heads[0]


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_the_client_follows_no_redirect():
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(moved)) as backend, client() as small:
        assert (await small.request("GET", backend.url)).status == 302
        assert len(backend.heads) == 1


async def test_the_client_keeps_no_cookies():
    async with serving(answering(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1))) as backend, client() as small:
        answers = [await small.request("GET", backend.url) for _ in range(2)]

        assert answers[0].headers["set-cookie"] == "a=b"
        assert b"a=b" not in b"".join(backend.heads[1])


async def test_the_answer_comes_back_undecoded():
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 299 Fine\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(answering(head + packed)) as backend, client() as small:
        response = await small.request("GET", backend.url)

    assert (response.status, response.headers["content-encoding"], response.body.data) == (299, "gzip", packed)


@pytest.mark.parametrize(
    ("head", "wire"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (b"Connection: close\r\n", b"hello"),
        (b"", b"hello"),
    ],
)
async def test_a_body_of_unknown_length_is_read_to_its_end(head, wire):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for byte in wire:
            await writer.drain()
            writer.write(bytes([byte]))

    async with serving(handler) as backend, client() as small:
        response = await small.request("GET", backend.url)

    assert response.body.data == b"hello"
    assert "transfer-encoding" not in response.headers
    assert "connection" not in response.headers


async def test_a_large_answer_is_read_whole_though_it_comes_in_many_pieces():
    size = Client.answer_limit
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with serving(answering(head + bytes(size))) as backend, client() as small:
        assert len((await small.request("GET", backend.url)).body.data) == size


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
        b"HTTP/1.1 200 OK\r\n\r\n123456789",
    ],
)
async def test_the_client_refuses_an_answer_that_is_too_long(answer):
    async with serving(answering(answer)) as backend, client() as small:
        small.answer_limit = 8
        assert type(await fault_of(small.request("GET", backend.url))) is BadGateway
        await small.aclose()  # which a connection that is whole needs to be closed
        await backend.until(lambda: backend.open == 0)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n'),
        ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_leaves_its_connection_for_the_next_call(method, answer):
    async with serving(answering(answer)) as backend, client() as small:
        for _ in range(3):
            assert (await small.request(method, backend.url)).body.data == b""

        assert backend.accepted == 1
