"""Following the content of one file, however it is written."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles import Change

SETTLE = 0.05
"""Seconds a file must stay as it is before it counts as written."""
LOOK = 1000
"""Milliseconds after which the file is looked at even though no event came: network file systems send none."""

Looks = tuple[int, ...] | None


class Follower:
    """Reads a file, and notices when it holds something else: written in place, replaced by another file, or behind a
    link that turned, as Kubernetes turns them for a ConfigMap. While the file is gone, nothing changes.
    """

    def __init__(self, path: Path, longest: int) -> None:
        from watchfiles import awatch  # only who follows a file needs it, and not amid a call

        self.path = path
        self.longest = longest
        """Bytes of the file that are looked at."""
        self._awatch = awatch
        self._seen: bytes | None = None
        """Digest of what was read last, though it was nonsense; ``None`` if nothing was."""

    def read(self) -> bytes:
        """Return what the file holds; of one that is longer than ``longest``, that many bytes and one more.

        Raises:
            LookupError: it cannot be read. The text says why, and not which file it is.
        """
        self._seen = None
        try:
            with self.path.open("rb") as file:
                data = file.read(self.longest + 1)
        except FileNotFoundError:
            raise LookupError("there is no such file") from None
        except (OSError, ValueError) as error:
            if self.path.is_dir():
                raise LookupError("this is a folder; name the file in it") from None
            raise LookupError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None
        self._seen = _digest(data)
        return data

    async def changed(self) -> None:
        """Return when the file holds something else than what was read last; whatever it is, if nothing was."""
        before = self._seen
        looks = self._looks()  # taken first, so that a change while the content is compared is one more look
        while not await self._differs(before):
            while not await self._something() and self._looks() == looks:
                pass
            looks = self._looks()

    def _looks(self) -> Looks:
        """What tells a change without reading the file; ``None`` while there is none."""
        try:
            found = self.path.stat()
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    async def _differs(self, before: bytes | None) -> bool:
        """Whether the content is another one, and is all there: nobody wants half of it."""
        now = await asyncio.to_thread(self._content)
        while now is not None and now != before:
            await asyncio.sleep(SETTLE)
            later = await asyncio.to_thread(self._content)
            if later == now:
                return True
            now = later
        return False

    def _content(self) -> bytes | None:
        try:
            with self.path.open("rb") as file:
                return _digest(file.read(self.longest + 1))
        except (OSError, ValueError):
            return None

    async def _something(self) -> bool:
        """Wait until something happened to the file or to a link on the way to it, or for a while; tell which."""
        watched = _watched(self.path)

        def ours(_: "Change", changed: str) -> bool:
            return changed in watched

        folders = {os.path.dirname(name) for name in watched}  # noqa: PTH120 - these are strings, as events are
        events = self._awatch(
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


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


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
