"""What takes answers out, and bodies that stream, are long or break off."""

import asyncio
import threading

import httpx
import pytest

from hookgate.testing import Reset

from .places import FRESH, counting

# --- what changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "LINK"])
def test_a_method_that_succeeds_takes_out_what_is_kept(served, method):
    place = served.place(counting())
    place.get()

    assert place.get(method).text == "answer 2"
    assert place.get().text == "answer 3"


def test_one_that_fails_and_one_that_only_asks_take_out_nothing(served):
    place = served.place(counting())
    place.get()
    place.say((403, {}, "no"))

    for method in ("DELETE", "OPTIONS", "HEAD"):
        place.get(method)
    assert place.get().text == "answer 1"


def test_what_location_names_goes_too_if_it_is_ours(served):
    made, moved, far = served.place(counting()), served.place(counting()), served.place(counting())
    for each in (made, moved, far):
        each.get()
    headers = {"location": made.path + "#part", "content-location": f"{served.gate.url}{moved.path}"}
    served.place((201, headers, "")).get("POST")
    served.place((201, {"location": f"http://elsewhere.test{far.path}"}, "")).get("POST")

    assert [each.get().text for each in (made, moved, far)] == ["answer 2", "answer 2", "answer 1"]


# --- bodies --------------------------------------------------------------------------------------------------------


def chunked(*chunks, **headers):
    return lambda _: (200, {**FRESH, "transfer-encoding": "chunked", **headers}, iter(chunks))


def test_a_body_of_chunks_is_kept_once_it_is_whole(served):
    place = served.place(chunked(b"one ", b"two"))

    assert [place.get().text for _ in range(2)] == ["one two", "one two"]
    assert (place.calls, place.get().headers["content-length"]) == (1, "7")


def test_a_long_body_streams_through_unkept(served):
    known, unknown = served.place((200, FRESH, "x" * 11), "small"), served.place(chunked(b"x" * 6, b"x" * 5), "small")
    short = served.place(chunked(b"x" * 6, b"x" * 4), "small")

    for place, length in ((known, 11), (unknown, 11), (short, 10)):
        assert [len(place.get().content) for _ in range(2)] == [length, length]
    assert [place.calls for place in (known, unknown, short)] == [2, 2, 1]
    assert all(cache["octets"] > 0 for cache in caches(served) if cache["entries"])


def test_the_first_octets_of_a_long_body_reach_the_client_before_its_last_are_sent(served):
    may_go_on = threading.Event()

    async def slowly():
        yield b"first"
        await asyncio.to_thread(may_go_on.wait, 60)
        yield b" and last"

    place = served.place(lambda _: (200, {**FRESH, "transfer-encoding": "chunked"}, slowly()))
    with served.gate.client.stream("GET", place.path) as answer:
        chunks = answer.iter_bytes()
        assert next(chunks) == b"first"
        may_go_on.set()
        assert b"".join(chunks) == b" and last"
    assert (place.get().text, place.calls) == ("first and last", 1)


def test_nothing_half_is_kept_when_the_client_hangs_up(served):
    left = threading.Event()

    async def slowly():
        yield b"half"
        await asyncio.to_thread(left.wait, 60)
        yield b"." * 100_000

    place = served.place(lambda _: (200, {**FRESH, "transfer-encoding": "chunked"}, slowly()))
    over = len(served.gate.finished)
    with httpx.Client(base_url=served.gate.url, trust_env=False, timeout=60) as client:
        with client.stream("GET", place.path) as answer:
            assert next(answer.iter_bytes()) == b"half"
    served.gate.wait_for_exchanges(over + 1)
    left.set()
    place.say((200, FRESH, "whole"))

    assert [place.get().text for _ in range(2)] == ["whole", "whole"]


@pytest.mark.parametrize("length", [None, "100"])
def test_nothing_half_is_kept_when_the_backend_breaks_off(served, length):
    head = f"Content-Length: {length}\r\n\r\nhalf" if length else "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    place = served.place(Reset(f"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{head}".encode()))
    with pytest.raises(httpx.HTTPError):
        place.get().raise_for_status()
    place.say((200, FRESH, "whole"))

    assert [place.get().text for _ in range(2)] == ["whole", "whole"]


def test_steps_left_of_it_see_every_answer_as_if_it_came_from_the_backend(served):
    place = served.place((200, FRESH, "x" * 5000), "packed")

    first, second, plain = place.get(), place.get(), place.get(accept_encoding="identity")

    assert [answer.headers.get("content-encoding") for answer in (first, second, plain)] == ["gzip", "gzip", None]
    assert [answer.text for answer in (first, second, plain)] == ["x" * 5000] * 3
    assert place.calls == 1


def test_what_steps_right_of_it_make_of_a_stream_is_kept(served):
    place = served.place(chunked(b"x" * 5000, b"y" * 5000), "inside")

    answers = [place.get(accept_encoding="gzip") for _ in range(2)]
    plain = place.get(accept_encoding="identity")

    assert [answer.text for answer in (*answers, plain)] == ["x" * 5000 + "y" * 5000] * 3
    assert [answer.headers.get("content-encoding") for answer in (*answers, plain)] == ["gzip", "gzip", None]
    assert int(answers[1].headers["content-length"]) < 1000
    assert place.calls == 2


@pytest.mark.parametrize("streams", [True, False])
def test_what_steps_right_of_it_have_made_of_an_answer_is_kept(served, streams):
    headers = {**FRESH, "etag": '"of-other-octets"', "repr-digest": "sha-256=:x:"}
    said = (200, {**headers, "transfer-encoding": "chunked"}, iter([b"a sec", b"ret b"])) if streams else None
    place = served.place(said or (200, headers, "a secret b"), "changed")

    first, second = place.get(), place.get()

    assert (first.text, second.text, place.calls) == ("a ******** b", "a ******** b", 1)
    assert (second.headers.get("etag"), second.headers.get("repr-digest")) == ('W/"of-other-octets"', None)


# --- taking out ----------------------------------------------------------------------------------------------------


def caches(served):
    return httpx.get(f"{served.gate.management}/-/cache", trust_env=False).json()["caches"]
