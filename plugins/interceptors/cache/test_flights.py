"""Calls for one answer at a time, stale answers, and purging."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import httpx
import pytest

from hookgate.testing import Reset, running, upstream
from hookgate_interceptor_cache.flight import Flight

from .places import FRESH, OLD, Answers, Served, counting, document, status_of

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
