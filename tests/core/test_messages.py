"""Headers over raw bytes and bodies that stream: what they promise, over everything hypothesis thinks of."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import BadGateway, BadRequest, Body, ContentTooLarge, Headers, Request, Response
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
