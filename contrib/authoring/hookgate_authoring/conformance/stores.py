"""The checks of what keeps numbers and values for others: counters and stores of state."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from hookgate import Conflict, Decision, Limit, Row, StateError, StateRefused
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.messages import Call
from hookgate_authoring.conformance.report import Report

NOW = 1_700_000_000.0
NAME = "conformance"
KEYS = ("a", "ab", "b", "a'\"%_", "é", "\uffff", "\U0001f600", "A", "k" * 512)
WINDOWS: tuple[Any, ...] = (60.0, "day")


async def counters(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """What is allowed is what the limit says, what is refused is not taken, and looking costs nothing."""

    async def take(*wants: tuple[str, int, Limit]) -> Decision | None:
        """Take; what is no decision is a violation."""
        try:
            found = await bench.call_hook(plugin, "take", list(wants))
        except Exception as error:  # noqa: BLE001 - the plugin's own
            report.add("contract", "take", f"raised {type(error).__name__}: {error}", "a Decision, whatever is wanted")
            return None
        if not isinstance(found, Decision):
            report.add("contract", "take", f"returned {type(found).__name__}", "a Decision")
            return None
        return found

    def judge(right: str, seen: object, wanted: object) -> None:
        if seen != wanted:
            report.add("contract", "take", f"gave {seen}, and {wanted} is right", right)

    for window in WINDOWS:
        limit, key = Limit(3, window), f"{NAME}:{window}"
        decisions = [await take((key, cost, limit)) for cost in (0, 1, 0, 1, 1, 1, 0)]
        told = [(each.allowed, each.remaining) for each in decisions if each is not None]
        whole = [(True, 3), (True, 2), (True, 2), (True, 1), (True, 0), (False, 0), (True, 0)]
        judge("let as many through as the limit says; a cost of 0 only looks", told, whole)
        if (refused := decisions[5]) is not None and not refused.allowed and not 0 < refused.retry_after < math.inf:
            report.add("contract", "take", f"retry_after is {refused.retry_after}", "seconds until it could succeed")
        if (never := await take((f"{key}:never", 4, limit))) is not None:
            judge(
                "what a limit never allows can be retried never", (never.allowed, never.retry_after), (False, math.inf)
            )
        both = await take((f"{key}:other", 1, limit), (key, 1, limit))
        after = await take((f"{key}:other", 0, limit))
        if both is not None and after is not None:
            judge("of several limits the first that refuses decides", (both.allowed, both.key), (False, key))
            judge("take all that is wanted, or nothing", after.remaining, 3)
        tight = await take((f"{key}:wide", 1, Limit(100, window)), (f"{key}:tight", 1, Limit(2, window)))
        if tight is not None:
            judge("of limits that allow, tell of the tightest", (tight.allowed, tight.key), (True, f"{key}:tight"))
    for odd in [*KEYS, "", "\0", "x" * 5000, *(call.path for call in calls)]:
        await take((odd, 1, Limit(5, 60.0)), (odd, 1, Limit(5, "minute")))


async def state(plugin: Any, calls: Sequence[Call], report: Report) -> None:
    """Rows are what was written, versions never come back, bounds and times hold, and adding is one step."""
    store = _Asked(plugin, report)
    await _versions(store)
    await _times(store)
    await _numbers(store)
    await _bounds(store)
    await _order(store, [call.path for call in calls])


class _Asked:
    """A store under trial: what it gives, or the kind of error it raises."""

    def __init__(self, plugin: Any, report: Report) -> None:
        self._plugin = plugin
        self._report = report

    async def ask(self, hook: str, *arguments: Any) -> Any:
        """Ask; an error that no store may raise is a violation."""
        try:
            return await bench.call_hook(self._plugin, hook, *arguments)
        except StateError as error:
            return type(error)
        except Exception as error:  # noqa: BLE001 - the plugin's own
            seen = f"raised {type(error).__name__}: {error}"
            self._report.add("contract", hook, seen, "an answer, Conflict, StateRefused or StateError")
            return None

    async def write(
        self,
        key: str,
        data: bytes = b"1",
        version: int | None = None,
        *,
        most: int = 1000,
        now: float = NOW,
        ends: Any = None,
    ) -> Any:
        """Write a row."""
        return await self.ask("write", NAME, key, Row(data, 0, ends), version, most, now)

    async def add(
        self, key: str, amount: int, bound: int | None = None, *, most: int = 1000, now: float = NOW, ends: Any = None
    ) -> Any:
        """Add to a row."""
        return await self.ask("increase", NAME, key, amount, ends, bound, most, now)

    async def read(self, key: str, now: float = NOW) -> Any:
        """Read a row."""
        return await self.ask("read", NAME, key, now)

    async def remove(self, key: str, version: int | None = None) -> Any:
        """Remove a row."""
        return await self.ask("remove", NAME, key, version, NOW)

    async def scan(self, prefix: str = "", after: str = "", limit: int = 1000, now: float = NOW) -> Any:
        """Return the keys of a scan."""
        found = await self.ask("scan", NAME, prefix, after, limit, now)
        try:
            return [key for key, row in found if isinstance(row, Row)]
        except TypeError:
            return found

    async def clear(self) -> None:
        """Remove what a trial has left."""
        for key in await self.scan() or ():
            await self.remove(key)

    def judge(self, hook: str, right: str, seen: object, wanted: object | Callable[[Any], bool]) -> None:
        """Compare."""
        if not (wanted(seen) if callable(wanted) and not isinstance(wanted, type) else seen == wanted):
            shown = "" if callable(wanted) and not isinstance(wanted, type) else f", and {_named(wanted)} is right"
            self._report.add("contract", hook, f"gave {_named(seen)}{shown}", right)


def _named(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


async def _versions(store: _Asked) -> None:
    await store.clear()
    store.judge("read", "None for what is not there", await store.read("v"), None)
    versions = [await store.write("v", b'{"a":1}', 0)]
    row = await store.read("v")
    kept = (row.data, row.version, row.expires) if isinstance(row, Row) else row
    store.judge("read", "the row that was written, with its version", kept, (b'{"a":1}', versions[0], None))
    for wrong in (0, 10**9):
        store.judge("write", "Conflict for another version", await store.write("v", b"2", wrong), Conflict)
    store.judge("remove", "Conflict for another version", await store.remove("v", 10**9), Conflict)
    versions.append(await store.write("v", b"2", versions[0]))
    store.judge("remove", "True for a row that was there", await store.remove("v", versions[-1]), True)
    store.judge("remove", "False for none", await store.remove("v"), False)
    versions.append(await store.write("v", b"3", 0))
    versions.append(await store.write("v", b"3"))
    rises = all(type(each) is int and each > 0 for each in versions) and versions == sorted(set(versions))
    right = "versions that rise with each write of a key, also after it was removed"
    store.judge("write", right, versions, lambda seen: rises)


async def _times(store: _Asked) -> None:
    await store.clear()
    await store.write("t", ends=NOW + 10)
    await store.add("n", 5, ends=NOW + 10)
    await store.add("n", 1, now=NOW + 9, ends=NOW + 99)
    seen = [isinstance(await store.read(key, NOW + 9), Row) for key in "tn"], await store.scan(now=NOW + 9)
    store.judge("read", "a row until its time", seen, ([True, True], ["n", "t"]))
    late = NOW + 10
    seen = [await store.read(key, late) for key in "tn"], await store.scan(now=late)
    store.judge(
        "read", "nothing from its time on, which for a number is that of the first addition", seen, ([None, None], [])
    )
    store.judge("increase", "begin at 0 what has expired", await store.add("n", 1, now=late), 1)
    store.judge(
        "write", "version 0 stands for what has expired, too", await store.write("t", version=0, now=late), _is_int
    )


async def _numbers(store: _Asked) -> None:
    await store.clear()
    store.judge("increase", "0 looks, and begins no row", (await store.add("n", 0), await store.read("n")), (0, None))
    steps = [await store.add("n", amount, bound) for amount, bound in ((3, None), (3, 5), (2, 5), (-1, 1), (0, 1))]
    store.judge("increase", "the new number; None where more than 0 would pass the bound", steps, [3, None, 5, 4, 4])
    together = await asyncio.gather(*(store.add("n", 1, 14) for _ in range(15)))
    numbers = sorted(each for each in together if type(each) is int)
    store.judge("increase", "one step, that no other comes between", numbers, list(range(5, 15)))
    row = await store.read("n")
    store.judge("increase", "keep the number as JSON", row.data if isinstance(row, Row) else row, b"14")
    for data in (b'"14"', b"1.5", b"true", b"[]"):
        await store.write("n", data)
        store.judge("increase", "StateRefused for what is no whole number", await store.add("n", 1), StateRefused)
    await store.write("n", str(2**63 - 1).encode())
    store.judge("increase", "StateRefused for more than 64 bits", await store.add("n", 1), StateRefused)


async def _bounds(store: _Asked) -> None:
    await store.clear()
    for key in "xy":
        await store.write(key, most=2, ends=NOW + 10 if key == "x" else None)
    right = "StateRefused where a new key would be one more than `most`"
    store.judge("write", right, await store.write("z", most=2), StateRefused)
    store.judge("increase", right, await store.add("z", 1, most=2), StateRefused)
    store.judge("write", "write what is there already, however many there are", await store.write("y", most=2), _is_int)
    told = await store.write("z", most=2, now=NOW + 10)
    store.judge("write", "count no row that has expired", told, _is_int)


async def _order(store: _Asked, more: Sequence[str]) -> None:
    await store.clear()
    keys = sorted({*KEYS, *(key for key in more if 0 < len(key) <= 512 and "\0" not in key and key.isprintable())})
    for key in keys:
        await store.write(key)
    await store.ask("write", f"{NAME}-2", "a", Row(b"1"), None, 10, NOW)
    store.judge("scan", "every key of the name, in the order of code points", await store.scan(), keys)
    pages: list[str] = []
    after = ""
    while (page := await store.scan(after=after, limit=3)) and isinstance(page, list) and len(pages) <= len(keys):
        pages += page
        after = page[-1]
    store.judge("scan", "the next page behind the last key of the one before", pages, keys)
    for prefix in ("a", "\uffff", "a'\"%_", "nothing"):
        right = [key for key in keys if key.startswith(prefix)]
        store.judge("scan", "the keys that begin with the prefix", await store.scan(prefix), right)
    await store.ask("remove", f"{NAME}-2", "a", None, NOW)
    await store.clear()


def _is_int(seen: Any) -> bool:
    return type(seen) is int
