"""Find targets in a file that something else writes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from hookgate import Discovery, Options, Target, hookimpl
from hookgate.workshop import Follower
from hookgate_discovery_file.listing import targets_of


class FileOptions(Options):
    """Options of `file`."""

    path: Path
    """The list of targets: JSON (`.json`), or YAML under any other name. JSON is read many times faster."""
    max_size: int = Field(default=1024 * 1024, ge=1, le=64 * 1024 * 1024)
    """Bytes the file may have; a longer one is not read."""


class File(Discovery[FileOptions]):
    """Follows a list of targets in a file, for anything that can write one: a script, a template, an agent.

    The file holds a list. An entry is a URL (`http://10.0.0.5:9000`, without a path), or a mapping with a `url`, and
    with a `weight` (0 to 1000, 1 unless given) and `active` if need be, as under `targets` of a connection. So
    `[{"url": "http://10.0.0.5:9000", "weight": 2}, "http://10.0.0.6:9000"]` is one.

    It counts as a whole or not at all: while it is missing, too long, not well-formed, empty, or wrong in one entry,
    the targets stay as they are, and the log says what is wrong and where. Better write another file beside it and
    rename that; a file that is written in place is read when it has not changed for a moment. Links on the way to it
    are followed when they turn, as Kubernetes turns them for a ConfigMap.
    """

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._follower = Follower(options.path, options.max_size)

    @hookimpl
    async def targets(self) -> Sequence[Target]:
        """Read the file.

        Raises:
            LookupError: it cannot be read, or it is no list of targets; with every mistake and its place.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> list[Target]:
        path, longest = self.options.path, self.options.max_size
        try:
            data = self._follower.read()
        except LookupError as error:
            raise LookupError(f"{path}: {error}") from None
        if len(data) > longest:
            raise LookupError(f"{path}: the file is too long; at most {longest:,} bytes are read")
        return targets_of(data, str(path), as_json=path.suffix.lower() == ".json")

    @hookimpl
    async def changed(self) -> None:
        """Return when the file holds something else than what was read last."""
        await self._follower.changed()
