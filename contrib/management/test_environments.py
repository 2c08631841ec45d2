"""Environments: two gateways with stores of their own, variables, and promotion from one to the other."""

import json
import os
import subprocess
import sys

import pytest

from hookgate import ConfigError
from hookgate.testing import running
from hookgate_management.client import ApiError, Client
from hookgate_management.promoting import promote
from hookgate_storage.variables import FILLED

from .served import DOCUMENT, serving

SECRET = "the-password-of-production"
OF_THE_FILE = """
variables:
  IN_FILE: {value: 207}
  IN_FILE_TOO: {value: "${env:OF_THE_PROCESS:-from the process}"}
  IN_FILE_HIDDEN: {secret: "${env:OF_THE_PROCESS:-hidden from all}"}
secrets: {variable: {values: {IN_SECRETS: of secrets}}}
x-note: a document may say more
"""
FILE = (
    DOCUMENT
    + """\
  - name: filed
    match: {path: /filed}
    flow: [{respond: {json: ["${variable:IN_FILE}", "${variable:IN_FILE_TOO}", "$${variable:IN_FILE}"]}}]
"""
)
SHOP = {
    "name": "shop",
    "match": {"path": "/shop"},
    "flow": [{"respond": {"status": "${variable:STATUS}", "body": "from ${variable:PLACE}"}}],
}


@pytest.fixture(scope="module")
def dev(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("dev")
    with (
        serving(folder, store_in(folder), FILE + OF_THE_FILE) as served,
        Client(served.management, "token-of-ann") as api,
    ):
        served.api = api
        yield served


@pytest.fixture(scope="module")
def prod(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("prod")
    with (
        serving(folder, store_in(folder)) as served,
        Client(served.management, "token-of-ann") as api,
    ):
        served.api, served.folder = api, folder
        yield served


def promotes(dev, prod, *words):
    environ = {**os.environ, "HOOKGATE_FROM_TOKEN": "token-of-ann", "HOOKGATE_TO_TOKEN": "token-of-ann"}
    command = [sys.executable, "-m", "hookgate", "promote", "--from", dev.management, "--to", prod.management, *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def variables(served, **values):
    for name, body in values.items():
        served.api.put("variables", name, body, wait="live")


def problem(served, *asked):
    answer = served.call(*asked)
    return answer.status_code, answer.json()


@pytest.mark.stores
def test_the_same_objects_serve_each_environment_with_its_own_values(dev, prod):
    variables(dev, PLACE={"value": "dev"}, STATUS={"value": 201})
    dev.api.put("routes", "shop", SHOP, wait="live")
    assert (dev.get("/shop").status_code, dev.get("/shop").text) == (201, "from dev")
    assert dev.api.get("routes", "shop").body["flow"] == SHOP["flow"], "the variable itself is what is stored"

    # nothing is there yet: each missing variable is named with its place, and nothing is changed
    head = prod.call("GET", "/generations?limit=1").json()
    code, told = promotes(dev, prod)
    assert code == 2, told
    assert "routes/shop/flow/0/respond/body: there is no variable 'PLACE'" in told
    assert "there is no variable 'STATUS'" in told
    assert prod.call("GET", "/generations?limit=1").json() == head

    variables(prod, PLACE={"value": "prod"}, STATUS={"value": 202})
    code, told = promotes(dev, prod, "--dry-run", "--exit-code")
    assert (code, "+ routes/shop" in told, prod.get("/shop").status_code) == (4, True, 404), told
    code, told = promotes(dev, prod)
    assert (code, "is live" in told) == (0, True), told
    assert (prod.get("/shop").status_code, prod.get("/shop").text) == (202, "from prod")
    assert promotes(dev, prod)[1].count("nothing") == 2, "what is promoted twice changes nothing"
    assert prod.api.get("variables", "PLACE").body["value"] == "prod"

    # what is gone there goes here, too; a promotion of a part removes nothing
    dev.api.put("routes", "other", {"name": "other", "match": {"path": "/other"}, "flow": [{"respond": {}}]})
    dev.api.remove("routes", "shop")
    assert promotes(dev, prod, "--only", "routes/oth*")[0] == 0
    assert (prod.get("/shop").status_code, prod.get("/other").status_code) == (202, 200)
    plan = prod.folder / "plan"
    code, told = promotes(dev, prod, "-o", str(plan))
    assert (code, "- routes/shop" in told) == (0, True), told
    assert prod.get("/shop").status_code == 202
    prod.api.apply(json.loads(plan.read_text())["plan"], wait="live")
    assert prod.get("/shop").status_code == 404
    assert promotes(dev, prod, "--only", "routes/nobody")[0] == 2


def test_a_variable_that_is_used_stays_and_says_who_uses_it(dev):
    variables(dev, KEPT={"value": "x"})
    body = {"name": "user", "match": {"path": "/user"}, "flow": [{"respond": {"body": "${variable:KEPT}"}}]}
    dev.api.put("routes", "user", body)
    status, told = problem(dev, "DELETE", "/objects/variables/KEPT")
    assert (status, told["errors"][0]["object"]) == (409, "routes/user")
    assert told["errors"][0]["pointer"] == "/flow/0/respond/body"
    used = dev.call("GET", "/objects/variables/KEPT/used-by").json()["users"]
    assert [(each["kind"], each["name"]) for each in used] == [("routes", "user")]
    dev.api.remove("routes", "user")
    dev.api.remove("variables", "KEPT")


@pytest.mark.stores
def test_a_secret_variable_signs_calls_and_is_told_to_nobody(dev, prod):
    crm = {"targets": "http://127.0.0.1:9", "auth": [{"basic": {"username": "gate", "password": "${variable:CRM}"}}]}
    variables(dev, CRM={"secret": "the-password-of-dev"})
    dev.api.put("connections", "crm", crm)
    with pytest.raises(ApiError) as refused:
        promote(dev.api, prod.api, ["connections/crm"])
    assert refused.value.errors[0]["object"] == "connections/crm"
    variables(prod, CRM={"secret": SECRET})
    made, document = promote(dev.api, prod.api, ["connections/*"])
    prod.api.apply(made.plan, wait="live")
    shown = [prod.call("GET", path).text for path in ("/export", "/generations", "/objects/variables/CRM", "/audit")]
    assert not [each for each in (*shown, json.dumps(document), made.plan) if SECRET in each or "of-dev" in each]
    assert prod.api.get("connections", "crm").body == crm


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"value": "a${env:HOME}"}, "it refers to"),
        ({"value": "a$"}, "a plain value has no"),
        ({"secret": "${variable:STATUS}"}, "it refers to"),
        ({"value": "a", "secret": "b"}, "not both"),
        ({}, "not both"),
        ({"value": [1]}, "valid"),
    ],
)
def test_a_value_that_would_become_a_reference_or_is_none_is_refused(dev, body, why):
    status, told = problem(dev, "PUT", "/objects/variables/BAD", body)
    assert (status, why in json.dumps(told)) == (422, True), told


def test_variables_of_the_file_of_a_store_act_in_it_and_in_what_is_stored_and_win(dev):
    assert dev.get("/filed").json() == [207, "from the process", "${variable:IN_FILE}"]
    said = "${variable:IN_FILE_TOO}, ${variable:IN_FILE_HIDDEN}, ${variable:IN_SECRETS}, ${variable:BESIDE}"
    respond = {"status": "${variable:IN_FILE}", "body": said}
    variables(dev, BESIDE={"secret": "of the store"})
    dev.api.put(
        "routes", "both", {"name": "both", "match": {"path": "/both"}, "flow": [{"respond": respond}]}, wait="live"
    )
    answer = dev.get("/both")
    assert (answer.status_code, answer.text) == (207, "from the process, hidden from all, of secrets, of the store")
    assert problem(dev, "PUT", "/objects/variables/IN_FILE", {"value": 208})[0] == 409
    dev.api.remove("routes", "both")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ["variables"]),
        ({"storage": {}}, ["storage", "variables"]),
        ({"storage": {"served": "x"}}, ["storage"]),
        ({"routes": [{"name": "r", "match": {"path": "/${variable:HERE}"}, "flow": [{"respond": {}}]}]}, None),
    ],
)
def test_variables_in_a_file_that_no_store_reads_are_refused_with_what_to_write(more, told):
    with pytest.raises(ConfigError) as refused, running({"variables": {"HERE": {"value": "x"}}, **more}):
        pass
    problems = refused.value.problems
    if told is None:
        assert "write the values under `environments`" in problems[-1].message
    else:
        assert sorted(str(each.path[0]) for each in problems) == told
    assert FILLED not in str(refused.value)
