"""The step in running gateways, both ways of serving, before a backend that counts."""

import asyncio
import itertools
import socket
import threading
from contextlib import contextmanager

import httpx
import pytest

from hookgate.testing import Reset, running, upstream
from hookgate_interceptor_cache.flight import Flight

numbers = itertools.count()
FRESH = {"content-type": "text/plain", "cache-control": "max-age=60"}
OLD = {**FRESH, "age": "61", "etag": '"v1"'}
"""Stale as soon as it comes."""


class Answers:
    """Answers by path, each with what its test has said."""

    def __init__(self):
        self.said = {}

    def __call__(self, request):
        said = self.said[request.path]
        return said(request) if callable(said) else said


def document(backend, *, lane, **gateway):
    steps = {
        "plain": ["cache"],
        "ttl": [{"cache": {"ttl": 60}}],
        "shared": [{"cache": {"ttl": 60, "share": "all"}}],
        "caller": [{"cache": {"share": "caller"}}],
        "key": [{"cache": {"share": "all", "key": ["request.headers['x-tenant']"]}}],
        "small": [{"cache": {"max_body": 10}}],
        "tags": [{"cache": {"tags": "Surrogate-Key"}}],
        "grace": [{"cache": {"stale_if_error": "1h"}}],
        "hasty": [{"cache": {"wait": "1ms"}}],
        "deaf": [{"cache": {"obey_clients": False}}],
        "quiet": [{"cache": {"tell": False}}],
        "trusting": [{"cache": {"vary": ["X-Client"]}}],
        "guessing": [{"cache": {"heuristics": True}}],
        "guarded": [{"auth": {"methods": [{"basic": {"users": {"ann": "a", "bob": "b"}}}]}}, {"cache": {"ttl": 60}}],
        "ahead": [
            {"cache": {"ttl": 60, "share": "all"}},
            {"auth": {"methods": [{"api-key": {"keys": {"ann": "key-of-ann"}}}]}},
        ],
        "packed": ["compress", "cache"],
        "inside": ["cache", "compress"],
        "moved": [{"destination": {"to": "request.headers['x-to']", "among": ["backend", "other"]}}, "cache"],
        "changed": ["cache", {"mask": {"response": {"text": ["secret"]}}}],
    }
    return {
        "gateway": {"lane": lane, **gateway},
        "management": {"apps": ["health", "cache"]},
        "routes": [
            {"name": name, "match": {"path": f"/{name}/{{rest...}}"}, "flow": flow, "to": {"connection": "backend"}}
            for name, flow in steps.items()
        ],
        "connections": {
            "backend": {"targets": backend.url},
            "other": {"targets": backend.url, "base_path": "/other"},
        },
    }


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "edge"])
def served(request):
    with upstream(Answers()) as backend, running(document(backend, lane=request.param)) as gate:
        yield Served(gate, backend)


class Served:
    """A gateway and its backend; each test asks for places of its own."""

    def __init__(self, gate, backend):
        self.gate = gate
        self.backend = backend

    def place(self, said, route="plain"):
        path = f"/{route}/{next(numbers)}"
        self.backend.answer.said[path] = said
        return Place(self, path)


class Place:
    def __init__(self, served, path):
        self.served, self.path = served, path

    def say(self, said):
        self.served.backend.answer.said[self.path] = said

    def get(self, method="GET", query="", **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.served.gate.client.cookies.clear()  # of other tests, which would be credentials
        return self.served.gate.request(method, self.path + query, headers=fields)

    @property
    def asked(self):
        return [request for request in self.served.backend.requests if request.path == self.path]

    @property
    def calls(self):
        return len(self.asked)

    def wait_for(self, calls):
        self.served.backend.wait_for(lambda _: self.calls == calls)


def status_of(answer):
    return answer.headers["cache-status"].removeprefix("hookgate; ")


def counting(headers=FRESH, status=200):
    """An answer with a number of its own each time."""
    made = itertools.count(1)
    return lambda _: (status, headers, f"answer {next(made)}")


@pytest.mark.row("KC-72")
def test_the_second_get_is_served_from_what_was_kept(served):
    place = served.place(counting({"content-type": "text/plain"}), "ttl")

    first, second = place.get(), place.get()

    assert (first.text, second.text, place.calls) == ("answer 1", "answer 1", 1)
    assert second.headers["content-type"] == "text/plain"
    assert (first.headers.get("age"), int(second.headers["age"]) < 60) == (None, True)
    assert status_of(first) == "fwd=uri-miss; fwd-status=200; stored"
    assert status_of(second).startswith("hit; ttl=")


@pytest.mark.row("KC-72")
def test_without_a_time_of_the_deployers_the_backend_has_to_say_how_long(served):
    silent, saying = served.place(counting({"content-type": "text/plain"})), served.place(counting())

    assert [silent.get().text for _ in range(2)] == ["answer 1", "answer 2"]
    assert [saying.get().text for _ in range(2)] == ["answer 1", "answer 1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"cache-control": "no-store, max-age=60"},
        {"cache-control": "private, max-age=60"},
        {"cache-control": "no-cache"},
        {"cache-control": "no-cache, max-age=60", "etag": '"v1"'},
        {"cache-control": "max-age=0"},
        {"cache-control": "max-age=60, s-maxage=0"},
        {"cache-control": 'max-age=60, private="'},
        {"cache-control": "no-store=1, max-age=60"},
        {"cache-control": "max-age=60", "set-cookie": "a=b"},
        {"cache-control": "max-age=60", "vary": "*"},
        {"cache-control": "max-age=60", "vary": "Accept, X-User"},
        {"cache-control": "max-age=60", "age": "60"},
        {"cache-control": "max-age=ten"},
        {"cache-control": "max-age=60, max-age=0"},
        {"expires": "0"},
        {"expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"pragma": "no-cache"},
        {"content-type": "text/event-stream; charset=utf-8", "cache-control": "max-age=60"},
    ],
    ids=str,
)
def test_what_must_not_be_kept_is_not(served, headers):
    place = served.place(counting(headers), "ttl")

    assert [place.get().text for _ in range(2)] == ["answer 1", "answer 2"]


@pytest.mark.parametrize(
    "headers",
    [
        {"cache-control": "max-age=0, s-maxage=60"},
        {"cache-control": 'max-age=60, private="X-Mine"', "x-mine": "1"},
        {"expires": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"cache-control": "public, max-age=60"},
        {"cache-control": "MAX-AGE = 60"},
        {"cache-control": 'max-age="60"'},
    ],
    ids=str,
)
def test_what_may_be_kept_is(served, headers):
    place = served.place(counting(headers))

    first, second = place.get(), place.get()

    assert (first.text, second.text) == ("answer 1", "answer 1")
    assert "x-mine" not in second.headers


def test_a_lifetime_is_guessed_where_the_deployer_wants_that(served):
    headers = {"last-modified": "Thu, 01 Jan 2015 00:00:00 GMT"}
    guessing, plain = served.place(counting(headers), "guessing"), served.place(counting(headers))

    assert [guessing.get().text for _ in range(2)] == ["answer 1", "answer 1"]
    assert [plain.get().text for _ in range(2)] == ["answer 1", "answer 2"]


def test_statuses_without_a_word_of_the_backend_are_kept_only_if_they_last(served):
    kept = served.place(counting({}, 301), "ttl"), served.place(counting({}, 410), "ttl")
    unkept = served.place(counting({}, 404), "ttl"), served.place(counting({}, 500), "ttl")

    for place in (*kept, *unkept):
        place.get(), place.get()
    assert [place.calls for place in (*kept, *unkept)] == [1, 1, 2, 2]


def test_age_is_what_came_and_the_time_here(served):
    place = served.place(counting({"cache-control": "max-age=1000", "age": "100"}))
    place.get()

    assert 100 <= int(place.get().headers["age"]) < 1000


# --- validation ----------------------------------------------------------------------------------------------------


def validating(request):
    if request.header("if-none-match") == '"v1"':
        return 304, {"etag": '"v1"', "cache-control": "max-age=60", "x-new": "1"}, b""
    return 200, {**OLD, "x-old": "1"}, "the body"


def test_what_is_stale_is_validated_and_a_304_renews_the_head(served):
    place = served.place(validating)

    first, second, third = place.get(), place.get(), place.get()

    assert [answer.text for answer in (first, second, third)] == ["the body"] * 3
    assert [request.header("if-none-match") for request in place.asked] == [None, '"v1"']
    assert (second.status_code, second.headers["x-old"], second.headers["x-new"]) == (200, "1", "1")
    assert second.headers["content-type"] == "text/plain"
    assert status_of(second).startswith("fwd=stale; fwd-status=304; stored; ttl=")
    assert status_of(third).startswith("hit")


def test_what_has_changed_takes_the_place_of_what_was_kept(served):
    place = served.place((200, OLD, "old"))
    place.get()
    place.say((200, {**FRESH, "etag": '"v2"'}, "new"))

    assert [place.get().text for _ in range(2)] == ["new", "new"]
    assert place.calls == 2


def test_without_an_etag_the_date_of_the_last_change_validates(served):
    changed = "Thu, 01 Jan 2015 00:00:00 GMT"
    headers = {"cache-control": "no-cache", "last-modified": changed}
    place = served.place(
        lambda request: (304, headers, b"") if request.header("if-modified-since") else (200, headers, "the body")
    )

    assert [place.get().text for _ in range(3)] == ["the body"] * 3
    assert [request.header("if-modified-since") for request in place.asked] == [None, changed, changed]


def test_a_304_of_something_else_answers_once_and_takes_out_what_was_kept(served):
    place = served.place(
        lambda request: (304, {"etag": '"v2"'}, b"") if request.header("if-none-match") else (200, OLD, "the body")
    )

    assert [place.get().text for _ in range(3)] == ["the body"] * 3
    assert [request.header("if-none-match") for request in place.asked] == [None, '"v1"', None]


def test_a_304_that_forbids_keeping_is_the_last_answer(served):
    def answer(request):
        if request.header("if-none-match"):
            return 304, {"etag": '"v1"', "cache-control": "no-store"}, b""
        return 200, OLD, "the body"

    place = served.place(answer)

    assert [place.get().text for _ in range(3)] == ["the body"] * 3
    assert [request.header("if-none-match") for request in place.asked] == [None, '"v1"', None]


def test_what_a_304_says_for_one_client_reaches_that_one_and_is_not_kept(served):
    def answer(request):
        if request.header("if-none-match"):
            return 304, {"etag": '"v1"', "cache-control": "max-age=60", "set-cookie": "mine=1"}, b""
        return 200, OLD, "the body"

    place = served.place(answer)

    answers = [place.get() for _ in range(3)]
    assert [answer.text for answer in answers] == ["the body"] * 3
    assert [answer.headers.get("set-cookie") for answer in answers] == [None, "mine=1", None]
    assert "detail=set-cookie" in status_of(answers[1])


def test_a_client_that_has_what_is_kept_is_told_so(served):
    place = served.place((200, {**FRESH, "etag": '"v1"', "content-language": "en"}, "the body"))
    place.get()

    same, weak = place.get(if_none_match='"v0", "v1"'), place.get(if_none_match='W/"v1"')
    other, any_ = place.get(if_none_match='"v2"'), place.get(if_none_match="*")

    assert [answer.status_code for answer in (same, weak, any_, other)] == [304, 304, 304, 200]
    assert (same.content, same.headers["etag"], "content-language" in same.headers) == (b"", '"v1"', False)
    assert (other.text, place.calls) == ("the body", 1)


def test_a_client_with_a_date_is_told_likewise(served):
    place = served.place((200, {**FRESH, "last-modified": "Thu, 01 Jan 2015 00:00:00 GMT"}, "the body"))
    place.get()

    later = place.get(if_modified_since="Thu, 01 Jan 2016 00:00:00 GMT")
    earlier = place.get(if_modified_since="Thu, 01 Jan 2014 00:00:00 GMT")
    assert (later.status_code, earlier.status_code, place.calls) == (304, 200, 1)


def test_a_condition_of_the_client_is_the_backends_where_nothing_is_kept(served):
    place = served.place(validating)

    answer = place.get(if_none_match='"v1"')

    assert (answer.status_code, place.asked[0].header("if-none-match")) == (304, '"v1"')
    assert place.get().status_code == 200


def test_a_client_with_another_version_gets_what_was_validated_with_ours(served):
    place = served.place(validating)
    place.get()

    other, same = place.get(if_none_match='"mine"'), place.get(if_none_match='"v1"')

    assert (other.status_code, other.text, same.status_code) == (200, "the body", 304)
    assert [request.header("if-none-match") for request in place.asked] == [None, '"v1"']


# --- what clients want ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["no-cache", "max-age=0", "min-fresh=100", "no-store"])
def test_a_client_may_have_the_backend_asked(served, wanted):
    place, deaf = served.place(counting()), served.place(counting(), "deaf")
    for each in (place, deaf):
        each.get()

    assert place.get(cache_control=wanted).text == "answer 2"
    assert deaf.get(cache_control=wanted).text == "answer 1"


def test_pragma_counts_where_nothing_else_is_said(served):
    place = served.place(counting())
    place.get()

    assert place.get(pragma="no-cache").text == "answer 2"
    assert place.get(pragma="no-cache", cache_control="max-age=60").text == "answer 2"
    assert place.calls == 2


def test_only_if_cached_never_goes_to_the_backend(served):
    place = served.place(counting())

    missing = place.get(cache_control="only-if-cached")
    assert (missing.status_code, missing.json()["reason"], place.calls) == (504, "not-cached", 0)
    place.get()
    assert (place.get(cache_control="only-if-cached").text, place.calls) == ("answer 1", 1)


def test_a_client_may_take_what_is_stale_unless_the_backend_forbids_it(served):
    place = served.place(counting(OLD))
    forbidden = served.place(counting({**OLD, "cache-control": "max-age=60, must-revalidate"}))
    shared = served.place(counting({**OLD, "cache-control": "s-maxage=60"}))
    for each in (place, forbidden, shared):
        each.get()

    assert place.get(cache_control="max-stale").text == "answer 1"
    assert place.get(cache_control="max-stale=600").text == "answer 1"
    assert place.get(cache_control="max-stale=0").text == "answer 2"
    assert (forbidden.get(cache_control="max-stale").text, shared.get(cache_control="max-stale").text) == (
        "answer 2",
        "answer 2",
    )


# --- which answers belong to which calls ---------------------------------------------------------------------------


def test_answers_are_selected_by_what_vary_names(served):
    place = served.place(
        lambda request: (200, {**FRESH, "vary": "Accept-Language"}, request.header("accept-language") or "-")
    )

    assert [place.get(accept_language=each).text for each in ("de", "en", "de", "en")] == ["de", "en", "de", "en"]
    assert place.get(accept_language="fr").text == "fr"
    assert place.calls == 3
    assert status_of(place.get(accept_language="it")).startswith("fwd=vary-miss")


def test_a_header_that_the_gateway_may_have_written_selects_only_if_the_deployer_says_so(served):
    def answer(request):
        return 200, {**FRESH, "vary": "X-Client"}, request.header("x-client")

    unknown, known = served.place(answer), served.place(answer, "trusting")

    for each in (unknown, known):
        assert [each.get(x_client=name).text for name in ("a", "b", "a")] == ["a", "b", "a"]
    assert (unknown.calls, known.calls) == (3, 2)


def test_another_query_is_another_answer(served):
    place = served.place(counting())

    assert [place.get(query=each).text for each in ("?a=1", "?a=2", "?a=1")] == ["answer 1", "answer 2", "answer 1"]


def test_another_host_is_another_answer(served):
    place = served.place(counting())

    assert [place.get(host=each).text for each in ("a.test", "b.test", "A.TEST")] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]


def test_another_destination_is_another_answer(served):
    place = served.place((200, FRESH, "here"), "moved")
    served.backend.answer.said[f"/other{place.path}"] = (200, FRESH, "there")

    assert [place.get(x_to=each).text for each in ("backend", "other", "backend", "other")] == ["here", "there"] * 2
    assert place.calls == 1


def test_head_is_answered_from_what_get_has_brought_and_brings_nothing(served):
    place = served.place(counting())

    before = place.get("HEAD")
    whole = place.get()
    after = place.get("HEAD")

    assert (before.status_code, place.calls) == (200, 2)
    assert (after.status_code, after.content, after.headers["content-length"]) == (200, b"", "8")
    assert whole.text == "answer 1" or whole.text == "answer 2"


def test_parts_are_the_backends(served):
    place = served.place(lambda request: (206, {**FRESH, "content-range": "bytes 0-1/8"}, "an"))

    assert [place.get(range="bytes=0-1").status_code for _ in range(2)] == [206, 206]
    place.say((200, FRESH, "the body"))
    assert (place.get().text, place.get().text) == ("the body", "the body")
    place.say((206, {**FRESH, "content-range": "bytes 0-1/8"}, "th"))
    assert place.get(range="bytes=0-1").text == "th"


def test_a_get_with_a_body_is_none_of_ours(served):
    place = served.place(counting())

    answers = [served.gate.request("GET", place.path, content=b"question").text for _ in range(2)]
    assert answers == ["answer 1", "answer 2"]


# --- callers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{"authorization": "Bearer x"}, {"cookie": "session=1"}], ids=str)
def test_an_answer_for_somebody_is_nobody_elses_unless_the_backend_says_so(served, told):
    private, public = served.place(counting()), served.place(counting({"cache-control": "public, max-age=60"}))
    shared = served.place(counting({"cache-control": "s-maxage=60"}))
    between = served.place(counting({"cache-control": "max-age=60, must-revalidate"}))

    for place in (private, public, shared, between):
        place.get(**told), place.get(**told)
    assert [place.calls for place in (private, public, shared, between)] == [2, 1, 1, 2]


def test_an_answer_for_nobody_is_not_given_to_somebody(served):
    place = served.place(counting())

    assert [place.get().text, place.get(authorization="Bearer x").text, place.get().text] == [
        "answer 1",
        "answer 2",
        "answer 1",
    ]


def test_each_caller_has_answers_of_its_own_where_the_deployer_says_so(served):
    place = served.place(lambda request: (200, FRESH, f"for {request.header('authorization')}"), "caller")

    assert [place.get(authorization=each).text for each in "aabab"] == ["for a", "for a", "for b", "for a", "for b"]
    assert place.calls == 2


def test_all_share_what_the_deployer_says_they_may(served):
    place = served.place(counting({}), "shared")

    assert [place.get(authorization=each).text for each in "ab"] == ["answer 1", "answer 1"]


def test_each_value_of_the_key_has_answers_of_its_own(served):
    place = served.place(lambda request: (200, FRESH, f"for {request.header('x-tenant')}"), "key")

    assert [place.get(x_tenant=each, authorization="x").text for each in "aabab"] == [
        *("for a", "for a", "for b", "for a", "for b")
    ]
    assert place.calls == 2


def test_nothing_is_kept_where_a_step_right_of_it_lets_callers_in(served):
    place = served.place(counting({"cache-control": "public, max-age=60"}), "ahead")

    assert [place.get(x_api_key=each).status_code for each in ("key-of-ann", "wrong", "key-of-ann")] == [200, 401, 200]
    assert (place.get().status_code, place.calls) == (401, 2)
    assert "caller-found-out-later" in status_of(place.get(x_api_key="key-of-ann"))


@pytest.mark.row("KC-72")
def test_who_is_not_let_in_gets_nothing_that_is_kept(served):
    place = served.place(counting({"cache-control": "public, max-age=60"}), "guarded")

    known = [served.gate.request("GET", place.path, auth=each) for each in (("ann", "a"), ("bob", "b"))]
    refused = [place.get(), served.gate.request("GET", place.path, auth=("ann", "wrong"))]

    assert [answer.text for answer in known] == ["answer 1", "answer 1"]
    assert [answer.status_code for answer in refused] == [401, 401]
    assert not any("answer" in answer.text for answer in refused)


def test_what_an_identity_got_stays_with_it(served):
    place = served.place(counting({}), "guarded")

    for each in (("ann", "a"), ("bob", "b"), ("ann", "a")):
        served.gate.request("GET", place.path, auth=each)
    assert place.calls == 3


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


# --- several at once -----------------------------------------------------------------------------------------------


@contextmanager
def held(place, said):
    """Hold the backend's answers back until the block ends; yields the gate of each."""
    go = threading.Event()

    async def answer(request):
        await asyncio.to_thread(go.wait, 60)
        return said(request) if callable(said) else said

    place.say(answer)
    try:
        yield go
    finally:
        go.set()


def at_once(place, number, *, followers, backend, said, monkeypatch, **headers):
    """Ask so many times at once; let the backend answer when so many wait for the others."""
    waiting = threading.Semaphore(0)
    ended = Flight.ended

    def noted(self, seconds):
        waiting.release()
        return ended(self, seconds)

    monkeypatch.setattr(Flight, "ended", noted)
    answers = []

    def ask():
        with httpx.Client(base_url=place.served.gate.url, trust_env=False, timeout=60) as client:
            answers.append(client.get(place.path, headers=headers))

    with held(place, said) as go:
        threads = [threading.Thread(target=ask) for _ in range(number)]
        for thread in threads:
            thread.start()
        for _ in range(followers):
            assert waiting.acquire(timeout=60)
        go.set()
        for thread in threads:
            thread.join(60)
    assert place.calls == backend
    return answers


def test_of_calls_for_one_answer_one_goes_to_the_backend(served, monkeypatch):
    place = served.place(None)

    answers = at_once(place, 4, followers=3, backend=1, said=(200, FRESH, "one"), monkeypatch=monkeypatch)

    assert [answer.text for answer in answers] == ["one"] * 4
    assert sorted("collapsed" in status_of(answer) for answer in answers) == [False, True, True, True]


def test_all_go_where_the_answer_may_not_be_kept_and_the_next_do_not_wait(served, monkeypatch):
    place = served.place(None)
    said = (200, {"cache-control": "private"}, "mine")

    answers = at_once(place, 3, followers=2, backend=3, said=said, monkeypatch=monkeypatch)
    assert [answer.text for answer in answers] == ["mine"] * 3
    again = at_once(place, 2, followers=0, backend=5, said=said, monkeypatch=monkeypatch)
    assert [answer.text for answer in again] == ["mine"] * 2


def test_who_has_waited_long_enough_goes_alone(served):
    place = served.place(None, "hasty")
    answers = []

    with held(place, (200, FRESH, "one")) as go:
        threads = [threading.Thread(target=lambda: answers.append(place.get().text)) for _ in range(2)]
        for thread in threads:
            thread.start()
        place.wait_for(2)
        go.set()
        for thread in threads:
            thread.join(60)
    assert answers == ["one", "one"]


def test_when_the_one_that_went_is_left_by_its_client_another_goes(served, monkeypatch):
    place = served.place(None)
    waiting = threading.Event()
    ended = Flight.ended

    def noted(self, seconds):
        waiting.set()
        return ended(self, seconds)

    monkeypatch.setattr(Flight, "ended", noted)

    async def answer(request):
        if request.header("x-leaves"):
            await asyncio.Event().wait()
        return 200, FRESH, "one"

    place.say(answer)
    answers = []
    other = threading.Thread(target=lambda: answers.append(place.get().text))
    url = httpx.URL(served.gate.url)
    with socket.create_connection((url.host, url.port)) as leaving:
        leaving.sendall(f"GET {place.path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nX-Leaves: 1\r\n\r\n".encode())
        place.wait_for(1)
        other.start()
        assert waiting.wait(60)
    other.join(60)
    assert (answers, place.calls) == (["one"], 2)


# --- stale answers -------------------------------------------------------------------------------------------------


def failing(*, fault):
    return Reset() if fault else (503, {}, "down")


@pytest.mark.parametrize("fault", [True, False], ids=["fault", "503"])
def test_a_stale_answer_stands_for_a_failure_where_that_is_allowed(served, fault):
    said = served.place((200, {**OLD, "cache-control": "max-age=60, stale-if-error=600"}, "old"))
    unsaid, grace = served.place((200, OLD, "old")), served.place((200, OLD, "old"), "grace")
    strict = served.place((200, {**OLD, "cache-control": "max-age=60, must-revalidate"}, "old"), "grace")
    over = served.place((200, {**OLD, "cache-control": "max-age=60, stale-if-error=1"}, "old"), "grace")
    for place in (said, unsaid, grace, strict, over):
        place.get()
        place.say(failing(fault=fault))

    assert [place.get().status_code for place in (said, grace)] == [200, 200]
    assert [place.get().status_code for place in (unsaid, strict, over)] == [502 if fault else 503] * 3
    assert said.get().text == "old"
    assert "stale-if-error" in status_of(said.get())
    said.say((404, {}, "gone"))
    assert said.get().status_code == 404
    said.say(failing(fault=fault))
    assert said.get().status_code == (502 if fault else 503)


def test_those_who_wait_for_a_call_that_fails_get_the_stale_answer_too(served, monkeypatch):
    place = served.place((200, {**OLD, "cache-control": "max-age=60, stale-if-error=600"}, "old"))
    place.get()

    answers = at_once(place, 3, followers=2, backend=2, said=(503, {}, "down"), monkeypatch=monkeypatch)

    assert [answer.text for answer in answers] == ["old"] * 3


def test_a_stale_answer_is_given_while_another_call_validates(served):
    place = served.place((200, {**OLD, "cache-control": "max-age=60, stale-while-revalidate=600"}, "old"))
    place.get()
    answers = []

    with held(place, (200, FRESH, "new")) as go:
        thread = threading.Thread(target=lambda: answers.append(place.get().text))
        thread.start()
        place.wait_for(2)
        with httpx.Client(base_url=served.gate.url, trust_env=False, timeout=60) as client:
            meanwhile = client.get(place.path)
        go.set()
        thread.join(60)
    assert (meanwhile.text, answers) == ("old", ["new"])
    assert "stale-while-revalidate" in status_of(meanwhile)
    assert (place.get().text, place.calls) == ("new", 2)


# --- taking out ----------------------------------------------------------------------------------------------------


def caches(served):
    return httpx.get(f"{served.gate.management}/-/cache", trust_env=False).json()["caches"]


def purge(served, **asked):
    return httpx.post(f"{served.gate.management}/-/cache/purge", params=asked, trust_env=False)


def test_answers_are_taken_out_by_tag(served):
    one = served.place(counting({**FRESH, "surrogate-key": "shoes, red"}), "tags")
    two = served.place(counting({**FRESH, "surrogate-key": "shoes blue"}), "tags")
    first = [place.get() for place in (one, two)]

    assert not [answer for answer in (*first, one.get(), two.get()) if "surrogate-key" in answer.headers]
    assert purge(served, tag="red").json() == {"purged": 1}
    assert [place.get().text for place in (one, two)] == ["answer 2", "answer 1"]
    assert purge(served, tag="shoes").json() == {"purged": 2}
    assert purge(served, tag="shoes").json() == {"purged": 0}


def test_tags_outlive_a_304(served):
    place = served.place(
        lambda request: (
            (304, {"etag": '"v1"', "cache-control": "max-age=60"}, b"")
            if request.header("if-none-match")
            else (200, {**OLD, "surrogate-key": "hats"}, "the body")
        ),
        "tags",
    )
    place.get(), place.get()

    assert purge(served, tag="hats").json() == {"purged": 1}


def test_answers_are_taken_out_by_url_or_all_of_a_step(served):
    one, two = served.place(counting()), served.place(counting())
    for place in (one, two):
        place.get()

    assert purge(served, url=f"{served.gate.url}{one.path}").json() == {"purged": 1}
    assert [place.get().text for place in (one, two)] == ["answer 2", "answer 1"]
    assert purge(served, all="true", step="routes.plain/cache").json()["purged"] >= 2
    assert [place.get().text for place in (one, two)] == ["answer 3", "answer 2"]


def test_what_was_asked_for_before_is_not_kept_after_it_was_taken_out(served):
    place = served.place(None)
    answers = []

    with held(place, (200, FRESH, "before")) as go:
        thread = threading.Thread(target=lambda: answers.append(place.get().text))
        thread.start()
        place.wait_for(1)
        assert purge(served, url=f"{served.gate.url}{place.path}").json() == {"purged": 0}
        go.set()
        thread.join(60)
    place.say((200, FRESH, "after"))
    assert (answers, place.get().text) == (["before"], "after")


@pytest.mark.parametrize("asked", [{}, {"tag": "a", "url": "b"}, {"all": "no"}, {"tags": "a"}, {"step": "x"}], ids=str)
def test_a_purge_that_says_nothing_clear_takes_out_nothing(served, asked):
    place = served.place(counting())
    place.get()

    assert purge(served, **asked).status_code == 400
    assert purge(served, all="true", step="nowhere").status_code == 404
    assert place.get().text == "answer 1"


# --- the rest ------------------------------------------------------------------------------------------------------


def test_clients_are_told_nothing_where_the_deployer_does_not_want_it(served):
    place = served.place(counting(), "quiet")

    assert not [answer for answer in (place.get(), place.get()) if "cache-status" in answer.headers]


def test_over_http_2_it_is_the_same(served):
    place = served.place(counting({**FRESH, "etag": '"v1"'}))
    with httpx.Client(base_url=served.gate.url, http1=False, http2=True, trust_env=False, timeout=60) as client:
        first, second = client.get(place.path), client.get(place.path)
        same = client.get(place.path, headers={"if-none-match": '"v1"'})

    assert (first.http_version, first.text, second.text, same.status_code) == ("HTTP/2", "answer 1", "answer 1", 304)
    assert (place.calls, place.get().text) == (1, "answer 1")


def test_how_much_is_kept_stands_on_the_page_of_health(served):
    served.place(counting()).get()
    found = httpx.get(f"{served.gate.management}/-/health", trust_env=False).json()

    assert found["plugins"]["routes.plain/cache"]["entries"] >= 1


def test_what_is_kept_survives_a_reload_that_leaves_its_meaning():
    with upstream(Answers()) as backend:
        written = document(backend, lane=True)
        with running(written) as gate:
            place = Served(gate, backend).place(counting())
            assert place.get().text == "answer 1"
            gate.reload(written)
            assert place.get().text == "answer 1"
            written["routes"][0]["flow"] = [{"cache": {"max_entries": 5}}]
            gate.reload(written)
            assert place.get().text == "answer 1"
            written["routes"][0]["flow"] = [{"cache": {"share": "all"}}]
            gate.reload(written)
            assert place.get().text == "answer 2"
