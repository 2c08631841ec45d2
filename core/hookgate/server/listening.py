"""Which addresses are listened on, and how: as the document that is live says, also after a reload.

A socket stays open for as long as documents name its address, whoever serves it, so that no connection is lost where
only that changes. Who serves it has a duplicate to close. Connections that are open go on, also where nobody listens
any more.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hookgate.exchange.errors import ConfigError, MachineError, Problem
from hookgate.server.acceptor import Acceptor
from hookgate.server.certificates import Certificates
from hookgate.server.listeners import BACKLOG, listen, url_of

if TYPE_CHECKING:
    from hookgate.gateway.gateway import Gateway
    from hookgate.gateway.generation import Generation
    from hookgate.server.edge.handover import HandOver
    from hookgate.server.reception import Reception


class _How(NamedTuple):
    """Who serves an address."""

    management: bool = False
    encrypted: bool = False
    proxied: bool | Literal["required"] = False


class _Key(NamedTuple):
    """A socket: of port 0 there may be several, and those for management stay apart."""

    address: str
    number: int
    management: bool


class Listeners:
    """The listeners of a gateway. What a document says is prepared before it goes live, and can then be applied."""

    def __init__(self, gateway: Gateway, reception: Reception, pages: HandOver) -> None:
        self.certificates: Certificates | None = None
        """Those of listeners with TLS, if there are any."""
        self._gateway = gateway
        self._reception = reception
        self._pages = pages
        """Serves the connections of the management listener."""
        self._open: dict[_Key, socket.socket] = {}
        self._serving: dict[_Key, tuple[_How, Callable[[], Awaitable[None]]]] = {}
        self._following: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """Where the data path listens, in the order of the document."""
        return self._urls(management=False)

    @property
    def management_urls(self) -> list[str]:
        """Where the management listener is."""
        return self._urls(management=True)

    def _urls(self, *, management: bool) -> list[str]:
        wanted = {} if self._gateway.live is None else _wanted(self._gateway.live)
        return [
            url_of(self._open[key], "https" if how.encrypted else "http")
            for key, how in wanted.items()
            if how.management is management and key in self._open
        ]

    async def prepare(self, generation: Generation) -> None:
        """Open what is not open yet and read the first certificates; what serves now stays as it is.

        Raises:
            MachineError: an address cannot be listened on, and nothing serves yet.
            ConfigError: it cannot, and a document is live that stays; or the certificates cannot be read, though a
                moment ago they could.
        """
        tls, wanted = generation.config.gateway.tls, _wanted(generation)
        if tls is not None and self.certificates is None:
            try:
                self.certificates = await asyncio.to_thread(Certificates, tls)
            except ValueError as error:
                raise ConfigError([Problem(("gateway", "tls"), str(error))]) from error
        leaving = [opened for key, opened in self._open.items() if key not in wanted]
        try:
            for key in [key for key in wanted if key not in self._open]:
                self._open[key] = await asyncio.to_thread(listen, key.address, leaving)
        except BaseException as error:
            self._close(self._open.keys() - self._serving.keys())
            if isinstance(error, MachineError) and self._serving:
                place = ("management" if wanted[key].management else "gateway", "listen")
                raise ConfigError([Problem(place, str(error), outside=True)]) from error
            raise

    async def apply(self, generation: Generation) -> None:
        """Go over to a document that is live."""
        wanted, tls = _wanted(generation), generation.config.gateway.tls
        if self.certificates is not None:
            await self.certificates.apply(generation)
        for key, (how, stop) in list(self._serving.items()):
            if wanted.get(key) != how:
                del self._serving[key]
                await stop()
        self._close(self._open.keys() - wanted.keys())
        for key, how in wanted.items():
            if key not in self._serving:
                self._serving[key] = how, await self._serve(key, how)
        if tls is None and self._following is not None:
            self._following.cancel()
            self.certificates = self._following = None
        elif self.certificates is not None and self._following is None:
            self._following = self._gateway.start("certificates", self.certificates.follow())

    async def _serve(self, key: _Key, how: _How) -> Callable[[], Awaitable[None]]:
        """Have a duplicate of a socket served; return what ends that."""
        opened = self._open[key].dup()
        if how.management or not (how.encrypted or how.proxied):
            if how.management:
                server = await asyncio.start_server(self._pages.serve, sock=opened)
            else:
                server = await asyncio.get_running_loop().create_server(self._reception, sock=opened, backlog=BACKLOG)

            async def stop() -> None:
                server.close()

            return stop
        context = self.certificates.context if self.certificates is not None and how.encrypted else None
        acceptor = Acceptor(opened, self._gateway, self._reception, context=context, proxied=how.proxied)
        acceptor.start()
        return acceptor.close

    async def close(self, *, management: bool) -> None:
        """Accept no more calls, or nothing for management any more."""
        for key, (how, stop) in list(self._serving.items()):
            if how.management is management:
                del self._serving[key]
                await stop()
                self._close([key])

    def _close(self, keys: Any) -> None:
        for key in list(keys):
            self._open.pop(key).close()


def _wanted(generation: Generation) -> dict[_Key, _How]:
    """Return what a document wants to be listened on, in its order."""
    gateway, management = generation.config.gateway, generation.config.management
    said = [
        (each.removeprefix("https://"), _How(False, each.startswith("https://"), gateway.proxy_protocol))
        for each in gateway.listen
    ]
    said += [(each, _How(management=True)) for each in (management.listen if management.enabled else ())]
    numbers: Counter[tuple[str, bool]] = Counter()
    wanted: dict[_Key, _How] = {}
    for address, how in said:
        apart = how.management and address.endswith(":0")
        numbers[address, apart] += 1
        wanted[_Key(address, numbers[address, apart], apart)] = how
    return wanted
