"""The source `store`: a document of a file and of what is stored."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from hookgate import ConfigError, Duration, Options, Problem, Secret, Source, hookimpl
from hookgate.document import MAX_BYTES, Document, parse
from hookgate.server import Settings
from hookgate.workshop import Follower
from hookgate_storage import snapshot
from hookgate_storage.errors import StoreError
from hookgate_storage.fencing import OWN_SECTION as SECTION
from hookgate_storage.fencing import Allowed, Reach, all_forbidden
from hookgate_storage.hints import hinted
from hookgate_storage.merging import installed, merge
from hookgate_storage.pruning import Keep
from hookgate_storage.sealing import Keys
from hookgate_storage.serving import Served, put
from hookgate_storage.store import Store as Opened
from hookgate_storage.store import open_store
from hookgate_storage.things import Generation, Object, Whole

log = logging.getLogger("hookgate.storage")

GATHER = 0.06
"""Seconds in which more may come, before what has changed is read: many writers cost few readings."""
SHARE = 2.0
"""How many times as long as a load took the next one waits, where many write: loading leaves time for calls and for
writes, and all that was written meanwhile is one load."""
FEW = 2
"""Generations in one load that are no reason to wait."""
LONGEST_REST = 10.0
"""Seconds that it waits at most."""


class StoreOptions(Options):
    """Options of `store`."""

    path: Path | None = None
    """The file with the rest of the document. What stands in it is read-only for everybody who writes to the store, and
    wins. Without one the whole document is stored."""
    url: Secret | None = None
    """The database: `sqlite:///FILE`, or `postgresql://user:password@host/name`. Left out, the file `hookgate-store.db`
    beside the document."""
    key: Path | None = None
    """The file with the key that everything stored is sealed with, which `hookgate storage upgrade` makes; left out,
    `hookgate-store.key` beside the document. Keep it apart from backups of the database."""
    poll: Duration = Field(default=2.0, ge=0.1, le=60)
    """Seconds between looks for a new generation, about; what this process writes is seen at once."""
    references: tuple[str, ...] = ()
    """What stored objects may refer to, such as `env:CRM_*`. They are written by people who shall not read every secret
    of this process, so nothing is allowed unless it is listed here."""
    allow: tuple[Reach, ...] = ()
    """What stored objects may do beside, which the file always may: `files`, name files of this machine; `code`, run
    code of this machine (`script`); `environment`, read variables of the process (`env`). Whoever may change an object
    may then do it as the process of the gateway."""

    keep: Keep = Keep()
    """How long what is old is kept: it is removed in the background, some at a time, by one of the gateways or another.
    `hookgate storage prune` does it at once."""


class Store(Source[StoreOptions]):
    """Serves a document whose objects stand in a file, in a database, or in both.

    A file with a mistake is refused as a whole, as ever. A stored object that is bad is left out together with what
    refers to it, and told on `/-/health`, while the rest is served. While the database is away, the last good snapshot
    serves, which lies sealed beside the key; a gateway starts from it, too.
    """

    def __init__(self, options: StoreOptions) -> None:
        super().__init__(options)
        folder = options.path.parent if options.path is not None else Path()
        self.url = options.url.reveal() if options.url is not None else f"sqlite:///{folder / 'hookgate-store.db'}"
        self.key = options.key or folder / "hookgate-store.key"
        self.snapshot = self.key.with_name("hookgate-store.snapshot")
        self.allowed = Allowed(options.references, frozenset(options.allow))
        self.node = f"{socket.gethostname()}-{os.getpid()}"
        self._follower = Follower(options.path, MAX_BYTES) if options.path is not None else None
        self._store: Opened | None = None
        self._seen: Generation | None = None
        """What was read last."""
        self._away = False
        self._began = self._ended = 0.0
        """When the last load of the document began and was over, in seconds of the monotonic clock."""
        self._taken = 0
        """Generations that it has put live."""
        self._read: Any = None
        """What was read last: file, store, and everything that is stored."""
        self._refused: dict[tuple[str, str], str] = {}
        """Objects of it that are left out, with the reason."""
        self._told: set[tuple[str, str, str]] = set()
        """Those that the log knows."""
        self._places: Mapping[Any, Object] = {}
        """Objects that are not, by their places."""

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document.

        Raises:
            ConfigError: the file cannot be read or has a mistake; or the store cannot, and there is no snapshot.
        """
        self._began = time.monotonic()
        file = await asyncio.to_thread(self._file)
        store, whole = await self._whole()
        names = (await asyncio.to_thread(installed)).names("section")
        self._refused = await asyncio.to_thread(all_forbidden, whole.objects, self.allowed, names)
        self._read = file, store, whole
        self._told = set()
        return await asyncio.to_thread(self._merged)

    @hookimpl
    async def shutdown(self) -> None:
        """Close the store."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    @hookimpl
    async def instead(self, error: ConfigError) -> Mapping[str, Any] | None:
        """Leave out the stored objects that are bad, and in turn what refers to them; nothing more can be done where
        the mistake is that of the file."""
        found: dict[tuple[str, str], str] = {}
        for problem in error.problems:
            if (held := self._places.get(problem.path[:2]) or self._places.get(problem.path[:1])) is not None:
                found.setdefault((held.kind, held.name), problem.message)
        self._refused |= found
        return await asyncio.to_thread(self._merged) if found else None

    def _merged(self) -> Mapping[str, Any]:
        """Put what was read together, without what is refused."""
        file, store, whole = self._read
        merged = merge(file, whole.objects, self._refused, self.allowed)
        self._places = merged.places
        for bad in merged.rejected:
            if (told := (bad["kind"], bad["name"], bad["why"])) not in self._told:
                log.error("the stored object %s/%s is left out: %s", *told)
            self._told.add(told)
        name = secrets.token_hex(8)
        served = Served(
            store,
            self.node,
            whole.generation,
            tuple((each.kind, each.name) for each in merged.places.values()),
            tuple(merged.rejected),
            file,
            self.allowed,
            self._away,
            keep=self.options.keep,
        )
        put(name, served)
        merged.document.value[SECTION] = {"served": name}
        return merged.document

    def _file(self) -> Document:
        path = self.options.path
        if path is None or self._follower is None:
            return Document({}, "store")
        try:
            document = parse(self._follower.read(), str(path))
            document.folder = path.parent
        except LookupError as error:
            raise ConfigError([Problem((), str(error), str(path))]) from None
        if SECTION in document:
            problem = Problem((SECTION,), "is written by the source `store`, and by nobody else", at_key=True)
            raise ConfigError([document.locate(problem)])
        return document

    async def _whole(self) -> tuple[Opened | None, Whole]:
        try:
            store = await self._opened()
            whole = await store.current()
        except StoreError as error:
            self._away = True
            log.error("%s; the last snapshot serves", error)  # noqa: TRY400 - the text says it all
            try:
                keys = await asyncio.to_thread(Keys.in_file, self.key)
                whole = await asyncio.to_thread(snapshot.kept, self.snapshot, keys)
            except StoreError as missing:
                raise ConfigError([Problem((), f"{error}, {missing}")]) from None
            self._seen = None
            return self._store, whole
        self._taken = 0 if self._seen is None else whole.generation.number - self._seen.number
        self._away, self._seen = False, whole.generation
        with suppress(OSError):
            await asyncio.to_thread(snapshot.keep, self.snapshot, whole, store.keys, store.secret)
        return store, whole

    async def _opened(self) -> Opened:
        if self._store is None:
            keys = await asyncio.to_thread(Keys.in_file, self.key)
            self._store = await open_store(self.url, keys)
        return self._store

    async def _tried(self) -> Opened | None:
        """Open the store, if that can be done now."""
        try:
            return await self._opened()
        except StoreError:
            return None

    @hookimpl
    async def changed(self) -> None:
        """Return when there is another generation, or the file holds something else."""
        self._ended = time.monotonic()
        waits = [asyncio.create_task(self._newer(), name="store: newer generation")]
        if self._follower is not None:
            waits.append(asyncio.create_task(self._follower.changed(), name="store: file"))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _newer(self) -> None:
        seen = self._seen
        while (store := await self._tried()) is None:  # noqa: ASYNC110 - nobody tells that it is back
            await asyncio.sleep(self.options.poll)
        async with hinted(store.database, store.written):
            while True:
                store.written.clear()
                with suppress(StoreError):
                    head = await store.head()
                    if seen is None or (head.number, head.digest) != (seen.number, seen.digest):
                        await asyncio.sleep(max(GATHER, self._rest()))
                        return
                pause = self.options.poll * random.uniform(0.75, 1.25)  # noqa: S311 - so that nodes do not ask together
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await store.written.wait()

    def _rest(self) -> float:
        """Return the seconds that are left until the next load may begin."""
        if self._taken <= FEW:
            return 0.0
        rest = min(SHARE * (self._ended - self._began), LONGEST_REST)
        return self._ended + rest - time.monotonic()


def configured(document: Path | None) -> Store:
    """Make the source `store` as a gateway would that serves a document; ``None`` for the one of the settings.

    Raises:
        ConfigError: the options in ``HOOKGATE_SOURCE_OPTIONS`` are none.
    """
    settings = Settings()
    path = document or settings.config
    try:
        given = json.loads(settings.source_options or "{}") if settings.source == "store" else {}
    except ValueError as error:
        raise ConfigError([Problem(("HOOKGATE_SOURCE_OPTIONS",), f"is no JSON: {error}")]) from None
    if path is not None:
        given = {"path": path, **given}
    return Store(StoreOptions.model_validate(given))
