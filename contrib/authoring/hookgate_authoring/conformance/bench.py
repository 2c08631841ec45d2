"""Where a plugin is tried: a house of its own, one call through a real flow, and what is left afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from inspect import isawaitable
from typing import Any, ClassVar

from hookgate import (
    ConnectFailed,
    Entry,
    Exchange,
    FlowOptions,
    Health,
    Interceptor,
    Plugin,
    Response,
    Target,
)
from hookgate.document import Catalogue, kebab
from hookgate.flow import Flow, finish
from hookgate.gateway import load
from hookgate.testing import Called, TestHost
from hookgate_authoring.conformance.messages import Call
from hookgate_authoring.conformance.watching import in_time, stretch

PATIENCE = 5.0
"""Seconds one call may take: a machine stands still for a moment now and then, and no plugin is to blame for that."""


async def _nobody(called: Called) -> Response:
    raise ConnectFailed(f"{called.method} {called.url}: there is no network here")


class House(TestHost):
    """A host whose clock stands still, which knows no connection and reaches nobody."""

    document: ClassVar[Mapping[str, Any]] = {}
    """What the document says beside the plugin that is tried."""
    latest: ClassVar[House | None] = None
    """The house that was furnished last."""

    def __init__(self) -> None:
        super().__init__(calls=_nobody)
        self.live: Any = None
        self.mounts: list[Any] = []

    def target_changed(self, target: Target, health: Health) -> None:
        """Tell nobody."""

    def connection(self, name: str) -> Any:
        """Know none."""
        raise LookupError(f"there is no connection {name!r}")

    def status(self) -> Mapping[str, Any]:
        """Return as much as an empty gateway has to say."""
        return {"status": "ok", "generation": 1, "draining": [], "in_flight": 0, "problems": [], "connections": {}}


class Interrupted:
    """Awaits a coroutine and cancels the task it runs in when it waits for the n-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], point: int) -> None:
        self._coroutine = coroutine
        self._point = point
        self.reached = False
        self.swallowed = False
        """The coroutine came to an end of its own although it was cancelled."""

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = self._coroutine.__await__()
        sent: Any = None
        count = 0
        thrown: BaseException | None = None
        while True:
            try:
                future = waits.throw(thrown) if thrown is not None else waits.send(sent)
            except StopIteration as stop:
                self.swallowed = self.reached
                return stop.value
            except Exception:
                self.swallowed = self.reached
                raise
            count += 1
            thrown = None
            if count == self._point and (task := asyncio.current_task()) is not None:
                self.reached = True
                task.cancel()
            try:
                sent = yield future
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine
                thrown = error


def installed_as(cls: type[Plugin[Any]]) -> str:
    """Return the name under which a class is installed, or the one that a file of a site's folder would give it."""
    catalogue = Catalogue()
    for name in catalogue.names(cls.family):
        with suppress(LookupError):
            if catalogue.get(cls.family, name) is cls:
                return name
    return kebab(cls.__name__)


def construct(cls: type[Plugin[Any]], options: Mapping[str, Any]) -> Any:
    """Build an instance as the loader does, with an id of its own."""
    from hookgate.testing import build

    return build(cls, **options)


async def call_hook(plugin: Plugin[Any], name: str, *arguments: Any, patience: float = 2 * PATIENCE) -> Any:
    """Call a hook that may be async, if the plugin has it.

    Raises:
        Over: it does not end.
    """
    hook = getattr(plugin, name, None)
    if hook is None:
        return None
    with stretch(name):
        result = hook(*arguments)
    if name in ("startup", "shutdown"):
        patience = 10.0
    return await in_time(result, name, patience) if isawaitable(result) else result


@asynccontextmanager
async def live(cls: type[Plugin[Any]], options: Mapping[str, Any], house: House | None = None) -> AsyncIterator[Any]:
    """Have a started instance for as long as the block lasts."""
    plugin = construct(cls, options)
    async with furnished(house) as around, around.started(plugin):
        yield plugin


@asynccontextmanager
async def furnished(house: House | None = None) -> AsyncIterator[House]:
    """Have a house with the sections of the document that a plugin is tried beside, started."""
    house = house or House()
    House.latest = house
    if not House.document or house.sections:
        yield house
        return
    config = await load({"management": {"enabled": False}, **House.document}, Catalogue())
    house.sections = dict(config.sections)
    async with house.started(*house.sections.values()):
        yield house


def flow_of(*steps: Interceptor[Any]) -> Flow:
    """Compile a flow."""
    for number, step in enumerate(steps):
        if not step.entry.id:
            step.entry = Entry(id=f"step#{number}", name="step", family="interceptor")
    return Flow(FlowOptions.model_construct(None, flow=steps), hook_timeout=PATIENCE)


async def stopped(flow: Flow, call: Call, *, in_body: bool) -> bool:
    """Send a call whose client goes away, before the head of the answer or before its body; tell if it got that far."""
    exchange = call.exchange()
    reached = asyncio.Event()

    async def backend(exchange: Exchange) -> Response:
        reached.set()
        if not in_body:
            await asyncio.get_running_loop().create_future()
        return call.response()

    task = asyncio.ensure_future(flow.run(exchange, backend))
    waiting = asyncio.ensure_future(reached.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    if in_body:
        await asyncio.wait({task}, timeout=PATIENCE)
    task.cancel()
    waiting.cancel()
    await asyncio.gather(task, waiting, return_exceptions=True)
    if exchange.response is not None:
        await exchange.response.body.close()
    finish(exchange, "aborted")
    return reached.is_set()


async def left_over(before: set[asyncio.Task[Any]]) -> list[str]:
    """Return the names of tasks that were not there before and do not end soon; they are cancelled then."""
    for turn in range(30):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return []
        await asyncio.sleep(0 if turn < 20 else 0.01)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return [getattr(task.get_coro(), "__qualname__", task.get_name()) for task in left]


def kept(plugin: Plugin[Any]) -> dict[str, int]:
    """Return the sizes of what an instance holds: lengths of its containers, taken locks, used semaphores, numbers."""
    package = type(plugin).__module__.partition(".")[0]
    sizes: dict[str, int] = {}

    def look(path: str, value: object, depth: int) -> None:
        if isinstance(value, asyncio.Lock):
            sizes[f"{path} (lock)"] = int(value.locked())
        elif isinstance(value, asyncio.Semaphore | threading.Semaphore):
            sizes[f"{path} (semaphore)"] = -value._value
        elif isinstance(value, bool):
            return
        elif isinstance(value, int):
            sizes[f"{path} (number)"] = value
        elif getattr(value, "maxlen", None) is None and isinstance(value, list | dict | set | bytearray):
            sizes[path] = len(value)
            if depth and isinstance(value, dict):
                for key, inner in list(value.items())[:50]:
                    look(f"{path}[{key!r}]", inner, depth - 1)
        elif type(value).__module__.partition(".")[0] == package and depth:
            for name, inner in getattr(value, "__dict__", {}).items():
                look(f"{path}.{name}", inner, depth - 1)

    for name, value in [*vars(type(plugin)).items(), *vars(plugin).items()]:
        if name not in ("options", "entry") and not name.startswith("__"):
            with suppress(Exception):
                look(name, value, 3)
    return sizes
