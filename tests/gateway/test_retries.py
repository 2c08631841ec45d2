"""When an attempt that failed is followed by another, and what is said where none is."""

import asyncio

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


IN_TURN = {"balancer": "weighted-round-robin"}
"""The first target gets the first call."""


def document(*backends, lane=True, to=None, **connection):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "backend", **(to or {})}}],
        "connections": {"backend": {"targets": [b.url for b in backends], **IN_TURN, **connection}},
    }


def verdicts(gate, count=1):
    return [attempt.verdict for attempt in gate.wait_for_exchanges(count)[-1].attempts]


@BOTH
def test_an_answer_is_tried_again_where_the_document_says_so(lane):
    with upstream(lambda request: (503, {}, "busy")) as busy, upstream(lambda request: (200, {}, "fine")) as other:
        with running(document(busy, other, lane=lane, max_tries=3, retry={"on": [503]})) as gate:
            answer = gate.request("GET", "/")
            assert (answer.status_code, answer.text) == (200, "fine")
            assert verdicts(gate) == ["tried again", ""]
            assert (len(busy.requests), len(other.requests)) == (1, 1)
            assert gate.gateway.connection("backend").counts["southbound_errors"] == 1


@BOTH
def test_when_tries_are_used_up_the_last_answer_goes_to_the_client(lane):
    with upstream(lambda request: (503, {"x-number": "1"}, "busy")) as busy:
        with running(document(busy, lane=lane, max_tries=3, retry={"on": [503]})) as gate:
            answer = gate.request("GET", "/")

    assert (answer.status_code, answer.text, len(busy.requests)) == (503, "busy", 3)


@BOTH
@pytest.mark.parametrize(
    ("method", "headers", "sent"),
    [
        ("GET", {}, 2),
        ("PUT", {}, 2),
        ("POST", {}, 1),
        ("PATCH", {}, 1),
        ("POST", {"Idempotency-Key": "8e03978e"}, 2),
    ],
)
def test_what_may_do_harm_twice_is_sent_once(method, headers, sent, lane):
    with upstream(lambda request: (502, {}, "")) as backend:
        with running(document(backend, lane=lane, max_tries=2, retry={"on": [502]})) as gate:
            assert gate.request(method, "/", headers=headers, content=b"body" * 10).status_code == 502
            said = verdicts(gate)

    assert len(backend.requests) == sent
    assert backend.bodies == [b"body" * 10] * sent
    expected = ["tried again", "not tried again: max_tries is reached"]
    assert said == (expected if sent == 2 else [f"not tried again: {method} may do harm twice"])


@BOTH
@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_connection_that_broke_is_no_leave_to_do_harm_twice(method, body, sent, lane):
    with upstream(lambda request: Reset()) as backend:
        with running(document(backend, lane=lane, max_tries=2, retry={"on": ["connect-failed", "broken"]})) as gate:
            assert gate.request(method, "/", content=body).status_code == 502
            said = verdicts(gate)

    assert len(backend.requests) == sent
    expected = ["tried again", "not tried again: max_tries is reached"]
    assert said == (expected if sent == 2 else [f"not tried again: {method} may do harm twice"])


@BOTH
def test_methods_and_keys_are_the_deployers_choice(lane):
    rules = {"on": [502], "methods": ["post"], "idempotency_key": False}
    with upstream(lambda request: (502, {}, "")) as backend:
        with running(document(backend, lane=lane, max_tries=2, retry=rules)) as gate:
            gate.request("POST", "/")
            gate.request("GET", "/", headers={"Idempotency-Key": "a"})

    assert [request.method for request in backend.requests] == ["POST", "POST", "GET"]


@BOTH
def test_a_broken_connection_and_silence_are_tried_again_where_the_document_says_so(lane):
    async def answer(request):
        if len(backend.requests) == 1:
            return Reset()
        if len(backend.requests) == 2:
            await asyncio.sleep(3600)
        return 200, {}, "third"

    rules = {"max_tries": 3, "retry": {"on": ["broken", "timeout"]}, "timeouts": {"read": 0.2}}
    with upstream(answer) as backend:
        with running(document(backend, lane=lane, **rules)) as gate:
            answered = gate.request("GET", "/")
            assert verdicts(gate) == ["tried again", "tried again", ""]
            kinds = [attempt.outcome.kind for attempt in gate.finished[-1].attempts]

    assert (answered.text, kinds) == ("third", ["broken", "timeout", "ok"])


@BOTH
def test_by_default_only_a_failure_to_connect_is_tried_again(lane):
    with upstream(lambda request: Reset()) as backend:
        with running(document(backend, lane=lane, max_tries=3)) as gate:
            assert gate.request("POST", "/", content=b"x").status_code == 502
            assert verdicts(gate) == ["not tried again: broken is not in retry.on"]


@BOTH
def test_a_long_body_is_sent_once(lane):
    with upstream(lambda request: (503, {}, "")) as backend:
        with running(document(backend, lane=lane, max_tries=2, retry={"on": [503], "keep_body": 900_000})) as gate:
            gate.request("PUT", "/", content=bytes(900_001))
            assert verdicts(gate) == ["not tried again: the body was not kept"]
            gate.request("PUT", "/", content=bytes(900_000))
            gate.wait_for_exchanges(2)

    assert len(backend.requests) == 3


@BOTH
def test_the_budget_keeps_a_backend_in_trouble_from_more_calls_than_ever(lane):
    rules = {"on": [503], "budget": 0.25, "burst": 4}
    with upstream(lambda request: (503, {}, "")) as backend:
        with running(document(backend, lane=lane, max_tries=2, retry=rules)) as gate:
            for _ in range(40):
                gate.request("GET", "/")
            said = [attempt.verdict for call in gate.wait_for_exchanges(40) for attempt in call.attempts]

    again = said.count("tried again")
    assert again == len(backend.requests) - 40
    assert 4 + 40 * 0.25 - 2 <= again <= 4 + 40 * 0.25
    assert "not tried again: the budget is used up" in said


@BOTH
def test_no_attempt_begins_after_the_destinations_time(lane):
    async def silent(request):
        await asyncio.sleep(3600)

    with upstream(silent) as backend:
        rules = {"max_tries": 5, "retry": {"on": ["timeout"]}, "to": {"timeout": 0.3}}
        with running(document(backend, lane=lane, **rules)) as gate:
            assert gate.request("GET", "/").status_code == 502
            assert len(gate.wait_for_exchanges(1)[0].attempts) == 1


@BOTH
def test_the_pause_before_another_attempt_is_kept(lane):
    with upstream(lambda request: (503, {}, "")) as backend:
        with running(document(backend, lane=lane, max_tries=3, retry={"on": [503], "delay": 0.05})) as gate:
            gate.request("GET", "/")
            first, second, third = gate.wait_for_exchanges(1)[0].attempts

    assert second.started - first.started >= 0.025
    assert third.started - second.started >= 0.05


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({"on": [200]}, "retry.on[0]"),
        ({"on": ["slow"]}, "retry.on[0]"),
        ({"methods": ["G T"]}, "retry.methods"),
        ({"budget": 2}, "retry.budget"),
        ({"delay": -1}, "retry.delay"),
    ],
)
def test_nonsense_is_refused_with_its_place(rules, place):
    described = {"connections": {"c": {"targets": "http://h", "retry": rules}}}
    with pytest.raises(ConfigError) as refused:
        with running(described):
            pass
    assert any(f"connections.c.{place}" in str(problem) for problem in refused.value.problems)
