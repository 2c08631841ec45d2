"""What other distributions do when an instance is over, in the transaction that closes it.

A distribution names a function under the entry-point group ``hookgate.workflow_watchers``. It is asked when an instance
is about to be closed, and returns what is to be written with that, if anything: either both are on disk or neither is::

    def over(host: Host, instance: Instance) -> Also | None: ...

It is asked again where the journal was away, or where the instance goes on and is closed once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from hookgate import Host

if TYPE_CHECKING:
    from sqlalchemy import Connection

GROUP = "hookgate.workflow_watchers"


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class Also:
    """What is written together with an instance."""

    write: Callable[[Connection], Any]
    """Writes it. What it raises undoes all of the write; it may be called twice."""
    done: Callable[[], None] = _nothing
    """Called when it is on disk."""


Watch = Callable[[Host, Any], Also | None]


def watchers() -> Sequence[Watch]:
    """Return the functions that watch, in the order of their names."""
    points: Any = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return [point.load() for point in points]
