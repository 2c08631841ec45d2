"""Versions of a definition: a working copy, what is active, and instances that stay on their own (WF-4)."""

import json

import httpx
import pytest

from contrib.management.served import serving

from .served import setter, workflow
from .test_pages import DOCUMENT

ASK = {"original_name": "user_approval", "params": {"title": "On?", "users": ["bob"]}}


def version(way):
    made = workflow(("ask", ASK), ("set", setter("way", way)))
    made["transitions"] = [["ask.approved", "set"] if each[0] == "ask.ok" else each for each in made["transitions"]]
    return made


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, store_in(folder), json.dumps(DOCUMENT)) as served:
        yield served


@pytest.mark.stores
def test_what_is_deployed_counts_for_the_next_instances_only(gate):
    def begun():
        told = httpx.get(f"{gate.public}/api/v01/public/ask", trust_env=False)
        assert told.status_code == 202, told.text
        return told.json()["id"]

    def went(number):
        (action,) = [each for each in gate.call("GET", "/actions").json()["actions"] if each["transaction"] == number]
        assert gate.call("POST", f"/actions/{action['id']}", {"answer": "approved"}).status_code == 202
        while (told := gate.call("GET", f"/transactions/{number}").json())["status"] == "ACTIVE":
            pass
        return told["context"]["way"]

    first = gate.call("PUT", "/objects/workflows/asks?comment=first", version("one"))
    assert first.status_code == 201, first.text
    route = {"route": "/ask", "method": "get", "workflow": "asks", "public": True}
    assert gate.call("POST", "/custom_routes?wait=live", route).status_code == 201
    old = begun()
    assert gate.call("PUT", "/objects/workflows/asks/draft", version("two")).status_code in (200, 201)
    beside = begun()
    differences = gate.call("GET", "/objects/workflows/asks/diff?from=live&to=draft").json()["differences"]
    assert differences
    deployed = gate.call("POST", "/objects/workflows/asks/draft/deploy?wait=live", {})
    assert deployed.status_code == 200, deployed.text
    new = begun()

    assert [went(number) for number in (old, beside, new)] == ["one", "one", "two"]
    number = first.json()["generation"]
    assert gate.call("GET", f"/objects/workflows/asks/diff?from={number}&to=live").json()["differences"] == differences

    refused = gate.call("DELETE", "/objects/workflows/asks")
    assert refused.status_code == 409, "though it is the last one"
    assert refused.json()["errors"][0]["object"] == "custom_routes/get ask"
