"""OpenAPI of custom routes, as programs get it (CR-4, CR-30)."""

import logging

import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from .served import document, refused, serving, setter, workflow

TREE = {
    "$id": "https://example.org/tree",
    "type": ["object", "null"],
    "required": ["name"],
    "properties": {
        "name": {"const": "x", "$anchor": "name"},
        "size": {"type": "integer", "exclusiveMinimum": 0},
        "of": {"type": ["string", "array", "null"]},
        "pair": {"prefixItems": [{"type": "string"}], "type": "array"},
        "second": {"$ref": "#/properties/pair/prefixItems/0"},
        "same": {"$ref": "#name", "description": "again"},
        "nothing": {"type": "null"},
        "any": True,
        "never": False,
        "leaf": {"$ref": "#/$defs/a~1leaf"},
        "inner": {"$ref": "https://example.org/tree"},
        "whole": {"$ref": "#"},
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "$defs": {"a/leaf": {"type": "object", "properties": {"up": {"$ref": "#/$defs/a~1leaf"}}}},
}
ANSWER = {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
ECHO = workflow(
    (
        "set",
        setter(
            "*response*", {"status": "{{ request.params.status | default(200) | int }}", "body": "{{ request.body }}"}
        ),
    )
)
PROFILES = {
    "clerks": {
        "roles": ["clerk"],
        "rules": [
            {"url": "/api/v01/custom/(users|numbered)/[0-9]+"},
            {"method": "POST", "url": "/api/v01/custom/later"},
        ],
    },
    "chiefs": {"roles": ["chief"], "rules": [{"url": ".*"}]},
}


def route(path, method="get", **more):
    return {"route": path, "method": method, "workflow": "echo", "sync": True, **more}


ROUTES = [
    route("/open", "post", public=True, group="doors", schema=TREE, output_schema=ANSWER),
    route("/users/{id}", group="people"),
    route("/users/{name}", "put", schema={"type": "object"}),
    route("/users/{rest:.*}"),
    route("/numbered/{id:[0-9]+}", on_missing_response=204),
    route("/later", "post", sync=False, output_schema=ANSWER),
    route("/gone", enabled=False),
    route("/warned", "post", public=True, output_schema=ANSWER, validate_response="warn"),
    route("/checked", "post", public=True, output_schema=ANSWER, validate_response="fail"),
]
PAGES = ("swagger.yml", "swagger.json", "openapi.yml", "openapi.json")


def made(routes=ROUTES, **engine):
    return document({"echo": ECHO}, routes, workflow_engine={"profiles": PROFILES, **engine})


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", made()) as served:
        yield served


def read(farm, page="openapi.json", **who):
    told = farm.call(f"/api/v01/custom_routes.{page}", **who)
    assert told.status_code == 200, told.text
    found = yaml.safe_load(told.text)
    old = page.startswith("swagger")
    assert told.headers["content-type"] == f"application/{'json' if page.endswith('json') else 'yaml'}"
    assert found["openapi"] == ("3.0.3" if old else "3.1.0")
    (OpenAPIV30SpecValidator if old else OpenAPIV31SpecValidator)(found).validate()
    return found


@pytest.mark.row("CR-30")
@pytest.mark.parametrize("page", PAGES)
def test_a_document_is_valid_and_says_what_routes_say(farm, page):
    told = read(farm, page, who="ann", roles="chief")

    opened = told["paths"]["/api/v01/public/open"]["post"]
    assert (opened["security"], opened["tags"]) == ([], ["doors"])
    assert opened["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/post_open.request"
    }
    answered = opened["responses"]["200"]["content"]["application/json"]["schema"]
    assert told["components"]["schemas"][answered["$ref"].rpartition("/")[2]] == ANSWER
    users = told["paths"]["/api/v01/custom/users/{id}"]
    assert users["get"]["security"] == [{"token": []}]
    assert users["get"]["parameters"] == [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert "description" in users["get"]  # the route of all that is behind is no path of its own
    assert users["put"]["parameters"][0]["name"] == "id"
    numbered = told["paths"]["/api/v01/custom/numbered/{id}"]["get"]
    assert numbered["parameters"][0]["schema"]["pattern"] == "^(?:[0-9]+)$"
    assert "204" in numbered["responses"]
    later = told["paths"]["/api/v01/custom/later"]["post"]["responses"]
    assert {"202", "401", "403"} <= later.keys()
    assert not any("gone" in path for path in told["paths"])
    assert told["tags"] == [{"name": "doors"}, {"name": "people"}]


def test_a_schema_keeps_what_the_version_can_say(farm):
    new, old = (read(farm, page, who="ann", roles="chief")["components"]["schemas"] for page in PAGES[3:0:-2])
    root = "#/components/schemas/post_open.request"
    inside = new["post_open.request"]["properties"]
    assert inside["leaf"] == {"$ref": f"{root}.a-leaf"}
    assert inside["inner"] == inside["whole"] == {"$ref": root}
    assert inside["same"] == {"$ref": f"{root}/properties/name", "description": "again"}
    assert inside["second"] == {"$ref": f"{root}/properties/pair/prefixItems/0"}
    assert new["post_open.request.a-leaf"]["properties"]["up"] == {"$ref": f"{root}.a-leaf"}

    less = old["post_open.request"]
    assert (less["type"], less["nullable"], less["additionalProperties"]) == ("object", True, False)
    assert less["properties"] == {
        "name": {"enum": ["x"]},
        "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "of": {"anyOf": [{"type": "string", "nullable": True}, {"type": "array", "items": {}, "nullable": True}]},
        "pair": {"type": "array", "items": {}},
        "second": {},
        "same": {"allOf": [{"$ref": f"{root}/properties/name"}], "description": "again"},
        "nothing": {"enum": [None], "nullable": True},
        "any": {},
        "never": {"not": {}},
        "leaf": {"$ref": f"{root}.a-leaf"},
        "inner": {"$ref": root},
        "whole": {"$ref": root},
    }


@pytest.mark.row("CR-30")
def test_callers_see_what_they_may_call(farm):
    public = {"/api/v01/public/open", "/api/v01/public/warned", "/api/v01/public/checked"}
    assert read(farm)["paths"].keys() == public
    assert "securitySchemes" not in read(farm)["components"]
    assert read(farm, who="eve", roles="guest")["paths"].keys() == public
    mine = read(farm, who="bob", roles="clerk")
    numbered = {"/api/v01/custom/users/{id}", "/api/v01/custom/numbered/{id}", "/api/v01/custom/later"}
    assert mine["paths"].keys() == public | numbered
    assert "post_later.response" not in read(farm)["components"]["schemas"]
    spoilt = farm.call("/api/v01/custom_routes.openapi.json", headers={"authorization": "Bearer spoilt"})
    assert spoilt.status_code == 401


@pytest.mark.row("CR-30")
def test_a_document_is_made_anew_when_a_route_changes(tmp_path):
    first = made([route("/one")])
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", first) as farm:
        assert farm.call("/api/v01/custom_routes.swagger.yml").status_code == 401  # nothing is public
        told = farm.call("/api/v01/custom_routes.swagger.yml", who="ann", roles="chief")
        again = farm.call(
            "/api/v01/custom_routes.swagger.yml",
            who="ann",
            roles="chief",
            headers={"if-none-match": told.headers["etag"]},
        )
        assert (again.status_code, again.content) == (304, b"")
        before = read(farm, who="ann", roles="chief")
        first["custom_routes"].append(route("/two", public=True))
        farm.write(first)
        after = read(farm, who="ann", roles="chief")
        assert after["paths"].keys() - before["paths"].keys() == {"/api/v01/public/two"}
        assert after["info"]["version"] != before["info"]["version"]
        assert read(farm)["paths"].keys() == {"/api/v01/public/two"}
        first["workflow_engine"]["profiles"] = {}
        farm.write(first)
        assert len(read(farm, who="eve", roles="guest")["paths"]) == 2


@pytest.mark.row("CR-4")
def test_an_answer_is_compared_with_its_schema(farm, caplog):
    right, wrong = {"message": "hi"}, {"message": 7, "secret": "never told"}
    for path in ("/open", "/warned", "/checked"):
        sent = {**right, "name": "x"} if path == "/open" else right
        if path != "/open":
            assert farm.public(path, "POST", json=sent).json() == right
    told = farm.public("/checked", "POST", json=wrong)
    assert (told.status_code, told.json()["reason"]) == (500, "response-schema")
    assert "message" not in told.text
    assert farm.public("/checked?status=404", "POST", json=wrong).json() == wrong  # what a failure is like is not said
    assert farm.public("/checked", "POST", content=b"plain").status_code == 500
    assert farm.public("/checked", "POST").status_code == 500
    with caplog.at_level(logging.WARNING):
        assert farm.public("/warned", "POST", json=wrong).json() == wrong
    assert "is not as output_schema says: [{'pointer': '/message', 'detail': 'should be string'}]" in caplog.text
    assert "never told" not in caplog.text


@pytest.mark.parametrize("wrong", [{"output_schema": None}, {"sync": False}])
def test_nothing_is_compared_where_nothing_could_be(tmp_path, wrong):
    odd = {**route("/odd", public=True, output_schema=ANSWER, validate_response="fail"), **wrong}
    told = refused(tmp_path, made([odd]))
    assert "custom_routes[0].validate_response: needs an output_schema" in told
