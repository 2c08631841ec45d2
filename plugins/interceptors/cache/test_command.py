"""``hookgate cache`` before a running gateway."""

import json

import pytest
from typer.testing import CliRunner

from hookgate.testing import running, upstream
from hookgate_interceptor_cache.command import app

FRESH = {"cache-control": "max-age=60", "cache-tag": "shoes"}


@pytest.fixture(scope="module")
def gate():
    with upstream(lambda _: (200, FRESH, "ok")) as backend:
        document = {
            "management": {"apps": ["health", "cache"]},
            "routes": [{"name": "shop", "flow": [{"cache": {"tags": "Cache-Tag"}}], "to": {"connection": "shop"}}],
            "connections": {"shop": {"targets": backend.url}},
        }
        with running(document) as gate:
            yield gate


def typed(gate, *words):
    return CliRunner().invoke(app, [*words, "--management", gate.management])


def test_what_is_kept_is_listed_and_taken_out(gate):
    for path in ("/a", "/b"):
        gate.request("GET", path)

    (shown,) = json.loads(typed(gate, "list", "--json").output)["caches"]
    assert (shown["step"], shown["entries"]) == ("routes.shop/cache", 2)
    assert "routes.shop/cache" in typed(gate, "list").output
    assert typed(gate, "purge", "--url", f"{gate.url}/a").output == "1 taken out\n"
    assert json.loads(typed(gate, "purge", "--tag", "shoes", "--json").output) == {"purged": 1}
    assert typed(gate, "purge", "--all", "--step", "routes.shop/cache").output == "0 taken out\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["purge"], 2, "one of --tag"),
        (["purge", "--all", "--tag", "x"], 2, "one of --tag"),
        (["purge", "--all", "--step", "nowhere"], 1, "no step cache"),
    ],
)
def test_a_mistake_is_told(gate, words, code, told):
    answer = typed(gate, *words)

    assert answer.exit_code == code
    assert told in " ".join(answer.output.replace("│", " ").split())


def test_a_gateway_without_the_app_is_told_apart():
    with running({"routes": [{"name": "a", "flow": [{"respond": {}}]}]}) as gate:
        answer = typed(gate, "list")
    assert answer.exit_code != 0
    assert "management: {apps: [health, cache]}" in f"{answer.output}{answer.exception}"
