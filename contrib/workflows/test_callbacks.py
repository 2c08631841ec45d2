"""Calls that are answered later: `async_json_call`, callbacks, and what becomes of them twice or too late."""

import json

import pytest

from hookgate.testing import upstream

from .served import document, serving, setter

CALL = {
    "connection": "shop",
    "url": "/work",
    "body": {"back": "{{ callback_url }}", "early": "{{ request.params.early }}"},
    "output_context_key": "came",
}


def flow(**params):
    return {
        "cells": {
            "start": {"original_name": "start"},
            "ack": {"original_name": "callback_response", "params": {"status": 201, "body": {"thanks": True}}},
            "call": {"original_name": "async_json_call", "params": CALL | params},
            "late": setter("late", 1),
            "end": {"original_name": "end"},
        },
        "transitions": [
            *(["start.ok", "ack"], ["ack.ok", "call"], ["call.ok", "end"]),
            *(["call.timeout", "late"], ["late.ok", "end"]),
        ],
    }


WORKFLOWS = {
    "ask": flow(),
    "short": flow(callback_timeout="100ms"),
    "refused": flow(url="/refused"),
}


@pytest.fixture(scope="module")
def backend():
    with upstream() as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def farm(tmp_path_factory, backend, request):
    from contextlib import ExitStack

    from hookgate.testing import postgresql

    folder = tmp_path_factory.mktemp("farm")
    routes = [{"route": f"/{name}", "method": "get", "workflow": name, "public": True} for name in WORKFLOWS]
    made = document(WORKFLOWS, routes, connections={"shop": {"targets": backend.url}})
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'store.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(postgresql())
        served = stack.enter_context(serving(folder, url, made))

        async def answer(asked):
            found = json.loads(asked.body)
            if found["early"]:
                await back(served, found["back"], {"n": "early"})
            return 500 if asked.path == "/refused" else 202, {}, "{}"

        backend.answer = answer
        yield served


async def back(farm, url, body):
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        told = await client.post(url, json=body, timeout=30)
        assert told.status_code == 201, told.text


@pytest.fixture(autouse=True)
def unseen(backend):
    backend.requests.clear()


def started(farm, backend, path):
    number = farm.public(path).json()["id"]
    farm.until(number, lambda told: backend.requests and (told["waits_for"] or told["status"] != "ACTIVE"))
    url = json.loads(backend.requests[-1].body)["back"]
    return number, "/" + url.split("/", 3)[3]


def test_an_instance_goes_on_with_what_the_callback_brings_and_twice_is_once(farm, backend):
    number, path = started(farm, backend, "/ask")
    assert path.startswith("/api/v01/transactions/callbacks/")
    assert farm.transaction(number).json()["reason"] == "call: waits for a callback"

    told = farm.call(path, "POST", json={"n": 1})
    assert (told.status_code, told.json()) == (201, {"thanks": True})
    assert farm.call(path, "POST", json={"n": 2}).status_code == 201

    seen = farm.closed(number)
    assert (seen["status"], seen["context"]["came"]["body"]) == ("CLOSED_IN_SUCCESS", {"n": 1})
    assert farm.call(path, "POST", json={"n": 3}).status_code == 201
    assert farm.transaction(number).json()["context"] == seen["context"]
    assert len(backend.requests) == 1


def test_a_callback_that_comes_before_the_answer_to_the_call_is_kept(farm, backend):
    number = farm.public("/ask?early=1").json()["id"]

    assert farm.closed(number)["context"]["came"]["body"] == {"n": "early"}


def test_a_callback_for_what_is_over_is_refused(farm, backend):
    number, path = started(farm, backend, "/short")
    assert farm.closed(number)["context"].get("late") == 1

    told = farm.call(path, "POST", json={"n": 1})
    assert (told.status_code, told.json()["reason"]) == (410, "callback-over")
    assert "came" not in farm.transaction(number).json()["context"]


def test_where_the_call_is_refused_nobody_waits(farm, backend):
    number, path = started(farm, backend, "/refused")

    seen = farm.closed(number)
    assert "status 500, so nobody will call back" in seen["errors"][0]["message"]
    assert farm.call(path, "POST", json={}).status_code == 410


def test_nobody_guesses_a_callback_and_a_list_does_not_show_it(farm, backend):
    for wrong in ("x", "a" * 32, "%00", "..%2f1", "a" * 500):
        assert farm.call(f"/api/v01/transactions/callbacks/{wrong}", "POST", json={}).status_code in (400, 404)
    number, path = started(farm, backend, "/ask")
    assert path.rpartition("/")[2] not in json.dumps(farm.transaction(number).json())
    assert farm.call(path, "POST", content=b"x" * 1_100_000).status_code == 413
    assert farm.call(path, "POST", content=b"no json", headers={"content-type": "application/json"}).status_code == 201
    assert farm.closed(number)["context"]["came"]["body"] == "no json"
