"""Backends that do everything wrong: the client gets an honest answer, and nobody else notices."""

import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from hookgate.testing import running

from .both_ways.wire import Ended, Wire
from .faultyanswers import CUT, FAULTS, IMPATIENT, problem, served
from .faultybackend import PATIENCE, WAYS, Backend, Door, _numbers, front, get, ok, plugin_folders, refusing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plugin_folders(tmp_path_factory)


@pytest.fixture(scope="module", params=WAYS)
def door(request, folder):
    way = request.param
    acts = {name: act for name, (act, _) in FAULTS.items()}
    with Backend(acts) as backend:
        document = front(backend.url, way=way, timeouts={"read": 15, "request": 20})
        document["gateway"] |= {"flow": ["counting"], "limits": {"head": 600, "keep_alive": 600}}
        impatient = {"targets": backend.url, "timeouts": {"read": 5, "request": 7}}  # what is good comes before
        document["connections"] |= {"impatient": impatient, "nobody": {"targets": refusing()}}
        for name in ("impatient", "nobody"):
            route = {"name": name, "match": {"path": f"/{name}/{{rest...}}"}}
            document["routes"].insert(0, {**route, "to": {"connection": name, "path": "/{rest}"}})
        with running(document, plugins_dir=folder[WAYS[way][1]]) as gate:
            with closing(Door(gate, backend, way)) as door:
                yield door


def outcome_for(wire, call, *, waits):
    """What the client got: a problem, an answer, or a connection that was cut in the middle of one."""
    try:
        if not waits:
            answer = wire.answer()
        else:
            answer = wire.head()
            rest = wire.buffer
            call().go.set()
            wire.rest()
            raise Ended(rest)
    except (Ended, ConnectionResetError):
        return CUT, None
    if answer["content-type"] == "application/problem+json":
        reason = re.search(rb'"reason": ?"([^"]+)"', answer.body)[1].decode()
        return problem(answer.status, reason), answer
    return served(answer.body, answer.status), answer


def matches(got, expected):
    wanted = expected if isinstance(expected, list) else [expected]
    return any(
        got[:2] == each[:2] and (got[0] != "problem" or got[2] <= each[2]) and (got[0] != "served" or got == each)
        for each in wanted
    )


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in IMPATIENT])
def test_a_fault_of_the_backend_is_told_honestly_and_harms_nobody_else(door, name):
    for _ in range(2):  # once perhaps on a new connection to the backend, then on one that has carried others
        told_honestly(door, name)


def test_a_backend_that_stalls_is_told_honestly_and_harms_nobody_else(door):
    door.others_are_served(prefix="/impatient")  # some of its connections have carried others, and some are new
    with ThreadPoolExecutor() as pool:
        for told in [pool.submit(told_honestly, door, name, "/impatient") for name in 2 * sorted(IMPATIENT)]:
            told.result()


def told_honestly(door, name, prefix=""):
    act, expected = FAULTS[name]
    path = f"/{name}/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        wire.send(get(prefix + path))
        got, answer = outcome_for(wire, lambda: door.backend.call_of(path), waits=hasattr(act, "waits"))
        door.backend.call_of(path).go.set()
        assert matches(got, expected), (name, got)
        exchange = door.exchange_of(prefix + path)
        attempt = exchange.attempts[-1].outcome.kind
        if got[0] == "problem":
            assert (exchange.outcome, exchange.fault.reason) == ("ok", next(iter(got[2])))
            assert attempt == ("timeout" if got[1] == 504 else "broken")
        elif got == CUT:
            assert (exchange.outcome, attempt) == (("timeout",) * 2 if name in IMPATIENT else ("broken",) * 2)
        else:
            assert (exchange.outcome, attempt) == ("ok", "ok")
        assert Counter(door.done)[prefix + path] == 1

        again = [wire] if answer is not None and not answer.closes else []
        with door.turn:
            door.others_are_served(*again, prefix=prefix)


def test_a_refused_connection_is_502_and_harms_nobody_else(door):
    with Wire(door.gate.url) as wire:
        path = f"/nobody/{next(_numbers)}"
        answer = wire.send(get(path)).answer()
        assert (answer.status, b"connect-refused" in answer.body) == (502, True)
        exchange = door.exchange_of(path)
        assert [attempt.outcome.kind for attempt in exchange.attempts] == ["connect-failed"]
        assert Counter(door.done)[path] == 1
        door.others_are_served(wire)


@pytest.mark.parametrize("name", ["bytes", "an answer", "one byte"])
def test_what_a_backend_says_while_nobody_asks_ends_its_connection(door, name):
    words = {"bytes": b"surprise\r\n", "an answer": ok(b"stolen"), "one byte": b"H"}[name]

    def late(call):
        call.say(ok(b"right"))
        call.wait()
        call.say(words)
        call.hear_the_end()

    door.backend.acts["late"] = late
    path = f"/late/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        assert wire.send(get(path)).answer().body == b"right"
        call = door.backend.call_of(path)
        call.go.set()
        assert call.ended.wait(PATIENCE)
        door.others_are_served(wire)


@pytest.mark.parametrize("name", ["chunks-that-break-off", "a-bad-chunk-size", "without-length-and-reset"])
def test_a_client_of_http_1_0_can_tell_that_its_answer_broke_off(door, name):
    """The end of the connection is the end of the body for it, so only a reset says that there is more."""
    if door.way == "hypercorn":
        pytest.skip("Hypercorn ends its connections itself")
    path = f"/{name}/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        wire.send(get(path).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert wire.head().status == 200
        door.backend.call_of(path).go.set()
        with pytest.raises(ConnectionResetError):
            wire.rest()


# --- answers before the request is whole -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 300000", b"Transfer-Encoding: chunked"], ids=["length", "chunks"]
)
@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("then", ["close", "read on", "stay"])
def test_an_answer_before_the_request_is_whole_is_the_answer(door, status, then, framing):
    def early(call):
        call.body(5)
        call.say(b"HTTP/1.1 %d Early\r\nContent-Length: 5\r\n\r\nearly" % status)
        if then == "close":
            call.socket.shutdown(socket.SHUT_WR)
        call.hear_the_end()

    door.backend.acts["early"] = early
    path = f"/early/{next(_numbers)}"
    chunk = b"x" * 1000
    piece = chunk if framing.startswith(b"Content") else b"3e8\r\n" + chunk + b"\r\n"
    with Wire(door.gate.url) as wire:
        wire.send(get(path, framing, method="POST") + piece)
        answer = wire.answer("POST")
        assert (answer.status, answer.body) == (status, b"early")
        for _ in range(299):
            wire.send_if_open(piece)
        if not framing.startswith(b"Content"):
            wire.send_if_open(b"0\r\n\r\n")
        call = door.backend.call_of(path)
        assert call.ended.wait(PATIENCE), "the connection to the backend cannot be used again"
        exchange = door.exchange_of(path)
        assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("ok", "ok")
        assert Counter(door.done)[path] == 1
        door.others_are_served(*([] if answer.closes else [wire]))


def test_a_backend_that_leaves_in_the_middle_of_a_request_is_502(door):
    def leaving(call):
        call.body(5)
        call.reset()

    door.backend.acts["leaving"] = leaving
    path = f"/leaving/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        wire.send(get(path, b"Content-Length: 100", method="PUT") + b"x" * 10)
        answer = wire.answer()
        assert (answer.status, b"upstream-closed" in answer.body) == (502, True)
        exchange = door.exchange_of(path)
        assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("ok", "broken")
        assert door.backend.times[path] == 1, "a request whose body is not at hand is not repeated"
        door.others_are_served()


# --- clients that leave ----------------------------------------------------------------------------------------------


def goes(wire, how):
    if how == "resets":
        wire.reset()
    else:
        wire.socket.close()


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("when", ["before the answer", "in the request", "in the request's chunks", "in the answer"])
def test_the_backend_learns_at_once_that_the_client_has_left(door, when, how):
    def patient(call):
        if when == "in the answer":
            call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        call.hear_the_end()

    door.backend.acts["patient"] = patient
    path = f"/patient/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        if when == "in the request":
            wire.send(get(path, b"Content-Length: 1000", method="POST") + b"half")
        elif when == "in the request's chunks":
            wire.send(get(path, b"Transfer-Encoding: chunked", method="POST") + b"4\r\nhalf\r\n")
        else:
            wire.send(get(path))
        call = door.backend.call_of(path)
        if when == "in the answer":
            assert wire.head().status == 200
            assert wire.take(4) == b"half"
        goes(wire, how)
        assert call.ended.wait(PATIENCE)
    exchange = door.exchange_of(path)
    assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("aborted", "aborted")
    assert Counter(door.done)[path] == 1
    door.others_are_served()


def test_the_backend_learns_at_once_that_a_client_who_did_not_read_has_left(door):
    def large(call):
        call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with suppress(OSError):
            while True:
                call.say(b"x" * 65536)
        call.ended.set()

    door.backend.acts["large"] = large
    path = f"/large/{next(_numbers)}"
    with Wire(door.gate.url, receive_buffer=4096) as wire:
        wire.send(get(path))
        call = door.backend.call_of(path)
        wire.take(10)
        wire.reset()
        assert call.ended.wait(PATIENCE)
    assert door.exchange_of(path).outcome == "aborted"
    door.others_are_served()
