"""What the JSON Schema of the document says of a value: every form that it may have, with all alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
OPTIONS_OF = "x-hookgate-options-of"
"""Says of a mapping that it has options of some plugin of a family, and nobody sees which one."""
MOST_KNOWN = 2000


class Forms:
    """Follows the references of a schema."""

    def __init__(self, definitions: Mapping[str, Any], *, everywhere: bool = False) -> None:
        self._definitions = definitions
        self._everywhere = everywhere
        """Whether options that stand apart from their plugin are taken for those of every plugin that it may be."""
        self._known: dict[tuple[int, ...], tuple[list[Schema], list[Schema]]] = {}
        """What was found, by the identity of the schemas, which are kept with it: bodies are looked through in every
        write, and have the same few forms."""

    def of(self, schemas: list[Schema]) -> list[Schema]:
        """Return every form that a value may have: references are followed, alternatives are all taken."""
        key = tuple(map(id, schemas))
        if (known := self._known.get(key)) is not None:
            return known[1]
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        found = self._found(schemas)
        self._known[key] = list(schemas), found
        return found

    def _found(self, schemas: list[Schema]) -> list[Schema]:
        found: list[Schema] = []
        seen: set[str] = set()
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping):
                continue
            reference = schema.get("$ref")
            if isinstance(reference, str):
                if reference in seen:
                    continue
                seen.add(reference)
                waiting.append(self._definitions.get(reference.removeprefix("#/$defs/"), {}))
            for word in ("anyOf", "oneOf", "allOf"):
                waiting += schema.get(word, ())
            if self._everywhere and isinstance(family := schema.get(OPTIONS_OF), str):
                entries = self._definitions.get(family, {}).get("oneOf", ())
                waiting += [each for entry in entries for each in entry.get("properties", {}).values()]
            found.append(schema)
        return found


def under(forms: list[Schema], key: str) -> list[Schema]:
    """Return the schemas of a member of an object."""
    found = []
    for form in forms:
        properties = form.get("properties")
        named = properties.get(key) if isinstance(properties, Mapping) else None
        if named is None and isinstance(form.get("additionalProperties"), Mapping):
            named = form["additionalProperties"]
        if named is not None:
            found.append(named)
    return found


def among(forms: list[Schema], index: int) -> list[Schema]:
    """Return the schemas of an element of a list."""
    found: list[Schema] = []
    for form in forms:
        first = form.get("prefixItems", ())
        if index < len(first):
            found.append(first[index])
        elif isinstance(form.get("items"), Mapping):
            found.append(form["items"])
    return found
