"""The management listener behind TLS, called by its host name: the API, the page to log in, and a provider outside."""

import html
import json
import re
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from gateway.authority import Authority, needs_openssl

from .providing import CLIENT, CLIENT_SECRET, providing
from .served import serving
from .test_far_nodes import free_port

pytestmark = needs_openssl
NAME = "gate.example"
PASSWORD = "correct horse battery"
DOCUMENT = """\
gateway:
  listen: ["127.0.0.1:0", "https://127.0.0.1:{port}"]
  lame_duck: 0
  tls: {{certificates: [{certificate}]}}
management:
  listen: ["127.0.0.1:{inner}"]
  {names}
  apps:
    - health
    - management:
        callers: {{ann: {{token: token-of-ann}}}}
        sessions: {{secure: true}}
        providers: {{corp: {provider}}}
routes:
  - {{name: management, match: {{path: "/-/*"}}, to: {{connection: management, preserve_host: true}}}}
connections:
  management: {{targets: "http://127.0.0.1:{inner}"}}
"""


class ByName(httpx.HTTPTransport):
    """Asks this machine, as if its name server had said so; TLS is about the name."""

    def handle_request(self, request):
        here = request.url.copy_with(host="127.0.0.1")
        sent = httpx.Request(request.method, here, headers=request.headers, stream=request.stream)
        sent.extensions = {**request.extensions, "sni_hostname": request.url.host}
        return super().handle_request(sent)


class Outside:
    """What browsers and clients see of a gateway."""

    def __init__(self, gate, port, authority, stack):
        self.gate, self.url, self._authority, self._stack = gate, f"https://{NAME}:{port}", authority, stack

    def client(self, **more):
        context = ssl.create_default_context(cafile=self._authority.certificate)
        transport = ByName(verify=context)
        client = httpx.Client(base_url=self.url, transport=transport, timeout=60, trust_env=False, **more)
        return self._stack.enter_context(client)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "authority", "Management")


@pytest.fixture(scope="module")
def corp():
    with providing() as provider:
        yield provider


@pytest.fixture
def outside(tmp_path, authority, corp):
    """Start gateways, each with a line about the names that it answers to."""
    with ExitStack() as stack:

        def start(names, **provider):
            port, inner = free_port(), free_port()
            said = {"issuer": corp.issuer, "client_id": CLIENT, "client_secret": CLIENT_SECRET, **provider}
            told = DOCUMENT.format(
                port=port,
                inner=inner,
                names=names,
                certificate=json.dumps(authority.issue(f"gate-{port}", f"DNS:{NAME}")),
                provider=json.dumps(said),
            )
            gate = stack.enter_context(serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", told))
            corp.redirect = f"https://{NAME}:{port}/-/login/corp/callback"
            gate.call("POST", "/users", {"name": "kim", "password": PASSWORD})
            return Outside(gate, port, authority, stack)

        yield start


def test_a_name_that_is_allowed_has_the_api_the_page_to_log_in_and_logins_at_a_provider(outside):
    out = outside(f"allowed_hosts: [{NAME.upper()}]")
    own = {"Origin": out.url, "Sec-Fetch-Site": "same-origin"}

    # the API, with a token and with a session
    caller = out.client(headers={"Authorization": "Bearer token-of-ann"})
    assert caller.get("/-/api/me").json()["name"] == "ann"
    assert caller.put("/-/api/objects/connections/x", json={"targets": "http://127.0.0.1:9"}).status_code == 201
    browser = out.client(headers=own)
    told = browser.post("/-/api/session", json={"name": "kim", "password": PASSWORD})
    assert told.status_code == 201, told.text
    assert told.headers["set-cookie"].startswith("__Host-hookgate=")
    assert browser.get("/-/api/me").json()["name"] == "kim"
    assert browser.delete("/-/api/session", headers={"X-CSRF-Token": told.json()["csrf"]}).status_code == 200

    # the page
    browser = out.client()
    assert browser.get("/-/login").status_code == 200
    done = browser.post("/-/login", data={"name": "kim", "password": PASSWORD}, headers=own)
    assert (done.status_code, done.headers.get("location")) == (303, "/-/login"), done.text
    page = browser.get("/-/login").text
    assert "logged in as <strong>kim</strong>" in page
    csrf = html.unescape(re.search(r'name="csrf" value="([^"]+)"', page)[1])
    assert browser.post("/-/logout", data={"csrf": csrf}, headers=own).status_code == 303
    assert browser.get("/-/api/me").status_code == 401

    # a provider, which sends the browser back to the name: of the options, or else the one that was asked for
    begun = browser.get("/-/login/corp")
    assert begun.status_code == 303, begun.text
    sent_back = httpx.get(begun.headers["location"], trust_env=False, timeout=60).headers["location"]
    assert sent_back.startswith(f"{out.url}/-/login/corp/callback?")
    ended = browser.get(sent_back)
    assert ended.status_code == 200, ended.text
    assert browser.get("/-/api/session").json()["method"] == "oidc:corp"

    # and pages of others change nothing
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for path in ("/-/login", "/-/api/session", "/-/reload"):
        refused = browser.post(path, headers=evil)
        assert refused.status_code == 403, path

    for asked in ("evil.example", f"evil.{NAME}", f"{NAME}.evil.example", f"evil{NAME}"):
        refused_as(out, asked)


@pytest.mark.parametrize("names", ["", f"allowed_hosts: [other.example, sub.{NAME}]"], ids=["none", "others"])
def test_a_name_that_is_not_allowed_has_nothing(outside, names):
    out = outside(names)
    refused_as(out, NAME)
    assert out.gate.call("GET", "/me").status_code == 200, "by address as ever"


def refused_as(out, name):
    browser = out.client(headers={"Authorization": "Bearer token-of-ann", "Host": name, "Origin": f"https://{name}"})
    for method, path in (
        ("GET", "/-/api/me"),
        ("PUT", "/-/api/objects/connections/x"),
        ("POST", "/-/api/session"),
        ("GET", "/-/login"),
        ("POST", "/-/login"),
        ("GET", "/-/login/corp"),
        ("GET", "/-/login/corp/callback?state=x&code=y"),
        ("GET", "/-/health"),
        ("POST", "/-/reload"),
    ):
        told = browser.request(method, path)
        assert told.status_code == 421, (name, path, told.text)
        assert "management.allowed_hosts" in told.json()["detail"]
        assert "set-cookie" not in told.headers
