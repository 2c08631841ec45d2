"""The routes by which hosts register are a kind as every other: made, changed and switched off over the API."""

import json
import shutil
import subprocess
import time

import httpx
import pytest

from hookgate.testing import upstream

from .served import DOCUMENT, serving

REGISTER = "/api/http/google/hosts/register"
KEYS = {"joe": {"algorithm": "hmac-sha256", "secret": "a key of joe, long enough for all of this", "roles": ["google"]}}
STAFF = {"inbound": {"basic": {"users": {"joe": "a-password"}, "roles": {"joe": ["google"]}}}}


def curl(gate, *words, path=REGISTER):
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *words, gate.public + path]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def put(gate, kind, name, body):
    written = gate.call("PUT", f"/objects/{kind}/{name}?wait=live", body)
    assert (written.status_code in (200, 201), written.json()["live"]) == (True, True), written.text


def served(gate):
    """Wait until calls reach the host: the connection hears of it a moment after whoever registered it."""
    ends = time.monotonic() + 60
    while (answer := httpx.get(f"{gate.public}/google", timeout=30, trust_env=False)).status_code != 200:
        assert answer.headers["x-hookgate-reason"] == "no-active-target", answer.text
        assert time.monotonic() < ends
        time.sleep(0.02)  # there is no event to wait for from outside


@pytest.mark.row("AC-36")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_registration_is_made_changed_and_switched_off_over_the_api_while_hosts_stay(tmp_path, database_url):
    state = {"postgresql": {"url": database_url}} if "postgresql" in database_url else {"sqlite": {"path": "state.db"}}
    document = DOCUMENT.replace("lame_duck: 0", f"lame_duck: 0, state: {json.dumps(state)}")
    with upstream() as backend, serving(tmp_path, database_url, document) as gate:
        put(gate, "connections", "google", {"discovery": "registered"})
        put(gate, "routes", "google", {"name": "google", "match": {"path": "/google"}, "to": {"connection": "google"}})
        host = ("-d", json.dumps({"endpoint": backend.url, "active": True, "weight": 1}))
        basic = ("-u", "joe:a-password")
        assert curl(gate, *host) == 404, "there is no such route yet"

        put(gate, "registration", "registration", {"keys": KEYS})
        assert (curl(gate, *host), curl(gate, *basic, *host)) == (401, 401)
        shown = gate.call("GET", "/objects/registration/registration")
        assert shown.json()["body"]["keys"]["joe"] == {**KEYS["joe"], "secret": "********"}

        put(gate, "profiles", "staff", STAFF)
        put(gate, "registration", "registration", {"profile": "staff"})
        assert (curl(gate, *host), curl(gate, *basic, *host), curl(gate, *basic, *host)) == (401, 201, 200)
        served(gate)

        # another route in its place
        step = {"register-host": {"action": "register"}}
        flow = [{"auth": {"methods": ["staff"]}}, step]
        put(gate, "routes", "join", {"name": "join", "match": {"path": "/join/{connection}"}, "flow": flow})
        put(gate, "registration", "registration", {"profile": "staff", "enabled": False})
        assert curl(gate, *basic, *host) == 404
        assert (curl(gate, *host, path="/join/google"), curl(gate, *basic, *host, path="/join/google")) == (401, 200)
        assert httpx.get(f"{gate.public}/google", timeout=30, trust_env=False).status_code == 200, "the host has stayed"
