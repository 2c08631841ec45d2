"""The section ``schedules``: workflows that are started by the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookgate import Host, Item, Problem, Section, Site, hookimpl
from hookgate_schedules.records import ScheduleSection
from hookgate_schedules.starting import Starter
from hookgate_workflows import unheld


class Schedules(Section[ScheduleSection]):
    """Workflows that are started by the clock, by name."""

    def __init__(self, items: Sequence[Item[ScheduleSection]] = ()) -> None:
        super().__init__(items)
        self.schedules: Mapping[str, ScheduleSection] = {item.name: item.record for item in self.items}
        self._starter: Starter | None = None

    @property
    def starter(self) -> Starter:
        """What starts them; there once the gateway has started."""
        assert self._starter is not None
        return self._starter

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell workflows that are not there, with nothing else of their kind."""
        yield from unheld(site, self.items, workflow="workflows")

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to look at the clock."""
        self._starter = Starter(host, self.schedules)
        if self.items:
            host.start("what is due", self._starter.run())

    @hookimpl
    def health(self) -> Mapping[str, Any]:
        """Say how many there are."""
        told: dict[str, Any] = {"schedules": len(self.items)}
        trouble = "" if self._starter is None else self._starter.trouble
        return told | {"problems": [f"schedules are not looked at: {trouble}"]} if trouble else told
