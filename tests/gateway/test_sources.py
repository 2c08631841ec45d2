"""Sources of documents: one beside the first, those that fail, and those that give another document instead."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata

import pytest

from hookgate import ConfigError, Options, Source, hookimpl
from hookgate.document import Catalogue
from hookgate.gateway import Gateway

from .servingprocess import serving

SOURCE = """
import json
from hookgate import Options, Source, hookimpl


class WrittenOptions(Options):
    text: str


class Written(Source[WrittenOptions]):
    @hookimpl
    def read(self):
        return json.loads(self.options.text)
"""


ONE = {"name": "one", "flow": [{"respond": {}}]}


@pytest.fixture
def plugins(tmp_path):
    """The folder that plugins of a test lie in, and its documents."""
    return tmp_path


def hookgate(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "hookgate", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout + done.stderr


def test_a_second_source_stands_beside_the_first_and_is_chosen_by_name(plugins):
    (plugins / "written.py").write_text(SOURCE)
    (plugins / "file.json").write_text(json.dumps({"routes": [ONE, {**ONE, "name": "b", "match": {"path": "/b"}}]}))
    site = {"HOOKGATE_PLUGINS_DIR": str(plugins)}
    options = json.dumps({"text": json.dumps({"routes": [ONE]})})
    chosen = {**site, "HOOKGATE_SOURCE": "written", "HOOKGATE_SOURCE_OPTIONS": options}

    assert hookgate("check", str(plugins / "file.json"), **site) == (
        0,
        f"{plugins / 'file.json'}: good: 2 routes, 0 connections\n",
    )
    assert hookgate("check", **chosen) == (0, "written: good: 1 route, 0 connections\n")
    code, said = hookgate("check", str(plugins / "file.json"), HOOKGATE_SOURCE="file")
    assert code == 0, said
    code, said = hookgate("check", str(plugins / "file.json"), **chosen)
    assert (code, "the source 'written' reads no file" in said) == (2, True)
    code, said = hookgate("check", **{**chosen, "HOOKGATE_SOURCE_OPTIONS": "{}"})
    assert (code, "source.written.text: is required" in said) == (2, True)
    code, said = hookgate("check", **{**chosen, "HOOKGATE_SOURCE_OPTIONS": "text"})
    assert (code, "HOOKGATE_SOURCE_OPTIONS: is no JSON" in said) == (2, True)
    code, said = hookgate("check", HOOKGATE_SOURCE="wrote")
    assert (code, "no source is installed under the name 'wrote'" in said) == (2, True)
    code, said = hookgate("check")
    assert (code, "HOOKGATE_CONFIG" in said) == (2, True)


def test_a_gateway_serves_what_another_source_reads(plugins):
    (plugins / "written.py").write_text(SOURCE)
    listen = {"listen": ["127.0.0.1:0"]}
    options = json.dumps({"text": json.dumps({"gateway": listen, "management": listen})})
    described = {"gateway": {}}
    process, said = serving(plugins, described, "--", HOOKGATE_SOURCE="written", HOOKGATE_SOURCE_OPTIONS=options)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_two_claims_to_be_the_default_source_are_refused_and_both_named(plugins, tmp_path):
    folder = tmp_path / "other" / "stranger_source-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-source\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[hookgate.sources]\nwritten = written:Written\n\n[hookgate.defaults]\nsource = written:Written\n"
    )
    (folder.parent / "written.py").write_text(SOURCE)
    path = {"PYTHONPATH": str(folder.parent)}
    (plugins / "file.json").write_text(json.dumps({"routes": [ONE]}))
    ours = metadata.distribution("hookgate-source-file").name

    code, said = hookgate("check", str(plugins / "file.json"), **path)
    assert code == 2
    assert "stranger-source" in said
    assert ours in said
    assert "set HOOKGATE_SOURCE to the name of one" in said
    code, said = hookgate("check", str(plugins / "file.json"), HOOKGATE_SOURCE="file", **path)
    assert code == 0, said
    options = json.dumps({"text": json.dumps({"routes": [ONE]})})
    code, said = hookgate("check", HOOKGATE_SOURCE="written", HOOKGATE_SOURCE_OPTIONS=options, **path)
    assert code == 0, said


class Failing(Source[Options]):
    """Does as it is told."""

    def __init__(self):
        super().__init__(Options())
        self.read_gives = {"gateway": {"listen": ["127.0.0.1:0"]}, "management": {"listen": ["127.0.0.1:0"]}}
        self.changed_does = "hang"
        self.asked = []

    @hookimpl
    async def read(self):
        if isinstance(self.read_gives, type):
            raise self.read_gives("broken")
        return self.read_gives

    @hookimpl
    async def changed(self):
        self.asked.append(time.monotonic())
        if self.changed_does == "hang":
            import asyncio

            await asyncio.Event().wait()
        if self.changed_does != "at once":
            raise self.changed_does("s3cret")


@pytest.mark.parametrize("given", [None, 7, "text", [], KeyError, SystemExit])
async def test_a_source_that_reads_nonsense_or_fails_is_named_and_the_gateway_keeps_serving(given, caplog):
    source = Failing()
    gateway = Gateway(source, Catalogue())
    await gateway.open(watch=False)
    source.read_gives = given
    with pytest.raises(ConfigError, match="the source Failing"):
        await gateway.reload()
    assert gateway.live.number == 1
    assert any("the source Failing" in each for each in gateway.status()["problems"])
    source.read_gives = {}
    assert await gateway.reload() == 2
    assert gateway.status()["status"] == "ok"
    await gateway.close()


@pytest.mark.parametrize("does", [KeyError, SystemExit, "at once"])
async def test_a_source_that_is_never_done_changing_is_asked_less_often_named_and_shown(does, monkeypatch, caplog):
    import asyncio

    slept = []
    wait = asyncio.sleep

    async def sleep(seconds, *more):
        if seconds >= 0.5:
            slept.append(seconds)
            seconds = 0
            if len(slept) >= 9:
                source.changed_does = "hang"
        await wait(seconds, *more)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    source = Failing()
    source.changed_does = does
    gateway = Gateway(source, Catalogue())
    await gateway.open()
    while len(slept) < 8:
        await wait(0.001)
        if slept:
            assert any("the source Failing" in each for each in gateway.status()["problems"])
    assert slept[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert sum("the source Failing" in record.getMessage() for record in caplog.records) == 1
    assert "s3cret" not in str(gateway.status())
    await gateway.close()


class Mending(Failing):
    """Gives another document in the place of one that was refused."""

    def __init__(self, *instead):
        super().__init__()
        self.good, self.instead_gives, self.told = self.read_gives, list(instead), []

    @hookimpl
    def instead(self, error):
        self.told.append(str(error))
        given = self.instead_gives.pop(0) if len(self.instead_gives) > 1 else self.instead_gives[0]
        if isinstance(given, type):
            raise given("broken")
        return given


BAD = {"nonsense": {}}


async def test_a_source_gives_another_document_in_the_place_of_one_that_is_refused_and_is_asked_again_for_it():
    source = Mending({"routes": 7}, None)
    source.instead_gives[1:] = [source.good, None]
    source.read_gives = BAD
    gateway = Gateway(source, Catalogue())
    await gateway.open(watch=False)
    assert (gateway.live.number, gateway.status()["status"]) == (1, "ok")
    assert ["nonsense" in source.told[0], "routes" in source.told[1], len(source.told)] == [True, True, 2]
    with pytest.raises(ConfigError, match="nonsense"):
        await gateway.reload()
    assert gateway.live.number == 1
    await gateway.close()
    source = Mending(source.good)
    source.read_gives = BAD
    assert (await Gateway(source, Catalogue()).check()).routes == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "nonsense"),
        (BAD, "nonsense"),
        (7, "the source Mending failed in instead: it gave a int where a mapping should be"),
        (KeyError, "the source Mending failed in instead: KeyError"),
        (SystemExit, "the source Mending failed in instead"),
    ],
)
async def test_a_source_that_has_nothing_good_in_the_place_of_a_bad_document_changes_nothing(given, said):
    source = Mending(given)
    gateway = Gateway(source, Catalogue())
    await gateway.open(watch=False)
    source.read_gives = BAD
    with pytest.raises(ConfigError, match=said):
        await gateway.reload()
    assert (gateway.live.number, len(source.told) < 100) == (1, True)
    source.read_gives = source.good
    assert await gateway.reload() == 2
    await gateway.close()


async def test_a_generation_that_serves_no_more_is_let_go_of_without_the_collector():
    import asyncio
    import gc
    import weakref

    source = Failing()
    source.read_gives = {
        **source.read_gives,
        "routes": [
            {"name": "one", "match": {"path": "/a/{b}"}, "flow": ["request-id"], "to": {"connection": "c"}},
            {"name": "two", "match": {"path": "/c"}, "flow": [{"respond": {"body": "x"}}]},
        ],
        "connections": {"c": {"targets": "http://127.0.0.1:9"}},
    }
    gateway = Gateway(source, Catalogue())
    await gateway.open(watch=False)
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(gateway.live)
        source.read_gives = {**source.read_gives, "routes": source.read_gives["routes"][:1]}
        await gateway.reload()
        for _ in range(500):
            if gone() is None:
                break
            await asyncio.sleep(0.01)
        assert gone() is None
    finally:
        gc.enable()
    await gateway.close()
