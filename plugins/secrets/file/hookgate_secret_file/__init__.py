"""Resolve ${file:/path} from a file."""

import asyncio
import hashlib
import os
import stat
from pathlib import Path

from pydantic import Field

from hookgate import Duration, Options, Secret, SecretProvider, hookimpl

MAX_BYTES = 64 * 1024
"""Longest secret that is read, in bytes."""
SETTLE = 0.05
"""Seconds a file must stay as it is before it counts as written."""


class FileOptions(Options):
    """Options of `file`."""

    root: Path | None = None
    """Folder that every file must be in, links followed; references may then be relative to it. Any file if left out.
    With documents that others write, set it: a reference could otherwise name any file this process can read."""
    refresh: Duration = Field(default=2.0, ge=0)
    """Seconds between two looks at the files that were read. When one of them holds something else, the document is
    loaded again. 0 to look only when it is loaded for another reason."""


class File(SecretProvider[FileOptions]):
    """Reads files, such as those that containers and systemd mount for secrets: `${file:/run/secrets/crm-key}`.

    One line break at the end does not belong to the value. At most 64 KiB, in UTF-8. A file that changes is read again
    without a restart, also where it changes because a link leads elsewhere, as Kubernetes does it. While a file is
    gone, nothing changes.
    """

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._seen: dict[Path, bytes | None] = {}
        """Digests of what was read, by the path that was asked for; ``None`` where nothing could be read."""

    @hookimpl
    def resolve(self, reference: str) -> Secret:
        """Return what is in a file.

        Raises:
            LookupError: there is no such file, it cannot be read, is no text, is too large, or is outside `root`.
        """
        path = self._path(reference)
        self._seen[path] = None
        try:
            data = _read(path)
        except OSError as error:
            raise LookupError(f"{path} cannot be read: {error.strerror}") from None
        self._seen[path] = hashlib.sha256(data).digest()
        if len(data) > MAX_BYTES:
            raise LookupError(f"{path} is longer than {MAX_BYTES} bytes, too long for a secret")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise LookupError(f"{path} is not UTF-8 text") from None
        return Secret(text.removesuffix("\n").removesuffix("\r"))

    def _path(self, reference: str) -> Path:
        if "\0" in reference:
            raise LookupError("the path of a secret has a NUL in it, so there is no such file")
        path = Path(reference)
        root = self.options.root
        if root is not None:
            path = root / path
            if not _inside(path, root):
                raise LookupError(f"{reference!r} is outside {root}, where secrets.file.root says secrets are")
        elif not path.is_absolute():
            raise LookupError(f"{reference!r} is not an absolute path; write ${{file:/path}} or set secrets.file.root")
        return path

    @hookimpl
    async def changed(self) -> None:
        """Return when a file holds something else than what was read of it last.

        It is then forgotten until it is read again, so that one change is told once, and a file that the document no
        longer names is not looked at for ever.
        """
        while True:
            await asyncio.sleep(self.options.refresh or 3600.0)
            if self.options.refresh and (different := await asyncio.to_thread(self._different)):
                await asyncio.sleep(SETTLE)
                if await asyncio.to_thread(self._different) == different:
                    for path in different:
                        self._seen.pop(path, None)
                    return

    def _different(self) -> dict[Path, bytes]:
        """Return what is in the files that hold something else now. Runs in a thread."""
        different = {}
        for path, seen in list(self._seen.items()):
            try:
                now = hashlib.sha256(_read(path)).digest()
                allowed = self.options.root is None or _inside(path, self.options.root)
            except (OSError, LookupError):
                continue
            if now != seen and allowed:
                different[path] = now
        return different


def _inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _read(path: Path) -> bytes:
    """Read a regular file up to one byte over the limit; what is none (a pipe, a device) could keep us waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise LookupError(f"{path} is not a file")
        return file.read(MAX_BYTES + 1)
