"""Startup and shutdown: what is opened is let go of."""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
import weakref
from collections.abc import Coroutine, Mapping
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from hookgate import Plugin, Pool, Transport
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.report import Report

RELOADS = 20
ENDING = 2.0
"""Seconds that a thread may take to end, once nobody needs it."""


class Ruins(bench.House):
    """A host on which nothing works."""

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        """Fail."""
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError(f"host.{name} fails on purpose")


def check(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    """Whole and failed lifecycles leave no tasks, threads, files or sockets, and shutdown never raises."""
    if not (hasattr(cls, "startup") or hasattr(cls, "shutdown")):
        return
    for name, cycle in (
        ("startup and shutdown", _whole),
        ("a failed startup", _failed),
        ("a cancelled startup", _cancelled),
    ):
        threads, opened = set(threading.enumerate()), _open()
        asyncio.run(cycle(cls, options, report))
        if left := [thread.name for thread in threading.enumerate() if thread not in threads and _stays(thread)]:
            report.add("lifecycle", name, f"leaves threads: {', '.join(left)}", "end and join them in shutdown")
        if open_still := _open() - opened:
            report.add("lifecycle", name, f"leaves open: {', '.join(sorted(open_still))}", "close them in shutdown")


def _stays(thread: threading.Thread) -> bool:
    """Whether a thread is there to stay: one that was told to end, such as that of core which asks sections, may take a
    moment on a busy machine."""
    thread.join(ENDING)
    return thread.is_alive()


def leaks(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    """After many reloads as much is there as after a few."""
    alive: list[weakref.ref[Plugin[Any]]] = []
    tasks: list[str] = []

    async def reloads(times: int) -> None:
        before = asyncio.all_tasks()
        for _ in range(times):
            async with bench.live(cls, options) as plugin:
                alive.append(weakref.ref(plugin))
            del plugin
        tasks.extend(await bench.left_over(before))

    if cls.family in ("section", "command"):
        return
    asyncio.run(reloads(2))
    alive.clear()
    tasks.clear()
    threads, descriptors = threading.active_count(), _descriptors()
    asyncio.run(reloads(RELOADS))
    gc.collect()
    many = RELOADS // 2
    found = {
        "tasks": (len(tasks), "begin tasks with host.start, or cancel and await them in shutdown"),
        "threads": (threading.active_count() - threads, "end and join threads in shutdown"),
        "open files and sockets": (_descriptors() - descriptors, "close them in shutdown"),
        "instances": (
            sum(each() is not None for each in alive),
            "take out in shutdown what you have put into a module, a class or a registry",
        ),
    }
    for what, (number, right) in found.items():
        if number >= many:
            report.add("leaks", what, f"{number} are left after {RELOADS} reloads", right)


async def _whole(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    tasks = asyncio.all_tasks()
    plugin = _built(cls, options)
    async with bench.furnished() as house:
        try:
            await bench.call_hook(plugin, "startup", house)
        except Exception as error:  # noqa: BLE001 - the plugin's own
            report.add("lifecycle", "startup", f"raised {type(error).__name__}: {error}", "start with these options")
        await _ended(house)
        await _shut_down(plugin, "shutdown", report)
        await _shut_down(plugin, "a second shutdown", report)
    await _no_tasks(tasks, "startup and shutdown", report)


async def _failed(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    tasks = asyncio.all_tasks()
    await _shut_down(_built(cls, options), "shutdown without a startup", report)
    plugin = _built(cls, options)
    await asyncio.gather(_started(plugin, Ruins()), return_exceptions=True)
    await _shut_down(plugin, "shutdown after a failed startup", report)
    await _no_tasks(tasks, "a failed startup", report)


async def _cancelled(cls: type[Plugin[Any]], options: Mapping[str, Any], report: Report) -> None:
    if not iscoroutinefunction(getattr(cls, "startup", None)):
        return
    tasks = asyncio.all_tasks()
    for point in range(1, 5):
        plugin = _built(cls, options)
        async with bench.furnished() as house:
            run = bench.Interrupted(_started(plugin, house), point)
            await asyncio.gather(_awaited(run), return_exceptions=True)
            await _ended(house)
            await _shut_down(plugin, "shutdown after a cancelled startup", report)
        if not run.reached:
            break
    await _no_tasks(tasks, "a cancelled startup", report)


def _built(cls: type[Plugin[Any]], options: Mapping[str, Any]) -> Any:
    plugin = bench.construct(cls, options)
    if isinstance(plugin, Transport):
        plugin.configure(Pool("conformance"))
    return plugin


def _started(plugin: Plugin[Any], host: Any) -> Coroutine[Any, Any, Any]:
    return bench.call_hook(plugin, "startup", host)


async def _ended(house: bench.House) -> None:
    """End what was begun through a host, as a gateway does before shutdown."""
    for task in house.tasks:
        task.cancel()
    await asyncio.gather(*house.tasks, return_exceptions=True)


async def _awaited(run: bench.Interrupted) -> None:
    await run


async def _shut_down(plugin: Plugin[Any], where: str, report: Report) -> None:
    try:
        await asyncio.wait_for(bench.call_hook(plugin, "shutdown"), 10)
    except Exception as error:  # noqa: BLE001 - the plugin's own
        report.add(
            "lifecycle",
            where,
            f"raised {type(error).__name__}: {error}",
            "let go of what is there, and of nothing else",
        )


async def _no_tasks(before: set[asyncio.Task[Any]], where: str, report: Report) -> None:
    if left := await bench.left_over(before):
        report.add("lifecycle", where, f"leaves tasks: {', '.join(left)}", "cancel and await them in shutdown")


def _descriptors() -> int:
    """Return how many files and sockets this process has open, as far as the system tells."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 0


def _open() -> set[str]:
    """Return open files and sockets of this process, as far as psutil is there to tell."""
    try:
        process = importlib.import_module("psutil").Process()
    except ModuleNotFoundError:
        return set()
    files = {f"{file.path} ({file.fd})" for file in process.open_files()}
    return files | {f"socket {socket.laddr} ({socket.fd})" for socket in process.net_connections("inet")}
