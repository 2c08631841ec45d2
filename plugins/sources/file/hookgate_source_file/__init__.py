"""Read the document from a file and notice when it changes."""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watchfiles import Change, awatch

from hookgate import ConfigError, Options, Problem, Source, hookimpl
from hookgate.document.document import MAX_BYTES, parse

SETTLE = 0.05
"""Seconds a file must stay as it is before it counts as written."""
LOOK = 1000
"""Milliseconds after which the file is looked at even though no event came: network file systems send none."""


class FileOptions(Options):
    """Options of `file`."""

    path: Path
    """The document: YAML (`.yaml`, `.yml`), JSON (`.json`) or TOML (`.toml`), at most 64 MiB."""


class File(Source[FileOptions]):
    """Reads a file, and follows its content however it is written: in place, replaced by another file, or by a link
    that turns to another folder, as Kubernetes does it. While a file is gone, nothing changes.
    """

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._seen: bytes | None = None
        """Digest of the content that was read last."""

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document.

        Raises:
            ConfigError: the file cannot be read, or what is in it is not well-formed.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> Mapping[str, Any]:
        path = self.options.path
        try:
            if path.is_dir():
                raise ConfigError([Problem((), "this is a folder; name the file in it", str(path))])
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise ConfigError([Problem((), "there is no such file", str(path))]) from None
        except OSError as error:
            raise ConfigError([Problem((), f"the file cannot be read: {error.strerror}", str(path))]) from None
        self._seen = hashlib.sha256(data).digest()
        return parse(data, str(path))

    @hookimpl
    async def changed(self) -> None:
        """Return when the file holds something else than what was read last."""
        before = self._seen if self._seen is not None else await asyncio.to_thread(self._digest)
        looks = self._looks()  # taken first, so that a change while the content is compared is one more look
        while not await self._differs(before):
            while not await self._something() and self._looks() == looks:
                pass
            looks = self._looks()

    def _looks(self) -> tuple[int, ...] | None:
        """What tells a change without reading the file; ``None`` while there is none."""
        try:
            found = self.options.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    async def _differs(self, before: bytes | None) -> bool:
        """Whether the content is another one, and is all there: nobody wants half a document."""
        now = await asyncio.to_thread(self._digest)
        while now is not None and now != before:
            await asyncio.sleep(SETTLE)
            later = await asyncio.to_thread(self._digest)
            if later == now:
                return True
            now = later
        return False

    def _digest(self) -> bytes | None:
        try:
            with self.options.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return None

    async def _something(self) -> bool:
        """Wait until something happened to the file or to a link on the way to it, or for a while; tell which."""
        watched = _watched(self.options.path)

        def ours(_: Change, changed: str) -> bool:
            return changed in watched

        folders = {os.path.dirname(name) for name in watched}  # noqa: PTH120 - these are strings, as events are
        events = awatch(
            *folders,
            watch_filter=ours,
            debounce=50,
            step=20,
            rust_timeout=LOOK,
            yield_on_timeout=True,
            recursive=False,
        )
        try:
            async for changes in events:
                return bool(changes)
        except OSError:  # a folder is gone or cannot be watched
            await asyncio.sleep(LOOK / 1000)
        finally:
            await events.aclose()
        return False


def _watched(path: Path) -> set[str]:
    """Return the file and every link on the way to it, each in its folder."""
    found: set[str] = set()
    place, parts = Path("/"), list(path.absolute().parts[1:])
    for _ in range(100):  # links may lead in circles
        if not parts:
            break
        part = parts.pop(0)
        if part == "..":
            place = place.parent
            continue
        step = place / part
        if step.is_symlink():
            found.add(str(step))
            target = step.readlink()
            parts = [*(target.parts[1:] if target.is_absolute() else target.parts), *parts]
            place = Path("/") if target.is_absolute() else place
        else:
            place = step
    found.add(str(place))
    return found
