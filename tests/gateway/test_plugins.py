"""Plugins from outside: of a site, of another family, blocking, broken."""

import pytest

from hookgate.testing import running


@pytest.fixture
def site(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text("from hookgate import *\nfrom hookgate import hookimpl\n" + text)
        return tmp_path

    return write


def routed(*flow, **more):
    return {"routes": [{"name": "one", "flow": [*flow, {"respond": {"body": "hello"}}]}], **more}


def test_a_file_in_the_folder_of_the_site_is_a_plugin(site):
    folder = site(
        hello="""
class HelloOptions(Options):
    name: str

class Hello(Interceptor[HelloOptions]):
    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-hello", self.options.name)
""",
    )
    with running(routed({"hello": {"name": "world"}}), plugins_dir=folder) as gate:
        assert gate.request("GET", "/").headers["x-hello"] == "world"


def test_a_plugin_that_raises_gives_a_clean_500_and_the_gateway_lives(site):
    folder = site(
        touchy="""
class Touchy(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        if exchange.request.path == "/bad":
            raise KeyError("a secret detail")
""",
    )
    with running(routed("touchy"), plugins_dir=folder) as gate:
        bad, good = gate.request("GET", "/bad"), gate.request("GET", "/good")
        (record,) = [r for r in gate.log if "failed in on_request" in r.getMessage()]

    assert (bad.status_code, bad.json()["reason"]) == (500, "plugin-error")
    assert "secret" not in bad.text
    assert good.text == "hello"
    assert "touchy" in record.getMessage()


def test_a_hook_that_blocks_everybody_is_named(site):
    folder = site(
        sleepy="""
import time

class Sleepy(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        time.sleep(2)
""",
    )
    with running(routed("sleepy"), plugins_dir=folder) as gate:
        assert gate.request("GET", "/").status_code == 200
        said = [record.getMessage() for record in gate.log if record.name == "hookgate.watchdog"]

    assert "sleepy has blocked every call" in said[0]
    assert "on_request" in said[0]


def test_an_observer_sees_each_call_once_and_its_errors_harm_nobody(site):
    folder = site(
        counting="""
SEEN = []

class Counting(Observer[Options]):
    @hookimpl
    def exchange_started(self, exchange):
        SEEN.append("started")

    @hookimpl
    def exchange_finished(self, exchange):
        SEEN.append(exchange.response.status)
        raise RuntimeError("observers may fail")
""",
    )
    with running(routed(gateway={"observers": ["counting"]}), plugins_dir=folder) as gate:
        import sys

        seen = sys.modules[type(gate.gateway.live.config.observers[0]).__module__].SEEN
        assert gate.request("GET", "/").status_code == 200
        gate.wait_for_exchanges(1)
        assert seen == ["started", 200]


def test_steps_on_one_side_only_and_shared_instances():
    limit = {"rate-limit": {"limit": 2, "window": 3600}}
    document = {
        "plugins": {"shared": limit},
        "routes": [
            {"name": "a", "match": {"path": "/a"}, "request": ["shared"], "flow": [], "response": []},
            {"name": "b", "match": {"path": "/b"}, "flow": ["shared", "respond"]},
        ],
    }
    document["routes"][0]["request"].append("respond")
    with running(document) as gate:
        statuses = [gate.request("GET", path).status_code for path in ("/a", "/b", "/a", "/b")]

    assert statuses == [200, 200, 429, 429]
