"""A node far away shows a certificate to the gateway that it follows, over mutual TLS: real ones, of every kind."""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from gateway.authority import Authority, needs_openssl

from hookgate import ConfigError
from hookgate_management.far import RemoteStore, RemoteStoreOptions

from .served import DOCUMENT, serving
from .test_far_nodes import FAR, TOKEN, free_port, storage, until

pytestmark = needs_openssl
ROUTE = {"name": "r", "match": {"path": "/r"}, "flow": [{"respond": {"body": "first"}}]}


def one_file(folder, pair):
    """Put a certificate and its key into one file, as a node shows it."""
    found = folder / f"shown-{Path(pair['certificate']).stem}.pem"
    found.write_text(Path(pair["certificate"]).read_text() + Path(pair["key"]).read_text())
    return found


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Certificates of the nodes' own authority, and of another one."""
    folder = tmp_path_factory.mktemp("pki")
    nodes, others = Authority(folder / "nodes", "Nodes"), Authority(folder / "others", "Others")
    return {
        "folder": folder,
        "authorities": str(nodes.certificate),
        "server": others.issue("near", "IP:127.0.0.1"),
        "ca_file": str(others.certificate),
        "right": one_file(folder, nodes.issue("branch")),
        "expired": one_file(folder, nodes.issue("expired", expired=True)),
        "of another authority": one_file(folder, others.issue("stranger")),
        "for servers only": one_file(folder, nodes.issue("server", extensions=["extendedKeyUsage=serverAuth"])),
        "missing": None,
    }


@pytest.fixture(scope="module")
def near(tmp_path_factory, pki):
    """The gateway with the store: nodes come in by its listener with TLS only."""
    folder, inner, port = tmp_path_factory.mktemp("near"), free_port(), free_port()
    shown = {"authorities": pki["authorities"], "mode": "required"}
    tls = {"certificates": [pki["server"]], "client_certificates": shown}
    listen = ["127.0.0.1:0", f"https://127.0.0.1:{port}"]
    routes = """
routes:
  - {name: branches, match: {path: "/-/api/follow/*"}, to: {connection: management}}
  - {name: branch, match: {path: /-/api/follow}, to: {connection: management, timeout: 40}}
"""
    document = DOCUMENT.replace(
        'gateway: {listen: ["127.0.0.1:0"], lame_duck: 0}',
        f"gateway: {json.dumps({'listen': listen, 'tls': tls, 'lame_duck': 0})}",
    )
    document = document.replace('listen: ["127.0.0.1:0"]', f'listen: ["127.0.0.1:{inner}"]', 1)
    document = document.replace("eve:", f"far: {{token: {TOKEN}, permissions: [follow]}}\n          eve:")
    document = document.replace("\nroutes:\n", routes)
    document = document.replace(
        "connections: {", f'connections: {{management: {{targets: "http://127.0.0.1:{inner}"}}, '
    )
    with serving(folder, f"sqlite:///{folder / 'store.db'}", document) as gate:
        gate.url = f"https://127.0.0.1:{port}"
        assert gate.call("PUT", "/objects/routes/r?wait=live", ROUTE).status_code == 201
        yield gate


def source(folder, near, pki, certificate):
    said = {"url": near.url, "token": TOKEN, "ca_file": pki["ca_file"], "pause": 0.05, "wait": 0}
    said |= {} if certificate is None else {"certificate": certificate}
    return RemoteStore(RemoteStoreOptions.model_validate(said | {"key": folder / "far.key"}))


@pytest.mark.parametrize("shown", ["missing", "expired", "of another authority", "for servers only"])
async def test_a_certificate_that_is_not_right_is_told_and_nothing_is_had(tmp_path, near, pki, shown):
    far = source(tmp_path, near, pki, pki[shown])
    with pytest.raises(ConfigError) as refused:
        await far.read()
    told = str(refused.value)
    assert f"{near.url}/-/api hangs up: " in told
    assert "the authority and the end of `certificate`" in told
    assert TOKEN not in told
    assert not (tmp_path / "hookgate-store.snapshot").exists()


async def test_the_certificate_is_looked_at_for_each_call_so_a_new_one_needs_no_start(tmp_path, near, pki, caplog):
    shown = tmp_path / "shown.pem"
    shown.write_bytes(pki["expired"].read_bytes())
    far = source(tmp_path, near, pki, shown)
    with pytest.raises(ConfigError, match="hangs up"):
        await far.read()
    shown.write_bytes(pki["right"].read_bytes())
    assert [each["name"] for each in (await far.read())["routes"]] == ["r"]
    shown.write_text("nothing")
    caplog.clear()
    assert [each["name"] for each in (await far.read())["routes"]] == ["r"], "what was had serves on"
    assert f"{shown} is no certificate with its key: " in caplog.text
    caplog.clear()
    lost = source(tmp_path, near, pki, tmp_path / "not-there.pem")
    assert [each["name"] for each in (await lost.read())["routes"]] == ["r"], "from the snapshot"
    assert "not-there.pem is no certificate with its key: No such file" in caplog.text


def test_a_node_with_the_right_certificate_serves_what_is_written_and_is_counted(tmp_path, near, pki):
    options = {"url": near.url, "token": TOKEN, "node": "island", "pause": "100ms", "wait": 2}
    options |= {"ca_file": pki["ca_file"], "certificate": str(pki["right"])}
    environ = {**os.environ, "HOOKGATE_SOURCE": "remote-store", "HOOKGATE_SOURCE_OPTIONS": json.dumps(options)}
    with serving(tmp_path, "", FAR, ready=False, environ={**environ, "PYTHONUNBUFFERED": "1"}) as far:
        assert far.get("/r").text == "first"
        changed = {**ROUTE, "flow": [{"respond": {"body": "second"}}]}
        told = near.call("PUT", "/objects/routes/r?wait=live", changed).json()
        nodes = {each["node"]: each["digest"] for each in told["nodes"]}
        assert (told["live"], nodes["far/island"]) == (True, told["digest"])
        assert far.get("/r").text == "second"
        until(lambda: not storage(far).get("problems"))
        near.call("PUT", "/objects/routes/r?wait=live", ROUTE)
