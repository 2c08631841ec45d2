"""The document that is being brought up, for whoever asks within a ``startup``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookgate.gateway.configuration import Configuration


class _Coming:
    """A place that is emptied when it is over: tasks that were begun meanwhile have copies of the variable."""

    __slots__ = ("config",)

    def __init__(self, config: Configuration) -> None:
        self.config: Configuration | None = config


_COMING: ContextVar[_Coming | None] = ContextVar("hookgate_coming", default=None)


def coming() -> Configuration | None:
    """Return the document that is being brought up; ``None`` outside of that."""
    found = _COMING.get()
    return None if found is None else found.config


@contextmanager
def brings_up(config: Configuration) -> Iterator[None]:
    """Have :func:`coming` return a document for whatever is called within."""
    mine = _Coming(config)
    token = _COMING.set(mine)
    try:
        yield
    finally:
        mine.config = None
        _COMING.reset(token)
