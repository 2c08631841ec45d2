"""The API of a running gateway, over HTTP."""

import itertools
from base64 import b64encode

import httpx
import pytest

from hookgate.testing import upstream

from .served import DOCUMENT, serving, written_in

SECRET = "the-password-of-crm"
CRM = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "gate", "password": SECRET}}]}
_numbers = itertools.count(1)


def route(name, **to):
    return {"name": name, "match": {"path": f"/{name}"}, **(to or {"flow": [{"respond": {"body": name}}]})}


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}") as served:
        served.folder = folder
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def test_every_section_is_a_kind_with_a_permission(gate):
    told = {each["kind"]: each for each in gate.call("GET", "/").json()["kinds"]}

    assert {"connections", "routes", "apis", "applications", "plans", "plugins", "profiles"} <= told.keys()
    assert told["connections"]["permission"] == "api_connection"
    assert "storage" not in told


def test_an_object_is_made_read_changed_and_removed(gate, name):
    made = gate.call("POST", "/objects/connections", {"name": name, "body": CRM})
    read = gate.call("GET", f"/objects/connections/{name}")
    changed = gate.call("PUT", f"/objects/connections/{name}", {"targets": "http://127.0.0.1:10"})
    listed = gate.call("GET", "/objects/connections").json()["objects"]
    removed = gate.call("DELETE", f"/objects/connections/{name}")

    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert made.headers["Location"] == f"/-/api/objects/connections/{name}"
    assert (read.status_code, read.headers["ETag"], read.json()["version"]) == (200, '"1"', 1)
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert {each["name"]: each["from"] for each in listed}[name] == "store"
    assert removed.status_code == 200
    assert gate.call("GET", f"/objects/connections/{name}").status_code == 404


def test_a_write_that_waits_is_live_when_it_is_answered(gate, name):
    assert gate.get(f"/{name}").status_code == 404
    made = gate.call("POST", "/objects/routes?wait=live", {"body": route(name)})
    assert (made.status_code, made.json()["live"]) == (201, True)
    assert [node["generation"] for node in made.json()["nodes"]] == [made.json()["generation"]]
    assert gate.get(f"/{name}").text == name

    gone = gate.call("DELETE", f"/objects/routes/{name}?wait=30s")
    assert gone.json()["live"]
    assert gate.get(f"/{name}").status_code == 404


@pytest.mark.row("HC-1")
def test_a_name_that_is_taken_is_refused_and_so_is_the_end_of_what_others_use(gate, name):
    assert gate.call("POST", "/objects/connections", {"name": name, "body": CRM}).status_code == 201
    again = gate.call("POST", "/objects/connections", {"name": name, "body": {"targets": "http://127.0.0.1:1"}})
    user = gate.call("POST", "/objects/routes", {"body": route(name, to={"connection": name})})
    gone = gate.call("DELETE", f"/objects/connections/{name}")

    assert (again.status_code, again.json()["type"]) == (409, "urn:hookgate:problem:exists")
    assert gate.call("GET", f"/objects/connections/{name}").json()["body"]["targets"] == "http://127.0.0.1:9"
    assert user.status_code == 201
    assert (gone.status_code, gone.json()["type"]) == (409, "urn:hookgate:problem:in-use")
    assert [(each["object"], each["pointer"]) for each in gone.json()["errors"]] == [
        (f"routes/{name}", "/to/connection")
    ]
    assert gate.call("GET", f"/objects/connections/{name}").status_code == 200


def test_who_may_read_some_kinds_learns_how_much_of_others_a_change_meets_and_not_what(gate, name):
    """Bob may read and change connections only."""
    gate.call("PUT", f"/objects/connections/{name}", CRM)
    for number in range(3):
        made = gate.call("PUT", f"/objects/routes/{name}-{number}", route(f"{name}-{number}", to={"connection": name}))
        assert made.status_code == 201
    changed = {**CRM, "targets": "http://127.0.0.1:10"}
    told = {}
    for token in ("token-of-ann", "token-of-eve", "token-of-bob"):
        path = f"/objects/connections/{name}"
        answers = [
            gate.call("PUT", f"{path}?dry_run=true", changed, token),
            gate.call("POST", "/apply?dry_run=true", _one(name, changed), token),
            gate.call("POST", "/plan", {"document": {"connections": {name: changed}}}, token),
        ]
        refused = [
            gate.call("DELETE", f"{path}?dry_run=true", token=token),
            gate.call("DELETE", path, token=token),
            gate.call("POST", "/apply", _one(name, None), token),
        ]
        told[token] = answers, refused
    answers, refused = told["token-of-ann"]
    for each in answers:
        found = {(one["kind"], one["route"]) for one in each.json()["effects"]}
        assert (found, each.json()["effects_total"]) == ({("routes", f"{name}-{n}") for n in range(3)}, 3), each.text
    assert all(f"routes/{name}-0" in each.json()["detail"] for each in refused)
    assert told["token-of-eve"][0][0].status_code == 403
    answers, refused = told["token-of-bob"]
    for each in answers:
        assert (each.status_code, each.json()["effects"], each.json()["effects_total"]) == (200, [], 3), each.text
    for each in refused:
        assert each.status_code == 409
        assert each.json()["detail"] == "It is in use: 3 objects that you may not read could not live with that."
    assert f"{name}-" not in "".join(each.text for each in (*answers, *refused))


def _one(name, body):
    return {"changes": [{"kind": "connections", "name": name, "body": body}]}


@pytest.mark.row("AC-1")
def test_a_name_and_an_address_make_a_connection_with_everything_else_at_its_default(gate, name):
    made = gate.call("POST", "/objects/connections", {"name": name, "body": {"targets": "http://127.0.0.1:9"}})
    gate.call("POST", "/apply?wait=live", {"changes": [{"kind": "routes", "body": route(name)}]})
    shown = httpx.get(f"{gate.management}/-/connections/{name}", timeout=30, trust_env=False).json()
    defaults = httpx.get(f"{gate.management}/-/connections/old", timeout=30, trust_env=False).json()

    assert made.status_code == 201
    assert gate.call("GET", f"/objects/connections/{name}").json()["body"] == {"targets": "http://127.0.0.1:9"}
    assert (shown["tags"], shown["monitors"], shown["balancer"], shown["max_tries"]) == ([], [], None, 1)
    assert {**shown, "name": "old"} == defaults


@pytest.mark.row("HC-7")
def test_asterisks_keep_the_password_that_is_stored(gate, name):
    with upstream() as backend:
        changes = [
            {"kind": "connections", "name": name, "body": CRM | {"targets": backend.url}},
            {"kind": "routes", "body": route(name, to={"connection": name})},
        ]
        assert gate.call("POST", "/apply?wait=live", {"changes": changes}).json()["live"]
        shown = gate.call("GET", f"/objects/connections/{name}").json()["body"]
        again = gate.call("PUT", f"/objects/connections/{name}?wait=live", shown | {"timeouts": {"read": "20s"}})
        assert (again.status_code, again.json()["live"]) == (200, True)
        assert gate.get(f"/{name}").status_code == 200

    assert shown["auth"][0]["basic"]["password"] == "********"
    assert backend.requests[0].header("authorization") == f"Basic {b64encode(f'gate:{SECRET}'.encode()).decode()}"


@pytest.mark.row("HC-7")
def test_secrets_are_asterisks_and_asterisks_keep_them(gate, name):
    gate.call("PUT", f"/objects/connections/{name}", CRM)
    shown = gate.call("GET", f"/objects/connections/{name}")
    back = gate.call("PUT", f"/objects/connections/{name}", shown.json()["body"] | {"tags": ["eu"]})
    nothing = gate.call("PUT", f"/objects/connections/{name}-new", shown.json()["body"])

    assert shown.json()["body"]["auth"] == [{"basic": {"username": "gate", "password": "********"}}]
    assert back.status_code == 200
    assert (nothing.status_code, nothing.json()["errors"][0]["pointer"]) == (422, "/auth/0/basic/password")
    for path in (f"/objects/connections/{name}", "/objects/connections", "/generations"):
        assert SECRET not in gate.call("GET", path).text
    assert not [line for line in gate.lines if SECRET in line]
    assert not [name for name, data in written_in(gate.folder).items() if SECRET.encode() in data]


def test_what_is_wrong_is_told_in_the_words_of_check_with_a_pointer(gate, name):
    told = gate.call("PUT", f"/objects/connections/{name}", {"targets": 5, "time/outs": {}})

    assert (told.status_code, told.headers["content-type"]) == (422, "application/problem+json")
    assert [each["pointer"] for each in told.json()["errors"]] == ["/targets", "/time~1outs"]
    assert told.json()["errors"][1]["detail"].startswith("there is no option 'time/outs'")
    assert gate.call("GET", f"/objects/connections/{name}").status_code == 404


def test_a_stale_version_is_refused(gate, name):
    gate.call("PUT", f"/objects/connections/{name}", CRM)
    gate.call("PUT", f"/objects/connections/{name}", CRM | {"tags": ["a"]})

    for method, body in (("PUT", CRM), ("PATCH", {"tags": None}), ("DELETE", None)):
        told = gate.call(method, f"/objects/connections/{name}", body, If_Match='"1"')
        assert (told.status_code, told.json()["type"]) == (412, "urn:hookgate:problem:stale")
    assert gate.call("PUT", f"/objects/connections/{name}", CRM, If_None_Match="*").status_code == 409
    assert gate.call("PUT", f"/objects/connections/{name}", CRM, If_Match='"2"').status_code == 200


def test_a_patch_merges(gate, name):
    gate.call("PUT", f"/objects/connections/{name}", CRM | {"tags": ["a"], "labels": {"x": "1", "y": "2"}})
    done = gate.call("PATCH", f"/objects/connections/{name}", {"tags": None, "labels": {"x": "3"}})
    body = gate.call("GET", f"/objects/connections/{name}").json()["body"]

    assert done.status_code == 200
    assert body == {
        **CRM,
        "auth": [{"basic": {"username": "gate", "password": "********"}}],
        "labels": {"x": "3", "y": "2"},
    }


def test_a_rehearsal_says_the_same_and_stores_nothing(gate, name):
    before = gate.call("GET", "/generations?limit=1").json()
    good = gate.call("PUT", f"/objects/connections/{name}?dry_run=true", CRM)
    bad = gate.call("PUT", f"/objects/connections/{name}?dry_run=true", {"targets": 5})

    assert (good.status_code, good.json()["written"]) == (200, False)
    assert bad.status_code == 422
    assert gate.call("GET", "/generations?limit=1").json() == before


def test_several_changes_are_one_generation_or_none(gate, name):
    changes = [
        {"kind": "routes", "body": route(name, to={"connection": name})},
        {"kind": "connections", "name": name, "body": CRM},
    ]
    both = gate.call("POST", "/apply?wait=live", {"changes": changes, "comment": "the shop"})
    bad = gate.call(
        "POST",
        "/apply",
        {
            "changes": [
                {"kind": "connections", "name": f"{name}b", "body": CRM},
                {"kind": "routes", "name": "x", "body": {"name": "x", "nope": 1}},
            ]
        },
    )
    newest = gate.call("GET", "/generations?limit=1").json()["generations"][0]

    assert both.status_code == 200
    assert (bad.status_code, bad.json()["errors"][0]["object"]) == (422, "routes/x")
    assert gate.call("GET", f"/objects/connections/{name}b").status_code == 404
    assert (newest["generation"], newest["author"], newest["comment"]) == (both.json()["generation"], "ann", "the shop")
    assert [f"{each['kind']}/{each['name']}" for each in newest["changes"]] == [f"routes/{name}", f"connections/{name}"]


def test_what_stands_in_the_file_is_shown_and_not_changed(gate):
    shown = gate.call("GET", "/objects/routes/hello")
    told = gate.call("PUT", "/objects/routes/hello", route("hello"))

    assert (shown.json()["from"], shown.json()["body"]["name"]) == ("file", "hello")
    assert (told.status_code, told.json()["type"]) == (409, "urn:hookgate:problem:in-file")
    assert gate.call("DELETE", "/objects/connections/old").status_code == 409


@pytest.mark.row("AC-39")
def test_who_may_do_what(gate, name):
    created = gate.call("POST", "/objects/connections", {"name": name, "body": CRM}, token="token-of-bob")
    allowed = gate.call("PUT", f"/objects/connections/{name}", CRM | {"tags": ["eu"]}, token="token-of-bob")
    read = gate.call("GET", f"/objects/connections/{name}", token="token-of-bob")
    removed = gate.call("DELETE", f"/objects/connections/{name}", token="token-of-bob")
    other = gate.call("PUT", f"/objects/routes/{name}", route(name), token="token-of-bob")
    reader = gate.call("PUT", f"/objects/connections/{name}", CRM, token="token-of-eve")
    applied = gate.call("POST", "/apply", {"changes": [{"kind": "routes", "body": route(name)}]}, token="token-of-bob")

    assert [each.status_code for each in (created, allowed, read, removed)] == [201, 200, 200, 200]
    assert read.json()["body"]["tags"] == ["eu"]
    assert [each.status_code for each in (other, reader, applied)] == [403, 403, 403]
    assert "api_route" in other.json()["detail"]
    assert gate.call("GET", "/objects/routes", token="token-of-eve").status_code == 200
    for token in ("", "nobody", "token-of-anna"):
        told = gate.call("GET", "/objects/routes", token=token)
        assert (told.status_code, told.headers["www-authenticate"]) == (401, 'Bearer realm="hookgate"')
    assert gate.call("GET", f"/objects/routes/{name}").status_code == 404


@pytest.mark.row("AC-34")
def test_connections_are_found_by_their_tags(gate, name):
    gate.call("PUT", f"/objects/connections/{name}", CRM | {"tags": [f" {name.upper()} ", "x"]})

    found = gate.call("GET", f"/objects/connections?tag={name}&tag=%20X").json()["objects"]
    assert [each["name"] for each in found] == [name]
    assert gate.call("GET", f"/objects/connections?tag={name}&tag=z").json()["objects"] == []


def test_long_lists_come_in_pages(gate, name):
    changes = [
        {"kind": "connections", "name": f"{name}-{n:02}", "body": {"targets": "http://127.0.0.1:9"}} for n in range(25)
    ]
    assert gate.call("POST", "/apply", {"changes": changes}).status_code == 200
    found, after = [], name
    while after is not None:
        page = gate.call("GET", f"/objects/connections?limit=10&after={after}").json()
        found += [each["name"] for each in page["objects"]]
        after = page.get("next")

    assert [each for each in found if each.startswith(f"{name}-")] == [f"{name}-{n:02}" for n in range(25)]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/objects/nonsense", 404),
        ("GET", "/objects/routes?limit=0", 400),
        ("GET", "/objects/routes?limit=x", 400),
        ("GET", "/generations?before=x", 400),
        ("DELETE", "/objects/routes/nobody", 404),
        ("DELETE", "/objects/routes/nobody?wait=soon", 400),
        ("DELETE", "/objects/routes/nobody?wait=1h", 400),
    ],
)
def test_nonsense_is_refused(gate, method, path, status):
    told = gate.call(method, path)

    assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize(
    "body",
    [
        5,
        [],
        {"x": 1},
        {"body": None},
        {"body": {}},
        {"name": "a/b", "body": CRM},
        {"name": "a\nb", "body": CRM},
        {"name": "x" * 300, "body": CRM},
    ],
)
def test_a_body_that_makes_nothing_is_refused(gate, body):
    assert gate.call("POST", "/objects/connections", body).status_code == 422


def test_no_json_is_refused(gate):
    import httpx

    told = httpx.put(
        f"{gate.management}/-/api/objects/connections/x",
        content=b"{",
        headers={"Authorization": "Bearer token-of-ann", "Content-Type": "application/json"},
        trust_env=False,
    )
    assert told.status_code == 400


def test_a_secret_of_the_process_cannot_be_read_through_the_store(gate, name):
    bad = {**CRM, "auth": [{"basic": {"username": "gate", "password": "${env:HOME}"}}]}
    told = gate.call("PUT", f"/objects/connections/{name}", bad)

    assert told.status_code == 422
    assert "'env:HOME'" in told.json()["detail"]


def test_a_name_in_the_url_that_the_body_does_not_have_is_refused(gate, name):
    told = gate.call("PUT", f"/objects/routes/{name}", route("other"))

    assert told.status_code == 422


def test_health_tells_what_is_served(gate, name):
    made = gate.call("PUT", f"/objects/connections/{name}?wait=live", CRM)
    told = gate.health()["plugins"]["sections.storage"]

    assert (told["generation"], told["digest"]) == (made.json()["generation"], made.json()["digest"])
    assert told["rejected"] == []


@pytest.mark.row("HC-11")
def test_values_of_headers_whose_names_look_secret_are_asterisks_too(gate, name):
    static = [{"set": "Authorization", "from": {"default": {"value": "Bearer t0-of-crm"}}}]
    body = {
        "targets": "http://127.0.0.1:9",
        "headers": [*static, {"set": "X-Shop", "from": {"default": {"value": "1"}}}],
    }
    assert gate.call("PUT", f"/objects/connections/{name}", body).status_code == 201
    shown = gate.call("GET", f"/objects/connections/{name}").json()["body"]
    again = gate.call("PUT", f"/objects/connections/{name}", shown | {"tags": ["x"]})

    assert [each["from"]["default"]["value"] for each in shown["headers"]] == ["********", "1"]
    assert again.status_code == 200
    assert "t0-of-crm" not in gate.call("GET", "/generations").text


def test_metrics_tell_what_is_served_and_how_far_that_is_behind(tmp_path):
    watched = DOCUMENT.replace("lame_duck: 0", "lame_duck: 0, observers: [prometheus]")
    watched = watched.replace("    - connections\n", "    - connections\n    - prometheus\n")
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", watched) as gate:
        made = gate.call("PUT", "/objects/connections/crm?wait=live", CRM).json()
        told = gate.health()["plugins"]["sections.storage"]
        page = httpx.get(f"{gate.management}/-/metrics", timeout=60, trust_env=False).text

    assert told["generation"] == made["generation"] == 1
    assert "\nhookgate_storage_generation 1" in page
    assert "\nhookgate_storage_objects_rejected 0" in page
    assert "\nhookgate_storage_from_snapshot 0" in page
    assert "\n# TYPE hookgate_storage_contact_failures_total counter" in page
