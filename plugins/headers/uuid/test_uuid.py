import json
import os
import subprocess
import sys
from types import SimpleNamespace
from uuid import RFC_4122, UUID

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_header_uuid import Uuid


@pytest.mark.parametrize("version", [4, 7])
def test_every_attempt_gets_a_uuid_of_the_version_that_was_asked_for(version):
    provider = build(Uuid, version=version)
    values = [provider.value(None, None) for _ in range(1000)]
    parsed = [UUID(value) for value in values]

    assert len(set(values)) == 1000
    assert {(uuid.version, uuid.variant) for uuid in parsed} == {(version, RFC_4122)}
    assert [str(uuid) for uuid in parsed] == values


def test_it_is_version_4_unless_told_otherwise():
    assert UUID(build(Uuid).value(None, None)).version == 4


async def test_version_7_begins_with_the_milliseconds_of_the_clock():
    clock = MovableClock(wall=1_645_557_742.0)
    provider = build(Uuid, version=7)
    provider.startup(SimpleNamespace(clock=clock))

    assert provider.value(None, None).startswith("017f22e2-79b0-7")  # the example of RFC 9562, A.6
    await clock.advance(0.5)
    assert UUID(provider.value(None, None)).int >> 80 == 1_645_557_742_500
    await clock.advance(0.00025)
    assert UUID(provider.value(None, None)).int >> 64 & 0xFFF == 1024  # a quarter of a millisecond


def test_version_7_sorts_by_age_even_if_the_clock_is_set_back():
    walls = iter([1000.0, 1000.0, 999.0, 500.0, 1000.001])
    provider = build(Uuid, version=7)
    provider.startup(SimpleNamespace(clock=SimpleNamespace(wall=lambda: next(walls))))
    values = [provider.value(None, None) for _ in range(5)]

    assert values == sorted(values)


def test_version_7_is_random_behind_the_time():
    clock = SimpleNamespace(wall=lambda: 1000.0)
    tails = set()
    for _ in range(100):
        provider = build(Uuid, version=7)
        provider.startup(SimpleNamespace(clock=clock))
        tails.add(provider.value(None, None)[-16:])

    assert len(tails) == 100


@pytest.mark.parametrize("version", [1, 5, "four"])
def test_other_versions_are_refused_at_load(version):
    with pytest.raises(ConfigError, match="version: "):
        build(Uuid, version=version)


def document(backend, provider):
    headers = [{"set": "X-Call", "from": provider}]
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": backend.url, "headers": headers}},
    }


@pytest.mark.parametrize(("provider", "version"), [("uuid", 4), ({"uuid": {"version": 7}}, 7)])
def test_a_header_value_comes_from_a_plugin_that_is_named_as_any_other(provider, version):
    with upstream() as backend, running(document(backend, provider)) as gate:
        for _ in range(5):
            gate.request("GET", "/", headers={"X-Call": "of the client"})

    values = [value for request in backend.requests for value in request.all("x-call")]
    assert len(values) == len(set(values)) == 5
    assert {UUID(value).version for value in values} == {version}


def test_wrong_options_of_a_header_value_are_refused_with_their_place():
    with upstream() as backend, pytest.raises(ConfigError, match=r"connections\.crm\.headers.*uuid\.version"):
        with running(document(backend, {"uuid": {"version": 3}})):
            pass


STRANGERS = '''
from uuid import uuid5, NAMESPACE_URL

from hookgate import HeaderProvider, Options, hookimpl


class NamedUuidOptions(Options):
    of: str


class NamedUuid(HeaderProvider[NamedUuidOptions]):
    """The UUID of a name."""

    @hookimpl
    def value(self, exchange, outbound):
        return str(uuid5(NAMESPACE_URL, self.options.of))
'''


def schema(**environment):
    command = [sys.executable, "-m", "hookgate", "schema"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


@pytest.mark.row("AC-25")
def test_a_provider_of_somebody_else_works_and_the_schema_of_the_form_offers_it(tmp_path):
    (tmp_path / "strangers.py").write_text(STRANGERS)
    done, without = schema(HOOKGATE_PLUGINS_DIR=str(tmp_path)), schema()
    with upstream() as backend:
        provider = {"named-uuid": {"of": "https://a.example/"}}
        with running(document(backend, provider), plugins_dir=tmp_path) as gate:
            gate.request("GET", "/")

    (value,) = backend.requests[0].all("x-call")
    assert UUID(value).version == 5
    assert (done.returncode, without.returncode) == (0, 0)
    assert ('"named-uuid"' in done.stdout, '"named-uuid"' in without.stdout) == (True, False)
    assert "NamedUuidOptions" in json.dumps(json.loads(done.stdout))
