"""``${provider:reference}``: resolved before validation, and never shown."""

import asyncio
from pathlib import Path

import pytest

from hookgate.document import references
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load

PLUGINS = Path(__file__).parent / "plugins_for_loading"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(PLUGINS)


@pytest.fixture
def step(catalogue):
    """Load a document with one step and return the options of that step."""

    def run(options, **secrets):
        document = {"routes": [{"name": "one", "flow": [{"step": options}]}], "secrets": secrets}
        return asyncio.run(load(document, catalogue)).routes[0].steps.flow[0].options

    return run


@pytest.fixture
def refusal(step):
    def run(options, **secrets):
        with pytest.raises(ConfigError) as caught:
            step(options, **secrets)
        return [str(problem).removeprefix("document: ") for problem in caught.value.problems]

    return run


def test_a_reference_stands_for_a_whole_value_and_for_a_part_of_one(step, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")
    monkeypatch.setenv("PORT", "42")

    assert step({"key": "${env:CRM_KEY}"}).key.reveal() == "s3cret"
    assert step({"name": "Bearer ${env:CRM_KEY}/${env:PORT}!"}).name == "Bearer s3cret/42!"


def test_numbers_come_out_of_text(step, monkeypatch):
    monkeypatch.setenv("PORT", "42")

    assert step({"number": "${env:PORT}"}).number == 42


def test_a_provider_without_options_is_there_when_it_is_installed(step, tmp_path):
    (tmp_path / "key").write_text("from a file\n")

    assert step({"name": f"${{file:{tmp_path / 'key'}}}"}).name == "from a file"


def test_a_provider_takes_options_from_the_section(step, refusal, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")

    assert step({"name": "${safe:crm}"}, safe={"values": {"crm": "x"}}).name == "x"
    assert refusal({"name": "${env:CRM_KEY}"}, env={"allow": ["PORT"]}) == [
        "routes[0].flow[0].step.name: environment variable CRM_KEY may not be read; secrets.env.allow does not name it",
    ]


def test_two_dollars_write_one(step):
    assert step({"name": "$${env:X} costs $5 {and} more"}).name == "${env:X} costs $5 {and} more"


def test_what_comes_out_is_not_looked_through_again(step):
    assert step({"name": "${safe:a}"}, safe={"values": {"a": "$${env:X}"}}).name == "${env:X}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${CRM_KEY}", "'${CRM_KEY}' is no reference: write ${env:CRM_KEY}, or $${ for a plain ${"),
        ("${env:}", "'${env:}' is no reference: write ${env:NAME}, or $${ for a plain ${"),
        ("${}", "'${}' is no reference: write ${env:NAME}, or $${ for a plain ${"),
        ("${env:CRM", "a reference has no '}': write ${env:NAME}, or $${ for a plain ${"),
        ("${env:NOT_SET_AT_ALL}", "environment variable NOT_SET_AT_ALL is not set"),
        ("${seaf:x}", "no secret is installed under the name 'seaf'; did you mean 'safe'?"),
        ("${safe:nothing}", "the safe holds no nothing"),
        ("${safe:crash}", "the secret provider 'safe' failed with RuntimeError"),
        ("${safe:plain}", "the secret provider 'safe' returned something that is no secret"),
    ],
)
def test_what_cannot_be_resolved_is_one_problem_at_its_place(refusal, text, message):
    assert refusal({"number": text}) == [f"routes[0].flow[0].step.number: {message}"]


def test_a_reference_that_fails_in_many_places_is_told_once(refusal):
    assert refusal({"name": "${safe:nothing}", "key": "${safe:nothing}"}) == [
        "routes[0].flow[0].step.name: the safe holds no nothing",
    ]


def test_a_wrong_value_is_told_without_showing_it(refusal, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")
    document = {"number": "${env:CRM_KEY}", "by": "no ${env:CRM_KEY} expression"}
    found = refusal(document)

    assert len(found) == 2
    assert "s3cret" not in "".join(found)


def test_a_value_is_hidden_wherever_a_message_would_show_it(catalogue, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret\tvalue")
    document = {"connections": {"crm": {"targets": "${env:CRM_KEY}"}}, "routes": [{"name": "${env:CRM_KEY}/"}]}
    with pytest.raises(ConfigError) as caught:
        asyncio.run(load(document, catalogue))

    assert "s3cret" not in str(caught.value)
    assert "'********' is no location" in str(caught.value)


def test_a_configuration_keeps_no_value_that_it_does_not_need(catalogue, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret value")
    document = {"routes": [{"name": "one", "flow": [{"step": {"key": "${env:CRM_KEY}"}}]}]}
    config = asyncio.run(load(document, catalogue))

    assert "s3cret" not in f"{config.routes} {config.instances}"
    assert document["routes"][0]["flow"] == [{"step": {"key": "${env:CRM_KEY}"}}]


def test_references_are_resolved_all_at_once_and_each_once(catalogue, monkeypatch):
    monkeypatch.setattr(references, "TIME_LIMIT", 0.2)
    safe = catalogue.get("secret", "safe")
    safe.asked.clear()
    flow = [{"step": {"name": "${safe:slow}"}}, {"step": {"name": "${safe:slow}", "key": "a ${safe:x} ${safe:x}"}}]
    document = {"routes": [{"name": "one", "flow": flow}], "secrets": {"safe": {"values": {"x": "1"}}}}
    with pytest.raises(
        ConfigError, match=r"flow\[0\].step.name: the secret provider 'safe' did not answer within 0.2 s"
    ):
        asyncio.run(load(document, catalogue))

    assert sorted(safe.asked) == ["slow", "x"]


def test_options_of_a_provider_may_be_references_to_another(step, refusal, monkeypatch):
    monkeypatch.setenv("VAULT_TOKEN", "t0ken")

    assert step({"name": "${safe:token}"}, safe={"token": "${env:VAULT_TOKEN}"}).name == "t0ken"
    assert refusal({}, safe={"token": "${safe:x}"}) == [
        "secrets.safe.token: the options of 'safe' hold references themselves, so it cannot be used here",
    ]
    assert refusal({"name": "${env:NOT_SET_AT_ALL}"}, safe={"token": "${env:NOT_SET_AT_ALL}"}) == [
        "secrets.safe.token: environment variable NOT_SET_AT_ALL is not set",
    ]


def test_mistakes_in_the_section_are_told_where_they_are_and_only_there(refusal):
    assert refusal({"name": "${safe:x}"}, safe={"valeus": {}}) == [
        "secrets.safe.valeus: there is no option 'valeus'; did you mean 'values'?",
    ]
    assert refusal({}, seaf={}) == ["secrets.seaf: no secret is installed under the name 'seaf'; did you mean 'safe'?"]


def test_every_part_of_a_document_may_hold_references(catalogue, monkeypatch):
    monkeypatch.setenv("WHERE", "backend.internal")
    text = """
gateway: {listen: ["127.0.0.1:${env:HOOKGATE_TEST_PORT:-8123}"]}
plugins: {shared: {step: {name: "${env:WHERE}"}}}
connections: {crm: {targets: ["http://${env:WHERE}:9000"]}}
routes: [{name: one, flow: [shared], to: {connection: crm}}]
"""
    config = asyncio.run(load(parse(text.encode(), "x.yaml"), catalogue))

    assert config.gateway.listen == ("127.0.0.1:8123",)
    assert config.connections["crm"].targets[0].host == "backend.internal"
    assert config.routes[0].steps.flow[0].options.name == "backend.internal"
