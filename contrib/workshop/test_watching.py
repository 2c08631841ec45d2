"""What the plugins that follow a file do not show of it: their own tests have how a change comes about."""

import asyncio
import shutil
import socket

import pytest

from hookgate.workshop import Follower


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "list.txt"
    path.parent.mkdir()
    path.write_text("first")
    return path


async def waiting_for(follower):
    waiting = asyncio.create_task(follower.changed())
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    return waiting


def test_of_a_file_that_is_too_long_one_byte_more_is_read(path):
    assert Follower(path, 5).read() == b"first"
    assert Follower(path, 3).read() == b"firs"


def test_what_cannot_be_opened_is_told_without_the_name_of_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as here:
        here.bind("socket")
        with pytest.raises(LookupError, match=r"^the file cannot be read: No such device or address$"):
            Follower(tmp_path / "socket", 100).read()
    with pytest.raises(LookupError, match=r"^the file cannot be read: embedded null byte$"):
        Follower(tmp_path / "a\0b", 100).read()


async def test_while_nothing_was_read_whatever_is_there_is_a_change(path):
    await asyncio.wait_for(Follower(path, 100).changed(), 60)


async def test_a_folder_that_goes_and_comes_back_is_followed(path):
    follower = Follower(path, 100)
    follower.read()
    shutil.rmtree(path.parent)
    waiting = await waiting_for(follower)
    path.parent.mkdir()
    path.write_text("second")

    await asyncio.wait_for(waiting, 60)
    assert follower.read() == b"second"


async def test_links_that_lead_in_a_circle_are_no_file_until_they_are_replaced(path):
    path.unlink()
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)
    follower = Follower(path, 100)
    with pytest.raises(LookupError, match="Too many levels of symbolic links"):
        follower.read()
    waiting = await waiting_for(follower)
    path.unlink()
    path.write_text("second")

    await asyncio.wait_for(waiting, 60)
