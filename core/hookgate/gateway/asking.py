"""Asking sections for what they add, while calls are served: a section that hangs holds up nobody.

Hooks of sections are plain functions by whoever wrote them. They run in a thread of their own, some milliseconds at a
time, and only while the loader waits for them, so that nothing they touch is used twice at once. A hook that does not
come back in time is left behind, and its document is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import queue
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from hookgate.contract.section import Item, Section
from hookgate.document.sitefolder import SITE_PREFIX
from hookgate.exchange.errors import ConfigError, Problem, outside

log = logging.getLogger("hookgate")

TURN = 0.01
"""Seconds for which a generator is asked before others get a turn."""
BREATHS = 10
"""Times the patience with a hook after which one that gives nothing but breaths is endless."""

ResultT = TypeVar("ResultT")
SectionT = TypeVar("SectionT", bound=Section[Any])


class Nonsense(Exception):
    """A hook gave what it never should; the text says what."""


class Hung(Exception):
    """What was asked for did not come in time."""


class Worker:
    """A thread that does one thing after the other, and can be left behind."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def do(self, job: Callable[[], ResultT], patience: float) -> ResultT:
        """Have the thread do something, and wait for it at most so many seconds.

        Raises:
            Hung: it takes longer. The thread is left behind, and ended as soon as it runs Python again.
            Exception: what the job raises.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[ResultT] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if not done.done():
                done.set_result(result) if error is None else done.set_exception(error)

        def run() -> None:
            result: Any = None
            error: Exception | None = None
            try:
                result = job()
            except StopIteration as stop:  # cannot be set on a future
                error = RuntimeError(f"raised {stop!r}")
            except BaseException as raised:  # noqa: BLE001 - sys.exit in a hook is a mistake of the hook
                error = raised if isinstance(raised, Exception) else RuntimeError(f"raised {raised!r}")
            with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits any more
                loop.call_soon_threadsafe(tell, result, error)

        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name="hookgate sections", daemon=True)
            self._thread.start()
        self._jobs.put(run)
        try:
            async with asyncio.timeout(patience):
                return await done
        except TimeoutError:
            if done.done() and not done.cancelled():
                return done.result()  # it came at the last moment, or raises this itself
            self._leave()
            raise Hung from None
        except asyncio.CancelledError:
            self._leave()
            raise

    def _leave(self) -> None:
        """Give up on the thread. One that runs in circles gets an exception; one that sleeps gets it when it wakes."""
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        self._jobs = queue.SimpleQueue()
        if thread is not None and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))

    def close(self) -> None:
        """Let the thread end."""
        self._jobs.put(None)
        self._thread = None


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    with contextlib.suppress(SystemExit):  # it was left behind
        while (job := jobs.get()) is not None:
            job()


class Asking:
    """Asks the sections of one document. What goes wrong in a hook is a mistake in its section, and hides no other."""

    def __init__(self, problems: list[Problem], patience: float, hide: Callable[[str], str] = str) -> None:
        self.patience = patience
        """Seconds that a hook may take without giving anything."""
        self._problems = problems
        self._hide = hide
        """Takes what references were resolved to out of what is logged."""
        self._worker = Worker()

    async def make(self, name: str, cls: type[SectionT], items: Sequence[Item[Any]]) -> SectionT | None:
        """Make a section of its items; ``None`` for one whose constructor fails.

        Raises:
            ConfigError: the constructor says what is wrong.
        """
        async with self._told(name, _named(cls)):
            return await self._worker.do(lambda: cls(items), self.patience)
        return None

    async def one(self, section: Section[Any], hook: str, *arguments: Any) -> Any:
        """Ask a hook for its one result, a function or nothing; ``None`` for a hook that fails, too."""
        method, before = _hook(section, hook), _state(section)
        if method is not None:
            async with self._told(section.entry.name, _named(type(section), hook)):
                found = await self._worker.do(lambda: method(*arguments), self.patience)
                if found is not None and not callable(found):
                    raise Nonsense(f"gives {_article(type(found).__name__)}, where a function should be")
                _compare(section, before)
                return found
        return None

    async def each(self, section: Section[Any], hook: str, wanted: type, *arguments: Any) -> AsyncIterator[Any]:
        """Ask a hook for all it gives, one after the other, if the section has it. ``None`` in between is a breath.

        Calls are served meanwhile. What is not of the kind that is wanted is refused.
        """
        method, before = _hook(section, hook), _state(section)
        if method is None:
            return
        async with self._told(section.entry.name, _named(type(section), hook)):
            given: Iterator[Any] = await self._worker.do(lambda: _begun(method(*arguments)), self.patience)
            more, useful = True, time.monotonic()
            while more:
                found, more = await self._worker.do(lambda: _turn(given), self.patience)
                for each in found:
                    if each is not None and not isinstance(each, wanted):
                        raise Nonsense(f"gives {_said(each)}, where {_article(wanted.__name__)} should be")
                    if each is not None:
                        useful = time.monotonic()
                        yield each
                if time.monotonic() - useful > self.patience * BREATHS:
                    raise Hung
            _compare(section, before)

    @contextlib.asynccontextmanager
    async def _told(self, name: str, where: str) -> AsyncIterator[None]:
        """Tell what goes wrong as a mistake in a section."""
        try:
            yield
        except ConfigError:
            raise
        except Hung:
            self._refuse(name, where, f"does not come to an end within {self.patience:g} s")
        except Nonsense as nonsense:
            self._refuse(name, where, str(nonsense))
        except Exception as error:  # noqa: BLE001 - another distribution's code may raise anything
            if not (fails := outside(error)):
                trace = self._hide("".join(traceback.format_exception(error)))
                log.error("%s of the section %s failed\n%s", where, name, trace)  # noqa: TRY400 - its secrets are hidden
            self._refuse(name, where, f"raised {type(error).__name__}: {error}", fails)

    def _refuse(self, name: str, where: str, why: str, fails: bool = False) -> None:
        text = self._hide(f"cannot be used: {where} {why}")
        self._problems.append(Problem((name,), text, at_key=True, outside=fails))

    def close(self) -> None:
        """Let go of the thread."""
        self._worker.close()


def _compare(section: Section[Any], before: dict[str, Any]) -> None:
    """Refuse a section that has kept something: it may serve already, and this document may still be refused.

    Raises:
        Nonsense: the text names what it has kept.
    """
    after = _state(section)
    kept = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if kept:
        raise Nonsense(
            f"keeps state in self.{kept[0]}: a hook returns what it makes, and only the constructor keeps anything"
        )


def _begun(result: Any) -> Iterator[Any]:
    if result is not None and (isinstance(result, str | bytes) or not isinstance(result, Iterable)):
        raise Nonsense(f"gives {_said(result)}, where a list or a generator should be")
    return iter(() if result is None else result)


def _named(cls: type, hook: str = "") -> str:
    module = cls.__module__
    if module.startswith(SITE_PREFIX):  # a file of the site's folder, whose module has a name of the loader's
        module = f"{module.rpartition('.')[2]}.py:"
    return f"{module}{'' if module.endswith(':') else '.'}{cls.__qualname__}" + (f".{hook}" if hook else "")


def _hook(section: Section[Any], hook: str) -> Any:
    """Find a hook; none where the one record of a section has mistakes and no defaults to go on with."""
    method = getattr(section, hook, None)
    has_record = section.shape != "record" or section.items or _has_defaults(section.options_type)
    return method if has_record else None


@lru_cache(256)
def _has_defaults(record: type[Any]) -> bool:
    try:
        record()
    except ValidationError:
        return False
    return True


def _turn(given: Iterator[Any]) -> tuple[list[Any], bool]:
    """Take from an iterator for as long as a turn is; also return whether there may be more."""
    found: list[Any] = []
    until = time.monotonic() + TURN
    for each in given:
        found.append(each)
        if time.monotonic() > until:
            return found, True
    return found, False


def _state(section: Section[Any]) -> dict[str, Any]:
    """What an instance holds: which objects, and what is in its lists, sets and mappings."""
    return {name: (id(value), _content(value)) for name, value in vars(section).items()}


def _content(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((id(key), id(item)) for key, item in value.items())
    return tuple(map(id, value)) if isinstance(value, list | set) else None


def _said(value: Any) -> str:
    return f"{_article(type(value).__name__)} ({str(value)[:60]!r})"


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
