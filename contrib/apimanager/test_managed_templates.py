"""Templates and handlers of managed APIs, over the API of a running gateway (KC-66, KC-9)."""

import itertools

import httpx
import pytest

from contrib.management.served import DOCUMENT, serving
from hookgate.testing import upstream

MANAGED = DOCUMENT.replace("routes:", "lifecycle_machine: {unlisted: CREATED}\nroutes:")
ORIGIN = "https://app.example"
CORS = {"cors": {"allow_origins": [ORIGIN]}}
LOCK = {"auth": {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]}}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with upstream() as backend, serving(folder, store_in(folder), MANAGED) as served:
        served.call("PUT", "/objects/connections/crm", {"targets": backend.url})
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def built(value):
    return {"headers": {"response": {"set": {"X-Built": value}}}}


def put_template(gate, name, version, flow, **more):
    body = {"name": name, "version": version, "flow": flow, **more}
    answer = gate.call("PUT", f"/objects/api_templates/{name} {version}?wait=live", body)
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["live"] is True


def published(gate, name, **more):
    """Make an API and publish it."""
    body = {"name": name, "version": "1.0", "base_path": f"/{name}", "to": {"connection": "crm"}, **more}
    made = gate.call("POST", "/objects/apis", {"body": body})
    assert made.status_code == 201, made.text
    done = gate.call("POST", f"/apis/{name} 1.0/lifecycle?wait=live", {"event": "Publish"})
    assert done.status_code == 200, done.text
    return name


def called(gate, name, method="GET", **headers):
    return httpx.request(method, f"{gate.public}/{name}/1.0/x", headers=headers, timeout=60, trust_env=False)


@pytest.mark.row("KC-66")
@pytest.mark.stores
def test_a_new_api_has_the_template_as_it_is_and_old_ones_keep_theirs_or_follow(gate, name):
    put_template(gate, name, "1", [built("one")], default=True)
    keeps = published(gate, f"{name}keeps", template=f"{name} 1")
    follows = published(gate, f"{name}follows", template=name)
    unsaid = published(gate, f"{name}unsaid")

    def found(*names):
        answers = [called(gate, each) for each in names]
        assert {each.status_code for each in answers} == {200}
        return [each.headers["x-built"] for each in answers]

    assert found(keeps, follows, unsaid) == ["one", "one", "one"]
    put_template(gate, name, "2", [built("two")], default=True)
    new = published(gate, f"{name}new")
    assert found(new, keeps, follows, unsaid) == ["two", "one", "two", "two"]
    # a version that is edited itself reaches those that keep to it, too
    put_template(gate, name, "1", [built("mended")], default=True)
    assert found(new, keeps, follows, unsaid) == ["two", "mended", "two", "two"]
    refused = gate.call("DELETE", f"/objects/api_templates/{name} 1")
    assert (refused.status_code, f"{name} 1" in refused.text) == (409, True)
    # what is stored is told as any change: who, what, and the difference
    answer = gate.call("GET", f"/objects/api_templates/{name} 2").json()
    assert answer["body"]["flow"] == [built("two")]
    for each in ("1", "2"):  # those of other tests are made without
        put_template(gate, name, each, [built("x")])


@pytest.mark.row("KC-9")
@pytest.mark.stores
def test_two_handlers_in_another_order_run_in_another_order(gate, name):
    put_template(gate, name, "1", [CORS, "lifecycle", LOCK, built("one")])
    shop = published(gate, name, template=name)
    assert "secret-of-ann" not in gate.call("GET", f"/objects/api_templates/{name} 1").text

    def preflight():
        asks = {"origin": ORIGIN, "access-control-request-method": "GET"}
        return called(gate, shop, "OPTIONS", **asks).status_code

    def plain():
        answer = called(gate, shop, origin=ORIGIN)
        return answer.status_code, answer.headers.get("access-control-allow-origin"), answer.headers.get("x-built")

    assert (preflight(), plain()) == (204, (401, ORIGIN, None))  # a handler stops the chain: nothing right of it ran
    put_template(gate, name, "1", [LOCK, CORS, "lifecycle", built("one")])
    assert (preflight(), plain()) == (401, (401, None, None))
    put_template(gate, name, "1", [built("one"), LOCK, CORS])
    assert (preflight(), plain()) == (401, (401, None, "one"))
    # what an API places itself stands in the order it says, too, right of the template
    put_template(gate, name, "1", [])
    for flow, found in (
        ([CORS, LOCK, built("own")], (401, ORIGIN, None)),
        ([built("own"), LOCK, CORS], (401, None, "own")),
    ):
        body = {"name": name, "version": "1.0", "base_path": f"/{name}", "to": {"connection": "crm"}}
        stored = gate.call("PUT", f"/objects/apis/{name} 1.0?wait=live", {**body, "template": name, "flow": flow})
        assert stored.status_code == 200, stored.text
        assert plain() == found
    assert called(gate, shop, authorization="Basic YW5uOnNlY3JldC1vZi1hbm4=").status_code == 200


@pytest.mark.stores
def test_a_blocked_api_answers_preflights_where_cors_stands_left_of_its_state(gate, name):
    put_template(gate, name, "1", [CORS, "lifecycle"])
    shop = published(gate, name, template=name)
    blocked = gate.call("POST", f"/apis/{shop} 1.0/lifecycle?wait=live", {"event": "Block"})
    assert blocked.status_code == 200
    answer = called(gate, shop, origin=ORIGIN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (503, ORIGIN)
    asks = {"origin": ORIGIN, "access-control-request-method": "GET"}
    assert called(gate, shop, "OPTIONS", **asks).status_code == 204
    put_template(gate, name, "1", ["lifecycle", CORS])
    assert called(gate, shop, "OPTIONS", **asks).status_code == 503
