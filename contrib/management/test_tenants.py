"""Tenants over the API of a real gateway: what one of them has, another neither sees, nor changes, nor learns of."""

import json

import httpx
import pytest

from .served import DOCUMENT, serving

A, B = "acme.example", "bolt.example"
PASSWORD = "correct horse battery"
SECRET_NAME = "hidden-thing"


def route(name, host, **more):
    return {"name": name, "match": {"host": host, "path": "/"}, "flow": [{"respond": {"body": name}}], **more}


def call(gate, who, method, path, body=None, **headers):
    return httpx.request(
        method,
        f"{gate.management}/-/api{path}",
        json=body,
        auth=(who, PASSWORD),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        timeout=60,
        trust_env=False,
    )


def made(gate, tenant):
    gate.call("PUT", f"/objects/tenants/{tenant}?wait=live", {"objects": 3})
    for path, body in (
        ("/roles", {"name": f"boss@{tenant}", "permissions": ["admin"]}),
        ("/users", {"name": f"ann@{tenant}", "roles": [f"boss@{tenant}"], "password": PASSWORD}),
    ):
        answer = gate.call("POST", path, body)
        assert answer.status_code == 201, answer.text
    return f"ann@{tenant}"


@pytest.mark.row("KC-80")
def test_a_tenant_has_domains_people_and_objects_and_another_one_learns_nothing_of_them(tmp_path, database_url):
    with serving(tmp_path, database_url, DOCUMENT) as gate:
        a, b = made(gate, A), made(gate, B)
        crm, hidden = {"targets": "http://127.0.0.1:9"}, f"{SECRET_NAME}@{A}"
        assert call(gate, a, "PUT", f"/objects/connections/{hidden}", crm).status_code == 201
        mine = call(gate, a, "PUT", f"/objects/routes/{hidden}?wait=live", route(hidden, A))
        assert (mine.status_code, mine.json()["live"]) == (201, True), mine.text
        assert httpx.get(gate.public, headers={"Host": A}, trust_env=False, timeout=30).text == hidden

        # reading
        assert [each["name"] for each in call(gate, a, "GET", "/objects/routes").json()["objects"]] == [hidden]
        shown = [
            call(gate, b, "GET", path)
            for path in (
                "/objects/routes", "/objects/connections", "/export", "/generations", "/audit", "/audit?format=jsonl",
                "/users", "/roles", f"/objects/routes/{hidden}", f"/objects/routes/{hidden}/used-by", "/generations/3",
                f"/users/{a}", "/tokens", "/nodes", "/diff", "/drafts",
            )
        ]  # fmt: skip
        assert not [each.url for each in shown if SECRET_NAME in each.text.replace(f"no routes/{hidden}", "")]
        assert not [each.url for each in shown if f"ann@{A}" in each.text.replace(f"no ann@{A}", "")]
        assert not [each.url for each in shown if each.status_code >= 500]

        # what is there and what is not there are answered in the same words
        for method, path, body in (
            ("GET", "/objects/routes/{}", None),
            ("PUT", "/objects/routes/{}", route("{}", B)),
            ("DELETE", "/objects/routes/{}", None),
            ("PATCH", "/objects/routes/{}", {"description": "x"}),
            ("GET", "/objects/routes/{}/used-by", None),
            ("POST", "/objects/routes/{}/rename", {"to": f"x@{B}"}),
            ("PUT", f"/objects/routes/r@{B}", route(f"r@{B}", B, to={"connection": "{}"})),
            ("POST", "/apply", {"changes": [{"kind": "routes", "name": "{}", "body": None}]}),
            ("POST", "/plan", {"document": {"routes": [route("{}", B)]}}),
            ("POST", "/apply", {"changes": [{"kind": "routes", "body": route(f"r@{B}", A)}]}),
        ):
            told = []
            for name in (hidden, f"not-there@{A}"):
                sent = None if body is None else json.loads(json.dumps(body).replace("{}", name))
                answer = call(gate, b, method, path.format(name), sent, If_Match='"1"')
                told.append((answer.status_code, answer.text.replace(name, "NAME")))
            assert told[0] == told[1], (method, path)
            assert 400 <= told[0][0] < 500, told[0]

        # its own names only, its own domains only, no more than it may have
        own = f"shop@{B}"
        assert call(gate, b, "PUT", "/objects/routes/free", route("free", B)).status_code == 422
        refused = call(gate, b, "PUT", f"/objects/routes/{own}", {"name": own, "match": {"path": "/"}})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/match/host")
        assert call(gate, b, "PUT", "/objects/tenants/bolt.example", {"objects": 99}).status_code == 403
        assert call(gate, b, "PUT", f"/objects/routes/{own}", route(own, B)).status_code == 201
        assert call(gate, b, "POST", f"/objects/routes/{own}/rename", {"to": f"shop@{A}"}).status_code == 422
        lent = route(f"lent@{B}", B, to={"connection": "old"})
        assert call(gate, b, "PUT", f"/objects/routes/lent@{B}", lent).status_code == 422
        more = [{"kind": "connections", "name": f"c{n}@{B}", "body": crm} for n in range(3)]
        quota = call(gate, b, "POST", "/apply", {"changes": more})
        assert (quota.status_code, quota.json()["type"]) == (409, "urn:hookgate:problem:quota")

        # people
        new = {"name": f"eve@{A}", "password": PASSWORD}
        assert call(gate, b, "POST", "/users", new).status_code == 422
        assert call(gate, b, "POST", "/users", {**new, "name": f"eve@{B}", "roles": [f"boss@{A}"]}).status_code == 422
        assert call(gate, b, "POST", "/tokens", {"name": "t", "user": a}).status_code == 403
        assert gate.call("POST", "/users", {"name": "kim", "roles": [f"boss@{A}"]}).status_code == 422

        # plans, and going back: only what is its own
        sealed = call(gate, a, "POST", "/plan", {"document": {"routes": [route(hidden, A, description="n")]}}).json()
        assert call(gate, b, "POST", "/apply-plan", {"plan": sealed["plan"]}).status_code == 422
        back = call(gate, b, "POST", "/rollback", {"to": 0})
        assert [each["name"] for each in back.json()["changes"]] == [own], back.text
        assert call(gate, a, "GET", f"/objects/routes/{hidden}").status_code == 200

        # disabled, and gone: its people stay out
        gate.call("PUT", f"/objects/tenants/{A}?wait=live", {"disabled": True})
        assert httpx.get(gate.public, headers={"Host": A}, trust_env=False, timeout=30).status_code == 503
        assert call(gate, a, "GET", "/export").status_code == 403
        assert A in json.dumps(gate.health())
        assert gate.call("DELETE", f"/objects/tenants/{A}").status_code == 409
        assert gate.call("DELETE", f"/objects/tenants/{B}?wait=live").status_code == 200
        assert call(gate, b, "GET", "/export").status_code == 403
