"""What is easy to get wrong and lets callers in, or hangs a gateway: twelve faults, and the kit finds all of them."""

import asyncio
import os
import socket
import threading
import time

import pytest

from hookgate import AuthMethod, Interceptor, Observer, Options, Response, Section, hookimpl
from hookgate_authoring.conformance import Nonconforming, conformance


class Sleeps(Interceptor[Options]):
    """Gives the backend a moment."""

    @hookimpl
    def on_request(self, exchange):
        time.sleep(5)


class ReadsSocket(Observer[Options]):
    """Waits for somebody to confirm."""

    @hookimpl
    def startup(self, host):
        self.mine, self.other = socket.socketpair()

    @hookimpl
    def shutdown(self):
        for end in vars(self).pop("mine", None), vars(self).pop("other", None):
            if end is not None:
                end.close()

    @hookimpl
    def exchange_finished(self, exchange):
        self.other.send(b"x")
        self.mine.recv(1)


class WaitsForEver(Interceptor[Options]):
    """Waits for what nobody says."""

    @hookimpl
    async def on_request(self, exchange):
        await asyncio.Event().wait()


class RunsForEver(AuthMethod[Options]):
    """Looks for a name, and does not stop where there is none."""

    @hookimpl
    def identify(self, exchange):
        while exchange.request.headers.get("x-user") is None:
            pass


class Yields(Interceptor[Options]):
    """Gives what cannot be awaited."""

    @hookimpl
    def on_request(self, exchange):
        return self.answers()

    async def answers(self):
        yield Response(403)


class AdmitsAll(AuthMethod[Options]):
    """Says yes where it should say who."""

    @hookimpl
    def identify(self, exchange):
        return True


class LeavesTasks(Observer[Options]):
    """Begins tasks behind the back of its host."""

    tasks = set()

    @hookimpl
    async def startup(self, host):
        self.tasks.add(asyncio.create_task(asyncio.sleep(60)))


class LeavesThreads(Observer[Options]):
    """Begins a thread that nobody ends."""

    ends = []

    @hookimpl
    def startup(self, host):
        self.ends.append(threading.Event())
        threading.Thread(target=self.ends[-1].wait, daemon=True).start()


class LeavesFiles(Observer[Options]):
    """Opens what nobody closes."""

    opened = []

    @hookimpl
    def startup(self, host):
        self.opened += os.pipe()


class LeavesInstances(Observer[Options]):
    """Knows every instance that there has ever been."""

    known = []

    @hookimpl
    def startup(self, host):
        self.known.append(self)


class Counts(Section[Options]):
    """Keeps what a document that may be refused says."""

    def __init__(self, items=()):
        super().__init__(items)
        self.seen = 0

    @hookimpl
    def routes(self, site):
        self.seen += 1
        return ()


class ChangesLate(Interceptor[Options]):
    """Changes the request when it is with the backend."""

    writes = {"request.headers"}

    @hookimpl
    def on_response(self, exchange):
        exchange.request.headers.set("x-late", "1")


class WritesOther(Interceptor[Options]):
    """Declares one thing and changes another."""

    writes = {"response.status"}

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-seen", "1")


class GivesBackTwice(Interceptor[Options]):
    """Gives back on the way out, and again when the call is over."""

    def __init__(self, options):
        super().__init__(options)
        self.free = 1000

    @hookimpl
    def on_request(self, exchange):
        self.free += 1

    @hookimpl
    def on_response(self, exchange):
        self.free -= 1

    @hookimpl
    def on_done(self, exchange):
        self.free -= 1


FAULTS = [
    (Sleeps, "blocking", "on_request", "sleeps 5 s"),
    (ReadsSocket, "blocking", "exchange_finished", "waits in socket.recv"),
    (WaitsForEver, "ending", "on_request", "did not end"),
    (RunsForEver, "ending", "identify", "is still running"),
    (Yields, "contract", "on_request", "returned <async_generator"),
    (AdmitsAll, "contract", "identify", "returned bool"),
    (LeavesTasks, "leaks", "tasks", "are left after 20 reloads"),
    (LeavesThreads, "leaks", "threads", "20 are left after 20 reloads"),
    (LeavesFiles, "leaks", "open files and sockets", "40 are left after 20 reloads"),
    (LeavesInstances, "leaks", "instances", "20 are left after 20 reloads"),
    (Counts, "contract", "routes", "keeps state in self.seen"),
    (ChangesLate, "effects", "on_response", "when the request had been sent"),
    (WritesOther, "effects", "on_response", "response.headers added"),
    (GivesBackTwice, "pairing", "free (number)", "fell by"),
]


@pytest.fixture(autouse=True)
def what_is_left():
    """Let go of what the faults have left."""
    yield
    while LeavesThreads.ends:
        LeavesThreads.ends.pop().set()
    while LeavesFiles.opened:
        os.close(LeavesFiles.opened.pop())
    LeavesInstances.known.clear()


@pytest.mark.parametrize(
    ("plugin", "rule", "where", "seen"), FAULTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_fault_is_found_under_its_rule_and_hook(plugin, rule, where, seen):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin)

    assert any(
        (violation.rule, violation.where) == (rule, where) and seen in violation.seen
        for violation in caught.value.violations
    ), str(caught.value)


@pytest.mark.parametrize("plugin", [WaitsForEver, RunsForEver])
def test_a_hook_that_never_ends_does_not_hold_up_the_kit(plugin):
    began = time.monotonic()
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin)

    assert caught.value.rules == {"ending"}
    assert time.monotonic() - began < 30


def test_the_kit_leaves_sockets_and_sleep_as_they_were():
    before, sleep = {name: vars(socket.socket).get(name) for name in ("recv", "accept")}, time.sleep
    with pytest.raises(Nonconforming):
        conformance(Sleeps)

    assert {name: vars(socket.socket).get(name) for name in before} == before
    assert time.sleep is sleep
