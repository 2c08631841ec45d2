"""Where the steps of contained flows stand in a document: options and the entry they were made of, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hookgate.building import plugins_in
from hookgate.errors import Path
from hookgate.plugin import Plugin


def nested_places(plugin: Plugin[Any], document: Mapping[str, Any], path: Path) -> Iterator[tuple[Plugin[Any], Path]]:
    """Walk over the plugins in the options of one whose entry stands at a path, each with its own place.

    Where disabled entries make positions unsure, the place is that of the list.
    """
    raw: Any = document
    for step in path:
        try:
            raw = raw[step]
        except (LookupError, TypeError):
            return
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((name, options),) = raw.items()
        for inner, place, _, sure in plugins_in(plugin.options, options, (*path, name)):
            if inner is not None:
                yield inner, place
                if sure:
                    yield from nested_places(inner, document, place)
