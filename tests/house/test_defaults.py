"""A default of a record is what its own validators would make of it: pydantic does not ask them."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import TypeAdapter

from hookgate import Options
from hookgate.document.catalogue import Catalogue

REFUSED = {("ConnectionSection", "targets"), ("ConnectionSection", "host")}
"""Fields that may be left out only where something else stands in their place: discovery, or the host of a target."""
NULL_MEANS_NOTHING_SAID = {("Part", "on_failure")}
"""Fields whose `null` is a word of the document, and no default."""


def records(above: type[Options] = Options) -> Iterator[type[Options]]:
    for each in above.__subclasses__():
        yield each
        yield from records(each)


def test_every_default_is_as_validated():
    assert Catalogue().listing()  # imports every record
    wrong = []
    for record in set(records()):
        if not record.__module__.startswith("hookgate"):
            continue
        for name, field in record.model_fields.items():
            place = record.__name__, name
            if field.is_required() or field.validate_default or place in REFUSED | NULL_MEANS_NOTHING_SAID:
                continue
            default = field.get_default(call_default_factory=True)
            kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            if TypeAdapter(kind).validate_python(default) != default:
                wrong.append(place)

    assert wrong == []
