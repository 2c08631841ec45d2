"""Bulks by the routes that take them: rows in, instances, results by row, and whatever is wrong with rows."""

import json
import time

import pytest

from contrib.workflows.served import document, serving, setter, workflow

WORKFLOWS = {
    "greet": workflow(("set", setter("*response*", {"body": {"hello": "{{ request.body.name }}"}}))),
    "picky": workflow(
        ("ask", {"original_name": "boolean_expression", "params": {"expression": "request.body.name != 'bad'"}}),
        ("set", setter("*response*", {"body": "{{ request.body.name }}"})),
    ),
}
WORKFLOWS["picky"]["transitions"] = [["start.ok", "ask"], ["ask.true", "set"], ["set.ok", "end"]]
WORKFLOWS["picky"]["cells"]["ask"]["outputs"] = ["true"]
SCHEMA = {
    "type": "object",
    "required": ["name", "age"],
    "properties": {"name": {"minLength": 1}, "age": {"type": "integer", "minimum": 0}},
}
OPTIONS = {"columns": {"age": {"type": "integer"}}}
ROUTES = [
    {"route": "/greet", "method": "post", "workflow": "greet", "schema": SCHEMA, "bulk": {"options": OPTIONS}},
    {"route": "/few", "method": "post", "workflow": "greet", "sync": True, "bulk": {"max_rows": 3, "max_bytes": 1000}},
    {"route": "/picky/{list}", "method": "post", "workflow": "picky", "bulk": {"stop_on_error": True, "parallel": 1}},
    {"route": "/open", "method": "post", "workflow": "greet", "public": True, "bulk": {}},
]


@pytest.fixture(scope="module")
def farm(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("bulk")
    with serving(folder, store_in(folder), document(WORKFLOWS, ROUTES)) as made:
        yield made


def post(farm, path, body, kind="text/csv", who="ann", place="custom"):
    return farm.call(f"/api/v01/{place}{path}", "POST", who=who, content=body, headers={"content-type": kind})


def bulk(farm, number, patience=15.0):
    until = time.monotonic() + patience
    while True:
        told = farm.call(f"/api/v01/bulks/{number}", who="ann").json()
        if told["status"].startswith("CLOSED"):
            return told, farm.call(f"/api/v01/bulks/{number}/rows", who="ann").json()["rows"]
        assert time.monotonic() < until, told
        time.sleep(0.02)


@pytest.mark.stores
@pytest.mark.row("CR-29")
def test_csv_with_three_rows_of_which_one_is_invalid_makes_two_instances(farm):
    made = post(farm, "/greet", "name,age\nann,3\nbob,-1\ncy,5\n")

    assert made.status_code == 202, made.text
    assert (made.json()["rows"], made.json()["invalid"]) == (3, 1)
    told, rows = bulk(farm, made.json()["bulk_id"])
    assert told["stats"] == {"queued": 0, "running": 0, "done": 2, "failed": 0, "invalid": 1, "stopped": 0}
    assert sum(told["stats"].values()) == told["rows"] == 3
    assert told["status"] == "CLOSED_IN_ERRORS"
    assert [(row["row"], row["line"], row["status"]) for row in rows] == [
        (1, 2, "done"),
        (2, 3, "invalid"),
        (3, 4, "done"),
    ]
    assert rows[0]["original"] == {"name": "ann", "age": "3"}
    assert rows[0]["response"] == {"body": {"hello": "ann"}}
    assert rows[1]["trace"] == [{"pointer": "/age", "detail": "breaks minimum of the schema"}]
    assert rows[1]["instance"] is None
    one = farm.transaction(rows[2]["instance"]).json()
    assert (one["guid"], one["owner"], one["label"]) == (rows[2]["guid"], "ann", f"bulk {told['id']}")
    assert one["request"]["body"] == {"name": "cy", "age": 5}
    assert one["request"]["bulk"] == {"id": told["id"], "row": 3, "attempt": 1}


@pytest.mark.stores
def test_a_json_array_is_a_bulk_and_an_object_is_a_plain_call(farm):
    made = post(farm, "/few", json.dumps([{"name": "a"}, {"name": "b"}]), "application/json")
    plain = post(farm, "/few", json.dumps({"name": "c"}), "application/json")

    assert (made.status_code, made.json()["rows"]) == (202, 2)
    assert (plain.status_code, plain.json()) == (200, {"hello": "c"})
    told, rows = bulk(farm, made.json()["guid"])
    assert told["status"] == "CLOSED_IN_SUCCESS"
    assert [row["response"]["body"]["hello"] for row in rows] == ["a", "b"]


@pytest.mark.stores
def test_the_first_failure_stops_what_has_not_begun_where_it_should(farm):
    made = post(farm, "/picky/7", json.dumps([{"name": name} for name in ("a", "bad", "c", "d")]), "application/json")

    told, rows = bulk(farm, made.json()["bulk_id"])
    assert [row["status"] for row in rows] == ["done", "failed", "stopped", "stopped"]
    assert rows[1]["trace"][0]["cell"] == "ask"
    assert [row["instance"] is None for row in rows] == [False, False, True, True]
    assert told["status"] == "CLOSED_IN_ERRORS"
    request = farm.transaction(rows[0]["instance"]).json()["request"]
    assert request["match_info"] == {"list": "7"}


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        ("", "text/csv", "there are no rows"),
        ("name\n", "text/csv", "there are no rows"),
        ("name,name\na,b\n", "text/csv", "names 'name' twice"),
        ("name,\na,b\n", "text/csv", "column 2 has no name"),
        ("name\na\nb\nc\nd\n", "text/csv", "more than 3 rows"),
        (b"name\n\xff\n", "text/csv", "line 2 is no utf-8"),
        ('name\n"a"b\n', "text/csv", "line 2 cannot be read"),
        ('name\n"a\n', "text/csv", "cannot be read"),
        ("[1, 2", "application/json", "this is no JSON"),
        ("[]", "application/json", "there are no rows"),
    ],
)
def test_what_has_no_rows_is_refused_with_the_place(farm, body, kind, why):
    told = post(farm, "/few", body, kind)

    assert (told.status_code, told.json()["reason"]) == (400, "bad-rows")
    assert why in told.json()["detail"]


def test_rows_of_another_length_are_invalid_and_others_go_on(farm):
    made = post(farm, "/few", '\ufeffname,age\na\n\nb,"1\n2"\nc,1,2\n'.encode())

    _, rows = bulk(farm, made.json()["bulk_id"])
    assert [row["status"] for row in rows] == ["invalid", "done", "invalid"]
    assert rows[0]["trace"][0]["detail"] == "has 1 cells, and the header has 2"
    assert rows[1]["original"] == {"name": "b", "age": "1\n2"}


def test_a_body_that_is_too_large_is_refused(farm):
    assert post(farm, "/few", "name\n" + "x" * 1_100_000).status_code == 413


def test_only_who_has_started_it_and_operators_see_a_bulk(farm):
    number = post(farm, "/few", "name\na\n").json()["bulk_id"]
    place = f"/api/v01/bulks/{number}"

    assert [farm.call(place, who=who).status_code for who in ("ann", "bob", "")] == [200, 403, 401]
    assert farm.call(f"{place}/rows", who="ops", roles="operator").status_code == 200
    assert farm.call("/api/v01/bulks/99999", who="ann").status_code == 404
    assert farm.call("/api/v01/bulks/x", who="ann").status_code == 404
    for query in ("limit=0", "limit=1001", "after=-1", "status=over", "what=1"):
        assert farm.call(f"{place}/rows?{query}", who="ann").status_code == 400, query
    public = post(farm, "/open", "name\na\n", place="public").json()["bulk_id"]
    assert farm.call(f"/api/v01/bulks/{public}", who="ann").status_code == 403
    assert bulk(farm, number)[0]["status"] == "CLOSED_IN_SUCCESS"
