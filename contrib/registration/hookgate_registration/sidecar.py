"""What stands beside a backend: registers it, renews its lease, and takes it out when it is not well or ends."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hookgate import Fault, Response

log = logging.getLogger("hookgate.register")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until the next try after one that failed: at first, and at most."""
PATIENCE = 10.0
"""Seconds that one call to the gateway may take, and all that it takes to leave."""
_LONGEST_TEXT = 300
Call = Callable[[str, Mapping[str, Any], float], Awaitable[Response]]
"""Sends a body to ``register`` or ``unregister`` of the gateway, within so many seconds."""


class Refused(Exception):
    """The gateway says no, and will do so again until somebody changes something."""


class Away(Exception):
    """No gateway answers, or it says that it cannot now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be registered."""

    endpoint: str
    connection: str
    weight: int = 1
    every: float = 30.0
    """Seconds between two registrations where the gateway gives no lease."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a host has to answer before it is registered, and while it is."""

    ask: Callable[[float], Awaitable[Response]]
    """Asks the host, within so many seconds."""
    interval: float = 5.0
    fails: int = 3
    """Findings in a row after which it is taken out."""


class Sidecar:
    """Keeps one host registered for as long as :meth:`keep` runs."""

    def __init__(self, call: Call, wanted: Wanted, health: Health | None) -> None:
        self._call, self._wanted, self._health = call, wanted, health
        self._well, self._turned = asyncio.Event(), asyncio.Event()
        if health is None:
            self._well.set()
        self._there = self._ever = False
        """Whether it may be registered, as far as is known; and whether it has ever been."""

    async def keep(self, *, stays: bool) -> None:
        """Register, and renew until this is cancelled; :meth:`leave` then.

        Raises:
            Refused: the gateway said so before it ever took the host in; not where it ``stays``, and tries again.
        """
        tasks = [asyncio.create_task(self._keep(stays), name="keep registered")]
        if self._health is not None:
            tasks.append(asyncio.create_task(self._watch(self._health), name="health of the host"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, stays: bool) -> None:
        failed, lease = 0, None
        while True:
            await self._well.wait()
            self._turned.clear()
            try:
                lease = await self._register(lease)
                failed, pause = 0, lease / 3 if lease else self._wanted.every
            except (Away, Refused) as error:
                if isinstance(error, Refused) and not (stays or self._ever):
                    raise
                failed += 1
                pause = min(FIRST_PAUSE * 2 ** min(failed, 20), LONGEST_PAUSE, lease / 3 if lease else LONGEST_PAUSE)
                log.warning("%s; the next try comes within %.1f s", error, pause)
            pause *= random.uniform(0.7, 1)  # noqa: S311 - so that many hosts do not come at once
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._turned.wait()
            if not self._well.is_set():
                await self.leave()

    async def _register(self, lease: float | None) -> float | None:
        wanted = self._wanted
        said = {"endpoint": wanted.endpoint, "weight": wanted.weight, "active": True}
        before, self._there = self._there, True  # it may be, also where no answer comes
        answer = await self._asked("register", said, min(PATIENCE, lease / 3) if lease else PATIENCE)
        told = _json(answer)
        if answer.status not in (200, 201) or "id" not in told:
            raise Refused(f"what answers {answer.status} there is no hookgate gateway")
        given = told.get("lease")
        lease = float(given) if isinstance(given, int | float) and given > 0 else None
        if not before or answer.status == 201 or not self._ever:
            until = f"for {lease:g} s at a time" if lease else "without a lease"
            again = " again; the gateway had lost it" if before and self._ever and answer.status == 201 else ""
            log.info("registered %s at %s %s%s", wanted.endpoint, wanted.connection, until, again)
        else:
            log.debug("renewed %s at %s", wanted.endpoint, wanted.connection)
        self._ever = True
        return lease

    async def leave(self) -> bool:
        """Take the host out; return whether it is, within :data:`PATIENCE`."""
        if not self._there:
            return True
        wanted, said = self._wanted, {"endpoint": self._wanted.endpoint}
        failed, until = 0, asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                await self._asked("unregister", said, max(until - asyncio.get_running_loop().time(), 0.1))
            except (Away, Refused) as error:
                failed += 1
                pause = min(FIRST_PAUSE * 2 ** (failed - 1), PATIENCE)
                if isinstance(error, Refused) or asyncio.get_running_loop().time() + pause > until:
                    log.warning("%s is not taken out of %s: %s", wanted.endpoint, wanted.connection, error)
                    return False
                await asyncio.sleep(pause)
            else:
                break
        self._there = False
        log.info("%s is taken out of %s", wanted.endpoint, wanted.connection)
        return True

    async def _asked(self, action: str, said: Mapping[str, Any], patience: float) -> Response:
        """Ask the gateway for something.

        Raises:
            Refused: it does not do that.
            Away: nobody answers, or not now.
        """
        try:
            answer = await self._call(action, said, patience)
        except Fault as fault:
            raise Away(f"the gateway does not answer ({fault.reason})") from None
        told = _json(answer)
        if answer.status in (200, 201, 204) or (action == "unregister" and told.get("reason") == "no-host"):
            return answer
        why = "".join(c for c in str(told.get("detail", ""))[:_LONGEST_TEXT] if c.isprintable())
        why = f"the gateway answers {answer.status}{f': {why}' if why else ''}"
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise Away(why)
        raise Refused(why)

    async def _watch(self, health: Health) -> None:
        failed, first = 0, True
        while True:
            try:
                answer = await health.ask(health.interval)
                why = "" if answer.status < 400 else f"it answers {answer.status}"
            except Fault as fault:
                why = fault.reason
            failed = failed + 1 if why else 0
            if not why and not self._well.is_set():
                log.info("%s is well", self._wanted.endpoint)
                self._turn(self._well.set)
            elif failed >= health.fails and self._well.is_set():
                log.warning("%s is not well: %s", self._wanted.endpoint, why)
                self._turn(self._well.clear)
            elif why and first:
                log.info("waiting until %s is well: %s", self._wanted.endpoint, why)
            first = False
            await asyncio.sleep(health.interval)

    def _turn(self, change: Callable[[], None]) -> None:
        change()
        self._turned.set()


def _json(answer: Response) -> Mapping[str, Any]:
    try:
        told = json.loads(answer.body.data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
