"""Headers over raw bytes and bodies that stream: what they promise, over everything hypothesis thinks of."""

import asyncio
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import BadGateway, BadRequest, Body, ContentTooLarge, Forbidden, Headers, Request, Response
from hookgate.exchange.errors import Fault, PluginError

names = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)


class TestHeaders:
    def test_names_compare_without_case_and_keep_their_case(self):
        headers = Headers([("X-Thing", "1"), ("x-other", "2")])

        assert headers["x-thing"] == headers["X-THING"] == "1"
        assert headers.raw[0] == (b"X-Thing", b"1")
        assert list(headers) == ["x-thing", "x-other"]

    def test_add_appends_and_set_puts_one_line_in_the_place_of_all(self):
        headers = Headers([("a", "1"), ("b", "x"), ("A", "2")])
        headers.add("a", "3")
        assert headers.getall("A") == ["1", "2", "3"]
        headers.set("A", "4")
        assert list(headers.items()) == [("a", "4"), ("b", "x")]

    @given(names, st.text(max_size=20))
    def test_no_value_can_smuggle_a_line(self, name, value):
        headers = Headers()
        try:
            headers.add(name, value)
        except ValueError:
            return
        assert not set(headers.raw[0][1]) & set(b"\r\n\0")

    @given(st.text(max_size=12), values)
    def test_only_tokens_are_names(self, name, value):
        try:
            Headers().add(name, value)
        except ValueError:
            return
        assert name
        assert all(33 <= ord(c) < 127 and c not in '"(),/:;<=>?@[\\]{}' for c in name)

    @given(st.lists(st.tuples(names, values)), names, values)
    def test_set_leaves_exactly_one_and_nobody_else_changed(self, fields, name, value):
        headers = Headers(fields)
        others = [pair for pair in headers.items() if pair[0] != name.lower()]
        headers.set(name, value)

        assert headers.getall(name) == [value.strip(" \t")]
        assert [pair for pair in headers.items() if pair[0] != name.lower()] == others
        headers.remove(name)
        assert list(headers.items()) == others


async def chunked(*chunks):
    for chunk in chunks:
        yield chunk


def streamed(body):
    async def all_of_it():
        return b"".join([chunk async for chunk in body.stream()])

    return asyncio.run(all_of_it())


class Copy:
    def __init__(self):
        self.data, self.complete = b"", None

    def write(self, chunk):
        self.data += chunk

    def close(self, complete):
        assert self.complete is None
        self.complete = complete


class TestBody:
    @given(st.lists(st.binary(max_size=50)))
    def test_a_stream_passes_unchanged_and_once(self, chunks):
        body = Body(chunked(*chunks))

        assert streamed(body) == b"".join(chunks)
        with pytest.raises(RuntimeError, match="already been streamed"):
            streamed(body)

    @given(st.lists(st.binary(max_size=50)))
    def test_what_was_read_can_be_streamed_again_and_again(self, chunks):
        body = Body(chunked(*chunks))

        assert asyncio.run(body.read()) == body.data == b"".join(chunks)
        assert body.replayable
        assert streamed(body) == streamed(body) == b"".join(chunks)

    @given(st.lists(st.binary(max_size=50)), st.booleans())
    def test_maps_see_what_the_maps_before_them_made(self, chunks, read_first):
        body = Body(chunked(*chunks))
        if read_first:
            asyncio.run(body.read())
        body.map(bytes.upper, lambda: b"|end")
        body.map(lambda chunk: chunk.replace(b"|", b"/"))

        assert body.changed
        assert streamed(body) == b"".join(chunks).upper().replace(b"|", b"/") + b"/end"

    @given(st.lists(st.binary(max_size=50)))
    def test_a_copy_is_what_left(self, chunks):
        body, copy = Body(chunked(*chunks)), Copy()
        body.tee(copy)

        assert streamed(body) == copy.data
        assert copy.complete is True

    def test_a_copy_learns_that_the_stream_broke_off(self):
        async def breaking():
            yield b"a"
            raise BadGateway("gone")

        body, copy = Body(breaking()), Copy()
        body.tee(copy)
        with pytest.raises(BadGateway):
            streamed(body)

        assert (copy.data, copy.complete) == (b"a", False)

    def test_a_reader_that_stops_early_lets_go_of_the_source_and_says_so(self):
        closed = []

        class Source:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return b"x"

            async def aclose(self):
                closed.append("source")

        async def main():
            body, copy = Body(Source()), Copy()
            body.tee(copy)
            body.on_close(lambda error: closed.append(type(error).__name__))
            stream = body.stream()
            await anext(stream)
            await stream.aclose()
            await body.close()
            return copy.complete

        assert asyncio.run(main()) is False
        assert closed == ["source", "GeneratorExit"]

    @pytest.mark.parametrize(("fault", "status"), [(ContentTooLarge, 413), (BadGateway, 502)])
    def test_limits_end_in_the_fault_of_their_side(self, fault, status):
        for act in (streamed, lambda body: asyncio.run(body.read())):
            with pytest.raises(fault) as caught:
                act(Body(chunked(b"x" * 6, b"x" * 5), limit=10, too_large=fault))
            assert caught.value.status == status
        with pytest.raises(fault):
            asyncio.run(Body(chunked(b"x" * 11), keep_limit=10, too_large=fault).read())
        with pytest.raises(fault):
            asyncio.run(Body(chunked(), length=11, keep_limit=10, too_large=fault).read())

    def test_json_that_is_none_is_a_bad_request(self):
        assert asyncio.run(Body(b'{"a": [1]}').json()) == {"a": [1]}
        with pytest.raises(BadRequest, match="not JSON"):
            asyncio.run(Body(b"{").json())


def soon(function):
    """Make something that waits of something that does not."""

    async def waits(*arguments):
        await asyncio.sleep(0)
        return function(*arguments)

    return waits


maps = st.lists(st.tuples(st.sampled_from("fnu"), st.booleans(), st.booleans()), max_size=3)


class Remembering:
    """A map that keeps the last byte back until the end, and marks the end."""

    def __init__(self, mark):
        self.mark, self.kept = mark, b""

    def feed(self, chunk):
        known = self.kept + chunk
        self.kept = known[-1:]
        return known[:-1]

    def flush(self):
        return self.kept + self.mark


def put(body, drawn):
    for word, waits, flushes in drawn:
        changing = {"u": bytes.upper, "n": lambda chunk: b""}.get(word)
        changer = Remembering(word.encode())
        feed = changing or changer.feed
        flush = changer.flush if word == "f" else (lambda: b"|") if flushes else None
        body.map(soon(feed) if waits else feed, flush and (soon(flush) if waits else flush))


class TestWhatIsAsynchronous:
    @given(st.lists(st.binary(max_size=20)), maps, st.booleans())
    def test_a_map_that_waits_makes_what_one_that_does_not_makes(self, chunks, drawn, read_first):
        bodies = Body(chunked(*chunks)), Body(chunked(*chunks))
        if read_first:
            for body in bodies:
                asyncio.run(body.read())
        put(bodies[0], [(word, False, flushes) for word, _, flushes in drawn])
        put(bodies[1], [(word, True, flushes) for word, _, flushes in drawn])

        assert streamed(bodies[0]) == streamed(bodies[1])
        assert bodies[0].changed == bodies[1].changed == bool(drawn)

    def test_the_next_chunk_is_asked_for_when_the_map_has_let_go_of_the_last(self):
        notes = []

        async def source():
            for chunk in (b"a", b"b"):
                notes.append(f"asked for {chunk.decode()}")
                yield chunk

        async def slow(chunk):
            await asyncio.sleep(0.01)
            notes.append(f"mapped {chunk.decode()}")
            return chunk

        body = Body(source())
        body.map(slow)
        assert streamed(body) == b"ab"
        assert notes == ["asked for a", "mapped a", "asked for b", "mapped b"]

    @pytest.mark.parametrize(
        "feed", [lambda chunk: "text", soon(lambda chunk: None), soon(lambda chunk: 1 / 0), lambda chunk: 1 / 0]
    )
    def test_a_map_that_makes_no_bytes_of_a_stream_is_a_plugin_error(self, feed):
        body, ended = Body(chunked(b"a")), []
        body.map(feed)
        body.on_close(ended.append)
        with pytest.raises(PluginError, match="in a map of the body"):
            streamed(body)
        assert [type(error) for error in ended] == [PluginError]

    @given(st.lists(st.binary(max_size=20)), maps, maps, st.lists(st.integers(0, 60), min_size=1, max_size=3))
    def test_who_looks_at_the_beginning_leaves_the_body_whole(self, chunks, before, after, looks):
        plain, looked_at = Body(chunked(*chunks)), Body(chunked(*chunks))
        put(plain, before)
        whole, plain = streamed(plain), Body(chunked(*chunks))
        copies = Copy(), Copy()
        for body, sink in zip((plain, looked_at), copies, strict=True):
            put(body, before)
            body.tee(sink)

        async def look():
            for most in looks:
                assert await looked_at.peek(most) == whole[:most]
            put(looked_at, after)
            return b"".join([chunk async for chunk in looked_at.stream()])

        put(plain, after)
        found = asyncio.run(look())
        assert copies[1].data == found
        assert looked_at.received == sum(map(len, chunks))
        assert looked_at.changed == bool(before or after)
        assert found == streamed(plain)

    @given(st.binary(max_size=20), st.integers(0, 30))
    def test_a_body_that_is_held_is_held_as_before(self, data, most):
        body = Body(data)

        assert asyncio.run(body.peek(most)) == data[:most]
        assert body.data == streamed(body) == data
        assert (body.length, body.changed, body.replayable) == (len(data), False, True)

    def test_looking_takes_no_more_than_it_must(self):
        asked = []

        async def source():
            for chunk in (b"ab", b"cd", b"ef"):
                asked.append(chunk)
                yield chunk

        async def main():
            body = Body(source(), length=6)
            found = [await body.peek(3), await body.peek(2), list(asked), await body.peek(4), list(asked)]
            return [*found, body.length, await body.read(), body.data]

        assert asyncio.run(main()) == [
            *(b"abc", b"ab", [b"ab", b"cd"], b"abcd", [b"ab", b"cd"], 6, b"abcdef", b"abcdef"),
        ]

    @pytest.mark.parametrize("most", [11, 100])
    def test_looking_keeps_to_the_limit(self, most):
        ended = []

        async def main():
            body = Body(chunked(b"x" * 6, b"x" * 5), limit=10)
            body.on_close(ended.append)
            assert await body.peek(6) == b"x" * 6
            await body.peek(most)

        with pytest.raises(ContentTooLarge):
            asyncio.run(main())
        assert [type(error) for error in ended] == [ContentTooLarge]

    def test_a_limit_that_is_set_afterwards_holds_for_what_was_looked_at(self):
        async def main():
            body = Body(chunked(b"x" * 6, b"x" * 5))
            await body.peek(1)
            body.limit = 10
            await body.read()

        with pytest.raises(ContentTooLarge):
            asyncio.run(main())

    def test_a_body_that_breaks_off_while_somebody_looks_is_over(self):
        async def breaking():
            yield b"a"
            raise BadGateway("gone")

        async def main():
            body, copy = Body(breaking()), Copy()
            body.tee(copy)
            assert await body.peek(1) == b"a"
            with pytest.raises(BadGateway):
                await body.peek(2)
            with pytest.raises(RuntimeError, match="already been streamed"):
                await body.peek(1)
            return copy.complete

        assert asyncio.run(main()) is False

    def test_a_body_that_nobody_reads_after_looking_lets_go_of_its_source(self):
        closed = []

        async def source():
            try:
                yield b"a"
                yield b"b"
            finally:
                closed.append("source")

        async def main():
            body = Body(source())
            body.on_close(lambda error: closed.append("body"))
            assert await body.peek(1) == b"a"
            await body.close()
            await body.close()

        asyncio.run(main())
        assert closed == ["source", "body"]


class TestGuards:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("status", value) for value in ("404", None, 99, 101, 199, 1000, True, 200.0)),
            *(("body", value) for value in (b"", "x", None)),
            *(("headers", value) for value in ({"a": "b"}, [("a", "b")], None)),
        ],
    )
    def test_a_response_takes_nothing_that_cannot_be_sent(self, name, value):
        response = Response.text("ok")
        with pytest.raises((TypeError, ValueError), match=f"response.{name} is"):
            setattr(response, name, value)
        assert (response.status, response.body.data, len(response.headers)) == (200, b"ok", 1)

    @pytest.mark.parametrize("name", ["method", "path", "query", "scheme", "host", "client", "peer", "http_version"])
    def test_a_request_takes_texts_where_texts_belong(self, name):
        request = Request()
        for value in (None, b"x", 7):
            with pytest.raises(TypeError, match=f"request.{name} is str"):
                setattr(request, name, value)
        setattr(request, name, "x")
        assert getattr(request, name) == "x"

    def test_messages_are_of_their_own_class_and_can_be_copied(self):
        for message in (Request("PUT", "/a", headers=Headers({"a": "b"})), Response(201, {"a": "b"}, b"x")):
            twin = copy.copy(message)
            assert type(message) is type(twin) in (Request, Response)
            assert twin.headers is message.headers
            with pytest.raises(TypeError):
                twin.body = None

    @pytest.mark.parametrize("status", ["200", None, 2.0])
    def test_a_response_is_made_with_a_number(self, status):
        with pytest.raises(TypeError, match=r"response.status is int"):
            Response(status)


def test_a_problem_tells_the_number_that_its_fault_has():
    class Numbered(Forbidden):
        code = 900910

    told, plain = (json.loads(Response.problem(fault("No.")).body.data) for fault in (Numbered, Forbidden))

    assert told["code"] == 900910
    assert "code" not in plain


def test_a_problem_tells_the_client_what_it_may_know():
    told = Response.problem(ContentTooLarge("At most 10 bytes.", headers={"x-limit": "10"}))
    kept = Response.problem(PluginError("password is hunter2"))

    assert told.status == 413
    assert told.headers["x-limit"] == "10"
    assert b"At most 10 bytes." in told.body.data
    assert b"hunter2" not in kept.body.data
    assert Response.problem(Fault("x")).status == 500


def test_a_request_knows_its_target_and_its_parameters():
    request = Request("GET", "/a%20b", "x=1&x=2&y=%2F")

    assert request.target == "/a%20b?x=1&x=2&y=%2F"
    assert request.params == {"x": "1", "y": "/"}
