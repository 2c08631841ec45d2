"""Versions of APIs over the API of a running gateway, and by the command."""

import itertools

import httpx
import pytest
import typer
from typer.testing import CliRunner

from contrib.management.served import DOCUMENT, serving
from hookgate.testing import build, upstream
from hookgate_apimanager.version_command import VersionCommands
from hookgate_people.shipped import SHIPPED

MANAGED = DOCUMENT.replace(
    "routes:",
    "lifecycle_machine: {unlisted: CREATED}\n"
    "apis: [{name: filed, version: '1.0', base_path: /filed, flow: [{respond: {body: filed}}]}]\n"
    "routes:",
)
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def told(request):
    return 200, {}, request.path.encode()


@pytest.fixture(scope="module")
def gate(tmp_path_factory, store_in):
    folder = tmp_path_factory.mktemp("gate")
    with upstream(told) as backend, serving(folder, store_in(folder), MANAGED) as served:
        served.call("PUT", "/objects/connections/crm", {"targets": backend.url})
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def make(gate, name, version="1.0", *, publish=True, **more):
    body = {"name": name, "version": version, "base_path": f"/{name}", "to": {"connection": "crm"}, **more}
    body.setdefault("flow", [built(version)])
    made = gate.call("POST", "/objects/apis?wait=live", {"body": body})
    assert made.status_code == 201, made.text
    if publish:
        happen(gate, f"{name} {version}")
    return f"{name} {version}"


def built(version):
    return {"headers": {"response": {"set": {"X-Version": version}}}}


def happen(gate, api, event="Publish"):
    done = gate.call("POST", f"/apis/{api}/lifecycle?wait=live", {"event": event})
    assert done.status_code == 200, done.text


def copied(gate, api, version, status=201):
    answer = gate.call("POST", f"/apis/{api}/copies?wait=live", {"version": version})
    assert answer.status_code == status, answer.text
    return answer


def default(gate, api, status=200):
    answer = gate.call("POST", f"/apis/{api}/default-version?wait=live", {})
    assert answer.status_code == status, answer.text
    return answer


def body(gate, api):
    return gate.call("GET", f"/objects/apis/{api}").json()["body"]


@pytest.mark.stores
@pytest.mark.row("KC-82")
def test_the_default_version_is_called_without_a_version_and_is_another_one_when_that_is_said(gate, name):
    first = make(gate, name, default_version=True)
    made = copied(gate, first, "2.0").json()
    second = f"{name} 2.0"
    assert (made["api"], made["live"]) == (second, True)
    changed = {**body(gate, second), "flow": [built("2.0")]}
    assert gate.call("PUT", f"/objects/apis/{second}?wait=live", changed).status_code == 200

    def found(path):
        answer = gate.get(path)
        return answer.status_code, answer.headers.get("x-version")

    assert found(f"/{name}/2.0/x") == (404, None)
    assert (found(f"/{name}/x"), found(f"/{name}/1.0/x")) == ((200, "1.0"), (200, "1.0"))
    default(gate, second, 409)  # nobody would be answered
    assert found(f"/{name}/x") == (200, "1.0")
    happen(gate, second)
    assert (found(f"/{name}/x"), found(f"/{name}/2.0/x")) == ((200, "1.0"), (200, "2.0"))
    done = default(gate, second).json()
    assert (done["before"], done["api"]) == ([first], second)
    assert {path: found(f"/{name}{path}") for path in ("/x", "/1.0/x", "/2.0/x")} == {
        "/x": (200, "2.0"),
        "/1.0/x": (200, "1.0"),
        "/2.0/x": (200, "2.0"),
    }
    generation = gate.call("GET", f"/generations/{done['generation']}").json()
    assert generation["comment"] == f"{second} is the default version"
    assert {each["name"] for each in generation["changes"]} == {first, second}
    assert default(gate, second).json()["before"] == []


@pytest.mark.stores
def test_a_copy_is_the_same_but_its_version_and_is_called_when_it_is_published(gate, name):
    secret = [{"auth": {"methods": [{"basic": {"users": {"ann": "secret-of-ann"}}}]}}]
    resources = [{"path": "/items/{id}", "operations": {"GET": {"flow": [built("op")]}}}]
    first = make(gate, name, flow=secret, resources=resources, description="what it is for", default_version=True)
    gate.call("PUT", f"/objects/visibilities/{first}?wait=live", {"level": "roles", "roles": ["accounting"]})
    answer = copied(gate, first, "1.1")
    second = f"{name} 1.1"
    assert answer.headers["Location"].endswith(f"/objects/apis/{second.replace(' ', '%20')}")
    mine, theirs = body(gate, second), body(gate, first)
    assert mine == {**{key: value for key, value in theirs.items() if key != "default_version"}, "version": "1.1"}
    assert "secret-of-ann" not in str(mine)
    assert gate.call("GET", f"/objects/visibilities/{second}").json()["body"]["roles"] == ["accounting"]
    assert gate.call("GET", f"/apis/{second}/lifecycle").json()["state"] == "CREATED"
    assert gate.get(f"/{name}/1.1/items/1").status_code == 404
    happen(gate, second)
    assert gate.get(f"/{name}/1.1/items/1").status_code == 401
    call = {"auth": ("ann", "secret-of-ann"), "trust_env": False, "timeout": 60}
    assert httpx.get(f"{gate.public}/{name}/1.1/items/1", **call).status_code == 200  # the secret has come along


def test_what_cannot_be_copied_is_refused_with_words(gate, name):
    first = make(gate, name)
    assert copied(gate, first, "1.0", 409).json()["detail"] == f"There is apis/{first} already."
    assert copied(gate, "filed 1.0", "2.0", 409).json()["detail"].startswith("apis/filed 1.0 stands in the file")
    copied(gate, "nothing 1.0", "2.0", 404)
    copied(gate, first, "no version", 422)
    for sent in ({}, {"version": 2}, {"version": "2.0", "more": 1}, []):
        assert gate.call("POST", f"/apis/{first}/copies", sent).status_code in (400, 422)
    rehearsed = gate.call("POST", f"/apis/{first}/copies?dry_run=true", {"version": "2.0"})
    assert (rehearsed.status_code, rehearsed.json()["written"]) == (200, False)
    assert gate.call("GET", f"/objects/apis/{name} 2.0").status_code == 404
    default(gate, "nothing 1.0", 404)
    default(gate, "filed 1.0", 409)


def test_creators_copy_and_publishers_say_which_version_is_the_default(gate, name):
    first = make(gate, name)
    found = {}
    for role in ("creator", "publisher", "subscriber"):
        gate.call("POST", "/roles", {"name": role, "permissions": SHIPPED[role].permissions})
        who = {"name": f"{role}-{name}", "roles": [role], "password": PASSWORD}
        assert gate.call("POST", "/users", who).status_code == 201
        found[role] = tuple(
            httpx.post(
                f"{gate.management}/-/api/apis/{first}/{page}",
                json=sent,
                auth=(who["name"], PASSWORD),
                timeout=60,
                trust_env=False,
            ).status_code
            for page, sent in (("copies", {"version": f"2.{len(found)}"}), ("default-version", {}))
        )
    assert found == {"creator": (201, 403), "publisher": (403, 200), "subscriber": (403, 403)}


def test_the_command_copies_and_says_which_version_is_the_default(gate, name, tmp_path):
    first = make(gate, name, default_version=True)
    commands = typer.Typer()
    commands.callback()(lambda: None)
    build(VersionCommands).add_commands(commands)
    token = tmp_path / "token"
    token.write_text("token-of-ann")

    def typed(*words):
        where = ["--management", gate.management, "--token-file", str(token)]
        return CliRunner().invoke(commands, ["apis", *words, *where])

    done = typed("copy", first, "2.0")
    assert (done.exit_code, done.output) == (0, f"{first} is copied to {name} 2.0\n")
    happen(gate, f"{name} 2.0")
    done = typed("default", f"{name} 2.0")
    assert (done.exit_code, done.output) == (0, f"{name} 2.0 is called without a version, in the place of {first}\n")
    assert gate.get(f"/{name}/x").status_code == 200
    again = typed("copy", first, "2.0")
    assert again.exit_code != 0
