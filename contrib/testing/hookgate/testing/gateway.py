"""A whole gateway for tests: real listeners on free ports, in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hookgate.contract.clock import Clock
from hookgate.contract.families import Source
from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.plugin import Options
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Document, parse
from hookgate.gateway.gateway import Gateway
from hookgate.server.loop import new_event_loop
from hookgate.server.serve import Server

if TYPE_CHECKING:
    from hookgate.exchange.exchange import Exchange

T = TypeVar("T")

DocumentLike = Mapping[str, Any] | str


class Memory(Source[Options]):
    """Holds the document a test has given."""

    def __init__(self, document: DocumentLike) -> None:
        super().__init__(Options())
        self.document = document

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return the document, on free ports unless it names its own."""
        if isinstance(self.document, str):
            return parse(self.document.encode(), "document.yaml")
        return Document.of(self.document)


class Gate:
    """A running gateway as a test sees it."""

    def __init__(self, source: Source[Any], catalogue: Catalogue | None, clock: Clock | None, *, watch: bool) -> None:
        self.gateway: Gateway
        self.url = ""
        """Where the data path listens, such as ``http://127.0.0.1:49152``."""
        self.urls: list[str] = []
        """The same of every listener, in the order of ``gateway.listen``."""
        self.management = ""
        """Where the management listener is."""
        self.log: list[logging.LogRecord] = []
        """What the house logged."""
        self.finished: list[Exchange] = []
        """Exchanges that are over, in order."""
        self._source = source
        self._catalogue = catalogue
        self._clock = clock
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop
        self._client: Any = None
        self._server: Server
        self._stop: asyncio.Event
        self._changed = threading.Condition()

    @property
    def client(self) -> Any:
        """A keep-alive ``httpx.Client`` on the data path, without redirects."""
        with self._changed:  # calls may come from several threads
            if self._client is None:
                self._client = _blocking_client(self.url)
            return self._client

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the gateway; ``headers=``, ``content=`` and so on as httpx has them. Returns an ``httpx.Response``."""
        return self.client.request(method, path, **arguments)

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the gateway from a coroutine, without holding up its loop; otherwise as :meth:`request`."""
        return await asyncio.to_thread(self.request, method, path, **arguments)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the gateway's own loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def reload(self, document: DocumentLike | None = None) -> int:
        """Put another document live, or read the same again.

        Raises:
            ConfigError: it is bad; the old one stays.
        """
        if document is not None:
            assert isinstance(self._source, Memory)
            self._source.document = _on_free_ports(document)
        number = self.run(self.gateway.reload())
        self._know(self._server)
        return number

    def _know(self, server: Server) -> None:
        """Take note of where it listens."""
        self._server = server
        self.urls = server.urls
        self.url = server.urls[0]
        self.management = server.management_urls[0] if server.management_urls else ""

    def wait_for_exchanges(self, count: int, timeout: float = 60.0) -> list[Exchange]:
        """Wait until so many exchanges are over, observers included, and return all of them.

        Raises:
            TimeoutError: they did not come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.finished) >= count, timeout):
                raise TimeoutError(f"{len(self.finished)} of {count} exchanges are over")
            return list(self.finished)

    def _serve(self, ready: threading.Event, failure: list[BaseException]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            self.gateway = Gateway(self._source, self._catalogue, self._clock)
            end = self.gateway.end

            def noted(exchange: Exchange, outcome: Any) -> None:
                end(exchange, outcome)
                with self._changed:
                    self.finished.append(exchange)
                    self._changed.notify_all()

            self.gateway.end = noted  # type: ignore[method-assign]
            async with Server(self.gateway, watch=self._watch, at_once=True) as server:
                self._know(server)
                ready.set()
                await self._stop.wait()

        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001
            failure.append(error)
        finally:
            ready.set()


class _Recorder(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        self.records.append(record)


class Running:
    """What :func:`running` returns: a context manager for ``with`` and for ``async with``."""

    def __init__(self, context: AbstractContextManager[Gate]) -> None:
        self._context = context

    def __enter__(self) -> Gate:
        return self._context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    async def __aenter__(self) -> Gate:
        return await asyncio.to_thread(self._context.__enter__)

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self._context.__exit__, *error)


def running(
    document: DocumentLike | Path,
    *,
    catalogue: Catalogue | None = None,
    plugins_dir: Path | None = None,
    clock: Clock | None = None,
) -> Running:
    """Run a gateway for as long as the block lasts: real sockets on free ports, in a thread of its own.

    ``document`` is a mapping, YAML text, or the path of a file, which is then followed as in production. Where it says
    where to listen, the gateway listens there. For ``with`` and, in a test that is a coroutine, ``async with``.

    Raises:
        ConfigError: the document is bad; raised where the block begins.
    """
    return Running(_running(document, catalogue, plugins_dir, clock))


@contextmanager
def _running(
    document: DocumentLike | Path,
    catalogue: Catalogue | None,
    plugins_dir: Path | None,
    clock: Clock | None,
) -> Iterator[Gate]:
    if plugins_dir is not None:
        catalogue = Catalogue(plugins_dir)
    source: Source[Any]
    if isinstance(document, Path):
        from hookgate.server.starting import gateway_for

        source = gateway_for(document).source
        _put_on_free_ports(source)
    else:
        source = Memory(_on_free_ports(document))
    gate = Gate(source, catalogue, clock, watch=isinstance(document, Path))
    ready = threading.Event()
    failure: list[BaseException] = []
    recorder = _Recorder(gate.log)
    house = logging.getLogger("hookgate")
    house.addHandler(recorder)
    thread = threading.Thread(target=gate._serve, args=(ready, failure), name="gateway", daemon=True)
    thread.start()
    try:
        ready.wait(60)
        if failure:
            raise failure[0]
        yield gate
    finally:
        if gate._client is not None:
            gate._client.close()
        with suppress(AttributeError, RuntimeError):
            gate._loop.call_soon_threadsafe(gate._stop.set)
        thread.join(60)
        house.removeHandler(recorder)
    if failure:
        raise failure[0]


def _blocking_client(base_url: str) -> Any:
    """Make a keep-alive client for tests that are not ``async``, without redirects and without proxies."""
    import httpx  # a quarter of a second, which tests that call no gateway are spared

    return httpx.Client(base_url=base_url, timeout=60.0, trust_env=False)


def _put_on_free_ports(source: Source[Any]) -> None:
    """Have the documents that a source reads listen on free loopback ports unless they say where; positions stay."""
    read = source.read

    async def on_free_ports() -> Mapping[str, Any] | None:
        found = read()
        document = await found if isinstance(found, Awaitable) else found
        if isinstance(document, Document):
            for name in ("gateway", "management"):
                if isinstance(said := document.get(name) or {}, Mapping):
                    document.value = {**document.value, name: {"listen": ["127.0.0.1:0"], **said}}
        return document

    source.read = on_free_ports  # type: ignore[method-assign]


def _on_free_ports(document: DocumentLike) -> DocumentLike:
    """Have a document listen on free loopback ports unless it says where. A text that says it keeps its positions."""
    if isinstance(document, str):
        parsed = parse(document.encode(), "document.yaml")
        if all("listen" in (parsed.get(name) or {}) for name in ("gateway", "management")):
            return document
        document = dict(parsed)
    gateway = {"listen": ["127.0.0.1:0"], **(document.get("gateway") or {})}
    management = {"listen": ["127.0.0.1:0"], **(document.get("management") or {})}
    return {**document, "gateway": gateway, "management": management}
