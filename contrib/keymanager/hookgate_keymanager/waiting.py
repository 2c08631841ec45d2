"""Waiting within what Authlib does: it is synchronous, and runs in a greenlet (:meth:`Server.run`)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy.util import await_only

ValueT = TypeVar("ValueT")


def wait(coroutine: Coroutine[Any, Any, ValueT]) -> ValueT:
    """Wait, within what a server runs."""
    found: ValueT = await_only(coroutine)
    return found
