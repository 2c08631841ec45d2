"""What core asks for by a name and a deployment may leave out: a gateway serves without it and says what is missing."""

import re
from importlib import metadata

import httpx
import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import AmbiguousError, BrokenError, Catalogue
from hookgate.testing import running

CALLS = """
routes:
- name: scored
  match: {path: /scored}
  flow:
  - callout: {name: score, url: "http://127.0.0.1:1/score"}
  - respond: {body: scored}
- name: plain
  match: {path: /plain}
  flow: [respond: {body: plain}]
"""
PLAIN = [{"name": "plain", "flow": [{"respond": {"body": "plain"}}]}]


@pytest.fixture
def without(monkeypatch):
    """Uninstall a distribution, as far as a gateway sees it."""
    installed = metadata.distributions

    def leave(*names):
        monkeypatch.setattr(metadata, "distributions", lambda: [each for each in installed() if each.name not in names])

    return leave


@pytest.fixture
def part(tmp_path, monkeypatch):
    """Install another distribution that brings a part."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(distribution, entry):
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hookgate.parts]\n{entry}\n")

    return add


def test_without_a_client_a_gateway_serves_and_only_what_calls_out_fails(without):
    without("hookgate-client")
    with running(CALLS) as gate:
        assert gate.request("GET", "/plain").text == "plain"
        assert gate.request("GET", "/scored").status_code == 500
        told = [record for record in gate.log if "callout" in record.getMessage()]
        assert any("pip install hookgate-client" in f"{each.getMessage()} {each.exc_info}" for each in told)


def test_without_a_bridge_an_app_behind_a_flow_is_refused_with_what_to_install(without):
    without("hookgate-bridge")
    with running({"gateway": {"expose": {"/status": "health"}}}) as gate:
        assert gate.request("GET", "/status/live").status_code == 200
    with pytest.raises(ConfigError, match=r"expose\./status: an app .* pip install hookgate-bridge"):
        running({"gateway": {"expose": {"/status": {"app": "health"}}}}).__enter__()


def test_without_the_proxy_protocol_a_listener_for_it_is_refused_with_what_to_install(without):
    without("hookgate-proxyprotocol")
    with running({"gateway": {"proxy_protocol": False}, "routes": PLAIN}) as gate:
        assert gate.request("GET", "/").text == "plain"
    for wanted in (True, "required"):
        proxied = {"gateway": {"proxy_protocol": wanted, "trusted_proxies": ["127.0.0.0/8"]}, "routes": PLAIN}
        told = pytest.raises(ConfigError, match=r"proxy_protocol: .* pip install hookgate-proxyprotocol")
        with told, running(proxied):
            pass


def test_without_metrics_plugins_run_and_nothing_is_counted(without):
    without("hookgate-metrics")
    said = {"gateway": {"observers": ["prometheus"]}, "routes": [{"name": "plain", "flow": [{"respond": {}}]}]}
    said["management"] = {"apps": ["health", "prometheus"]}
    with running(said) as gate:
        assert gate.request("GET", "/").status_code == 200
        scraped = httpx.get(f"{gate.management}/-/metrics").text
        assert "hookgate_requests_total" in scraped
        assert httpx.get(f"{gate.management}/-/health").json()["status"] == "ok"


def test_a_part_that_two_distributions_bring_is_no_part(part):
    part("acme-client", "client = acme:Client")
    with pytest.raises(AmbiguousError, match=re.escape("the part 'client' is provided by acme-client and hookgate-cl")):
        Catalogue().part("client")


def test_a_part_that_cannot_be_imported_is_named(part, without):
    without("hookgate-client")
    part("acme-client", "client = acme_nowhere:Client")
    with pytest.raises(BrokenError, match="the part 'client' cannot be used: acme-client: acme_nowhere:Client"):
        Catalogue().part("client")
