import asyncio
import os

import pytest

from hookgate.testing import build
from hookgate_secret_file import File


def resolve(reference, **options):
    return build(File, **options).resolve(str(reference)).reveal()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secrets" / "crm"
    path.parent.mkdir()
    path.write_text("s3cret\n")
    return path


@pytest.mark.parametrize(
    ("written", "value"),
    [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("a\n\n", "a\n"), ("", ""), ("ß", "ß")],
)
def test_one_line_break_at_the_end_does_not_count(secret, written, value):
    secret.write_bytes(written.encode())

    assert resolve(secret) == value


def test_a_missing_file_is_named(secret):
    with pytest.raises(LookupError, match=r"other cannot be read: No such file or directory"):
        resolve(secret.with_name("other"))


def test_a_folder_and_a_pipe_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(LookupError, match=r"is not a file|cannot be read: Is a directory"):
            resolve(path)


def test_a_long_file_is_refused(secret):
    secret.write_bytes(b"x" * 65536)
    assert len(resolve(secret)) == 65536

    secret.write_bytes(b"x" * 65537)
    with pytest.raises(LookupError, match="is longer than 65536 bytes"):
        resolve(secret)


def test_bytes_that_are_no_text_are_refused_and_not_shown(secret):
    secret.write_bytes(b"s3cret\xff")

    with pytest.raises(LookupError, match="is not UTF-8 text") as caught:
        resolve(secret)
    assert "s3cret" not in str(caught.value)


def test_a_relative_path_needs_a_root(secret):
    assert resolve("crm", root=secret.parent) == "s3cret"
    with pytest.raises(LookupError, match="is not an absolute path"):
        resolve("crm")


def test_nothing_outside_the_root_is_read(secret, tmp_path):
    (tmp_path / "other").write_text("other")
    (secret.parent / "link").symlink_to(tmp_path / "other")

    for reference in (tmp_path / "other", "../other", "link", "/etc/passwd"):
        with pytest.raises(LookupError, match="is outside"):
            resolve(reference, root=secret.parent)


def test_links_inside_the_root_are_followed(secret):
    """Kubernetes mounts secrets as links into a folder beside them."""
    (secret.parent / "..data").mkdir()
    (secret.parent / "..data" / "key").write_text("mounted")
    (secret.parent / "key").symlink_to("..data/key")

    assert resolve("key", root=secret.parent) == "mounted"


# --- rotation ---------------------------------------------------------------------------------------------------------


async def told(provider, change):
    """Make a change while the provider waits, and wait until it tells."""
    waiting = asyncio.create_task(provider.changed())
    await asyncio.sleep(0)
    change()
    await asyncio.wait_for(waiting, 60)


async def test_a_file_that_is_written_again_is_told_once(secret):
    provider = build(File, refresh=0.01)
    assert provider.resolve(str(secret)).reveal() == "s3cret"

    await told(provider, lambda: secret.write_text("other"))
    assert provider.resolve(str(secret)).reveal() == "other"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.changed(), 0.2)


async def test_a_link_that_leads_elsewhere_is_a_change(tmp_path):
    """Kubernetes writes a new folder and turns the link ..data to it."""
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "key").write_text(f"key {version}")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")

    def turn():
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")

    provider = build(File, root=tmp_path, refresh=0.01)
    assert provider.resolve("key").reveal() == "key ..1"
    await told(provider, turn)
    assert provider.resolve("key").reveal() == "key ..2"


async def test_the_same_content_and_a_file_that_is_gone_are_no_change(secret):
    provider = build(File, refresh=0.01)
    provider.resolve(str(secret))
    waiting = asyncio.create_task(provider.changed())

    secret.write_text("s3cret\n")
    os.utime(secret, (1, 1))
    secret.rename(secret.with_name("gone"))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    secret.with_name("gone").rename(secret)
    secret.write_text("at last")
    await asyncio.wait_for(waiting, 60)


async def test_a_file_that_could_not_be_read_is_told_when_it_is_there(secret):
    provider = build(File, refresh=0.01)
    missing = secret.with_name("missing")
    with pytest.raises(LookupError):
        provider.resolve(str(missing))

    await told(provider, lambda: missing.write_text("here"))
    assert provider.resolve(str(missing)).reveal() == "here"


async def test_what_came_to_lie_outside_the_root_is_not_told(secret, tmp_path):
    (tmp_path / "other").write_text("other")
    provider = build(File, root=secret.parent, refresh=0.01)
    provider.resolve("crm")
    secret.unlink()
    secret.symlink_to(tmp_path / "other")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.changed(), 0.2)


async def test_what_no_document_names_any_more_is_told_once(secret):
    provider = build(File, refresh=0.01)
    provider.resolve(str(secret))

    await told(provider, lambda: secret.write_text("other"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.changed(), 0.2)


async def test_nobody_looks_where_refresh_is_0(secret):
    provider = build(File, refresh=0)
    provider.resolve(str(secret))
    secret.write_text("other")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.changed(), 0.2)
