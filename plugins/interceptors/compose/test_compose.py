import asyncio
import itertools
import json
import threading

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_interceptor_compose import Compose

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
JSON = {"content-type": "application/json"}


def document(options, lane=True, **connections):
    return {
        "gateway": {"lane": lane},
        "routes": [
            {"name": "page", "match": {"path": "/page/{id}"}, "flow": [{"compose": options}]},
            {"name": "inner", "match": {"path": "/inner/{id}"}, "flow": [{"respond": {"json": {"inner": True}}}]},
        ],
        "connections": {name: {"targets": each.url} for name, each in connections.items()},
    }


@BOTH
@pytest.mark.row("FL-22")
def test_several_internal_calls_are_one_external_request(lane):
    def orders(request):
        return 200, JSON, '{"n": 1.10, "big": 12345678901234567890.123}'

    with upstream(orders) as crm, upstream(lambda request: (200, {}, "Ann")) as users:
        parts = {
            "orders": {"connection": "crm", "path": "/orders?of={request.params.id}", "headers": {"X-A": "'b'"}},
            "user": {"connection": "users", "path": "/users/{request.params.id}"},
            "inner": {"path": "/inner/{request.params.id}"},
        }
        options = {"parts": parts, "status": 203, "headers": {"Cache-Control": "no-store"}}
        with running(document(options, lane, crm=crm, users=users)) as gate:
            answer = gate.request("GET", "/page/a%2Fb")

    assert (answer.status_code, answer.headers["content-type"]) == (203, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == (
        '{"orders": {"n": 1.10, "big": 12345678901234567890.123}, "user": "Ann", "inner": {"inner": true}}'
    )
    assert (crm.requests[0].query, crm.requests[0].header("x-a")) == ("of=a%2Fb", "b")
    assert users.requests[0].path == "/users/a%2Fb"


class InTurn:
    """Answers each path when its turn has come."""

    def __init__(self, order, broken=()):
        self.order, self.broken, self.turn = list(order), broken, 0
        self.next = threading.Condition()

    async def __call__(self, request):
        await asyncio.to_thread(self.wait, request.path.strip("/"))
        if request.path.strip("/") in self.broken:
            return 500, JSON, "{}"
        return 200, JSON, json.dumps(request.path)

    def wait(self, name):
        with self.next:
            assert self.next.wait_for(lambda: self.order[self.turn] == name, 30)
            self.turn += 1
            self.next.notify_all()


PARTS = {name: {"connection": "crm", "path": f"/{name}"} for name in "abc"}


@pytest.mark.parametrize("rule", ["fail", "omit", "null"])
@pytest.mark.parametrize("broken", ["", "b", "bc"])
def test_the_answer_does_not_depend_on_which_part_comes_first(rule, broken):
    found = set()
    with upstream() as crm:
        with running(document({"parts": PARTS, "on_failure": rule}, crm=crm)) as gate:
            for order in itertools.permutations("abc"):
                crm.answer = InTurn(order, broken)
                answer = gate.request("GET", "/page/1")
                found.add((answer.status_code, answer.text))

    ((status, text),) = found
    value = json.loads(text)
    if rule == "fail" and broken:
        assert (status, value["reason"]) == (502, "unexpected-status")
        return
    assert status == 200
    expected = {name: f"/{name}" for name in "abc" if name not in broken}
    if rule == "null":
        expected |= dict.fromkeys(broken)
    if broken:
        expected["errors"] = {name: {"status": 500, "reason": "unexpected-status"} for name in broken}
    assert value == expected
    assert list(value) == sorted(set(value) - {"errors"}) + (["errors"] if broken else [])


def test_of_several_faults_the_first_in_the_document_counts():
    with upstream() as gone:
        pass
    parts = {"a": {"connection": "crm", "path": "/a"}, "b": {"connection": "gone", "path": "/b"}}
    for order, reason in (("ab", "unexpected-status"), ("ba", "connect-refused")):
        with upstream(lambda request: (500, {}, "")) as crm:
            options = {"parts": {name: parts[name] for name in order}}
            with running(document(options, crm=crm, gone=gone)) as gate:
                assert gate.request("GET", "/page/1").json()["reason"] == reason


def test_one_part_may_have_a_rule_of_its_own():
    with upstream(lambda request: (200 if request.path == "/a" else 404, JSON, "1")) as crm:
        parts = {"a": PARTS["a"], "b": {**PARTS["b"], "on_failure": "omit"}}
        with running(document({"parts": parts}, crm=crm)) as gate:
            answer = gate.request("GET", "/page/1")
            parts["a"], parts["b"] = {**PARTS["a"], "on_failure": "null"}, PARTS["b"]
            gate.reload(document({"parts": parts, "on_failure": "fail"}, crm=crm))
            failed = gate.request("GET", "/page/1")

    assert answer.json() == {"a": 1, "errors": {"b": {"status": 404, "reason": "unexpected-status"}}}
    assert failed.status_code == 502


def test_the_word_null_may_go_without_quotes_in_yaml():
    text = """
        routes:
          - name: all
            flow:
              - compose:
                  on_failure: omit
                  parts: {a: {path: /none/a, on_failure: null}, b: {path: /none/b}, c: {path: /c}}
          - {name: c, match: {path: /c}, flow: [{respond: {json: 1}}]}
          - {name: none, match: {path: "/none/{x}"}, flow: [{respond: {status: 404}}]}
    """
    with running(text) as gate:
        assert list(gate.request("GET", "/").json()) == ["a", "c", "errors"]
        gate.reload(text.replace("on_failure: omit", "on_failure: null"))
        assert list(gate.request("GET", "/").json()) == ["a", "b", "c", "errors"]


def test_an_answer_without_any_part_is_a_fault():
    with upstream(lambda request: (404, {}, "")) as crm:
        with running(document({"parts": PARTS, "on_failure": "omit"}, crm=crm)) as gate:
            answer = gate.request("GET", "/page/1")

    assert (answer.status_code, answer.json()["reason"]) == (502, "unexpected-status")


@BOTH
def test_parts_that_are_late_have_failed_and_are_given_up(lane):
    async def some(request):
        if request.path != "/a":
            await asyncio.Event().wait()
        return 200, JSON, "1"

    with upstream(some) as crm:
        with running(document({"parts": PARTS, "timeout": 5, "on_failure": "null"}, lane, crm=crm)) as gate:
            answer = gate.request("GET", "/page/1")
            crm.wait_for(lambda crm: crm.open <= 1)

    assert answer.status_code == 200
    value = answer.json()
    assert {name: value[name] for name in "abc"} == {"a": 1, "b": None, "c": None}
    assert {error["reason"] for error in value["errors"].values()} <= {"compose-timeout", "destination-timeout"}


def test_no_more_calls_than_allowed_are_under_way():
    most, now = [], []

    async def counted(request):
        now.append(request)
        most.append(len(now))
        await asyncio.sleep(0)
        now.pop()
        return 200, JSON, "1"

    parts = {f"p{n}": {"connection": "crm", "path": "/p"} for n in range(12)}
    with upstream(counted) as crm:
        with running(document({"parts": parts, "parallel": 2}, crm=crm)) as gate:
            assert gate.request("GET", "/page/1").json() == dict.fromkeys(parts, 1)

    assert max(most) <= 2
    assert crm.connections <= 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, JSON, "{"), "callout-not-json"),
        ((200, JSON, "NaN"), "callout-not-json"),
        ((200, JSON, "[" * 100_000), "callout-not-json"),
        ((200, JSON, '"' + "x" * 100_000 + '"'), "callout-too-large"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure_of_its_part(answer, reason):
    with upstream(lambda request: answer if request.path == "/a" else (200, JSON, "1")) as crm:
        limit = 50_000 if "large" in reason else 1_000_000
        parts = {"a": {**PARTS["a"], "limit": limit}, "b": PARTS["b"]}
        with running(document({"parts": parts, "on_failure": "omit"}, crm=crm)) as gate:
            assert gate.request("GET", "/page/1").json()["errors"]["a"]["reason"] == reason


def test_a_value_that_is_not_there_is_a_failure_of_its_part_and_nobody_is_called_for_it():
    parts = {"a": {"connection": "crm", "path": "/a/{request.query.id}"}, "b": PARTS["b"]}
    with upstream(lambda request: (200, JSON, "1")) as crm:
        with running(document({"parts": parts, "on_failure": "omit"}, crm=crm)) as gate:
            answer = gate.request("GET", "/page/1")

    assert answer.json() == {"b": 1, "errors": {"a": {"status": None, "reason": "value-missing"}}}
    assert [request.path for request in crm.requests] == ["/b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "parts: is required"),
        ({"parts": {}}, "parts: should have at least 1"),
        ({"parts": {"errors": {"path": "/a"}}}, "cannot be called 'errors'"),
        ({"parts": {"a": {"path": "a"}}}, r"parts.a.path: a path begins with one '/'"),
        ({"parts": {"a": {"path": "https://a.example/"}}}, r"parts.a.path: a path begins with one '/'"),
        ({"parts": {"a": {"path": "/a", "conection": "crm"}}}, r"parts.a.conection: there is no option"),
        ({"parts": {"a": {"path": "/a"}}, "headers": {"Content-Length": "1"}}, "leave out Content-Length"),
        ({"parts": {"a": {"path": "/a"}}, "parallel": 0}, "parallel"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Compose, **options)
