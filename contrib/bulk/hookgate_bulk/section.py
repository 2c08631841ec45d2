"""The sections: ``bulk_actions``, and ``bulk_engine``, which starts rows and is there without being written.

The second is always there, so it imports what needs a store only where there are workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hookgate import Duration, Host, Item, Options, Route, Section, Site, Ways, hookimpl

if TYPE_CHECKING:
    from hookgate_bulk.driving import Driver


class BulkEngineSection(Options):
    """How bulks are kept, and looked for."""

    poll: Duration = Field(default=1.0, ge=0.05, le=60)
    """Seconds between two looks for bulks that another process has left."""
    keep: Duration = Field(default=90 * 86_400.0, ge=60)
    """Seconds that bulks are kept after they are over."""


class BulkEngine(Section[BulkEngineSection]):
    """Starts rows. It is there unwritten."""

    shape, kind = "record", "bulk engine"

    def __init__(self, items: Sequence[Item[BulkEngineSection]] = ()) -> None:
        super().__init__(items)
        self._driver: Driver | None = None
        self._host: Host | None = None

    @property
    def driver(self) -> Driver:
        """What starts rows.

        Raises:
            JournalAway: there are no workflows here, so none is started.
        """
        if self._driver is None:
            from hookgate_workflows import JournalAway

            raise JournalAway("there are neither workflows nor bulk actions here")
        return self._driver

    def poke(self, bulk: int | None = None) -> None:
        """Look at once: at a bulk, or for new ones."""
        if self._driver is not None:
            self._driver.poke(bulk)

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes to bulks, where there are custom routes that take them."""
        custom: Any = site.section("custom_routes")
        engine: Any = site.section("workflow_engine")
        if custom is None or engine is None or not any(each.record.bulk is not None for each in custom.items):
            return
        entries, path = engine.auth(site)
        if not entries:
            return
        made = [(index, site.step(entry, (*path, index), "bulk_engine")) for index, entry in enumerate(entries)]
        steps = tuple((f"auth/{index}", step) for index, step in made if step is not None)
        from hookgate_bulk.looking import ShowBulk

        step = ShowBulk()
        site.adopt(step, ("bulk_engine",))
        place = f"{engine.record.prefix}/bulks/{{id}}"
        written = {"name": "workflow bulks", "match": {"path": [place, f"{place}/rows"], "methods": ["GET"]}}
        ways = Ways((*steps, ("bulks", step)), steps)
        yield site.route(written, ("bulk_engine",), {}, steps=ways)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to start rows, if there can be any."""
        self._host = host
        if not any(_has(host, name) for name in ("workflows", "bulk_actions")) or not _stores(host):
            return
        from hookgate_bulk.driving import Driver
        from hookgate_bulk.retention import in_background

        self._driver = Driver(host, self.record.poll)
        host.start("rows of bulks", self._driver.run())
        host.start("old bulks", in_background(host, self._driver, self.record.keep))

    @hookimpl
    async def shutdown(self) -> None:
        """Let go of what is held."""
        if self._driver is not None:
            await self._driver.release()

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what is driven."""
        return None if self._driver is None else self._driver.health()


def _has(host: Host, name: str) -> bool:
    try:
        return bool(host.section(name).items)
    except LookupError:
        return False


def _stores(host: Host) -> bool:
    try:
        section: Any = host.section("storage")
    except LookupError:
        return False
    return section.store is not None
