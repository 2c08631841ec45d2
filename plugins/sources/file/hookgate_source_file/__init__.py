"""Read the document from a file and notice when it changes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookgate import ConfigError, Options, Problem, Source, hookimpl
from hookgate.document import MAX_BYTES, parse
from hookgate.workshop import Follower


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
        self._follower = Follower(options.path, MAX_BYTES)

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document.

        Raises:
            ConfigError: the file cannot be read, or what is in it is not well-formed.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> Mapping[str, Any]:
        name = str(self.options.path)
        try:
            data = self._follower.read()
        except LookupError as error:
            raise ConfigError([Problem((), str(error), name)]) from None
        return parse(data, name)

    @hookimpl
    async def changed(self) -> None:
        """Return when the file holds something else than what was read last."""
        await self._follower.changed()
