"""The node `http_call` against a real backend, through custom routes."""

import asyncio
import json

import pytest

from hookgate.testing import Reset, upstream

from .served import document, serving, setter

HELLO = {"content-type": "application/json", "x-backend": "yes", "set-cookie": "a=b", "connection": "keep-alive"}


def call(**params):
    return {
        "original_name": "http_call",
        "params": {"connection": "shop", "output_context_key": "*response*", **params},
    }


def straight(cell, output="ok", **others):
    """A workflow of one call, with other outputs that lead to a setter of the answer."""
    cells = {"start": {"original_name": "start"}, "call": cell, "end": {"original_name": "end"}}
    transitions = [["start.ok", "call"], [f"call.{output}", "end"]]
    for name, key in others.items():
        cells[name] = setter("*response*", {"body": name})
        transitions += [[f"call.{key}", name], [f"{name}.ok", "end"]]
    return {"cells": cells, "transitions": transitions}


def answer(request):
    status = request.path.removeprefix("/status/")
    if request.path == "/reset":
        return Reset()
    if status.isdigit():
        return int(status), HELLO, json.dumps({"status": int(status)})
    if request.path == "/bytes":
        return 200, {"content-type": "image/png"}, b"\xff\0"
    return 200, {"content-type": "text/plain"}, f"{request.method} {request.target} {request.body.decode()}"


WORKFLOWS = {
    "through": straight(call(url="/status/{{ request.params.status }}")),
    "coded": straight(
        call(url="/status/{{ request.params.status }}", http_codes=["4**", "2**", 404]),
        "2**",
        missing="404",
        bad="error",
    ),
    "strict": straight(call(url="/status/{{ request.params.status }}", http_codes="200"), "200"),
    "sent": straight(
        call(
            url="/echo?a={{ request.params.a | urlencode }}",
            method="post",
            body={"b": "{{ request.params.a }}", "c": ["{{ request.params.n | int }}"]},
            headers={"x-own": "{{ request.method }}"},
        )
    ),
    "bytes": straight(call(url="/bytes")),
    "away": straight(call(url="/reset"), missing="error"),
    "read": straight(call(url="/echo", cache_key="{{ request.params.key }}")),
    "write": straight(call(url="/echo", method="put", cache_key="{{ request.params.key }}")),
    "again": straight(
        call(
            url="/status/{{ request.params.status }}",
            retry={"on": ["503"], "max_attempts": 3},
            http_codes=["200", "503"],
        ),
        "200",
        late="503",
    ),
    "later": straight(
        call(url="/status/503", retry={"on": ["503"], "max_attempts": 3, "delay": "50ms"}, http_codes=["503"]), "503"
    ),
    "absolute": straight(
        {"original_name": "http_call", "params": {"url": "URL/echo", "output_context_key": "*response*"}}
    ),
    "cut": straight(call(url="/{{ request.params.path }}"), bad="error"),
}


WORKFLOWS["hook"] = straight(call(url="/hook", method="post", body={"guid": "{{ request.instance.guid }}"}))


@pytest.fixture(scope="module")
def backend():
    with upstream() as made:
        made.answer = answer
        yield made


@pytest.fixture(scope="module")
def farm(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("farm")
    workflows = json.loads(json.dumps(WORKFLOWS).replace("URL", backend.url))
    routes = [
        {"route": f"/{name}", "method": "get", "workflow": name, "sync": name != "later", "public": True}
        for name in workflows
    ]
    routes.append({"route": "/told", "method": "get", "workflow": "strict", "error_handler": "hook", "public": True})
    made = document(workflows, routes, connections={"shop": {"targets": backend.url}})
    with serving(folder, f"sqlite:///{folder / 'store.db'}", made) as served:
        yield served


@pytest.fixture(autouse=True)
def unseen(backend):
    backend.requests.clear()


@pytest.mark.row("HC-18", "CR-15")
def test_what_was_answered_can_be_answered_as_it_is(farm):
    told = farm.public("/through?status=404")

    assert (told.status_code, told.json()) == (404, {"status": 404})
    assert told.headers["x-backend"] == "yes"
    assert "set-cookie" not in told.headers
    assert farm.public("/bytes").text == "/wA="


@pytest.mark.row("HC-19")
def test_codes_are_outputs_and_any_other_is_a_failure(farm):
    assert farm.public("/coded?status=201").json() == {"status": 201}
    assert farm.public("/coded?status=404").text == "missing"
    assert farm.public("/coded?status=500").text == "bad"
    assert farm.public("/away").text == "missing"

    told = farm.public("/strict?status=201")
    assert (told.status_code, told.json()["reason"]) == (500, "workflow-failed")


def test_a_call_sends_what_its_templates_say(farm, backend):
    farm.public("/sent?a=%C3%BC%26b&n=7")

    (seen,) = backend.requests
    assert (seen.method, seen.target) == ("POST", "/echo?a=%C3%BC%26b")
    assert (json.loads(seen.body), seen.header("content-type")) == ({"b": "ü&b", "c": [7]}, "application/json")
    assert (seen.header("x-own"), bool(seen.header("idempotency-key"))) == ("GET", True)


@pytest.mark.row("HC-19")
def test_answers_are_kept_until_somebody_writes(farm, backend):
    for path in ("/read", "/read"):
        assert farm.public(f"{path}?key=u1").text == "GET /echo "
    assert len(backend.requests) == 1

    farm.public("/write?key=u1")
    farm.public("/read?key=u1")
    assert [each.method for each in backend.requests] == ["GET", "PUT", "GET"]
    farm.public("/read?key=u2")
    assert len(backend.requests) == 4


@pytest.mark.row("HC-19")
def test_a_call_is_made_again_as_often_as_it_says(farm, backend):
    assert farm.public("/again?status=503").text == "late"
    assert len(backend.requests) == 3
    assert farm.public("/again?status=200").json() == {"status": 200}
    assert len(backend.requests) == 4


@pytest.mark.row("HC-19")
def test_with_a_delay_the_instance_is_put_down_between_two_calls(farm, backend):
    number = farm.public("/later").json()["id"]

    told = farm.closed(number)
    assert (told["status"], len(backend.requests)) == ("CLOSED_IN_SUCCESS", 3)
    (task,) = [each for each in told["tasks"] if each["cell"] == "call"]
    assert task["messages"][0] == "attempt 1: the answer was 503; it is called again"


@pytest.mark.row("CR-32")
def test_calls_to_others_are_found(farm, backend):
    farm.public("/absolute")
    guid = farm.gate.wait_for_exchanges(1)[-1].facts["workflow"]["guid"]

    (told,) = farm.closed(guid)["calls"]
    assert (told["method"], told["url"], told["status"]) == ("GET", f"{backend.url}/echo", 200)
    assert told["host"] == backend.url.removeprefix("http://")


@pytest.mark.row("CR-13")
def test_a_handler_of_an_asynchronous_route_tells_somebody(farm, backend):
    started = farm.public("/told?status=500").json()

    assert farm.closed(started["id"])["status"] == "CLOSED_IN_ERRORS"
    (hook,) = [each for each in backend.requests if each.path == "/hook"]
    assert json.loads(hook.body) == {"guid": started["guid"]}


def test_a_path_never_leads_to_another_host(farm, backend):
    assert farm.public("/cut?path=/evil.example/x").text == "bad"
    assert farm.public("/cut?path=a%0D%0Ab").text == "bad"
    assert not backend.requests


def test_a_call_that_hangs_ends(tmp_path):
    async def hangs(request):
        await asyncio.sleep(30)

    with upstream() as made:
        made.answer = hangs
        workflows = {"hangs": straight(call(url="/x", timeout="200ms"), bad="error")}
        routes = [{"route": "/hangs", "method": "get", "workflow": "hangs", "sync": True, "public": True}]
        served = document(workflows, routes, connections={"shop": {"targets": made.url}})
        with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", served) as farm:
            assert farm.public("/hangs").text == "bad"


def test_a_process_runs_so_many_instances_at_once_and_the_others_have_their_turn(tmp_path):
    most, now = 0, 0

    async def counted(request):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return 200, {}, "ok"

    with upstream() as made:
        made.answer = counted
        routes = [{"route": "/call", "method": "get", "workflow": "w", "public": True}]
        engine = {"executor": {"local": {"at_once": 2}}}
        served = document(
            {"w": straight(call(url="/x"))}, routes, workflow_engine=engine, connections={"shop": {"targets": made.url}}
        )
        with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", served) as farm:
            numbers = [farm.public("/call").json()["id"] for _ in range(8)]
            assert {farm.closed(number)["status"] for number in numbers} == {"CLOSED_IN_SUCCESS"}
    assert most == 2
