"""The kinds of objects: one for each section that is installed, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hookgate import Section
from hookgate.document import Catalogue
from hookgate_inspect import document_schema
from hookgate_management.forms import Forms
from hookgate_management.masking import Masker

NO_KINDS = frozenset({"storage"})
"""Sections that nobody writes over the API: this one tells of the store itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects."""

    section: str
    """Its section in the document, which it is named by in URLs."""
    name: str
    """What one is called."""
    cls: type[Section[Any]]
    schema: Mapping[str, Any]
    """JSON Schema of one object."""

    @property
    def permission(self) -> str:
        """What somebody needs who changes it."""
        return "api_" + self.name.lower().replace(" ", "_")

    def name_of(self, body: Any) -> str:
        """Return the name that a body says itself; nothing where it does not say it."""
        if self.cls.shape == "record":
            return self.section
        return self.cls.name_of(body) if self.cls.shape == "list" and isinstance(body, Mapping) else ""


class Kinds(dict[str, Kind]):
    """Every kind, by section."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self.document = document_schema(catalogue)
        """The JSON Schema of the whole document."""
        self.definitions: Mapping[str, Any] = self.document["$defs"]
        sections = catalogue.names("section")  # the schema has more: what includes, and what references read
        for section, schema in self.document["properties"].items():
            if section in sections and section not in NO_KINDS:
                cls: type[Section[Any]] = catalogue.get("section", section)  # type: ignore[assignment]
                one = {"names": "additionalProperties", "list": "items"}.get(cls.shape)
                name = cls.kind or section.removesuffix("s")
                self[section] = Kind(section, name, cls, schema if one is None else schema[one])
        self.masker = Masker(self.definitions)
        """Hides what is secret in bodies."""
        forms = Forms(self.definitions)
        properties = {
            name: [each.get("properties", {}) for each in forms.of([kind.schema])] for name, kind in self.items()
        }
        self.with_flows = frozenset(
            name
            for name, found in properties.items()
            if any({"flow", "request", "response"} <= each.keys() for each in found)
        )
        """Kinds whose objects have a flow: steps that go both ways, and those that go one way."""
