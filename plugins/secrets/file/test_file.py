import os

import pytest
from hookgate_secret_file import File

from hookgate.testing import build


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
