"""The whole subsystem in a running gateway, over a restart, with what goes wrong."""

import re
from pathlib import Path

import acme_subscriptions
import httpx
import pytest
from acme_subscriptions.command import ShowUsage
from acme_subscriptions.page import Usage
from acme_subscriptions.section import Subscriptions
from acme_subscriptions.step import SubscriberStep
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.testing import MovableClock, running, upstream
from hookgate_authoring.conformance import conformance

DOCUMENT = """\
gateway:
  listen: ["127.0.0.1:0"]
  state: {sqlite: {path: STATE}}
  observers: [prometheus]
  lane: LANE
management:
  listen: ["127.0.0.1:0"]
  apps: [health, prometheus, subscriptions]
subscriptions:
  ann: {key: key-of-ann, quota: 2, plan: gold}
  "<bob>": {key: key-of-bob, quota: 100}
routes:
  - {name: orders, match: {path: /orders}, flow: [subscriber], to: {connection: crm}}
connections:
  crm: {targets: BACKEND, headers: [{set: X-Who, from: {identity: {}}}]}
"""
DAY = 24 * 60 * 60
GUIDE = Path(__file__).parents[2] / "docs/plugin-guide/subsystem.md"
MORNING = 1_700_006_400.0
"""The beginning of a day."""


@pytest.fixture
def backend():
    with upstream() as backend:
        yield backend


@pytest.fixture(params=["true", "false"], ids=["lane", "edge"])
def document(request, tmp_path, backend):
    told = {"STATE": str(tmp_path / "state.db"), "BACKEND": backend.url, "LANE": request.param}
    return re.sub("|".join(told), lambda found: told[found[0]], DOCUMENT)


def call(gate, key="key-of-ann"):
    return gate.request("GET", "/orders", headers={"x-subscription-key": key} if key else {})


def page(gate, path):
    return httpx.get(f"{gate.management}/-/{path}", trust_env=False)


def test_a_subscriber_is_let_in_and_the_backend_sees_who_it_is_but_no_key(document, backend):
    with running(document) as gate:
        assert call(gate).status_code == 200

    (asked,) = backend.requests
    assert (asked.header("x-who"), asked.header("x-subscription-key")) == ("ann", None)


@pytest.mark.parametrize(("key", "reason"), [("", "missing-credentials"), ("key-of-anna", "wrong-credentials")])
def test_nobody_else_is(document, backend, key, reason):
    with running(document) as gate:
        refused = call(gate, key)

    assert (refused.status_code, refused.json()["reason"]) == (401, reason)
    assert refused.headers["www-authenticate"] == 'ApiKey realm="subscriptions"'
    assert not backend.requests


def test_a_quota_that_is_used_up_is_so_after_a_restart_and_till_the_end_of_the_day(document):
    with running(document, clock=MovableClock(MORNING + 10)) as gate:
        assert [call(gate).status_code for _ in range(2)] == [200, 200]
        refused = call(gate)
        assert (refused.status_code, refused.json()["reason"]) == (429, "rate-limited")
        assert refused.headers["retry-after"] == str(DAY - 10 + 1)

    clock = MovableClock(MORNING + 20)
    with running(document, clock=clock) as gate:
        assert gate.gateway.status()["plugins"]["sections.subscriptions"] == {"used_up": 1}
        assert call(gate).status_code == 429
        assert call(gate, "key-of-bob").status_code == 200
        gate.reload(document.replace("quota: 2", "quota: 3"))
        assert [call(gate).status_code for _ in range(2)] == [200, 429]
        gate.run(clock.advance(DAY))
        assert gate.gateway.status()["plugins"]["sections.subscriptions"] == {"used_up": 0}
        assert call(gate).status_code == 200


def test_pages_metric_health_and_command_tell_what_is_used(document):
    with running(document) as gate:
        for _ in range(3):
            call(gate)
        assert page(gate, "subscriptions").json() == {
            "subscriptions": [
                {"subscriber": "ann", "quota": 2, "plan": "gold", "used": 2},
                {"subscriber": "<bob>", "quota": 100, "plan": "standard", "used": 0},
            ]
        }
        shown = page(gate, "subscriptions.html")
        assert shown.headers["content-type"].startswith("text/html")
        assert "<li>ann: 2 of 2</li><li>&lt;bob&gt;: 0 of 100</li>" in shown.text
        metrics = page(gate, "metrics").text
        assert 'hookgate_subscriptions_calls_total{plan="gold",outcome="served"} 2' in metrics
        assert 'hookgate_subscriptions_calls_total{plan="gold",outcome="refused"} 1' in metrics
        assert page(gate, "health").json()["plugins"]["sections.subscriptions"] == {"used_up": 1}
        typed = CliRunner().invoke(app, ["used", "--management", gate.management])
        assert (typed.exit_code, typed.output) == (0, "ann (gold): 2 of 2\n<bob> (standard): 0 of 100\n")


def test_the_page_may_stand_behind_a_login(document):
    login = "{auth: {methods: [{basic: {users: {eve: secret}}}]}}"
    exposed = document.replace("  lane:", f"  expose: {{/used: {{app: subscriptions, flow: [{login}]}}}}\n  lane:")
    with running(exposed) as gate:
        assert gate.request("GET", "/used/subscriptions").status_code == 401
        let_in = gate.request("GET", "/used/subscriptions", auth=("eve", "secret"))

    assert [each["subscriber"] for each in let_in.json()["subscriptions"]] == ["ann", "<bob>"]


def test_a_gateway_without_the_page_is_named_by_the_command(document):
    with running(document.replace(", subscriptions]", "]")) as gate:
        typed = CliRunner().invoke(app, ["used", "--management", gate.management])

    assert "write `management: {apps: [health, subscriptions]}`" in str(typed.exception)


@pytest.mark.parametrize(
    ("written", "wrong", "told"),
    [
        ("key-of-bob", "key-of-ann", "subscriptions.<bob>.key: ann has the same key; nobody could tell them apart"),
        ("key-of-ann", '""', "subscriptions.ann.key: "),
        ("quota: 2", "quota: 0", "subscriptions.ann.quota: "),
        ("quota: 2", "qouta: 2", "subscriptions.ann.qouta: there is no option 'qouta'; did you mean 'quota'?"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place_and_without_the_key(document, written, wrong, told):
    with pytest.raises(ConfigError) as caught, running(document.replace(written, wrong, 1)):
        pass

    assert re.search(r"document\.yaml:\d+:\d+: ", str(caught.value))
    assert told in str(caught.value)
    assert "key-of" not in str(caught.value)


def test_a_step_without_the_section_is_refused(document):
    alone = re.sub(r"subscriptions:\n.*\n.*\n", "", document)
    with pytest.raises(ConfigError, match="the document has no section 'subscriptions'"), running(alone):
        pass


def test_where_nobody_can_count_nobody_is_let_in(document, tmp_path, backend):
    (tmp_path / "state.db").write_bytes(b"this is no database" * 100)
    with running(document) as gate:
        assert call(gate).status_code == 500
        assert page(gate, "subscriptions").status_code == 500
        assert page(gate, "health").json()["status"] == "degraded"

    assert not backend.requests


def test_its_parts_are_as_their_families_want_them():
    conformance(Subscriptions, options={"key": "a", "quota": 1})
    beside = {"subscriptions": {"ann": {"key": "a", "quota": 100_000}}}
    conformance(SubscriberStep, document=beside)
    conformance(Usage, document=beside)
    conformance(ShowUsage)


def test_it_is_short():
    modules = Path(acme_subscriptions.__file__).parent.glob("*.py")

    assert sum(bool(line.strip()) for module in modules for line in module.read_text().splitlines()) <= 150
    assert SubscriberStep.__doc__


@pytest.mark.skipif(not GUIDE.is_file(), reason="it stands in the checkout")
def test_the_guide_shows_this_code():
    shown = dict(
        re.findall(
            r'^```python title="acme_subscriptions/(\w+\.py)"\n(.*?)^```$', GUIDE.read_text(), re.DOTALL | re.MULTILINE
        )
    )
    written = {path.name: path.read_text() for path in Path(acme_subscriptions.__file__).parent.glob("[a-z]*.py")}

    assert shown == written
