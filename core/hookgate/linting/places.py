"""Where the steps of contained flows stand in a document: options and the entry they were made of, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

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
    yield from _in_entry(plugin, raw, path)


def _in_entry(plugin: Plugin[Any], raw: object, path: Path) -> Iterator[tuple[Plugin[Any], Path]]:
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((name, options),) = raw.items()
        yield from _inside(plugin.options, options, (*path, name))


def _inside(value: object, raw: object, path: Path) -> Iterator[tuple[Plugin[Any], Path]]:
    if isinstance(value, Plugin):
        yield value, path
        yield from _in_entry(value, raw, path)
    elif isinstance(value, BaseModel) and isinstance(raw, Mapping):
        for name, field in type(value).model_fields.items():
            key = field.alias if field.alias is not None and field.alias in raw else name
            if key in raw and name in value.__dict__:
                yield from _inside(value.__dict__[name], raw[key], (*path, key))
    elif isinstance(value, Mapping) and isinstance(raw, Mapping):
        for key, item in value.items():
            if key in raw:
                yield from _inside(item, raw[key], (*path, key))
    elif isinstance(value, list | tuple) and isinstance(raw, list | tuple):
        places = [index for index, entry in enumerate(raw) if not _is_disabled(entry)]
        sure = len(places) == len(value)
        for number, item in enumerate(value):
            if sure:
                yield from _inside(item, raw[places[number]], (*path, places[number]))
            elif isinstance(item, Plugin):
                yield item, path


def _is_disabled(entry: object) -> bool:
    if isinstance(entry, Mapping) and len(entry) == 1:
        (options,) = entry.values()
        host = options.get("_") if isinstance(options, Mapping) else None
        return isinstance(host, Mapping) and host.get("disabled") is True
    return False
