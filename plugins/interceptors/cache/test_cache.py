"""What is kept, for how long, and how it is validated, in running gateways, both ways of serving."""

import pytest

from .places import FRESH, OLD, counting, status_of, validating


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
