"""Read the document from a file and notice when it changes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookgate import Options, Source, hookimpl
from hookgate.document import MAX_BYTES
from hookgate.workshop import Follower
from hookgate_source_file.including import Files, Joined, Stamp, stamp

LOOK = 1.0
"""Seconds between two looks at the files that a document includes."""


class FileOptions(Options):
    """Options of `file`."""

    path: Path
    """The document: YAML (`.yaml`, `.yml`), JSON (`.json`) or TOML (`.toml`), at most 64 MiB. It may include other
    files: `include: [connections.yaml, routes/orders.yaml]`."""


class File(Source[FileOptions]):
    """Reads a file and those that it includes, and follows their content however they are written: in place, replaced
    by another file, or by a link that turns to another folder, as Kubernetes does it. While a file is gone, nothing
    changes. Relative paths in a file count from its folder.
    """

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._follower = Follower(options.path, MAX_BYTES)
        self._included: dict[Path, Stamp] = {}

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document.

        Raises:
            ConfigError: a file cannot be read, what is in it is not well-formed, or the files do not go together.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> Mapping[str, Any]:
        files = Files()
        try:
            documents = files.read(self.options.path, self._follower)
        finally:
            self._included = {path: seen for path, seen in files.stamps.items() if path != self.options.path}
        return Joined(documents) if len(documents) > 1 or "include" in documents[0] else documents[0]

    @hookimpl
    async def changed(self) -> None:
        """Return when one of the files holds something else than what was read last."""
        if not self._included:
            await self._follower.changed()
            return
        tasks = [asyncio.create_task(self._follower.changed()), asyncio.create_task(self._included_changed())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _included_changed(self) -> None:
        """Return when an included file is another one, and has stayed so for a moment: nobody wants half of it."""
        before: dict[Path, Stamp] = {}
        while True:
            now = await asyncio.to_thread(lambda: {path: stamp(path) for path in self._included})
            different: dict[Path, Stamp] = {
                path: seen for path, seen in now.items() if seen not in (None, self._included[path])
            }
            if different and different == before:
                return
            before = different
            await asyncio.sleep(LOOK / 10 if different else LOOK)
