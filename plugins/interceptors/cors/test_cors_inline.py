"""`cors` on an API that has no backend: its answers stand in the document (KC-59)."""

import pytest

from hookgate.testing import running

ORIGIN = "https://app.example.org"
MOCK = {"mock": {"responses": {"200": {"content": {"application/json": {"example": {"id": 7}}}}}}}
CORS = {"cors": {"allow_origins": [ORIGIN], "allow_methods": ["GET", "PUT"], "max_age": 60}}
INLINE = {"mock": MOCK, "respond": {"respond": {"body": "inline"}}}


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "edge"])
def gate(request):
    document = {
        "gateway": {"lane": request.param},
        "apis": [
            {"name": name, "version": "1.0", "base_path": f"/{name}", "flow": [CORS], "resources": [
                {"path": "/items/{id}", "operations": {method: {"flow": [step]} for method in ("GET", "PUT")}},
                {"path": "/own", "operations": {"OPTIONS": {"flow": [{"respond": {"body": "mine"}}]}}},
            ]}
            for name, step in INLINE.items()
        ] + [{"name": "bare", "version": "1.0", "base_path": "/bare", "flow": [MOCK]}],
    }  # fmt: skip
    with running(document) as gate:
        yield gate


def preflight(gate, path, method="GET", origin=ORIGIN):
    return gate.request("OPTIONS", path, headers={"origin": origin, "access-control-request-method": method})


@pytest.mark.row("KC-59")
@pytest.mark.parametrize("name", INLINE)
def test_an_inline_api_with_cors_alone_answers_preflights_and_shows_its_answers(gate, name):
    path = f"/{name}/1.0/items/7"
    asked = preflight(gate, path, "PUT")
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert asked.headers["access-control-allow-methods"] == "GET, PUT"
    assert asked.headers["access-control-max-age"] == "60"
    answer = gate.request("GET", path, headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert answer.text.replace(" ", "") == ("inline" if name == "respond" else '{"id":7}')
    assert "Origin" in answer.headers["vary"]
    stranger = preflight(gate, path, origin="https://elsewhere.example")
    assert (stranger.status_code, "access-control-allow-origin" in stranger.headers) == (403, False)
    assert "access-control-allow-origin" not in gate.request("GET", path).headers


@pytest.mark.parametrize("name", INLINE)
def test_what_is_no_preflight_is_answered_as_without_it(gate, name):
    plain = gate.request("OPTIONS", f"/{name}/1.0/items/7", headers={"origin": ORIGIN})
    assert (plain.status_code, plain.headers["allow"]) == (405, "GET, HEAD, PUT")
    assert gate.request("OPTIONS", f"/{name}/1.0/own", headers={"origin": ORIGIN}).text == "mine"
    assert preflight(gate, f"/{name}/1.0/nothing").status_code == 404


def test_without_cors_an_inline_api_says_nothing_of_origins(gate):
    answer = gate.request("GET", "/bare/1.0/x", headers={"origin": ORIGIN})
    assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (200, False)
    assert "access-control-allow-origin" not in preflight(gate, "/bare/1.0/x").headers
