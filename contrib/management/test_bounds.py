"""What callers send has a bound, and a name works everywhere or is refused when it is written."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookgate_management.client import Client

from .served import DOCUMENT, serving

CRM = {"targets": "http://127.0.0.1:9"}
BOUNDS = "longest_body: 20000\n        longest_bulk: 60000"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    document = DOCUMENT.replace("- management:", f"- management:\n        {BOUNDS}")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", document) as served:
        with Client(served.management, "token-of-ann") as api:
            served.api, served.folder = api, folder
            yield served


def sent(gate, method, path, size, *, chunked=False):
    """Send a body of that many bytes, which says what is wrong with it only when it is read."""
    data = b'"' + b"x" * (size - 2) + b'"'
    headers = {"Authorization": "Bearer token-of-ann", "Content-Type": "application/json"}
    content = iter([data[:100], data[100:]]) if chunked else data
    return httpx.request(
        method, f"{gate.management}/-/api{path}", content=content, headers=headers, timeout=60, trust_env=False
    )


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("PUT", "/objects/connections/big", 20000),
        ("POST", "/objects/connections", 20000),
        ("PUT", "/objects/connections/big/draft", 20000),
        ("POST", "/users", 20000),
        ("POST", "/session", 20000),
        ("POST", "/apply", 60000),
        ("POST", "/plan", 60000),
        ("POST", "/apply-plan", 60000),
        ("POST", "/drafts/deploy", 60000),
    ],
)
def test_a_body_over_the_bound_is_refused_with_what_to_do_and_one_below_is_read(gate, method, path, most, chunked):
    told = sent(gate, method, path, most + 1, chunked=chunked)
    assert told.status_code == 413
    assert told.json()["type"] == "urn:hookgate:problem:too-large"
    assert f"{most:,} bytes" in told.json()["detail"]
    assert ("longest_bulk" if most > 20000 else "POST /-/api/apply") in told.json()["detail"]
    assert sent(gate, method, path, most, chunked=chunked).status_code == 422
    assert gate.call("GET", "/me").status_code == 200


def test_without_a_setting_a_body_has_a_mebibyte_and_one_about_many_objects_more(tmp_path):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as gate:
        assert sent(gate, "PUT", "/objects/connections/big", 2**20 + 1).status_code == 413
        assert sent(gate, "PUT", "/objects/connections/big", 2**20).status_code == 422
        labels = {f"label-{number}": "x" * 250 for number in range(4)}
        changes = [{"kind": "connections", "name": f"c{n}", "body": CRM | {"labels": labels}} for n in range(1000)]
        assert len(json.dumps(changes)) > 2**20
        assert gate.call("POST", "/apply?dry_run=true", {"changes": changes}).status_code == 200


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.text(
    "/.%2Ff?#;&+ \\\"'@:é\u0301~^", max_size=8
)


@settings(max_examples=25)
@given(NAMES)
@example("a/b")
@example("a%2Fb")
@example("%2F")
@example("..")
@example(".")
@example(".;")
@example("a\\..;b")
@example("a/..")
@example("a?b#c;d&e+f g")
@example("-rf")
@example("e\u0301")
@example("\u202e")
@example("x" * 201)
def test_a_name_works_everywhere_or_is_refused_when_it_is_written(gate, name):
    body, place = CRM | {"tags": ["d"]}, f"/objects/connections/{quote(name, safe='')}"
    told = gate.call("PUT", place, body)
    if told.status_code != 201:
        dotted = any(part in (".", "..") for part in re.split(r"[\\/;]", name))  # refused, whatever stands there
        expected = {400} if "\0" in name else {400, 422} if dotted else {422}
        assert told.status_code in expected or not name.strip("."), told.text
        changes = {"changes": [{"kind": "connections", "name": name, "body": body}]}
        refused = gate.call("POST", "/apply", changes)
        assert refused.status_code == 422, refused.text
        assert "name" in refused.text
        assert gate.call("POST", "/objects/connections", {"name": name, "body": body}).status_code == 422
        assert gate.call("POST", "/plan", {"document": {"connections": {name: body}}}).status_code == 422
        gate.api.put("connections", "plain", body)
        assert gate.call("POST", "/objects/connections/plain/rename", {"to": name}).status_code == 422
        if name.strip("."):  # of dots a client makes another path
            assert gate.call("PUT", f"{place}/draft", body).status_code in (400, 404, 405, 422)
        assert name not in [each.name for each in gate.api.objects("connections")]
        return
    assert name in [each.name for each in gate.api.objects("connections")]
    assert gate.api.get("connections", name).name == name
    told = gate.call("PUT", place, body | {"tags": ["x"]})
    assert told.status_code == 200
    assert gate.call("PATCH", place, {"tags": None}).status_code == 200
    assert gate.call("GET", f"{place}/used-by").status_code == 200
    draft = gate.call("PUT", f"{place}/draft", body)
    assert gate.call("GET", draft.headers["location"].removeprefix("/-/api")).json()["name"] == name
    assert gate.api.draft("connections", name)["name"] == name
    gate.api.deploy(("connections", name))
    assert name in gate.api.export()["connections"]
    gate.api.rename("connections", name, "other name")
    gate.api.rename("connections", "other name", name)
    gate.api.remove("connections", name)
    assert gate.call("GET", place).status_code == 404
    made = gate.call("POST", "/objects/connections", {"name": name, "body": body})
    assert gate.call("GET", made.headers["location"].removeprefix("/-/api")).status_code == 200
    gate.api.remove("connections", name)


@pytest.mark.parametrize("kind", ["users", "roles"])
@pytest.mark.parametrize("name", ["a/b", "..", ".", "a%2Fb", "a?b#c", "é x"])
def test_names_of_people_and_roles_work_or_are_refused_when_they_are_written(gate, kind, name):
    made = gate.call("POST", f"/{kind}", {"name": name})
    place = f"/{kind}/{quote(name, safe='')}"
    if "/" in name or set(name) == {"."}:
        assert (made.status_code, "no name" in made.json()["detail"]) == (422, True)
        if "/" in name:  # of dots a client makes another path
            assert gate.call("GET", place).status_code == 404
        return
    assert made.status_code == 201, made.text
    assert gate.call("GET", made.headers["location"].removeprefix("/-/api")).json()["name"] == name
    assert gate.call("PATCH", place, {}).status_code == 200
    assert gate.call("DELETE", place).status_code == 200


def test_an_encoded_slash_in_a_path_is_told_as_what_it_is(gate):
    for method, path, status in (
        ("PUT", "/objects/connections/a%2Fb", 422),
        ("GET", "/objects/connections/a%2fb", 404),
        ("DELETE", "/users/a%2Fb", 404),
    ):
        told = gate.call(method, path, CRM if method == "PUT" else None)
        assert (told.status_code, "slash" in told.json()["detail"]) == (status, True)
    assert gate.call("GET", "/nothing").status_code == 404


def test_commands_take_names_with_odd_signs(gate):
    name = "-a?b #c%2F é"
    gate.api.put("connections", name, CRM)
    gate.call("PUT", f"/objects/connections/{quote(name, safe='')}/draft", CRM | {"tags": ["odd"]})
    told = {"HOOKGATE_MANAGEMENT_URL": gate.management, "HOOKGATE_MANAGEMENT_TOKEN": "token-of-ann"}
    command = [sys.executable, "-m", "hookgate", "draft", "show", "--", "connections", name]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["tags"] == ["odd"]
