"""Processes that are killed, by `kill -9`: nothing is lost, and nothing that was done is done again."""

import asyncio
import signal
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest

from hookgate.testing import upstream

from .served import document, processes, setter


def call(path, method="GET", **more):
    return {"original_name": "http_call", "params": {"connection": "shop", "url": path, "method": method, **more}}


def straight(*cells):
    names = ["start", *(f"c{index}" for index in range(len(cells))), "end"]
    made = {
        "start": {"original_name": "start"},
        **dict(zip(names[1:], cells, strict=False)),
        "end": {"original_name": "end"},
    }
    return {"cells": made, "transitions": [[f"{a}.ok", b] for a, b in pairwise(names)]}


WORKFLOWS = {
    "orders": straight(
        call("/first", "POST"),
        setter("x", 1),
        call("/second", "PUT"),
        setter("y", "{{ context.x + 1 }}"),
        call("/third", "POST"),
    ),
    "risky": straight(call("/one", "POST"), call("/risky", "POST"), call("/three", "POST")),
    "slow": straight(
        call("/before"),
        {"original_name": "timer", "params": {"timeout": "3 sec", "discard_idle_limit": True}},
        call("/after"),
    ),
}
ROUTES = [{"route": f"/{name}", "method": "post", "workflow": name, "public": True} for name in WORKFLOWS]


class Backend:
    """Holds `/second` and `/risky` until they may go on."""

    def __init__(self):
        self.seen = Counter()
        self.go = threading.Event()

    async def __call__(self, request):
        self.seen[request.path] += 1
        if request.path in ("/second", "/risky"):
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        return 200, {}, "done"


@pytest.fixture
def shop():
    with upstream() as made:
        made.answer = Backend()
        try:
            yield made
        finally:
            made.answer.go.set()


def seen(shop, path):
    return sum(each.path == path for each in shop.requests)


def test_what_was_done_is_not_done_again_and_the_rest_goes_on(tmp_path, executing, shop):
    """One instance is amid a call that may be repeated, one amid a call that may not, and one waits."""
    verdict = "repeat" if executing.url.startswith("sqlite") else "done"
    made = document(WORKFLOWS, ROUTES, workflow_engine=executing.section(), connections={"shop": {"targets": shop.url}})
    with processes(tmp_path, executing.url, made) as start:
        first = start()
        orders, risky, slow = (first.public(f"/{name}", "POST").json()["id"] for name in WORKFLOWS)
        shop.wait_for(lambda each: seen(each, "/second") == seen(each, "/risky") == 1, 10)
        first.until(slow, lambda told: told["waits_for"] == "time")
        first.gate.kill()
        shop.answer.go.set()
        second = start()
        told = second.closed(orders)
        waited = second.closed(slow)
        stands = second.until(risky, lambda told: told["waits_for"] is not None)
        before = dict(shop.answer.seen)
        (task,) = [each["number"] for each in stands["tasks"] if each["status"] == "WAITING"]
        decided = [
            second.gate.manage("POST", f"/transactions/{risky}/decisions", body).status_code
            for body in ({"task": 99, "verdict": "repeat"}, {"task": task, "verdict": verdict})
        ]
        ends = second.closed(risky)

    assert told["status"] == waited["status"] == "CLOSED_IN_SUCCESS"
    assert told["context"] == {"x": 1, "y": 2}
    assert [task["attempt"] for task in told["tasks"] if task["cell"] == "c2"] == [2]
    assert (stands["status"], stands["waits_for"]) == ("ACTIVE", "person")
    assert stands["reason"] == "c1: the process that ran it has ended, and nobody knows whether it was done"
    assert before == {
        "/first": 1,
        "/second": 2,
        "/third": 1,
        "/one": 1,
        "/risky": 1,
        "/before": 1,
        "/after": 1,
    }
    assert (decided, ends["status"]) == ([409, 202], "CLOSED_IN_SUCCESS")
    assert (shop.answer.seen["/risky"], shop.answer.seen["/three"]) == (2 if verdict == "repeat" else 1, 1)


def test_a_process_that_was_only_slow_does_nothing_that_another_one_has_taken_over(tmp_path, sharing, shop):
    """One node stands still, and another finishes all of its instances within the lease. When it goes on it is fenced:
    nothing is done twice."""
    made = document(WORKFLOWS, ROUTES, workflow_engine=sharing.section(), connections={"shop": {"targets": shop.url}})
    with processes(tmp_path, sharing.url, made) as start:
        first = start()
        numbers = [first.public("/orders", "POST").json()["id"] for _ in range(10)]
        shop.wait_for(lambda each: seen(each, "/second") == 10, 10)
        second = start()
        first.gate.process.send_signal(signal.SIGSTOP)
        shop.wait_for(lambda each: seen(each, "/second") == 20, 20)
        shop.answer.go.set()
        told = [second.closed(number) for number in numbers]
        first.gate.process.send_signal(signal.SIGCONT)
        first.gate.says("was taken over by another process", 10)

    assert {each["status"] for each in told} == {"CLOSED_IN_SUCCESS"}
    assert shop.answer.seen == {"/first": 10, "/second": 20, "/third": 10}


def taken_over(tmp_path, sharing, shop, count, lease, patience):
    """Kill one of two nodes amid so many instances; check that the other one finishes them, and does nothing twice that
    may not be repeated."""
    engine = sharing.section() | {"lease": lease}
    made = document(WORKFLOWS, ROUTES, workflow_engine=engine, connections={"shop": {"targets": shop.url}})
    with processes(tmp_path, sharing.url, made) as start:
        first = start()
        numbers = [first.public("/orders", "POST").json()["id"] for _ in range(count)]
        shop.wait_for(lambda each: seen(each, "/second") == min(count, 100), patience)
        second = start()
        first.gate.kill()
        began = time.monotonic()
        shop.answer.go.set()
        told = [second.closed(number, patience) for number in numbers]
        took = time.monotonic() - began

    assert {each["status"] for each in told} == {"CLOSED_IN_SUCCESS"}
    assert {each["context"]["y"] for each in told} == {2}
    assert (shop.answer.seen["/first"], shop.answer.seen["/third"]) == (count, count)
    return took


def test_what_a_node_leaves_that_is_killed_another_one_finishes(tmp_path, sharing, shop):
    taken_over(tmp_path, sharing, shop, 20, 1, 20)
