"""Who sees which API, and who may subscribe to it: as functions, and over the API of a running gateway."""

import itertools

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrib.management.served import DOCUMENT, serving
from hookgate.testing import running
from hookgate_apimanager.visibility import Offer, Viewer, available, may_subscribe, sees
from hookgate_people.shipped import SHIPPED

A, B = "a.example", "b.example"
PASSWORD = "correct horse battery"
LEVELS = ("public", "domain", "roles")
VIEWERS = {
    "anonymous": Viewer(),
    "registered": Viewer(A),
    "in-role": Viewer(A, frozenset({f"staff@{A}"})),
    "publisher": Viewer(A, insider=True),
}
SEEN = {
    ("anonymous", A): {"public"},
    ("anonymous", B): {"public"},
    ("registered", A): {"public", "domain"},
    ("registered", B): {"public"},
    ("in-role", A): {"public", "domain", "roles"},
    ("in-role", B): {"public"},
    ("publisher", A): {"public", "domain", "roles"},
    ("publisher", B): {"public"},
}
"""Levels that a viewer of tenant A sees of the APIs of each tenant (KC-45)."""


def test_the_matrix_of_viewers_levels_and_tenants_as_functions():
    for (who, tenant), seen in SEEN.items():
        for level in LEVELS:
            offer = Offer(tenant, level, frozenset({f"staff@{A}", f"staff@{B}"}))
            assert sees(VIEWERS[who], offer) == (level in seen), (who, tenant, level)


def test_the_matrix_of_subscription_availability_as_functions():
    c, d = "c.example", "d.example"
    open_to = {"current": {A}, "all": {A, B, c, d}, "listed": {A, B, c}}
    for to, whose, level, several in itertools.product(open_to, (A, B, c, d), LEVELS, (True, False)):
        offer = Offer(A, level, frozenset({"staff"}), to, frozenset({B, c}))
        may = may_subscribe(Viewer(whose, frozenset({"staff"})), offer, several=several)
        forced = level != "public" or not several
        assert may == (whose in (open_to["current"] if forced else open_to[to])), (to, whose, level, several)
        assert available(offer, several=several) == ("current" if forced else to)
        assert not may_subscribe(Viewer(), offer, several=several)


tenants = st.sampled_from(["", A, B])
roles = st.frozensets(st.sampled_from(["staff", "intern", "boss"]))
viewers = st.builds(Viewer, st.none() | tenants, roles, st.booleans())
offers = st.builds(
    Offer,
    tenants,
    st.sampled_from(LEVELS),
    roles,
    st.sampled_from(["current", "all", "listed"]),
    st.frozensets(tenants),
)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(viewers, offers, st.booleans())
def test_nobody_subscribes_to_what_they_do_not_see_and_nothing_restricted_leaves_its_tenant(viewer, offer, several):
    if may_subscribe(viewer, offer, several=several):
        assert sees(viewer, offer)
        assert viewer.tenant is not None
    if offer.level != "public" and viewer.tenant != offer.tenant:
        assert not sees(viewer, offer)
    if sees(Viewer(), offer):  # what anybody sees, everybody sees
        assert sees(viewer, offer)
    if sees(viewer, offer):  # another role, or more standing, hides nothing
        assert sees(Viewer(viewer.tenant, viewer.roles | {"more"}, insider=True), offer)


def tenant_api(tenant, level):
    flow = [{"respond": {}}]
    return {"name": f"{level}@{tenant}", "version": "1.0", "base_path": f"/{level}", "hosts": [tenant], "flow": flow}


def visibility(tenant, level):
    return {"level": level} | ({"roles": [f"staff@{tenant}"]} if level == "roles" else {})


def call(gate, who, path):
    auth = None if who is None else (who, PASSWORD)
    return httpx.get(f"{gate.management}/-/api{path}", auth=auth, timeout=60, trust_env=False)


@pytest.mark.row("KC-42")
@pytest.mark.row("KC-43")
@pytest.mark.row("KC-45")
def test_the_matrix_of_viewers_levels_and_tenants_over_http(tmp_path, database_url):
    with serving(tmp_path, database_url) as gate:
        for tenant in (A, B):
            assert gate.call("PUT", f"/objects/tenants/{tenant}?wait=live", {}).status_code == 201
        changes = [
            {"kind": kind, "name": f"{level}@{tenant} 1.0", "body": make(tenant, level)}
            for kind, make in (("apis", tenant_api), ("visibilities", visibility))
            for tenant, level in itertools.product((A, B), LEVELS)
        ]
        hidden = {"name": "hidden", "version": "1.0", "base_path": "/hidden", "flow": [{"respond": {}}]}
        changes.append({"kind": "apis", "name": "hidden 1.0", "body": hidden})
        changes.append({"kind": "lifecycles", "name": "hidden 1.0", "body": {"state": "CREATED"}})
        stored = gate.call("POST", "/apply?wait=live", {"changes": changes})
        assert (stored.status_code, stored.json().get("live")) == (200, True), stored.text
        people = {"registered": "subscriber", "in-role": "staff", "publisher": "publisher"}
        for name, role in people.items():
            permissions = SHIPPED[role].permissions if role in SHIPPED else ()
            for path, body in (
                ("/roles", {"name": f"{role}@{A}", "permissions": permissions}),
                ("/users", {"name": f"{name}@{A}", "roles": [f"{role}@{A}"], "password": PASSWORD}),
            ):
                answer = gate.call("POST", path, body)
                assert answer.status_code == 201, answer.text
        for who in VIEWERS:
            name = None if who == "anonymous" else f"{who}@{A}"
            told = call(gate, name, "/apis").json()
            listed = {each["api"] for each in told["apis"]}
            expected = {f"{level}@{tenant} 1.0" for tenant in (A, B) for level in SEEN[who, tenant]}
            assert listed == expected, who
            assert told["levels"] == ["public", "domain", "roles"]
            for tenant, level in itertools.product((A, B), LEVELS):
                answer = call(gate, name, f"/apis/{level}@{tenant} 1.0")
                assert answer.status_code == (200 if level in SEEN[who, tenant] else 404), (who, tenant, level)
        nothing = call(gate, None, "/apis/nothing 1.0").json()["detail"]
        there = call(gate, None, f"/apis/roles@{A} 1.0").json()["detail"]
        assert there == nothing.replace("nothing", f"roles@{A}")
        assert "hidden 1.0" in {each["api"] for each in gate.call("GET", "/apis").json()["apis"]}
        assert gate.call("GET", "/apis", token="wrong").status_code == 401


@pytest.mark.row("KC-12")
def test_what_is_created_is_hidden_from_who_looks_for_apis_and_seen_by_who_publishes(tmp_path, database_url):
    with serving(tmp_path, database_url) as gate:
        api = {"name": "orders", "version": "1.0", "base_path": "/orders", "flow": [{"respond": {}}]}
        made = [{"kind": "apis", "name": "orders 1.0", "body": api}]
        made.append({"kind": "lifecycles", "name": "orders 1.0", "body": {"state": "CREATED"}})
        assert gate.call("POST", "/apply?wait=live", {"changes": made}).status_code == 200
        for role in ("publisher", "subscriber"):
            gate.call("POST", "/roles", {"name": role, "permissions": SHIPPED[role].permissions})
            gate.call("POST", "/users", {"name": role, "roles": [role], "password": PASSWORD})
        found = {}
        for who in (None, "subscriber", "publisher"):
            found[who] = [each["api"] for each in call(gate, who, "/apis").json()["apis"]]
        assert found == {None: [], "subscriber": [], "publisher": ["orders 1.0"]}
        assert gate.get("/orders/1.0").status_code == 404
        assert gate.call("POST", "/apis/orders 1.0/lifecycle?wait=live", {"event": "Publish"}).status_code == 200
        (shown,) = call(gate, "subscriber", "/apis").json()["apis"]
        assert (shown["state"], shown["subscribable"]) == ("PUBLISHED", True)
        assert call(gate, None, "/apis").json()["apis"][0]["subscribable"] is False


@pytest.mark.row("KC-44")
@pytest.mark.row("KC-47")
def test_what_only_several_tenants_have_is_refused_and_not_offered_where_there_is_one(tmp_path):
    document = DOCUMENT + "apis: [{name: orders, base_path: /orders, flow: [{respond: {}}]}]\n"
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", document) as gate:
        assert gate.call("GET", "/apis").json()["levels"] == ["public", "roles"]
        place = "/objects/visibilities/orders"
        for body, word in (
            ({"level": "domain"}, "one tenant only"),
            ({"subscriptions": "all"}, "one tenant only"),
            ({"level": "roles", "roles": ["staff"], "subscriptions": "all"}, "`current`"),
            ({"level": "roles"}, "name those that see it"),
            ({"roles": ["staff"]}, "no other level"),
            ({"subscriptions": "listed"}, "name those that may subscribe"),
        ):
            refused = gate.call("PUT", place, body)
            assert (refused.status_code, word in refused.text) == (422, True), refused.text
        assert gate.call("PUT", f"/objects/tenants/{A}?wait=live", {}).status_code == 201
        assert gate.call("GET", "/apis").json()["levels"] == ["public", "domain", "roles"]
        assert gate.call("PUT", place, {"level": "domain"}).status_code == 201
        assert gate.call("PUT", place, {"subscriptions": "listed", "tenants": ["c.example"]}).status_code == 422
        assert gate.call("PUT", place, {"subscriptions": "listed", "tenants": [A]}).status_code == 200
        assert gate.call("PUT", place, {"level": "domain", "subscriptions": "all"}).status_code == 422


def test_a_list_comes_in_pages_and_shows_a_file(tmp_path):
    listed = "".join(f"  - {{name: n{n}, base_path: /n{n}, flow: [{{respond: {{}}}}]}}\n" for n in range(5))
    with running(DOCUMENT.partition("routes:")[0] + f"apis:\n{listed}") as gate:
        url, seen, after = f"{gate.management}/-/api/apis", [], ""
        while True:
            told = httpx.get(url, params={"limit": 2, "after": after}, trust_env=False, timeout=30).json()
            seen += [each["api"] for each in told["apis"]]
            if (after := told.get("next")) is None:
                break
        assert httpx.get(url, params={"limit": 0}, trust_env=False, timeout=30).status_code == 400
    assert seen == [f"n{n}" for n in range(5)]
