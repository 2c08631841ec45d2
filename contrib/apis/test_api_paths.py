"""Where clients find an API, and how long its calls may take."""

import asyncio

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(backend, api, lane=True, **gateway):
    return {
        "gateway": {"lane": lane, **gateway},
        "apis": [{"name": "orders", "to": {"connection": "crm"}, **api}],
        "connections": {"crm": {"targets": backend.url}},
    }


@BOTH
@pytest.mark.parametrize(
    ("api", "found"),
    [
        ({}, {"/": "/", "/a": "/a", "/a/b": "/a/b"}),
        ({"base_path": "/"}, {"/": "/", "/a/b": "/a/b"}),
        ({"resources": [{"path": "/items/{id}"}]}, {"/items/7": "/items/7", "/other": None}),
        ({"resources": [{"path": "/items"}]}, {"/items": "/items", "/items/7": None}),
        ({"resources": [{"path": "/"}]}, {"/": "/", "/a": None}),
        ({"resources": [{"path": "/a/*"}]}, {"/a": "/a", "/a/b": "/a/b", "/b": None}),
        ({"resources": [{"path": "*.html"}]}, {"/x/y.html": "/x/y.html", "/x/y.txt": None}),
        ({"version": "1.2"}, {"/1.2/a": "/a", "/1.2": "/", "/a": None}),
        ({"version": "1.2", "default_version": True}, {"/1.2/a": "/a", "/a": "/a"}),
        ({"to": {"connection": "crm", "prefix": "/"}}, {"/a": "/a"}),
        ({"to": {"connection": "crm", "prefix": "/p"}}, {"/a": "/p/a"}),
        ({"version": "1.2", "to": {"connection": "crm", "keep_base_path": True}}, {"/1.2/a": "/1.2/a"}),
    ],
)
def test_an_api_without_a_base_path_is_called_by_the_paths_of_its_resources(lane, api, found):
    with upstream() as backend, running(document(backend, api, lane)) as gate:
        statuses = {path: gate.request("GET", path).status_code for path in found}
        seen = [request.path for request in backend.requests]

    assert statuses == {path: 404 if path_there is None else 200 for path, path_there in found.items()}
    assert seen == [path for path in found.values() if path is not None]


@BOTH
@pytest.mark.parametrize("said", ["timeout", "cap"])
def test_a_call_of_an_api_ends_when_its_time_is_over(lane, said):
    async def forever(request):
        await asyncio.Event().wait()

    api = {"to": {"connection": "crm", **({"timeout": 0.3} if said == "timeout" else {})}}
    gateway = {"timeout_status": 502, **({"timeout_cap": 0.3} if said == "cap" else {})}
    with upstream(forever) as backend, running(document(backend, api, lane, **gateway)) as gate:
        answer = gate.request("GET", "/slow")

    assert (answer.status_code, answer.json()["reason"]) == (502, "destination-timeout")
