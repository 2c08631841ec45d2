"""Rows of flows that need no API: categories, steps of one's own, the order of the way in, reuse of connections."""

import json

import pytest
from typer.testing import CliRunner

from hookgate.commands import app
from hookgate.testing import running, upstream

CATEGORIES = {"traffic", "security", "mediation", "tracing", "transformation", "custom"}

STAMP = '''
from hookgate import Interceptor, Options, hookimpl


class StampOptions(Options):
    word: str


class Stamp(Interceptor[StampOptions]):
    """Leaves a word on the way in."""

    @hookimpl
    def on_request(self, exchange):
        exchange.request.headers.add("x-word", self.options.word)
'''


def palette(folder=None):
    environment = {"HOOKGATE_PLUGINS_DIR": str(folder)} if folder is not None else {}
    done = CliRunner().invoke(app, ["plugins", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    return {each["name"]: each for each in json.loads(done.output) if each["family"] == "interceptor"}


@pytest.mark.row("FL-7")
def test_every_step_that_ships_has_one_of_the_six_categories():
    found = {name: step["category"] for name, step in palette().items()}

    assert set(found.values()) <= CATEGORIES
    assert {found["rate-limit"], found["auth"], found["callout"], found["log"], found["headers"], found["script"]} == (
        CATEGORIES
    )


@pytest.mark.row("FL-3", "FL-8")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_home_made_step_stands_beside_ready_made_ones_and_runs_from_left_to_right(lane, tmp_path):
    (tmp_path / "stamp.py").write_text(STAMP)
    flow = [{"stamp": {"word": "a"}}, {"headers": {"request": {"add": {"X-Word": "b"}}}}, {"stamp": {"word": "c"}}]
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "flow": flow, "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document, plugins_dir=tmp_path) as gate:
            gate.request("GET", "/")

    assert backend.requests[0].all("x-word") == ["a", "b", "c"]
    assert palette(tmp_path)["stamp"]["category"] == "custom"


@pytest.mark.row("FL-14")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_connections_are_reused_unless_that_is_switched_off(lane):
    accepted = []
    for pool in ({}, {"keep_alive": 0}):
        with upstream() as backend:
            document = {
                "gateway": {"lane": lane},
                "routes": [{"name": "all", "to": {"connection": "crm"}}],
                "connections": {"crm": {"targets": backend.url, "pool": pool}},
            }
            with running(document) as gate:
                for _ in range(5):
                    assert gate.request("GET", "/").status_code == 200
            accepted.append(backend.connections)

    assert accepted == [1, 5]
