"""Reading the document of a source, and following its changes: one that fails is named, and asked less often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any

from hookgate.contract.families import Source
from hookgate.exchange.errors import ConfigError, Problem, outside
from hookgate.gateway.bounding import GivenUp, bounded

log = logging.getLogger("hookgate")

PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a source that failed is asked again: at first, and at most."""
HASTE, HASTY = 0.05, 3
"""Seconds in which nobody waits for a change, and how often in a row a source may tell of one so quickly."""


class Following:
    """Asks the source of a gateway."""

    def __init__(self, source: Source[Any]) -> None:
        self.source = source
        self.problems: list[str] = []
        """What it fails in while it is followed, until it works again."""
        self._name = f"the source {source.entry.name}"

    async def read(self, patience: float) -> Mapping[str, Any]:
        """Return the document. The hook may be ``def`` or ``async def``, and take so many seconds.

        Raises:
            ConfigError: it cannot be read, is not well-formed, or there is none.
        """
        document = await self._asked("read", patience)
        if document is None:
            raise ConfigError([Problem((), f"{self._name} has no document")])
        return document

    async def instead(self, error: ConfigError, patience: float) -> Mapping[str, Any] | None:
        """Return what is to be loaded in the place of a document that was refused, if the source has anything.

        Raises:
            ConfigError: it fails.
        """
        return await self._asked("instead", patience, error) if hasattr(self.source, "instead") else None

    async def _asked(self, hook: str, patience: float, *arguments: Any) -> Mapping[str, Any] | None:
        try:
            document = await bounded(getattr(self.source, hook)(*arguments), patience)
        except ConfigError:
            raise
        except GivenUp:
            what = "read the document" if hook == "read" else f"end {hook}"
            why, fails = f"{self._name} did not {what} within {patience:g} s", True
        except (Exception, SystemExit) as error:
            if not (fails := outside(error)):
                log.exception("%s failed in %s", self._name, hook)
            why = f"{self._name} failed in {hook}: {type(error).__name__}: {error}"
        else:
            if document is None or isinstance(document, Mapping):
                return document
            why, fails = (
                f"{self._name} failed in {hook}: it gave a {type(document).__name__} where a mapping should be",
                False,
            )
        raise ConfigError([Problem((), why, outside=fails)])

    async def follow(self, reload: Callable[[], Awaitable[object]]) -> None:
        """Reload whenever the source says so. One that fails is asked less and less often, and so is one that tells of
        a change without end."""
        clock, pause, hasty = asyncio.get_running_loop(), PAUSE, 0
        while True:
            asked, fails = clock.time(), ""
            try:
                changed = self.source.changed()
                if isawaitable(changed):
                    await changed
            except (Exception, SystemExit) as error:
                fails = f"{self._name} failed in changed: {type(error).__name__}"
                if [fails] != self.problems:
                    log.exception("%s", fails)
            else:
                hasty = hasty + 1 if clock.time() - asked < HASTE else 0
                await self._reload(reload)
                if hasty >= HASTY:
                    fails = f"{self._name} tells of a change each time it is asked"
                    if [fails] != self.problems:
                        log.error("%s", fails)
            self.problems = [fails] if fails else []
            if fails:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            elif not hasty:
                pause = PAUSE

    @staticmethod
    async def _reload(reload: Callable[[], Awaitable[object]]) -> None:
        try:
            await reload()
        except ConfigError:
            pass  # it has said what is wrong
        except Exception:
            log.exception("the document could not be loaded again")
