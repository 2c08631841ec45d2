"""Resolve ${file:/path} from a file."""

import os
import stat
from pathlib import Path

from hookgate import Options, Secret, SecretProvider, hookimpl

MAX_BYTES = 64 * 1024
"""Longest secret that is read, in bytes."""


class FileOptions(Options):
    """Options of `file`."""

    root: Path | None = None
    """Folder that every file must be in, links followed; references may then be relative to it. Any file if left out.
    With documents that others write, set it: a reference could otherwise name any file this process can read."""


class File(SecretProvider[FileOptions]):
    """Reads files, such as those that containers and systemd mount for secrets: `${file:/run/secrets/crm-key}`.

    One line break at the end does not belong to the value. At most 64 KiB, in UTF-8.
    """

    @hookimpl
    def resolve(self, reference: str) -> Secret:
        """Return what is in a file.

        Raises:
            LookupError: there is no such file, it cannot be read, is no text, is too large, or is outside `root`.
        """
        if "\0" in reference:
            raise LookupError("the path of a secret has a NUL in it, so there is no such file")
        path = Path(reference)
        root = self.options.root
        if root is not None:
            path = root / path
            if not path.resolve().is_relative_to(root.resolve()):
                raise LookupError(f"{reference!r} is outside {root}, where secrets.file.root says secrets are")
        elif not path.is_absolute():
            raise LookupError(f"{reference!r} is not an absolute path; write ${{file:/path}} or set secrets.file.root")
        try:
            data = _read(path)
        except OSError as error:
            raise LookupError(f"{path} cannot be read: {error.strerror}") from None
        if len(data) > MAX_BYTES:
            raise LookupError(f"{path} is longer than {MAX_BYTES} bytes, too long for a secret")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise LookupError(f"{path} is not UTF-8 text") from None
        return Secret(text.removesuffix("\n").removesuffix("\r"))


def _read(path: Path) -> bytes:
    """Read a regular file up to one byte over the limit; what is none (a pipe, a device) could keep us waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise LookupError(f"{path} is not a file")
        return file.read(MAX_BYTES + 1)
