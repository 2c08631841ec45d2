"""The guide to connections: its parts are parts of good documents, and its tables leave nothing out."""

import json
import re
from pathlib import Path

import pytest

from hookgate.connections.record import TimeoutsSection
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.gateway import Gateway
from hookgate.testing import upstream
from hookgate.testing.gateway import Memory

from ..clientpair import client_pair  # noqa: TID252 - how tests find each other, wherever they are run from
from ..house.pages import text  # noqa: TID252
from ..house.workspace import ROOT, plugins  # noqa: TID252

PAGE = Path("docs/connections.md")
FENCED = re.compile(r"^(?P<indent> *)```yaml\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"# under `([\w.]+):`\n")
FOLDERS = ("/etc/hookgate/tls", "/run/secrets", "/etc/hookgate")


def written():
    """Every YAML block of the page, also one that stands in a list."""
    return [re.sub(f"(?m)^{found['indent']}", "", found["text"]) for found in FENCED.finditer(text(PAGE))]


PARTS = [(match[1], block) for block in written() if (match := PLACE.match(block))]
DOCUMENTS = [block for block in written() if not PLACE.match(block)]
SECRETS = dict(PARTS)["secrets"]
VAULTED = "${vault:secret/data/gateway/crm#password}"


def document(place, block):
    """A whole document with a part of it at its place."""
    whole = {"secrets": dict(parse(SECRETS.encode(), "secrets.yaml"))} if "${vault:" in block else {}
    part = dict(parse(block.encode(), "part.yaml"))
    section, _, name = place.partition(".")
    if section == "connections":
        whole["connections"] = {name: part}
        whole["routes"] = [{"name": "all", "to": {"connection": name}}]
    else:
        whole[section] = part
        whole["connections"] = {"crm": {"targets": ["${env:CRM_URL}", "${file:crm}"], "tags": [VAULTED]}}
    return whole


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Where every reference of the page can be resolved, and every file of it is there."""
    certificate, key = client_pair()
    (tmp_path / "crm").write_text("http://10.0.0.6:9000\n")
    for name in re.findall(r"\$\{env:(\w+)", text(PAGE)):
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.setenv("CRM_CERTIFICATE_KEY", key)
    monkeypatch.setenv("CRM_URL", "http://10.0.0.5:9000")
    for name, pem in (("internal-ca.pem", certificate), ("gateway.pem", certificate), ("gateway.key", key)):
        (tmp_path / name).write_text(pem)
    login = {"client_token": "token", "lease_duration": 3600, "renewable": True}
    known = json.dumps({"auth": login, "data": {"data": {"password": "secret"}, "metadata": {}}})
    with upstream(lambda request: (200, {"content-type": "application/json"}, known)) as vault:
        monkeypatch.setenv("VAULT_ADDR", vault.url)

        def here(whole):
            written = json.dumps(whole)
            for folder in FOLDERS:
                written = written.replace(folder, str(tmp_path))
            return Gateway(Memory(json.loads(written)))

        yield here


def hints(config):
    """The warnings, but for that of parts of a page: no route calls them."""
    return [each for each in config.warnings if "nothing calls by the connection" not in each.message]


@pytest.mark.parametrize(
    ("place", "block"), PARTS, ids=[f"{place}-{number}" for number, (place, _) in enumerate(PARTS)]
)
async def test_a_part_is_part_of_a_good_document(place, block, world):
    assert not hints(await world(document(place, block)).check())


@pytest.mark.parametrize("block", DOCUMENTS, ids=lambda block: block.splitlines()[-1].strip()[:30])
async def test_a_document_of_the_page_is_good(block, world):
    assert not hints(await world(dict(parse(block.encode(), "document.yaml"))).check())


async def test_two_that_write_one_header_are_warned_of_where_the_page_says_so(world):
    block = next(block for _, block in PARTS if "X-Up-Auth" in block)
    doubled = document("connections.crm", block.replace(", header: X-Up-Auth", ""))
    (warning,) = hints(await world(doubled).check())

    assert "most backends read only one" in warning.message


@pytest.mark.parametrize("family", ["balancer", "credential", "discovery", "header", "monitor", "secret", "transport"])
def test_every_plugin_of_a_family_that_serves_connections_is_on_the_page(family):
    ours = {plugin.distribution for plugin in plugins()}
    shipped = {each.name for each in Catalogue().listing() if each.family == family and each.distribution in ours}

    assert set(re.findall(rf"\]\(plugins/{family}-([\w-]+)\.md\)", text(PAGE))) == shipped


def test_the_page_says_which_credentials_sign_the_message():
    ours = {each.name: each.plugin for each in Catalogue().listing() if each.family == "credential"}
    rows = re.findall(r"^\| \[([\w-]+)\]\(plugins/credential-[^|]*\|[^|]*\|([^|]*)\|", text(PAGE), re.MULTILINE)

    assert len(rows) > 5
    assert {name for name, signs in rows if signs.strip()} == {name for name, _ in rows if ours[name].signs_message}


def test_the_page_says_how_long_time_limits_are():
    said = dict(re.findall(r"^\| `timeouts\.(\w+)` \| (\d+) s \|", text(PAGE), re.MULTILINE))

    assert {name: float(seconds) for name, seconds in said.items()} == TimeoutsSection().model_dump()


def test_the_reasons_on_the_page_are_reasons_of_the_code():
    table = text(PAGE).partition("| reason | status |")[2].partition("\n\n")[0]
    reasons = {reason for line in table.splitlines()[2:] for reason in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("core/hookgate", "plugins/auth", "plugins/monitors", "plugins/transports")
        for path in (ROOT / folder).rglob("*.py")
        if not path.name.startswith("test_")
    )

    assert len(reasons) > 10
    assert {reason for reason in reasons if f'"{reason}"' not in source} == set()
