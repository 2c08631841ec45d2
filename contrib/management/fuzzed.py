"""schemathesis over the OpenAPI document that a gateway serves: each answer is one that it describes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

CRM = {"targets": "http://127.0.0.1:9"}
ROUTE = {"name": "kept", "match": {"path": "/kept"}, "flow": [{"respond": {"body": "kept"}}]}
LONG_ENOUGH = "a-password-of-kept"
NO_CHECKS = "positive_data_acceptance,ignored_auth"
"""The first refuses what a schema cannot say, such as a plan of another store. The second takes 429 for an answer to a
wrong password for none; that nobody is let in is looked for below."""
REFUSALS = "[400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 422, 428, 429, 431]"
HOOKS = """\
import schemathesis

@schemathesis.hook
def map_path_parameters(context, path_parameters):
    name = (path_parameters or {}).get("name")
    if isinstance(name, str) and len(name) % 2 == 0:
        path_parameters["name"] = "kept"  # so that half of them are there
    return path_parameters
"""


PEOPLE = re.compile(r"/(?:users|roles|tokens|audit|me|sessions?)\b")
"""Pages that are changed by administrators, or by somebody of the store."""
NOT_READ = re.compile(r"/(?:tokens|audit|sessions?)\b")
"""And those that nobody else reads either."""


def prepared(gate) -> Any:
    """Have an object of each kind that is tried, a user and a role; return the document that is served."""
    for method, path, body in (
        ("PUT", "/objects/connections/kept", CRM),
        ("PUT", "/objects/routes/kept", ROUTE),
        ("POST", "/users", {"name": "kept", "password": LONG_ENOUGH}),
        ("POST", "/roles", {"name": "kept", "permissions": []}),
    ):
        answer = gate.call(method, path, body)
        assert answer.is_success, answer.text
    api = gate.call("GET", "/openapi.json").json()
    for path, methods in api["paths"].items():
        for told in methods.values():
            if path.endswith("/draft") and "requestBody" in told:
                told["requestBody"]["content"] = {"application/json": {"schema": {}}}  # a draft may have mistakes
    return api


def for_nobody(api: Any) -> Any:
    """Return the document of which somebody without a token gets 401, or 429 after wrong passwords."""

    def beyond(method: str, path: str, status: str) -> bool:
        logs_in = (method, path) == ("post", "/session")  # who asks for that is nobody yet
        return status < "400" if logs_in else status not in {"400", "401", "414", "429", "431"}

    return _without(api, beyond)


def for_routes_only(api: Any) -> Any:
    """Return the document of which somebody who may change routes gets nothing that is not about them."""

    def beyond(method: str, path: str, status: str) -> bool:
        reads = method == "get" and not NOT_READ.match(path)
        ours = path.startswith("/objects/routes") or not (path.startswith("/objects/") or PEOPLE.match(path))
        return status < "400" and not reads and not ours

    return _without(api, beyond)


def some(api: Any, paths: str) -> Any:
    """Return the document with some paths only."""
    return api | {"paths": {path: each for path, each in api["paths"].items() if re.match(paths, path)}}


def _without(api: Any, beyond: Callable[[str, str, str], bool]) -> Any:
    paths = {
        path: {
            method: told | {"responses": {s: a for s, a in told["responses"].items() if not beyond(method, path, s)}}
            for method, told in methods.items()
        }
        for path, methods in api["paths"].items()
    }
    return api | {"paths": paths}


def fuzzed(gate, folder, api: Any, token: str, *words: str) -> None:
    """Have schemathesis call the operations with a token, or anonymously; all answers are as described."""
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "openapi.json").write_text(json.dumps(api))
    (folder / "settings.toml").write_text(
        f"hooks = '{folder / 'hooks.py'}'\n[checks.negative_data_rejection]\nexpected-statuses = {REFUSALS}\n"
    )
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={folder / 'settings.toml'}", "run"]
    command += [str(folder / "openapi.json"), "--url", f"{gate.management}/-/api", "--no-color", "--no-shrink"]
    command += ["--checks", "all", "--exclude-checks", NO_CHECKS, "--continue-on-failure"]
    command += ["--generation-database", "none", "--warnings", "off", "--output-truncate", "true", *words]
    command += ["-H", f"Authorization: Bearer {token}"] if token else []
    ran = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-20000:]
    found = re.search(r"([0-9,]+) generated", ran.stdout)
    assert found is not None, ran.stdout
    sys.stdout.write(f"{token or 'nobody'}: {found[1]} calls as described\n")


def written_by(gate, author: str) -> set[str]:
    """Return the kinds of all that somebody has changed."""
    kinds, before = set(), ""
    while listed := gate.call("GET", f"/generations?limit=1000{before}").json()["generations"]:
        kinds |= {change["kind"] for each in listed if each["author"] == author for change in each["changes"]}
        before = f"&before={listed[-1]['generation']}"
        if listed[-1]["generation"] == 1:
            break
    return kinds
