import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_header_default import Default


def sent(actions, **headers):
    """Send a call through a gateway with these header actions; return what the backend received as X-A."""
    with upstream() as backend:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url, "headers": actions}},
        }
        with running(document) as gate:
            assert gate.request("GET", "/", headers=headers).status_code == 200
        return backend.requests[0].all("X-A")


def fixed(value):
    return {"default": {"value": value}}


def test_a_header_has_the_value_that_was_written():
    assert build(Default, value="  v 1,\t\xfc ").value(None, None) == "v 1,\t\xfc"


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "a\x00", "a\x7f", "snow \N{SNOWMAN}"])
def test_a_value_that_no_header_can_have_is_refused_at_load(value):
    with pytest.raises(ConfigError, match=r"value: .*character"):
        build(Default, value=value)


@pytest.mark.row("AC-20")
def test_the_backend_gets_the_plain_value():
    assert sent([{"set": "X-A", "from": fixed("v")}]) == ["v"]


@pytest.mark.row("AC-19")
@pytest.mark.parametrize(
    ("action", "headers", "received"),
    [
        ("add", {"X-A": "1"}, ["1", "2"]),
        ("add", {}, ["2"]),
        ("set", {"X-A": "1"}, ["2"]),
        ("set", {"x-a": "1"}, ["2"]),
        ("set", {}, ["2"]),
    ],
)
def test_add_appends_a_line_and_set_replaces_them_all(action, headers, received):
    assert sent([{action: "X-A", "from": fixed("2")}], **headers) == received


@pytest.mark.parametrize("name", ["Connection", "transfer-encoding", "Upgrade"])
def test_an_action_on_a_hop_by_hop_header_is_refused_at_load(name):
    with pytest.raises(ConfigError, match=rf"connections\.crm\.headers\[0\].*(?i:{name})"):
        sent([{"set": name, "from": fixed("x")}])
