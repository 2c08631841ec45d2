"""Custom routes through the public door: where they are, who may call them, and what starts."""

import time
import uuid

import pytest

from hookgate_workflows.retention import forget

from .served import document, refused, serving, setter, workflow

PERSON = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
ECHO = workflow(
    ("set", setter("*response*", {"body": "{{ request }}"})),
)
FAILS = workflow(("bad", setter("x", "{{ request.nothing.at_all }}")))
NAMES = workflow(
    (
        "set",
        setter("*response*", {"status": 418, "body": "{{ request.errors[0].cell }} of {{ request.request.method }}"}),
    )
)


def route(path, name="echo", method="get", **more):
    return {"route": path, "method": method, "workflow": name, "sync": True, **more}


PROFILES = {
    "clerks": {
        "roles": ["clerk"],
        "rules": [
            {"name": "no secrets", "method": "*", "url": "/api/v01/custom/closed", "allowed": False},
            {"name": "all else", "method": "*", "url": "/api/v01/custom/.*", "allowed": True},
        ],
    }
}


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    workflows = {
        "echo": ECHO,
        "other": workflow(("set", setter("*response*", {"body": "other"}))),
        "third": workflow(("set", setter("*response*", {"body": "third"}))),
        "fails": FAILS,
        "names": NAMES,
        "quiet": workflow(),
    }
    routes = [
        route("/mine"),
        route("/closed"),
        route("/users/me", "other", public=True),
        route("/users/{id}", public=True),
        route("/users/{rest:.*}", "third", public=True),
        route("/numbered/{id:[0-9]+}", public=True),
        route("/people", method="post", public=True, schema=PERSON),
        route("/posted", method="post", public=True),
        route("/gone", public=True, enabled=False),
        route("/later", "quiet", sync=False),
        route("/later/open", "quiet", sync=False, public=True, accepted=200),
        route("/caught", "fails", public=True, error_handler="names"),
        route("/caught/badly", "fails", public=True, error_handler="fails"),
        route("/caught/quietly", "fails", public=True, error_handler="quiet"),
        route("/uncaught", "fails", public=True),
    ]
    engine = {"profiles": PROFILES, "public_alias": "/public"}
    with serving(
        folder, f"sqlite:///{folder / 'store.db'}", document(workflows, routes, workflow_engine=engine)
    ) as made:
        yield made


@pytest.mark.row("CR-22")
def test_a_route_needs_a_caller_whom_a_profile_allows(farm):
    path = "/api/v01/custom/mine"
    assert farm.call(path).status_code == 401
    assert farm.call(path, who="ann", roles="clerk").status_code == 200
    assert farm.call(path, who="bob", roles="guest").status_code == 403
    assert farm.call("/api/v01/custom/closed", who="ann", roles="clerk").json()["reason"] == "profile"


@pytest.mark.row("CR-23")
def test_a_public_route_is_at_its_own_place_only(farm):
    assert farm.public("/users/me").text == "other"
    assert farm.call("/public/users/me").text == "other"
    assert farm.call("/api/v01/custom/users/me", who="ann", roles="clerk").status_code == 404
    assert farm.public("/mine").status_code == 404


@pytest.mark.row("CR-1")
def test_a_literal_comes_before_a_parameter_and_that_before_the_rest(farm):
    assert farm.public("/users/me").text == "other"
    assert farm.public("/users/7").json()["match_info"] == {"id": "7"}
    assert farm.public("/users/7/more").text == "third"


def test_a_parameter_has_to_match_its_regular_expression(farm):
    assert farm.public("/numbered/12").json()["match_info"] == {"id": "12"}
    assert farm.public("/numbered/twelve").status_code == 404


@pytest.mark.row("CR-5")
def test_a_route_that_is_switched_off_is_not_there(farm):
    assert farm.public("/gone").status_code == 404


@pytest.mark.row("CR-3")
def test_a_body_that_is_not_as_its_schema_says_starts_nothing(farm):
    before = farm.public("/later/open").json()["id"]
    told = farm.public("/people", "POST", json={})
    assert (told.status_code, told.json()["errors"]) == (400, [{"pointer": "/name", "detail": "is required"}])
    told = farm.public("/people", "POST", json={"name": 7})
    assert told.json()["errors"] == [{"pointer": "/name", "detail": "should be string"}]
    told = farm.public("/people", "POST", content=b"{no", headers={"content-type": "application/json"})
    assert (told.status_code, told.json()["errors"]) == (400, [{"pointer": "", "detail": "is no JSON"}])
    assert farm.public("/people", "POST").status_code == 400

    assert farm.public("/people", "POST", json={"name": "ann"}).json()["body"] == {"name": "ann"}
    assert farm.public("/later/open").json()["id"] == before + 2  # that one, and the person


@pytest.mark.row("CR-6")
def test_a_synchronous_route_answers_in_the_same_response(farm):
    assert farm.public("/users/7").json()["method"] == "GET"


@pytest.mark.row("CR-7", "CR-8")
def test_an_asynchronous_route_answers_with_a_transaction_that_is_there(farm):
    told = farm.call("/api/v01/custom/later", who="ann", roles="clerk")
    assert told.status_code == 202
    assert told.json().keys() == {"id", "guid"}
    number, guid = told.json()["id"], told.json()["guid"]
    assert uuid.UUID(guid).version == 4

    found = farm.transaction(number)
    assert (found.status_code, found.json()["guid"]) == (200, guid)
    assert farm.closed(number)["status"] == "CLOSED_IN_SUCCESS"
    assert farm.transaction(guid).json()["id"] == number
    assert farm.public("/later/open").status_code == 200


@pytest.mark.row("CR-8")
def test_a_transaction_is_shown_to_who_has_started_it_and_to_operators(farm):
    number = farm.call("/api/v01/custom/later", who="ann", roles="clerk").json()["id"]

    assert farm.transaction(number, who="ann", roles="").status_code == 200
    assert farm.transaction(number, who="eve", roles="").status_code == 403
    assert farm.transaction(number, who="", roles="").status_code == 401
    for unknown in ("999999", "0", "x", str(uuid.uuid4())):
        assert farm.transaction(unknown).status_code == 404


@pytest.mark.row("CR-9", "CR-10", "CR-11", "CR-12")
def test_a_handler_sees_what_failed_and_shapes_the_answer(farm):
    told = farm.public("/caught")

    assert (told.status_code, told.text) == (418, "bad of GET")


@pytest.mark.row("CR-12")
def test_a_handler_that_fails_or_says_nothing_leaves_500(farm):
    for path in ("/caught/badly", "/caught/quietly", "/uncaught"):
        told = farm.public(path)
        assert (told.status_code, told.json()["reason"]) == (500, "workflow-failed"), path


@pytest.mark.row("CR-31")
def test_a_workflow_sees_the_call(farm):
    told = farm.public("/users/a%20b?a=1&b=2&b=3").json()
    assert told["match_info"] == {"id": "a b"}
    assert told["params"] == {"a": "1", "b": ["2", "3"]}
    assert (told["method"], told["tail"], told["body"]) == ("GET", "/users/a%20b", None)
    assert told["url"] == f"{farm.gate.url}/api/v01/public/users/a%20b?a=1&b=2&b=3"

    told = farm.public("/posted", "POST", json={"x": [1]}).json()
    assert (told["body"], told["content_type"]) == ({"x": [1]}, "application/json")
    assert farm.public("/posted", "POST", content=b"\xff\0").json()["body"] == "/wA="
    assert farm.public("/posted", "POST", data={"x": "1"}).json()["body"] == {"x": "1"}


@pytest.mark.row("CR-31")
def test_files_that_are_sent_belong_to_the_instance(farm):
    files = {"file": ("a.txt", b"hello", "text/plain")}
    told = farm.public("/posted", "POST", data={"x": "1"}, files=files).json()["body"]
    assert told == {"x": "1", "file": {"filename": "a.txt", "content_type": "text/plain", "size": 5}}
    done = [each.facts for each in farm.gate.wait_for_exchanges(1) if "workflow" in each.facts]
    (kept,) = farm.transaction(done[-1]["workflow"]["guid"]).json()["documents"]
    assert (kept["name"], kept["media_type"]) == ("a.txt", "text/plain")

    for wrong in ("../a.txt", ".."):
        assert farm.public("/posted", "POST", files={"file": (wrong, b"hello")}).json()["reason"] == "bad-fields"
    headers = {"content-type": "multipart/form-data"}
    assert farm.public("/posted", "POST", content=b"no parts", headers=headers).status_code == 400


@pytest.mark.row("CR-32")
def test_a_call_is_stored_with_its_tasks(farm):
    farm.public("/caught")
    guid = farm.gate.wait_for_exchanges(1)[-1].facts["workflow"]["guid"]
    told = farm.closed(guid)

    assert (told["owner"], told["route"], told["method"]) == (None, "/api/v01/public/caught", "GET")
    assert [(task["cell"], task["status"]) for task in told["tasks"]] == [("start", "OK"), ("bad", "ERROR")]
    assert told["tasks"][1]["error"].startswith("a template of the cell cannot be rendered: UndefinedError")
    assert told["errors"][0]["cell"] == "bad"
    assert told["tasks"][0]["seconds"] >= 0


@pytest.mark.row("CR-32")
def test_what_is_old_goes_and_what_a_get_has_started_goes_earlier(farm):
    farm.public("/users/7")
    farm.public("/posted", "POST")
    ids = [each.facts["workflow"]["id"] for each in farm.gate.wait_for_exchanges(2) if "workflow" in each.facts][-2:]
    day, engine = 86_400, farm.gate.gateway.live.config.sections["workflow_engine"].engine

    for days, there in ((6, [200, 200]), (8, [404, 200]), (91, [404, 404])):
        farm.gate.run(forget(engine, time.time() + days * day))
        assert [farm.transaction(each).status_code for each in ids] == there


@pytest.mark.row("CR-5")
def test_a_route_is_switched_off_and_on_while_the_gateway_serves(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    made = document({"echo": ECHO}, [route("/demo", public=True)])
    with serving(tmp_path, url, made) as farm:
        assert farm.public("/demo").status_code == 200
        for enabled, status in ((False, 404), (True, 200)):
            made["custom_routes"][0]["enabled"] = enabled
            farm.write(made)
            assert farm.public("/demo").status_code == status


def test_an_instance_that_runs_stays_on_the_definition_that_it_was_started_with(tmp_path):
    def waits(value):
        pause = {"original_name": "timer", "params": {"timeout": "1 sec", "discard_idle_limit": True}}
        return workflow(("pause", pause), ("told", setter("told", value)))

    made = document({"w": waits("before")}, [route("/demo", "w", sync=False, public=True)])
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", made) as farm:
        first = farm.public("/demo").json()["id"]
        made["workflows"]["w"] = waits("after")
        farm.write(made)
        second = farm.public("/demo").json()["id"]

        assert [farm.closed(each)["context"] for each in (first, second)] == [{"told": "before"}, {"told": "after"}]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"route": "/a"}, "should have at least 4 characters"),
        ({"extra": 1}, "there is no option 'extra'"),
        ({"workflow": "ecko"}, "did you mean 'echo'?"),
        ({"route": "/users/[0-9]+"}, "write it in a parameter"),
        ({"timeout": 100}, "gateway.hook_timeout ends it after 30 s"),
        ({"schema": {"type": "thing"}}, "is no JSON Schema"),
        ({"public": False}, "needs to be authenticated, and nothing says how"),
    ],
)
def test_what_is_wrong_with_a_route_is_told(tmp_path, wrong, said):
    made = document({"echo": ECHO}, [{**route("/demo", public=True), **wrong}])
    if "public" in wrong:
        del made["workflow_engine"]["auth"]
    told = refused(tmp_path, made)
    assert "custom_routes[0]" in told
    assert said in told


ROUTE = {"route": "/lost", "method": "get", "workflow": "lost", "public": True}


@pytest.mark.parametrize(
    ("section", "body", "said"),
    [
        ("custom_routes", [ROUTE], "workflow: there is no workflow 'lost', nor a section workflows"),
        ("custom_routes", [{**ROUTE, "proxy": "p1"}], "proxy: there is no proxy 'p1', nor a section proxies"),
        ("bulk_actions", {"import": {"workflow": "lost"}}, "import.workflow: there is no workflow 'lost'"),
        ("schedules", {"nightly": {"workflow": "lost", "cron": "0 3 * * *"}}, "workflow: there is no workflow 'lost'"),
    ],
)
def test_what_is_named_is_missed_also_where_there_is_nothing_of_its_kind(tmp_path, section, body, said):
    assert said in refused(tmp_path, {"workflow_engine": {}, section: body})
