import gzip
import threading
import zlib

import pytest

from hookgate import Body, ConfigError, Exchange, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_compress import Compress

TEXT = b"All work and no play makes Jack a dull boy. " * 100


def answer(type_="text/plain", body=TEXT, status=200, **headers):
    fields = {"content-type": type_} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, fields, body)


def compressed(response=None, accept="gzip", method="GET", **options):
    headers = {} if accept is None else {"accept-encoding": accept}
    exchange = through(build(Compress, **options), upstream=response or answer(), headers=headers, method=method)
    return exchange.response


def is_gzip(response):
    return response.headers.get("content-encoding") == "gzip"


def test_a_body_is_compressed_and_comes_out_the_same():
    response = compressed()

    assert response.headers.getall("content-encoding") == ["gzip"]
    assert len(response.body.data) < len(TEXT) / 10
    assert gzip.decompress(response.body.data) == TEXT
    assert response.body.changed


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("br, gzip ; Q=0.001", True),
        ("*", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity;q=0, *", True),
        (None, False),
        ("", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("identity", False),
        ("gzip;q=2", False),
        ("gzip;level=1", False),
        ("gzipped", False),
    ],
)
def test_the_client_decides_by_accept_encoding(accept, wanted):
    response = compressed(accept=accept)

    assert is_gzip(response) is wanted
    assert response.body.data != TEXT if wanted else response.body.data == TEXT
    assert response.headers.getall("vary") == ["Accept-Encoding"]


class TakesOut(Interceptor[Options]):
    """Has the backend answer plain, as steps that look into bodies do."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.headers.remove("accept-encoding")


def test_what_the_client_said_counts_though_a_step_further_right_takes_it_out():
    exchange = through(build(Compress), TakesOut(Options()), upstream=answer(), headers={"accept-encoding": "gzip"})

    assert is_gzip(exchange.response)


@pytest.mark.parametrize(
    "type_",
    [
        "text/html; charset=utf-8",
        "TEXT/CSS",
        "application/json",
        "application/javascript",
        "application/xml;x=y",
        "application/problem+json",
        "image/svg+xml",
    ],
)
def test_text_of_every_kind_is_compressed(type_):
    assert is_gzip(compressed(answer(type_)))


@pytest.mark.parametrize("type_", ["image/png", "application/octet-stream", "application/jsonp", "", "text", "xtext/a"])
def test_other_kinds_pass_as_they_are_and_do_not_vary(type_):
    response = compressed(answer(type_))

    assert response.body.data == TEXT
    assert "vary" not in response.headers


def test_types_can_be_named_with_wildcards():
    types = ["application/*+json", "image/*"]

    fits = {
        type_: is_gzip(compressed(answer(type_), types=types))
        for type_ in ("application/hal+json", "image/bmp", "application/json", "text/plain", "image/")
    }
    assert fits == {
        "application/hal+json": True,
        "image/bmp": True,
        "application/json": False,
        "text/plain": False,
        "image/": False,
    }


def test_event_streams_are_never_compressed():
    assert compressed(answer("text/event-stream; x=y"), types=["text/*", "text/event-stream"]).body.data == TEXT


@pytest.mark.parametrize(
    "response",
    [
        lambda: answer(content_encoding="br"),
        lambda: answer(content_encoding="identity"),
        lambda: answer(cache_control="public, No-Transform"),
        lambda: answer(content_range="bytes 0-9/100"),
        lambda: answer(status=206),
        lambda: answer(status=204, body=b""),
    ],
)
def test_what_may_not_be_changed_is_not(response):
    before, after = response(), compressed(response())

    assert after.body.data == before.body.data
    assert after.headers == before.headers


@pytest.mark.parametrize(("size", "wanted"), [(1023, False), (1024, True)])
def test_small_bodies_pass_as_they_are_and_do_not_vary(size, wanted):
    response = compressed(answer(body=b"x" * size))

    assert is_gzip(response) is wanted
    assert ("vary" in response.headers) is wanted


def test_nothing_is_not_compressed_even_without_a_minimum():
    assert compressed(answer(body=b""), min_size=0).body.data == b""
    assert is_gzip(compressed(answer(body=b"x"), min_size=0))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["Origin"], ["Origin, Accept-Encoding"]),
        (["Origin", "Cookie"], ["Origin, Cookie, Accept-Encoding"]),
        (["accept-encoding"], ["accept-encoding"]),
        (["*"], ["*"]),
    ],
)
def test_vary_is_completed(before, after):
    response = answer()
    for value in before:
        response.headers.add("vary", value)

    assert compressed(response).headers.getall("vary") == after


def test_the_answer_to_head_varies_and_tells_no_length_that_get_would_not_have():
    response = compressed(answer(body=b"", content_length="5000"), method="HEAD")

    assert response.headers.get("vary") == "Accept-Encoding"
    assert "content-length" not in response.headers
    assert response.headers.get("content-encoding") == "gzip"
    assert compressed(answer(body=b"", content_length="5"), method="HEAD").headers["content-length"] == "5"
    plain = compressed(answer(body=b"", content_length="5000"), method="HEAD", accept=None)
    assert plain.headers["content-length"] == "5000"


def test_a_higher_level_makes_it_smaller():
    text = b"".join(b"%d " % (number * number) for number in range(5000))
    sizes = [len(compressed(answer(body=text), level=level).body.data) for level in (1, 9)]

    assert sizes[1] < sizes[0]


async def test_each_chunk_of_a_stream_leaves_at_once_and_can_be_read_at_once():
    async def source():
        for part in (b"first", b"", b"second"):
            yield part

    exchange = Exchange(request := through(headers={"accept-encoding": "gzip"}).request)
    assert request.headers["accept-encoding"] == "gzip"
    exchange.response = answer(body=Body(source()))
    step = build(Compress)
    step.on_request(exchange)
    step.on_response(exchange)

    unpacker = zlib.decompressobj(31)
    read = [unpacker.decompress(chunk) async for chunk in exchange.response.body.stream()]
    assert [text for text in read if text] == [b"first", b"second"]
    assert unpacker.eof


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 0}, "level: .*greater than or equal to 1"),
        ({"level": 10}, "level: .*less than or equal to 9"),
        ({"min_size": -1}, "min_size: "),
        ({"types": []}, "types: "),
        ({"types": ["text"]}, r"types\[0\]: .*is not a media type"),
        ({"types": ["*/*"]}, r"types\[0\]: .*is not a media type"),
        ({"algorithm": "br"}, "algorithm: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Compress, **options)


def gateway(backend):
    return {
        "routes": [{"name": "all", "flow": ["compress"], "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def test_clients_of_a_gateway_get_proper_framing_and_no_stale_validators():
    with upstream() as backend, running(gateway(backend)) as gate:
        fields = {"content-type": "text/plain", "etag": '"abc"', "accept-ranges": "bytes"}
        backend.answer = lambda request: (200, fields, TEXT)
        packed = gate.request("GET", "/", headers={"accept-encoding": "gzip"})
        plain = gate.request("GET", "/", headers={"accept-encoding": "identity"})
        head = gate.request("HEAD", "/", headers={"accept-encoding": "gzip"})

    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == TEXT  # which httpx has decompressed
    assert packed.num_bytes_downloaded < len(TEXT) / 10
    assert "accept-ranges" not in packed.headers
    assert packed.headers["etag"] == 'W/"abc"'
    assert packed.headers.get("content-length") != str(len(TEXT))
    assert (plain.headers["etag"], plain.headers["content-length"]) == ('"abc"', str(len(TEXT)))
    assert packed.headers["vary"] == plain.headers["vary"] == head.headers["vary"] == "Accept-Encoding"
    assert "content-length" not in head.headers


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize("accept", ["gzip", "identity"])
@pytest.mark.parametrize("size", [len(TEXT), 10, None], ids=["long", "short", "unknown"])
@pytest.mark.parametrize("tag", ['"v1"', 'W/"v1"'])
def test_head_and_304_say_what_get_says(lane, accept, size, tag):
    """RFC 9110, 9.3.2 and 15.4.5. A 304 does not tell whether the body is short."""
    fields = {"content-type": "text/plain", "etag": tag, "accept-ranges": "bytes", "cache-control": "max-age=5"}
    fields |= {"repr-digest": "sha-256=:x:", "vary": "Cookie", "expires": "0", "content-location": "/a"}

    def answer(request):
        if request.header("if-none-match"):
            return 304, {name: value for name, value in fields.items() if "digest" not in name}, b""
        if size is None:
            return 200, {**fields, "transfer-encoding": "chunked"}, iter([TEXT])
        return 200, {**fields, "content-length": str(size)}, TEXT[:size]

    with upstream(answer) as backend:
        document = gateway(backend)
        document["gateway"] = {"lane": lane}
        with running(document) as gate:
            asked = {"accept-encoding": accept}
            get, head = gate.request("GET", "/", headers=asked), gate.request("HEAD", "/", headers=asked)
            same = gate.request("GET", "/", headers={**asked, "if-none-match": get.headers["etag"]})
            changed = gate.request("PUT", "/", headers={**asked, "if-match": get.headers["etag"]})
    assert (get.content, head.content, same.status_code, changed.status_code) == (TEXT[:size], b"", 304, 200)
    framing = {"date", "transfer-encoding", "content-length"}
    assert {k: v for k, v in get.headers.items() if k not in framing} == {
        k: v for k, v in head.headers.items() if k not in framing
    }
    if "content-length" in head.headers:
        assert head.headers["content-length"] == get.headers["content-length"]
    told = {"cache-control", "content-location", "expires"}
    if size != 10:
        told |= {"etag", "vary"}
    assert {name: same.headers[name] for name in told} == {name: get.headers[name] for name in told}
    assert backend.requests[-2].header("if-none-match") == get.headers["etag"]
    packed = accept == "gzip" and size != 10
    assert get.headers["etag"] == ('W/"v1"' if packed or tag.startswith("W") else '"v1"')
    asked_for = backend.requests[-1].header("if-match")
    assert asked_for == (f'{get.headers["etag"]}, "v1"' if get.headers["etag"].startswith("W") else '"v1"')


def test_a_304_that_tells_type_and_length_is_told_apart():
    for fields in ({"content-type": "image/png"}, {"content-length": "10"}, {"cache-control": "no-transform"}):
        response = compressed(Response(304, {"etag": '"v1"', **fields}, b""))
        assert (response.headers["etag"], response.headers.get("vary")) == ('"v1"', None)
    response = compressed(Response(304, {"etag": '"v1"'}, b""))
    assert (response.headers["etag"], response.headers.get("vary")) == ('W/"v1"', "Accept-Encoding")
    response = compressed(Response(304, {"etag": '"v1"'}, b""), accept=None)
    assert (response.headers["etag"], response.headers.get("vary")) == ('"v1"', "Accept-Encoding")


def test_a_client_of_a_gateway_reads_the_first_chunk_before_the_second_is_there():
    arrived = threading.Event()

    async def slowly():
        import asyncio

        yield b"first"
        await asyncio.to_thread(arrived.wait, 30)
        yield b"second"

    with upstream() as backend, running(gateway(backend)) as gate:
        backend.answer = lambda request: (200, {"content-type": "text/plain", "transfer-encoding": "chunked"}, slowly())
        with gate.client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as response:
            chunks = (chunk for chunk in response.iter_bytes() if chunk)
            assert next(chunks) == b"first"
            arrived.set()
            assert list(chunks) == [b"second"]
            assert response.headers["content-encoding"] == "gzip"


def test_a_part_says_of_vary_what_the_whole_says_and_stays_as_it_is():
    """RFC 9110, 15.3.7."""
    fields = {"content-type": "text/plain", "etag": '"v1"', "vary": "Cookie", "content-range": f"bytes 0-9/{len(TEXT)}"}
    for accept in ("gzip", None):
        response = compressed(Response(206, fields, TEXT[:10]), accept=accept)
        assert (response.headers["vary"], response.headers["etag"]) == ("Cookie, Accept-Encoding", '"v1"')
        assert (response.body.data, response.headers.get("content-encoding")) == (TEXT[:10], None)
    picture = compressed(Response(206, {**fields, "content-type": "image/png"}, TEXT[:10]))
    assert picture.headers["vary"] == "Cookie"
