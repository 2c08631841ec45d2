"""What a check leaves behind. A document of ten thousand routes goes in one instruction of Python, in which no call is
served; so its pieces are held until what contains them is gone, and then let go of one after another, in a thread.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hookgate.document import Kept
from hookgate.gateway import Configuration
from hookgate_storage import Merged


class Spent:
    """Pieces of checks that are over, or soon will be."""

    def __init__(self) -> None:
        self._pieces: list[Any] = []

    def add(self, merged: Merged, config: Configuration | None, kept: Kept | None) -> None:
        """Hold the pieces of a check, and the records that it was made with, which are kept no longer."""
        self._pieces += merged.places.items()
        for section in merged.document.value.values():
            if isinstance(section, list | dict):
                self._pieces += section.values() if isinstance(section, dict) else section
        self._pieces += () if config is None else config.pieces()
        self._pieces += () if kept is None else kept.records.values()

    async def let_go(self) -> None:
        """Let go of all that is held."""
        pieces, self._pieces = self._pieces, []
        await asyncio.to_thread(_let_go, pieces)


def _let_go(pieces: list[Any]) -> None:
    while pieces:
        pieces.pop()
