"""Connections to a backend that are kept: what ends them costs no call, and a pool keeps its bound."""

import socket
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookgate.testing import running

from .both_ways.wire import Wire
from .faultybackend import PATIENCE, WAYS, Backend, _numbers, echo, front, get, ok, plugin_folders, wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plugin_folders(tmp_path_factory)


# --- connections that are kept ---------------------------------------------------------------------------------------


@contextmanager
def fresh_door(acts, folder, way="lane", backends=1, **connection):
    with ExitStack() as stack:
        found = [stack.enter_context(Backend(acts)) for _ in range(backends)]
        document = front(*(backend.url for backend in found), way=way, **connection)
        document["gateway"]["flow"] = ["counting"]
        gate = stack.enter_context(running(document, plugins_dir=folder[WAYS[way][1]]))
        yield gate, *found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_the_backend_closes_while_it_is_idle_costs_nothing(folder, way, method):
    def closing(call):
        call.say(ok(b"kept"))
        call.wait()
        call.socket.shutdown(socket.SHUT_WR)
        call.hear_the_end()

    with fresh_door({"closing": closing}, folder, way) as (gate, backend), Wire(gate.url) as wire:
        for number in range(5):
            assert wire.send(get(f"/closing/{number}")).answer().body == b"kept"
            call = backend.call_of(f"/closing/{number}")
            call.go.set()
            assert call.ended.wait(PATIENCE)
            answer = wire.send(get(f"/echo/{number}", b"Content-Length: 0", method=method)).answer(method)
            assert (answer.status, answer.body) == (200, f"/echo/{number}".encode())
            backend.wait_for(lambda: True)


def closes_kept_ones(call):
    """A connection that is closed at the very moment that a second request goes out on it."""
    if call.nth > 1:
        return False
    return echo(call)


@pytest.mark.parametrize("way", WAYS)
def test_a_get_that_meets_the_end_of_a_kept_connection_is_repeated_once_and_a_post_is_502(folder, way):
    with fresh_door({"kept": closes_kept_ones}, folder, way) as (gate, backend), Wire(gate.url) as wire:
        assert wire.send(get("/kept/1")).answer().body == b"/kept/1"
        assert wire.send(get("/kept/2")).answer().body == b"/kept/2"
        assert (backend.times["/kept/2"], backend.connections) == (2, 2)

        put = get("/kept/3", b"Content-Length: 4", method="PUT") + b"body"
        if way == "hypercorn":  # where a body is never at hand
            put = get("/kept/3", method="DELETE")
        assert wire.send(put).answer().body == b"/kept/3"
        assert (backend.times["/kept/3"], backend.connections) == (2, 3)

        refused = wire.send(get("/kept/4", b"Content-Length: 0", method="POST")).answer()
        assert (refused.status, b"upstream-closed" in refused.body) == (502, True)
        assert (backend.times["/kept/4"], backend.connections) == (1, 3)

        assert wire.send(get("/kept/5", b"Content-Length: 0", method="POST")).answer().body == b"/kept/5"
        wait_until(lambda: len(gate.finished) == 5)
        assert [exchange.outcome for exchange in gate.finished] == ["ok"] * 5
        assert gate.gateway.live.backends["backend"].connection.targets[0].in_flight == 0


def test_a_get_that_is_repeated_takes_a_new_connection_and_not_another_old_one(folder):
    def together(call):
        if call.nth == 1 and call.path.startswith("/kept/first"):
            call.wait()
        return closes_kept_ones(call)

    with fresh_door({"kept": together}, folder) as (gate, backend), ExitStack() as stack:
        wires = [stack.enter_context(Wire(gate.url)) for _ in range(3)]
        for number, wire in enumerate(wires):
            wire.send(get(f"/kept/first{number}"))
        for number in range(3):
            backend.call_of(f"/kept/first{number}").go.set()
        assert [wire.answer().status for wire in wires] == [200] * 3

        assert wires[0].send(get("/kept/again")).answer().body == b"/kept/again"
        assert backend.times["/kept/again"] == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_may_end_in_the_same_moment_as_a_call_comes(folder, way, method):
    def closing(call):
        call.say(ok(b"kept"))
        call.wait()
        call.socket.shutdown(socket.SHUT_WR)
        call.ended.set()

    words = get("/echo/1", b"Content-Length: 0", method=method)
    pool = {"pool": {"max_connections": 1}}
    answers = []
    with fresh_door({"closing": closing}, folder, way, **pool) as (gate, backend), Wire(gate.url) as wire:
        for number in range(20):
            assert wire.send(get(f"/closing/{number}")).answer().body == b"kept"
            call = backend.call_of(f"/closing/{number}")
            with stalled(gate):
                if number % 2:
                    wire.send(words)
                call.go.set()
                assert call.ended.wait(PATIENCE)
                if not number % 2:
                    wire.send(words)
            answers.append(wire.answer())
    allowed = {200} if method == "GET" else {200, 502}
    assert {answer.status for answer in answers} <= allowed, Counter(answer.body for answer in answers)


@pytest.mark.parametrize("words", [b"", b"garbage\r\n"], ids=["silent", "garbage"])
@pytest.mark.parametrize("way", WAYS)
def test_connections_that_end_before_the_request_goes_out_cost_no_place_of_the_pool(folder, way, words):
    """The backend accepts, perhaps says something, and closes; after a while it is well again, and so are its calls."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        well = threading.Event()

        def accept():
            with suppress(OSError):
                while True:
                    accepted, _ = listener.accept()
                    with accepted:
                        if well.is_set():
                            accepted.recv(65536)
                            accepted.sendall(ok(b"well", b"Connection: close"))
                        else:
                            accepted.sendall(words)

        threading.Thread(target=accept, daemon=True).start()
        document = front(url, way=way, pool={"max_connections": 2}, timeouts={"connect": 1, "read": 1})
        document["gateway"]["flow"] = ["counting"]
        with running(document, plugins_dir=folder[WAYS[way][1]]) as gate, Wire(gate.url) as wire:
            ill = [wire.send(get("/")).answer().status for _ in range(40)]
            well.set()
            answers = [wire.send(get("/")).answer() for _ in range(5)]
        listener.shutdown(socket.SHUT_RDWR)
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"well")] * 5
    assert set(ill) == {502}


# --- the bound of a pool ---------------------------------------------------------------------------------------------


def held(call):
    """Answer when told, unless the gateway leaves first."""
    call.socket.settimeout(0.005)
    while not call.go.is_set():
        try:
            if not call.socket.recv(65536):
                return False
        except TimeoutError:
            continue
    call.socket.settimeout(None)
    return echo(call)


STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "start", "finish", "cancel"]), st.integers(0, 7)), min_size=4, max_size=24
)


@pytest.mark.parametrize("way", ["lane", "hypercorn"])
@pytest.mark.parametrize(
    "targets",
    [1, 2],
)
def test_whatever_calls_do_the_pool_keeps_its_bound_and_loses_no_place(folder, way, targets):
    bound = 3

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def interleaved(steps):
        calls = {}
        for step, which in steps:
            if step == "start":
                path = f"/held/{next(_numbers)}"
                calls[path] = Wire(gate.url).send(get(path))
            elif calls:
                path = list(calls)[which % len(calls)]
                if step == "cancel":
                    calls.pop(path).socket.close()
                    continue
                arrived = next((each for each in calls if any(each in backend.calls for backend in found)), None)
                if arrived is not None:  # the call that waits longest has a place by now, or will have one
                    finish(calls, arrived)
            bounded()
        while calls:
            wait_until(lambda: any(each in backend.calls for each in calls for backend in found))
            finish(calls, next(each for each in calls if any(each in backend.calls for backend in found)))
            bounded()
        every_place_is_free()

    def finish(calls, path):
        wait_until(lambda: any(path in backend.calls for backend in found))
        next(backend.calls[path] for backend in found if path in backend.calls).go.set()
        wire = calls.pop(path)
        answer = wire.answer()
        assert (answer.status, answer.body) == (200, path.encode())
        wire.socket.close()

    def bounded():
        wait_until(lambda: sum(backend.open for backend in found) <= bound)

    def every_place_is_free():
        paths = [f"/held/{next(_numbers)}" for _ in range(bound)]
        wires = [Wire(gate.url).send(get(path)) for path in paths]
        wait_until(lambda: all(any(path in backend.calls for backend in found) for path in paths))
        for path in paths:
            next(backend.calls[path] for backend in found if path in backend.calls).go.set()
        for path, wire in zip(paths, wires, strict=True):
            assert wire.answer().body == path.encode()
            wire.socket.close()
        bounded()

    pool = {"pool": {"max_connections": bound}, "timeouts": {"connect": 20}}
    with fresh_door({"held": held}, folder, way, targets, **pool) as (gate, *found):
        interleaved()
        wait_until(lambda: gate.gateway.status()["in_flight"] == 0)
        assert [target["in_flight"] for target in gate.gateway.status()["connections"]["backend"]] == [0] * targets


PINNED = '''
from hookgate import Balancer, Options, hookimpl

class Pinned(Balancer[Options]):
    """The path says which target: /name/index/number."""

    @hookimpl
    def pick(self, exchange, targets):
        return targets[int(exchange.request.path.split("/")[2])]
'''


@contextmanager
def stalled(gate):
    """Have the gateway do nothing for as long as the block lasts: what comes meanwhile comes in one turn."""
    entered, release = threading.Event(), threading.Event()

    def stall():
        entered.set()
        release.wait(PATIENCE)

    gate._loop.call_soon_threadsafe(stall)
    assert entered.wait(PATIENCE)
    try:
        yield
    finally:
        release.set()


def test_the_bound_holds_over_all_targets_when_places_change_from_one_to_another(tmp_path):
    (tmp_path / "pinned.py").write_text(PINNED)
    with ExitStack() as stack:
        first, second = (stack.enter_context(Backend({"held": held})) for _ in range(2))
        document = front(first.url, second.url, pool={"max_connections": 2}, balancer="pinned")
        gate = stack.enter_context(running(document, plugins_dir=tmp_path))
        wires = [stack.enter_context(Wire(gate.url)) for _ in range(4)]
        for number in range(2):
            wires[number].send(get(f"/held/0/{number}"))
            first.call_of(f"/held/0/{number}")
        for number in range(2, 4):
            wires[number].send(get(f"/held/1/{number}"))
        wait_until(lambda: gate.gateway.status()["in_flight"] == 4)
        with stalled(gate):
            for number in range(2):
                first.calls[f"/held/0/{number}"].go.set()
            first.wait_for(lambda: all(first.calls[f"/held/0/{number}"].answered for number in range(2)))
        for number in range(2, 4):
            second.call_of(f"/held/1/{number}")
        with first.changed:
            assert first.changed.wait_for(lambda: first.open == 0, 3), "idle connections make room for the new ones"
        for number in range(2, 4):
            second.calls[f"/held/1/{number}"].go.set()
        assert [wire.answer().status for wire in wires] == [200] * 4
