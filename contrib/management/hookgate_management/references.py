"""Names of objects in bodies of others, where the schema says that they stand (`x-hookgate-section`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hookgate_management.forms import Forms, Schema, among, under
from hookgate_management.problems import Path

SECTION = "x-hookgate-section"


class References:
    """References to one object."""

    def __init__(self, definitions: Mapping[str, Any], section: str, name: str) -> None:
        self._forms = Forms(definitions)
        self.section, self.name = section, name

    def found(self, body: Any, schema: Schema) -> list[Path]:
        """Return where a body refers to the object."""
        return list(self._found(body, [schema], ()))

    def renamed(self, body: Any, schema: Schema, to: str) -> Any:
        """Return a body that refers to another name in these places."""
        return self._renamed(body, [schema], to)

    def _found(self, value: Any, schemas: list[Schema], path: Path) -> Iterator[Path]:
        forms = self._forms.of(schemas)
        if isinstance(value, dict):
            keys = self._keys(forms)
            for key, each in value.items():
                if key == self.name and self._are(keys):
                    yield (*path, key)
                yield from self._found(each, under(forms, key), (*path, key))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from self._found(each, among(forms, index), (*path, index))
        elif value == self.name and self._are(forms):
            yield path

    def _renamed(self, value: Any, schemas: list[Schema], to: str) -> Any:
        forms = self._forms.of(schemas)
        if isinstance(value, dict):
            of_keys = self._are(self._keys(forms))
            return {
                to if of_keys and key == self.name else key: self._renamed(each, under(forms, key), to)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [self._renamed(each, among(forms, index), to) for index, each in enumerate(value)]
        return to if value == self.name and self._are(forms) else value

    def _keys(self, forms: list[Schema]) -> list[Schema]:
        return self._forms.of([form["propertyNames"] for form in forms if "propertyNames" in form])

    def _are(self, forms: list[Schema]) -> bool:
        return any(form.get(SECTION) == self.section for form in forms)
