"""Clients of other makers, from npm: `openid-client`, and `oauth4webapi` that it stands on, against our server."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from bench.nodepackages import installed

from .browsing import hidden
from .town import CALLBACK, PASSWORD, serving

PACKAGE = "openid-client@6.9.0"
"""Has `oauth4webapi` with it."""
ISSUER = "https://login.example"
PARTNER = "https://partner.example"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
SCOPE = "openid profile roles news_read news_write"


@pytest.fixture(scope="module")
def modules():
    """The folder with the packages, installed once for all."""
    if shutil.which("node") is None:
        pytest.skip("there is no node; clients of oauthlib and Authlib have proved the server")
    try:
        return installed(PACKAGE)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm gives no {PACKAGE} ({type(error).__name__}); clients of oauthlib and Authlib have proved it")


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend, modules):
    folder = tmp_path_factory.mktemp("npm")
    partner = {"jwt-bearer": {"issuers": {PARTNER: {"jwks": {"keys": [KEY.as_dict(private=False)]}}}}}
    grants = json.dumps([{"device-code": {"interval": 1}}, partner])
    keymanager = f"issuer: '{ISSUER}', extension_grants: {grants}"
    oauth = "operations: {GET: {scopes: [news_read]}}"
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, oauth, keymanager) as made:
        yield made


def agreed(gate, url):
    """Return where the browser of tom is sent."""
    with httpx.Client(base_url=gate.gate.url, trust_env=False) as browser:
        page = browser.get(url.removeprefix(ISSUER))
        assert page.status_code == 200, page.text
        consent = browser.post("/authorize", data={**hidden(page), "name": "tom", "password": PASSWORD})
        assert "Read which roles you have" in consent.text
        return browser.post("/authorize", data={**hidden(consent), "answer": "yes"}).headers["location"]


def typed(gate, code):
    """Have tom type the code of a device."""
    with httpx.Client(base_url=gate.gate.url, trust_env=False) as browser:
        form = {**hidden(browser.get("/device")), "user_code": code, "name": "tom", "password": PASSWORD}
        consent = browser.post("/device", data=form)
        assert "Know who you are" in consent.text
        assert browser.post("/device", data={**hidden(consent), "answer": "yes"}).status_code == 200


def ran(gate, modules, folder, library, given):
    """Run the client, and be its browser; return what it has found."""
    (folder / "node_modules").symlink_to(modules)
    shutil.copy(Path(__file__).parent / "npm_clients.mjs", folder)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = ["node", "npm_clients.mjs", library, json.dumps(given)]
    with subprocess.Popen(command, cwd=folder, **pipes) as process:
        try:
            for line in process.stdout:
                told = json.loads(line)
                if "done" in told:
                    return told["done"]
                if "type" in told:
                    answer = {"typed": typed(gate, told["type"]), "at": told["at"]}
                else:
                    answer = {"back": agreed(gate, told["go"])}
                process.stdin.write(json.dumps(answer) + "\n")
                process.stdin.flush()
            raise AssertionError(process.stderr.read())
        finally:
            process.kill()


@pytest.mark.timeout(400)  # npm may take long to give them
@pytest.mark.parametrize("library", ["openid-client", "oauth4webapi"])
def test_a_client_from_npm_goes_through_every_grant_and_believes_our_id_tokens(gate, modules, tmp_path, library):
    now = int(time.time())
    client = gate.client("authorization_code", "refresh_token", "client_credentials", JWT_BEARER)
    device = gate.client(DEVICE, "refresh_token", public=True, callbacks=())
    said = {"iss": PARTNER, "aud": ISSUER, "sub": "tom", "exp": now + 300, "iat": now, "jti": f"for {library}"}
    found = ran(
        gate,
        modules,
        tmp_path,
        library,
        {
            "issuer": ISSUER,
            "here": gate.gate.url,
            "id": client[0],
            "secret": client[1],
            "callback": CALLBACK,
            "scope": SCOPE,
            "device": device[0],
            "assertion": jwt.encode({"alg": "ES256", "kid": "one"}, said, KEY),
        },
    )

    assert found["tokens"]["scope"] == "openid profile roles news_read"  # tom is no manager
    assert (found["claims"]["sub"], found["claims"]["nonce"]) == ("tom", "a nonce of mine")
    assert found["about"] == {"sub": "tom", "preferred_username": "tom", "roles": ["employee"]}
    assert "nonce" not in found["again"]
    for name in ("iss", "sub", "aud", "auth_time"):
        assert found["again"][name] == found["claims"][name]
    assert found["before"] | {"active": True, "scope": "open", "token_kind": "application"} == found["before"]
    assert found["after"] == {"active": False}
    assert found["vouched"]["scope"] == "news_read"
    assert "id_token" not in found["vouched"]  # nobody has logged in here
    assert found["twice"] == "invalid_grant"
    assert (found["on"]["sub"], found["on"]["aud"]) == ("tom", device[0])
    for name in ("vouched", "device"):
        assert gate.call(found[name]["access_token"]).status_code == 200
    for name in ("tokens", "refreshed"):  # ended by the refresh token that was shown twice
        assert gate.call(found[name]["access_token"]).status_code == 401
