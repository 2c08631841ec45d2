"""A secret is nowhere in clear: one test looks at everything that can be read (HC-7)."""

import gzip
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from hookgate_management.client import Client

from .served import DOCUMENT, serving, written_in

SECRET = "Zq7-the-one-secret-Xk9"
OTHER = "Pw3-the-other-secret-Lm5"


def crm(secret):
    return {
        "targets": "http://127.0.0.1:9",
        "auth": [{"basic": {"username": "gate", "password": secret}}],
    }


DOCUMENT = DOCUMENT.replace("gateway: {", "trace: {token: trace-me}\ngateway: {observers: [access-log, trace], ")
DOCUMENT = DOCUMENT.replace("    - connections\n", "    - connections\n    - trace\n")
BASIC = {"basic": {"users": {"bob": SECRET}}}
BEARER = {"headers": {"request": {"set": {"Authorization": f"Bearer {SECRET}"}}}}
API = {
    "name": "shop",
    "base_path": "/shop",
    "flow": [
        {"auth": {"methods": [BASIC, {"bearer": {"tokens": {"amy": OTHER}}}], "_": {"id": "door"}}},
        {"when": {"if": "request.path == '/x'", "flow": [{"when": {"if": "true", "flow": [BEARER]}}]}},
        {"headers": {**BEARER["headers"], "_": {"id": "named"}}},
        {"callout": {"name": "x", "url": "http://127.0.0.1:9/", "headers": {"Authorization": f"'Bearer {SECRET}'"}}},
    ],
    "overrides": {"named": {"request": {"set": {"X-Api-Key": SECRET}}}},
    "resources": [
        {
            "path": "/a",
            "overrides": {"door": {"methods": [{"basic": {"users": {"bob": "${variable:key}" + SECRET}}}]}},
            "operations": {
                "GET": {
                    "overrides": {
                        "door": {"methods": [{"jwt": {"secret": 2 * SECRET, "audience": ["shop"], "issuer": "x"}}]},
                        "when": {"if": "false", "flow": [BEARER]},
                        "named": {"request": {"set": {"Cookie": OTHER}}},
                    }
                }
            },
        },
        {"path": "/b", "inherited": {"named": {"request": {"set": {"X-Some": SECRET}}}}},
    ],
    "to": {"connection": "crm"},
}
ANSWER = [{"respond": {"headers": {"Cookie": OTHER}}}]
KEY = {"keys": [{"kty": "oct", "k": SECRET}]}
SHAPES = {
    "plugins/named": {"headers": {"request": {"set": {"Authorization": f"Bearer {SECRET}"}}}},
    "variables/key": {"secret": OTHER, "description": "a key"},
    "connections/headed": {
        "targets": [{"url": "http://127.0.0.1:9"}],
        "headers": [{"set": "Authorization", "from": {"default": {"value": f"Bearer {SECRET}"}}}],
        "monitor": [{"http": {"path": "/", "headers": {"X-Api-Key": SECRET}}}],
    },
    "connections/keyed": {"targets": "http://127.0.0.1:9", "auth": [{"bearer": {"token": "${variable:key}"}}]},
    "routes/answer": {
        "name": "answer",
        "match": {"path": "/answer"},
        "flow": [
            {"switch": {"cases": [{"when": "true", "flow": [BEARER, {"respond": {"headers": {"Cookie": OTHER}}}]}]}}
        ],
    },
}


@contextmanager
def backend():
    """A real backend, and what it was sent."""
    seen = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()


@pytest.mark.row("HC-7")
def test_a_secret_is_nowhere_in_clear_in_whatever_shape_it_was_written(tmp_path):
    url, seen, refused = f"sqlite:///{tmp_path / 'store.db'}", {}, {}
    with serving(tmp_path, url, DOCUMENT) as gate, Client(gate.management, "token-of-ann") as api, backend() as there:
        api.put("connections", "crm", crm(SECRET) | {"targets": there[0]}, wait="live")
        for place, body in SHAPES.items():
            kind, _, name = place.partition("/")
            seen[f"PUT {place}"] = str(api.put(kind, name, body, wait="live"))
        seen["PUT apis"] = str(api.put("apis", "shop", API, wait="live"))
        draft = API | {"overrides": {"door": {"methods": [{"basic": {"users": {"bob": [SECRET], "amy": {OTHER: 1}}}}]}}}
        for path, body in (
            ("/objects/apis/shop/draft", draft),
            ("/objects/apis/shop", draft),
            ("/objects/connections/crm/draft", crm([SECRET])),
            ("/objects/routes/answer/draft", {"flow": [{"auth": {"methods": [{"jwt": {"jwks": KEY}}]}}]}),
            ("/objects/variables/key/draft", {"secret": {"it": OTHER}}),
        ):
            refused[path] = gate.call("PUT", path, body)
        for verb, body in (
            ("add", {"step": {"auth": {"methods": [BASIC], "_": {"id": "more"}}}}),
            ("move", {"step": "more", "position": 0}),
            ("remove", {"step": "more"}),
        ):
            refused[verb] = gate.call("POST", f"/objects/apis/shop/steps/{verb}?wait=live&break=true", body)
        for method, path, body in (
            ("POST", "/roles", {"name": "all", "permissions": ["admin"]}),
            ("POST", "/users", {"name": "kim", "password": SECRET, "roles": ["all"]}),
            ("PATCH", "/users/kim", {"password": OTHER}),
            ("PATCH", "/users/kim", {"password": OTHER, "disabled": OTHER}),
            ("POST", "/session", {"name": "kim", "password": OTHER}),
            ("POST", "/session", {"name": "kim", "password": SECRET}),
            ("POST", "/apply", {"changes": [{"kind": "apis", "body": API}]}),
            ("POST", "/plan", {"document": {"apis": [API], "variables": {"key": {"secret": SECRET}}}}),
        ):
            refused[f"{method} {path} {len(refused)}"] = gate.call(method, path, body)
        shown = {
            path: gate.call("GET", path)
            for path in (
                *(f"/objects/{place}" for place in SHAPES),
                *("/objects/apis", "/objects/apis/shop", "/objects/apis/shop/steps", "/objects/apis/shop/draft"),
                *(
                    "/objects/connections/crm/draft",
                    "/objects/variables/key/draft",
                    "/objects/routes/answer/draft",
                    "/drafts",
                    "/export",
                ),
                *("/objects/apis/shop/diff?from=live&to=draft", "/generations", "/audit?limit=1000"),
                *("/audit?format=jsonl", "/diff?from=0&to=3", "/diff?from=0&to=7", "/users", "/sessions", "/nodes"),
            )
        }
        assert {path: each.status_code for path, each in shown.items() if each.status_code != 200} == {}
        keyed = {"flow": [{"headers": {"request": {"set": {"X-Api-Key": SECRET}}}}], "to": {"connection": "crm"}}
        api.put("routes", "go", {"name": "go", "match": {"path": "/go"}, **keyed}, wait="live")
        traced = httpx.get(f"{gate.public}/go", headers={"X-Hookgate-Trace": "trace-me"}, trust_env=False, timeout=60)
        assert (traced.status_code, len(there[1])) == (200, 1), traced.text
        assert there[1][0].startswith("Basic ")  # with the real password
        trace = f"{gate.management}/-/traces/{traced.headers['X-Hookgate-Trace-Id']}"
        kept = httpx.get(trace, trust_env=False, timeout=60)
        assert "x-api-key" in kept.text
        assert there[1][0].split()[1] not in kept.text
        shown |= {"trace": kept, "traced": traced, "as text": httpx.get(f"{trace}?format=text", trust_env=False)}
        # asterisks keep what is stored
        body = shown["/objects/apis/shop"].json()["body"]
        last = gate.call("PUT", "/objects/apis/shop", body).json()["generation"]
        assert gate.call("GET", f"/diff?from={last - 1}&to={last}").json()["differences"] == []
        files = written_in(tmp_path)
    seen |= {what: each.text + str(each.headers) for what, each in {**refused, **shown}.items()}
    seen["log"] = "".join(gate.lines)
    assert "/go" in seen["log"]
    assert "store.db" in {name.split("/")[-1] for name in files}
    assert [name for name, text in seen.items() if SECRET in text or OTHER in text] == []
    assert [name for name, data in files.items() if SECRET.encode() in data or OTHER.encode() in data] == []


@pytest.mark.row("HC-7")
def test_a_secret_is_nowhere_in_clear(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    seen = {}
    with serving(tmp_path, url) as gate, Client(gate.management, "token-of-ann") as api:
        environment = {
            **os.environ,
            "HOOKGATE_MANAGEMENT_URL": gate.management,
            "HOOKGATE_MANAGEMENT_TOKEN": "token-of-ann",
            "HOOKGATE_SOURCE": "store",
            "HOOKGATE_SOURCE_OPTIONS": f'{{"url": "{url}"}}',
        }

        def run(*arguments):
            done = subprocess.run(
                [sys.executable, "-m", "hookgate", *arguments],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            seen[" ".join(arguments)] = done.stdout + done.stderr
            return done

        api.put("connections", "crm", crm(SECRET), wait="live")
        api.put("profiles", "kept", {"outbound": {"basic": {"username": "gate", "password": SECRET}}}, wait="live")
        api.put("connections", "crm", crm(OTHER), wait="live")
        for path in (
            *("/objects/connections", "/objects/connections/crm", "/objects/profiles/kept", "/generations"),
            *("/generations/1", "/diff?from=1&to=3", "/diff?from=0&to=1", "/export", "/nodes", "/schema"),
            *("/openapi.json", "/objects/connections/crm/used-by"),
        ):
            answer = gate.call("GET", path)
            assert answer.status_code == 200
            seen[path] = answer.text
        for what, answer in (
            ("refused", gate.call("PUT", "/objects/connections/crm", crm(SECRET) | {"targets": 5})),
            ("stale", gate.call("PUT", "/objects/connections/crm", crm(SECRET), If_Match='"1"')),
            ("once", gate.call("PUT", "/objects/connections/crm", crm(SECRET), Idempotency_Key="k")),
            ("again", gate.call("PUT", "/objects/connections/crm", crm(OTHER), Idempotency_Key="k")),
            ("renamed", gate.call("POST", "/objects/connections/crm/rename", {"to": "crm2"})),
            ("back", gate.call("POST", "/rollback?wait=live", {"to": 3})),
            ("plan", gate.call("POST", "/plan", {"document": {"connections": {"crm": crm(SECRET)}}})),
        ):
            seen[what] = answer.text
        document = tmp_path.parent / f"{tmp_path.name}.yaml"
        document.write_text(
            f'{{"connections": {{"crm": {{"targets": "http://127.0.0.1:9", "auth": [{{"basic": '
            f'{{"username": "gate", "password": "{SECRET}"}}}}]}}}}}}'
        )
        assert run("plan", str(document), "-o", "the.plan").returncode == 0
        assert run("diff", str(document), "--json").returncode == 0
        assert run("apply", "the.plan").returncode == 0
        assert run("export").returncode == 0
        assert run("storage", "backup", "the.backup", "gateway.yaml").returncode == 0
        assert run("storage", "check", "gateway.yaml").returncode == 0
        files = written_in(tmp_path)
    seen["log"] = "".join(gate.lines)

    assert {"the.plan", "the.backup", "store.db", "hookgate-store.snapshot"} <= {name.split("/")[-1] for name in files}
    found = [name for name, text in seen.items() if SECRET in text or OTHER in text]
    found += [name for name, data in files.items() if SECRET.encode() in data or OTHER.encode() in data]
    backup = gzip.decompress((tmp_path / "the.backup").read_bytes())
    assert found == []
    assert SECRET.encode() not in backup
    assert OTHER.encode() not in backup
