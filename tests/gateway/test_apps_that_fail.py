"""Apps that give no pages, or pages that fail: the app is named, and nothing else is harmed."""

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running

from .failingplugins import logged, until

APPS = """
import sys
from quart import Blueprint
from hookgate import App, Options, hookimpl


class AppOptions(Options):
    way: str = "good"
    name: str = "pages"


class Pages(App[AppOptions]):
    @hookimpl
    def blueprint(self, host):
        if self.options.way == "raise":
            raise KeyError("s3cret")
        if self.options.way == "exit":
            sys.exit(3)
        if self.options.way == "nothing":
            return None
        if self.options.way == "text":
            return "pages"
        pages = Blueprint(self.options.name, __name__)
        name = self.options.name

        @pages.get(f"/{name}/good")
        async def good():
            return "good"

        @pages.get(f"/{name}/bad")
        async def bad():
            raise KeyError("s3cret")

        @pages.get(f"/{name}/exit")
        async def exit_():
            sys.exit(3)

        @pages.get(f"/{name}/nonsense")
        async def nonsense():
            return object()

        return pages
"""


@pytest.fixture
def apps(tmp_path):
    (tmp_path / "apps.py").write_text(APPS)
    return tmp_path


@pytest.mark.parametrize("way", ["raise", "exit", "nothing", "text"])
@pytest.mark.parametrize("where", ["management", "exposed", "behind a flow"])
def test_an_app_that_gives_no_pages_is_refused_at_load_with_its_place(apps, way, where):
    def documented(way):
        app = {"pages": {"way": way}}
        if where == "management":
            return {"management": {"apps": ["health", app]}}
        return {"gateway": {"expose": {"/shown": app if where == "exposed" else {"app": app, "flow": []}}}}

    place = r"management\.apps" if where == "management" else r"gateway\.expose\./shown"
    with pytest.raises(ConfigError, match=place):
        running(documented(way), plugins_dir=apps).__enter__()
    with running(documented("good"), plugins_dir=apps) as gate:
        with pytest.raises(ConfigError, match=r"pages.* cannot be shown"):
            gate.reload(documented(way))
        assert gate.gateway.live.number == 1
        url = f"{gate.management}/-" if where == "management" else f"{gate.url}/shown"
        assert httpx.get(f"{url}/pages/good").text == "good"


def test_two_apps_of_one_name_are_refused_at_load_and_both_named(apps):
    described = {"management": {"apps": ["health", "pages", {"pages": {"way": "good"}}]}}
    with pytest.raises(ConfigError, match=r"management\.apps\[2\]: management/pages#2 .*'pages'.*management/pages are"):
        running(described, plugins_dir=apps).__enter__()


@pytest.mark.parametrize("where", ["management", "exposed"])
def test_a_page_that_fails_is_one_page_and_its_app_is_named(apps, where):
    several = ["health", {"pages": {"name": "one"}}, {"pages": {"name": "two"}}]
    exposed = {"/one": {"pages": {"name": "one"}}, "/two": {"pages": {"name": "two"}}}
    described = {"management": {"apps": several}} if where == "management" else {"gateway": {"expose": exposed}}
    with running(described, plugins_dir=apps) as gate:
        for name in ("one", "two"):
            base = f"{gate.management}/-" if where == "management" else f"{gate.url}/{name}"
            for page in ("bad", "exit", "nonsense"):
                answer = httpx.get(f"{base}/{name}/{page}")
                assert answer.status_code == 500
                assert "s3cret" not in answer.text
                until(lambda page=page, name=name: logged(gate, "pages", f"/{name}/{page}"))
            assert httpx.get(f"{base}/{name}/good").text == "good"
            assert gate.request("GET", "/none").status_code == 404


def test_a_fault_of_a_page_is_its_answer_without_a_flow_too(tmp_path):
    (tmp_path / "locked.py").write_text(
        """
from quart import Blueprint
from hookgate import App, Forbidden, Options, hookimpl

class Locked(App[Options]):
    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("locked", __name__)

        @pages.get("/page")
        async def page():
            raise Forbidden("Not for you.", reason="not-yours")

        return pages
"""
    )
    document = {
        "gateway": {"expose": {"/open": "locked"}},
        "management": {"apps": ["locked"]},
        "routes": [{"name": "one", "flow": ["respond"]}],
    }
    with running(document, plugins_dir=tmp_path) as gate:
        shown = [gate.request("GET", "/open/page"), httpx.get(gate.management + "/-/page")]

    assert [(answer.status_code, answer.json()["reason"]) for answer in shown] == [(403, "not-yours")] * 2
