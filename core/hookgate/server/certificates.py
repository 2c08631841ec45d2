"""The certificates of the listeners while these listen: replaced with a document, or when their files change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookgate.gateway.listenertls import facts
from hookgate.server.tls import TlsContexts

if TYPE_CHECKING:
    import ssl

    from hookgate.exchange.errors import Problem
    from hookgate.gateway.generation import Generation
    from hookgate.gateway.listenertls import TlsSection

EVERY = 3.0
"""Seconds between two looks at the files."""


class Certificates:
    """Keeps what is offered in TLS up to date. What cannot be used is logged, and what was in force stays so."""

    def __init__(self, section: TlsSection) -> None:
        """Read the files.

        Raises:
            ValueError: they cannot be used; the text says what to do.
        """
        self._contexts = TlsContexts(section)
        self._reading = asyncio.Lock()
        self.ends = _ends(section)
        """When each expires, in Unix time, by host name or, where it has none, by file."""
        self.problems: list[Problem] = []
        """What was wrong with the files when they were last read."""

    @property
    def context(self) -> ssl.SSLContext:
        """The one context of all listeners, for as long as they listen."""
        return self._contexts.context

    async def apply(self, generation: Generation) -> None:
        """Go over to what another document says, for connections to come. Without TLS in it, all stays as it was."""
        section = generation.config.gateway.tls
        if section is not None and section != self._contexts.section:
            await self._read(section)

    async def follow(self) -> None:
        """Look at the files again and again; never returns."""
        while True:
            await asyncio.sleep(EVERY)
            if await asyncio.to_thread(self._contexts.changed):
                await self._read(None)

    async def _read(self, section: TlsSection | None) -> None:
        async with self._reading:
            self.problems = await asyncio.to_thread(self._contexts.reload, section)
            if not self.problems:
                self.ends = await asyncio.to_thread(_ends, self._contexts.section)


def _ends(section: TlsSection) -> dict[str, int]:
    known = [(each, facts(each)) for each in section.certificates]
    return {
        name: told.not_after for each, told in known for name in each.hosts or told.hosts or (each.certificate.name,)
    }
