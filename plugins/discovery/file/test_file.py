import asyncio
import json
import os
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_discovery_file import File
from hookgate_discovery_file.listing import targets_of


def told(targets):
    return [(target.url, target.weight, target.active) for target in targets]


def listed(text, *, as_json=False):
    return told(targets_of(text.encode(), "targets", as_json=as_json))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "targets.yaml"
    path.write_text("- http://one:9000\n")
    return path


URLS = [
    "http://10.0.0.5:9000",
    {"url": "https://crm.internal", "weight": 3},
    {"url": "http://[::1]:81", "active": False},
]
TOLD = [("http://10.0.0.5:9000", 1, True), ("https://crm.internal", 3, True), ("http://[::1]:81", 1, False)]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_list_holds_urls_with_weight_and_active_where_these_matter(as_json):
    assert listed(json.dumps(URLS) if as_json else yaml.safe_dump(URLS), as_json=as_json) == TOLD


async def test_the_suffix_tells_how_it_is_read(tmp_path):
    (tmp_path / "targets.json").write_text('[\n\t"http:\\/\\/one:9000"\n]')
    (tmp_path / "targets").write_text("[http://two:9000]")

    assert told(await build(File, path=tmp_path / "targets.json").targets()) == [("http://one:9000", 1, True)]
    assert told(await build(File, path=tmp_path / "targets").targets()) == [("http://two:9000", 1, True)]


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTP://CRM.Internal/", "http://crm.internal"),
        ("http://crm:80", "http://crm"),
        ("https://crm:443", "https://crm"),
        ("http://my_app:1", "http://my_app:1"),
    ],
)
def test_urls_are_read_as_those_of_a_connection(url, same):
    assert listed(json.dumps([url]), as_json=True) == [(same, 1, True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- http://one\n- ftp://two\n", r"^targets:2: 'ftp://two' is no location: write http://host:port"),
        ("- http://one\n- http://two/path\n", r"^targets:2: .* is no location"),
        ("- http://one?a=b\n", r"^targets:1: .* is no location"),
        ("- http://one two\n", r"^targets:1: .* is no location"),
        ("- http://one:70000\n", r"^targets:1: .* needs a port between 1 and 65535"),
        ("- http://one:0\n", r"^targets:1: .* needs a port"),
        ("- http://[::g]\n", r"^targets:1: .* is no location"),
        ("- http://[1::2::3]\n", r"^targets:1: "),
        ("- http://one\n- http://two\n- http://ONE:80/\n", r"^targets:3: http://one is there twice"),
        ("- url: http://one\n  wieght: 2\n", r"^targets:1: wieght: Extra inputs are not permitted"),
        ("- url: http://one\n  weight: -1\n", r"^targets:1: weight: "),
        ("- url: http://one\n  weight: 1001\n", r"^targets:1: weight: "),
        ("- url: http://one\n  weight: '2'\n", r"^targets:1: weight: "),
        ("- url: http://one\n  active: 1\n", r"^targets:1: active: "),
        ("- weight: 2\n", r"^targets:1: url: Field required"),
        ("- 5\n", r"^targets:1: an entry is a URL, or a mapping with `url`$"),
        ("- [http://one]\n", r"^targets:1: an entry is a URL"),
        ("- 2001-01-01\n", r"^targets:1: an entry is a URL"),
        ("- url: http://one\n  url: http://two\n", r"^targets:2: the key 'url' is there twice$"),
        ("- &a http://one\n- *a\n", r"^targets:2: aliases are not read"),
        ("- {? [a] : b}\n", r"^targets:1: "),
        ("- !!python/object/apply:os.getcwd []\n", r"^targets:1: could not determine a constructor"),
        ("- http://one\n- [\n", r"^targets:3: "),
        ("[]\n", r"^targets: there is no target in the list$"),
        ("", r"^targets: write a list of targets"),
        ("targets: [http://one]\n", r"^targets: write a list of targets"),
        ("--- [http://one]\n--- [http://two]\n", r"^targets:2: "),
        ("\x00", r"^targets: "),
        ("[" * 100_000, r"^targets: this is nested too deeply|^targets:1: "),
    ],
)
def test_what_is_wrong_in_yaml_is_told_with_its_place(text, message):
    with pytest.raises(LookupError, match=message):
        listed(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["http://one",\n"ftp://two"]', r"^targets: entry 2: 'ftp://two' is no location"),
        ('["http://one",\n]', r"^targets:\d: "),
        ('{"targets": []}', r"^targets: write a list of targets"),
        ('[{"url": "http://one", "url": "http://two"}]', r"^targets: the key 'url' is there twice$"),
        ('["http://one"', r"^targets:1: "),
        ("[" * 100_000, r"^targets: this is nested too deeply"),
        ("[null]", r"^targets: entry 1: an entry is a URL"),
        ("[NaN]", r"^targets: entry 1: an entry is a URL"),
        ("[" + "9" * 5000 + "]", r"^targets: "),
    ],
)
def test_what_is_wrong_in_json_is_told_with_its_place(text, message):
    with pytest.raises(LookupError, match=message):
        listed(text, as_json=True)


def test_several_mistakes_are_told_at_once_but_not_all_of_a_thousand():
    with pytest.raises(LookupError) as refused:
        listed("- no\n" * 1000)

    assert "targets:1: " in str(refused.value)
    assert "targets:5: " in str(refused.value)
    assert str(refused.value).endswith("; and 995 more mistakes")


@pytest.mark.parametrize("entry", ["x" * 100_000, {"x" * 100_000: 1}, {"url": "http://a", "weight": "x" * 100_000}])
def test_messages_stay_short(entry):
    with pytest.raises(LookupError) as refused:
        listed(json.dumps([entry] * 100), as_json=True)

    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize("url", ["http://ann:pa55@one:9000", "http://ann:pa55@x@one"])
def test_users_and_passwords_are_refused_and_not_repeated(url):
    with pytest.raises(LookupError, match="without path, query and user") as refused:
        listed(json.dumps([url]), as_json=True)

    assert "pa55" not in str(refused.value)


def test_a_list_that_is_not_utf8_or_far_too_long_is_refused():
    with pytest.raises(LookupError, match=r"^targets: the file is not UTF-8$"):
        targets_of(b"- http://\xff", "targets", as_json=False)
    with pytest.raises(LookupError, match=r"has 10001 entries; at most 10000 are read"):
        listed(json.dumps([f"http://h{number}" for number in range(10_001)]), as_json=True)


ENTRIES = st.lists(
    st.sampled_from(["http://a", "http://b:1", {"url": "http://c", "weight": 0}, "no", 5, {}]), max_size=6
)


@settings(deadline=None)
@given(entries=ENTRIES, as_json=st.booleans(), cut=st.integers(0, 200))
def test_a_list_counts_as_a_whole_or_not_at_all(entries, as_json, cut):
    text = json.dumps(entries) if as_json else yaml.safe_dump(entries)
    good = not any(each in ({}, "no", 5) for each in entries)
    urls = [each["url"] if isinstance(each, dict) else each for each in entries] if good else []
    if good and entries and len(set(urls)) == len(urls):
        assert [url for url, _, _ in listed(text, as_json=as_json)] == urls
    else:
        with pytest.raises(LookupError):
            listed(text, as_json=as_json)
    if as_json and cut < len(text) - 1:  # written halfway
        with pytest.raises(LookupError):
            listed(text[:cut], as_json=True)


@settings(deadline=None)
@given(
    data=st.binary(max_size=200) | st.text("-[]{}:&*!<'\"\n\t ahtp/,?|>%@`#", max_size=60).map(str.encode),
    as_json=st.booleans(),
)
def test_anything_else_is_a_lookup_error(data, as_json):
    with suppress(LookupError):
        assert targets_of(data, "targets", as_json=as_json)


async def test_a_file_that_cannot_be_read_is_named(tmp_path, path):
    with pytest.raises(LookupError, match=r"gone\.yaml: there is no such file$"):
        await build(File, path=tmp_path / "gone.yaml").targets()
    with pytest.raises(LookupError, match=r": this is a folder; name the file in it$"):
        await build(File, path=tmp_path).targets()
    with pytest.raises(LookupError, match=r"targets\.yaml: the file is too long; at most 16 bytes are read$"):
        await build(File, path=path, max_size=16).targets()
    assert len(await build(File, path=path, max_size=path.stat().st_size).targets()) == 1


@pytest.mark.parametrize("options", [{}, {"path": "a", "max_size": 0}, {"path": "a", "max_size": 10**9}])
def test_wrong_options_are_refused_at_load(options):
    with pytest.raises(ConfigError, match="max_size" if options else "path"):
        build(File, **options)


def replaced(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    beside.replace(path)


def gone_for_a_moment(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


async def waiting_for(discovery):
    """A look, and then a task that waits for a change."""
    with suppress(LookupError):
        await discovery.targets()
    waiting = asyncio.create_task(discovery.changed())
    for _ in range(3):
        await asyncio.sleep(0)
    return waiting


@pytest.mark.parametrize("change", [Path.write_text, replaced, gone_for_a_moment])
async def test_a_change_is_noticed_however_it_is_written(path, change):
    discovery = build(File, path=path)
    waiting = await waiting_for(discovery)
    change(path, "- http://two:9000\n")

    await asyncio.wait_for(waiting, 60)
    assert told(await discovery.targets()) == [("http://two:9000", 1, True)]


async def test_a_change_between_reading_and_waiting_is_not_missed(path):
    discovery = build(File, path=path)
    await discovery.targets()
    path.write_text("- http://two:9000\n")

    await asyncio.wait_for(discovery.changed(), 60)


@pytest.mark.parametrize("before", ["nothing", "nonsense", "too long"])
async def test_what_could_not_be_read_is_read_when_it_is_another_one(path, before):
    discovery = build(File, path=path, max_size=100)
    if before == "nothing":
        path.unlink()
    else:
        path.write_text("- no" * (1 if before == "nonsense" else 100))
    waiting = await waiting_for(discovery)
    done, _ = await asyncio.wait({waiting}, timeout=1.2)
    assert not done, "it is told once"
    replaced(path, "- http://two:9000\n")

    await asyncio.wait_for(waiting, 60)
    assert told(await discovery.targets()) == [("http://two:9000", 1, True)]


async def test_a_file_that_came_after_a_look_that_found_none_is_read(path):
    discovery = build(File, path=path)
    path.unlink()
    with pytest.raises(LookupError):
        await discovery.targets()
    path.write_text("- http://two:9000\n")

    await asyncio.wait_for(discovery.changed(), 60)


async def test_a_link_that_turns_to_another_folder_is_a_change(tmp_path):
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "targets.yaml").write_text(f"- http://{version}:9000\n")
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "targets.yaml").symlink_to("..data/targets.yaml")
    discovery = build(File, path=tmp_path / "targets.yaml")
    waiting = await waiting_for(discovery)
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    await asyncio.wait_for(waiting, 60)
    assert told(await discovery.targets()) == [("http://v2:9000", 1, True)]


async def test_waiting_ends_at_once_when_it_is_cancelled(path):
    waiting = await waiting_for(build(File, path=path))
    await asyncio.wait({waiting}, timeout=0.3)
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=60)

    assert done
    assert waiting.cancelled()


def gateway(path, **connection):
    discovery = {"file": {"path": str(path)}}
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"discovery": discovery, **connection}},
    }


def until(condition):
    """Ask again and again, with a pause for the machine, until it holds."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise TimeoutError("it did not come to hold")


def names(gate):
    return [target.url for target in gate.gateway.connection("crm").targets]


@pytest.mark.row("AC-4")
def test_a_gateway_shows_and_calls_what_is_listed_with_weight_and_active(path):
    with upstream() as a, upstream() as b, upstream() as c:
        replaced(path, yaml.safe_dump([{"url": a.url, "weight": 3}, b.url, {"url": c.url, "active": False}]))
        with running(gateway(path, balancer="weighted-round-robin")) as gate:
            for _ in range(8):
                assert gate.request("GET", "/").status_code == 200
            shown = gate.gateway.status()["connections"]["crm"]

    assert [(each["url"], each["weight"], each["active"]) for each in shown] == [
        (a.url, 3, True),
        (b.url, 1, True),
        (c.url, 1, False),
    ]
    assert [len(each.requests) for each in (a, b, c)] == [6, 2, 0]


def test_a_gateway_follows_the_file_and_keeps_its_targets_while_it_is_broken(path):
    clock = MovableClock()
    with upstream() as a, upstream() as b:
        replaced(path, f"- {a.url}\n")
        with running(gateway(path), clock=clock) as gate:
            (kept,) = gate.gateway.connection("crm").targets
            replaced(path, f"- {a.url}\n- {b.url}\n")
            until(lambda: names(gate) == [a.url, b.url])
            assert gate.gateway.connection("crm").targets[0] is kept, "with its health and its counts"

            replaced(path, f"- {b.url}\n- http://two hosts\n")
            until(lambda: any(f"{path}:2: " in record.getMessage() for record in gate.log))
            assert names(gate) == [a.url, b.url]
            assert Counter(gate.request("GET", "/").status_code for _ in range(4)) == {200: 4}

            until(lambda: gate.run(slept(clock)))
            replaced(path, f"- {b.url}\n")
            gate.run(clock.advance(5))
            until(lambda: names(gate) == [b.url])


async def slept(clock):
    return bool(clock.wakes)


def test_a_gateway_starts_without_the_file_and_takes_it_when_it_comes(path):
    path.unlink()
    clock = MovableClock()
    with upstream() as a, running(gateway(path), clock=clock) as gate:
        assert gate.request("GET", "/").status_code == 503
        replaced(path, json.dumps([a.url]))
        until(lambda: names(gate) == [a.url])
        assert gate.request("GET", "/").status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_is_named(path):
    path.chmod(0)
    with pytest.raises(LookupError, match=r"the file cannot be read: .*Permission denied"):
        await build(File, path=path).targets()
