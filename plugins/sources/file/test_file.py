import asyncio
import os
from pathlib import Path

import pytest

from hookgate import ConfigError
from hookgate_source_file import File, FileOptions

FIRST = "routes: [{name: first}]\n"
SECOND = "routes: [{name: second}]\n"


def source(path: Path) -> File:
    return File(FileOptions(path=path))


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(FIRST)
    return path


def name_of(document):
    return document["routes"][0]["name"]


async def test_a_file_is_read_by_its_suffix(document, tmp_path):
    (tmp_path / "gateway.json").write_text('{"routes": [{"name": "json"}]}')
    (tmp_path / "gateway.toml").write_text('[[routes]]\nname = "toml"\n')

    assert name_of(await source(document).read()) == "first"
    assert name_of(await source(tmp_path / "gateway.json").read()) == "json"
    assert name_of(await source(tmp_path / "gateway.toml").read()) == "toml"


async def test_what_is_not_well_formed_is_told_with_its_place(document):
    document.write_text("routes: [\n")

    with pytest.raises(ConfigError, match=rf"^{document}:2:1: "):
        await source(document).read()


async def test_a_missing_file_is_named(document):
    document.unlink()

    with pytest.raises(ConfigError, match=rf"^{document}: there is no such file$"):
        await source(document).read()


async def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r": this is a folder; name the file in it$"):
        await source(tmp_path).read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_is_named(document):
    document.chmod(0)

    with pytest.raises(ConfigError, match=rf"^{document}: the file cannot be read: Permission denied$"):
        await source(document).read()


async def test_a_file_that_is_too_large_is_not_read(document):
    with document.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)

    with pytest.raises(ConfigError, match="at most 67,108,864 are read"):
        await source(document).read()


def replaced(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    beside.replace(path)


def gone_for_a_moment(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("change", [Path.write_text, replaced, gone_for_a_moment])
async def test_a_change_is_noticed_however_it_is_written(document, change):
    file = source(document)
    await file.read()
    changed = asyncio.create_task(file.changed())
    for _ in range(3):  # the watch is set up, in whatever step it is
        await asyncio.sleep(0)

    change(document, SECOND)

    await asyncio.wait_for(changed, 60)
    assert name_of(await file.read()) == "second"


async def test_a_change_between_reading_and_waiting_is_not_missed(document):
    file = source(document)
    await file.read()
    document.write_text(SECOND)

    await asyncio.wait_for(file.changed(), 60)


async def test_each_change_is_noticed(document):
    file = source(document)
    for text in (SECOND, FIRST, SECOND):
        await file.read()
        waiting = asyncio.create_task(file.changed())
        document.write_text(text)
        await asyncio.wait_for(waiting, 60)


async def test_the_same_content_and_other_files_are_no_change(document):
    file = source(document)
    await file.read()
    waiting = asyncio.create_task(file.changed())

    document.write_text(FIRST)
    replaced(document, FIRST)
    document.with_name("gateway.yaml.swp").write_text(SECOND)
    done, _ = await asyncio.wait({waiting}, timeout=1.5)
    assert not done

    document.write_text(SECOND)
    await asyncio.wait_for(waiting, 60)


async def test_a_file_that_is_gone_is_no_change_until_it_is_back(document):
    file = source(document)
    await file.read()
    waiting = asyncio.create_task(file.changed())

    document.unlink()
    done, _ = await asyncio.wait({waiting}, timeout=1.5)
    assert not done

    document.write_text(SECOND)
    await asyncio.wait_for(waiting, 60)


async def test_a_link_that_turns_to_another_folder_is_a_change(tmp_path):
    """Kubernetes mounts a ConfigMap as ``gateway.yaml -> ..data/gateway.yaml`` and turns ``..data``."""
    for version, text in (("v1", FIRST), ("v2", SECOND)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "gateway.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    file = source(tmp_path / "gateway.yaml")
    assert name_of(await file.read()) == "first"
    waiting = asyncio.create_task(file.changed())

    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    await asyncio.wait_for(waiting, 60)
    assert name_of(await file.read()) == "second"


async def test_waiting_ends_at_once_when_it_is_cancelled(document):
    file = source(document)
    await file.read()
    waiting = asyncio.create_task(file.changed())
    await asyncio.wait({waiting}, timeout=0.3)

    waiting.cancel()

    done, _ = await asyncio.wait({waiting}, timeout=60)
    assert done
    assert waiting.cancelled()
