import pytest

from hookgate import BadGateway, ConfigError, Exchange, Outbound, Request, Target
from hookgate.testing import build, running, upstream
from hookgate_header_env import ALLOW, Env

NAME = "HOOKGATE_TEST_VALUE"


class Host:
    """A house of which only the log is needed."""

    def __init__(self):
        self.lines = []
        self.log = self

    def warning(self, text, *arguments):
        self.lines.append(("warning", text % arguments))

    def error(self, text, *arguments):
        self.lines.append(("error", text % arguments))


@pytest.fixture(autouse=True)
def variable(monkeypatch):
    monkeypatch.delenv(ALLOW, raising=False)
    monkeypatch.delenv(NAME, raising=False)
    return lambda value: monkeypatch.setenv(NAME, value)


def attempt():
    return Exchange(Request("GET")), Outbound("GET", Target("http", "crm.example", 80), "/", connection="crm")


def started(host=None, **options):
    provider = build(Env, name=NAME, **options)
    provider.startup(host or Host())
    return provider


def test_the_value_is_what_the_variable_holds_at_the_moment(variable, monkeypatch):
    variable("1")
    provider = started()

    assert provider.value(*attempt()) == "1"
    variable("2")
    assert provider.value(*attempt()) == "2"
    variable("1")
    assert provider.value(*attempt()) == "1"
    monkeypatch.delenv(NAME)
    assert provider.value(*attempt()) is None


@pytest.mark.parametrize(("held", "value"), [("", ""), (" a b ", "a b"), ("zoë", "zoë"), ("a\tb", "a\tb")])
def test_every_value_that_a_header_can_hold_is_sent(variable, held, value):
    variable(held)

    assert started().value(*attempt()) == value
    assert started(required=True).value(*attempt()) == value


def test_a_variable_that_is_not_set_leaves_the_header_out_and_is_warned_about_once_for_each_name():
    host = Host()
    for provider in (started(host), started(host)):
        for _ in range(3):
            assert provider.value(*attempt()) is None
    other = build(Env, name=f"{NAME}_2")
    other.startup(host)

    assert [level for level, _ in host.lines] == ["warning", "warning"]
    assert f"environment variable {NAME} is not set, so its header is left out" in host.lines[0][1]
    assert f"{NAME}_2" in host.lines[1][1]


def test_another_gateway_warns_for_itself():
    first, second = Host(), Host()
    started(first)
    started(second)

    assert len(first.lines) == len(second.lines) == 1


def test_a_variable_that_vanishes_later_is_warned_about(variable, monkeypatch):
    variable("1")
    host = Host()
    provider = started(host)
    assert host.lines == []

    monkeypatch.delenv(NAME)
    provider.value(*attempt())

    assert [level for level, _ in host.lines] == ["warning"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x7f", "\x1b[2J", "€", "\udc80"])
def test_a_value_that_no_header_can_hold_counts_as_not_set_and_is_an_error_in_the_log(variable, value):
    variable(value)
    host = Host()
    provider = started(host)

    assert provider.value(*attempt()) is None
    assert provider.value(*attempt()) is None
    ((level, text),) = host.lines
    assert level == "error"
    assert NAME in text
    assert value not in text


@pytest.mark.parametrize("value", [None, "a\nb"])
def test_a_call_without_a_required_variable_ends_in_502_that_says_nothing_internal(variable, value):
    if value is not None:
        variable(value)
    with pytest.raises(BadGateway) as raised:
        started(required=True).value(*attempt())

    assert (raised.value.status, raised.value.reason) == (502, "config-error")
    assert NAME not in raised.value.detail
    assert "environment" not in raised.value.detail


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [(None, True), (NAME, True), ("A_*, HOOKGATE_TEST_*", True), ("A_*", False), ("", False), (NAME.lower(), False)],
)
def test_only_variables_that_the_process_allows_may_be_named(monkeypatch, allow, allowed):
    if allow is not None:
        monkeypatch.setenv(ALLOW, allow)
    if allowed:
        build(Env, name=NAME)
    else:
        with pytest.raises(ConfigError, match=f"name: .*{NAME} may not be read; {ALLOW}"):
            build(Env, name=NAME)


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "${HOME}", "Ä"])
def test_what_is_no_name_of_a_variable_is_refused(name):
    with pytest.raises(ConfigError, match="name: "):
        build(Env, name=name)


def document(backend, **options):
    headers = [{"set": "X-Stage", "from": {"env": {"name": NAME, **options}}}]
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": backend.url, "headers": headers}},
    }


@pytest.mark.row("AC-23")
def test_the_backend_gets_what_the_variable_holds(variable):
    variable("1")
    with upstream() as backend, running(document(backend)) as gate:
        assert gate.request("GET", "/").status_code == 200

    assert backend.requests[0].all("x-stage") == ["1"]


def test_without_the_variable_the_header_is_left_out_and_the_log_warns():
    with upstream() as backend, running(document(backend)) as gate:
        for _ in range(2):
            assert gate.request("GET", "/").status_code == 200
        warnings = [record.getMessage() for record in gate.log if record.levelname == "WARNING"]

    assert [request.all("x-stage") for request in backend.requests] == [[], []]
    assert len([text for text in warnings if NAME in text]) == 1


@pytest.mark.row("AC-23")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize("held", [None, "a\nb"], ids=["unset", "unsendable"])
def test_the_trace_of_each_call_warns_of_a_header_that_was_left_out(variable, lane, held):
    if held is not None:
        variable(held)
    with upstream() as backend:
        traced = {**document(backend), "gateway": {"lane": lane}, "trace": {"sample": 1}}
        with running(traced) as gate:
            statuses = [gate.request("GET", "/").status_code for _ in range(2)]
            traces = [exchange.trace.as_dict() for exchange in gate.wait_for_exchanges(2)]

    assert statuses == [200, 200]
    assert [request.all("x-stage") for request in backend.requests] == [[], []]
    why = "is not set" if held is None else "cannot be sent in a header"
    told = f"warning: connection crm: environment variable {NAME} {why}, so its header is left out"
    assert [[note["text"] for note in trace["notes"]] for trace in traces] == [[told], [told]]


def test_without_a_required_variable_calls_end_in_502_and_the_backend_hears_nothing():
    with upstream() as backend, running(document(backend, required=True)) as gate:
        answer = gate.request("GET", "/")

    assert (answer.status_code, answer.json()["reason"]) == (502, "config-error")
    assert NAME not in answer.text
    assert backend.requests == []


def test_a_document_that_names_a_variable_outside_the_list_of_the_process_is_refused(monkeypatch):
    monkeypatch.setenv(ALLOW, "CRM_*")
    with upstream() as backend, pytest.raises(ConfigError, match=f"env.name: .*{NAME} may not be read"):
        with running(document(backend)):
            pass
