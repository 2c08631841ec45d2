"""Secrets that change while the gateway runs: waiting for the providers to tell, and loading the document again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from inspect import isawaitable
from typing import Any

from hookgate.contract.plugin import Plugin
from hookgate.exchange.errors import ConfigError

log = logging.getLogger("hookgate")

PAUSE = 1.0
"""Seconds between two reloads at least that one provider brings about."""
AFTER_FAILURE = 5.0
"""Seconds until a provider that failed in ``changed`` is asked again."""

Start = Callable[[str, Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Rotation:
    """Asks the secret providers of the live document for ``changed``, each in a task of its own.

    A reload keeps what is the same, so only the plugins that hold the other value are built anew; one that is refused
    changes nothing.
    """

    def __init__(self, start: Start, reload: Callable[[], Awaitable[int]]) -> None:
        self._start = start
        self._reload = reload
        self._tasks: dict[Plugin[Any], asyncio.Task[None]] = {}

    def follow(self, providers: Iterable[Plugin[Any]]) -> None:
        """Wait for these from now on, and for no others."""
        wanted = [provider for provider in providers if hasattr(provider, "changed")]
        for provider in [provider for provider in self._tasks if provider not in wanted]:
            task = self._tasks.pop(provider)
            if task is not asyncio.current_task():  # else it is the one that brought this about, and ends by itself
                task.cancel()
        for provider in wanted:
            if provider not in self._tasks:
                self._tasks[provider] = self._start(f"{provider.entry.id} changes", self._watch(provider))

    async def _watch(self, provider: Plugin[Any]) -> None:
        clock = asyncio.get_running_loop()
        while provider in self._tasks:
            asked = clock.time()
            try:
                told = provider.changed()  # type: ignore[attr-defined]
                if isawaitable(told):
                    await told
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the text of an unknown failure could hold the value
                log.error("%s failed in changed with %s", provider.entry.id, type(error).__name__)  # noqa: TRY400
                await asyncio.sleep(AFTER_FAILURE)
                continue
            log.info("%s tells of a change, so the document is loaded again", provider.entry.id)
            try:
                await self._reload()
            except ConfigError:
                pass  # reload() has said what is wrong
            except Exception:
                log.exception("the document could not be loaded again")
            if (rest := asked + PAUSE - clock.time()) > 0:
                await asyncio.sleep(rest)
