"""The JSON Schema of a document, with every plugin that is installed: what an editor completes and checks with.

It is as strict as loading is about names and types, and lenient where only loading can know: a reference may stand for
any value, and any word where a plugin may stand may be the name of an instance from `plugins`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hookgate import Family, Plugin
from hookgate.document import ANY, HOST_KEY, NEVER_PLACED, Catalogue, HostOptions, PluginLookupError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ALSO_NAMED_IN = {"auth": ("profiles",), "credential": ("profiles",)}
_FAMILY = "x-hookgate-family"
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""Pydantic leaves bounds as they are where a number may have a unit."""
_ABOUT = ("title", "description", "default", "deprecated", "examples")
"""What stays outside when a value may also be a reference."""


class _Generator(GenerateJsonSchema):
    # a default that is no JSON is left out of the schema without a word
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


def options_schema(plugin: type[Plugin[Any]]) -> dict[str, Any]:
    """Return the JSON Schema of a plugin's options. Where they hold plugins it says ``x-hookgate-family``."""
    return plugin.options_type.model_json_schema(schema_generator=_Generator)


def document_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the whole document. A plugin that is broken is left out."""
    definitions: dict[str, Any] = {
        "reference": {
            "type": "string",
            "pattern": r"\$\{[a-z][a-z0-9-]*:.+\}",
            "description": "A reference, such as `${env:NAME}`.",
        },
    }
    values = _names_of(_names_of({"type": ["string", "number", "boolean"]}))
    _record(HostOptions, "section", definitions)
    options = {
        name: _options_of(catalogue, name, definitions)
        for name in catalogue.families
        if name not in ("section", "command")  # no entries of these stand in a flow
    }
    for name, found in options.items():
        definitions[name] = _entries(catalogue.families[name], found)
    definitions[ANY] = _entries_of_any({name: each for name, each in options.items() if name not in NEVER_PLACED})
    described: dict[str, Any] = {
        "$schema": {"type": "string", "description": "Where an editor finds this schema."},
        "include": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Other files of this document; their names count from its folder.",
        },
        **{name: _section(catalogue, name, definitions) for name in _usable(catalogue, "section")},
        "environments": {"description": "Values by environment, for `${environment:NAME}`.", **values},
        "secrets": {
            "description": "Options of what resolves references such as `${env:NAME}`.",
            "type": "object",
            "properties": options["secret"],
            "additionalProperties": False,
        },
    }
    return {
        "$schema": DIALECT,
        "title": "hookgate",
        "description": "The configuration of a hookgate gateway.",
        "type": "object",
        "properties": described,
        "patternProperties": {"^x-": {"description": "For anchors; nobody reads it."}},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _usable(catalogue: Catalogue, family: str) -> list[str]:
    return [line.name for line in catalogue.listing() if line.family == family and line.plugin is not None]


def _section(catalogue: Catalogue, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    cls: Any = catalogue.get("section", name)
    record = _record(cls.options_type, "section", definitions)
    shaped = {"record": record, "names": _names_of(record), "list": {"type": "array", "items": record}}[cls.shape]
    return {"description": _summary(cls), **shaped}


def _names_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema}


def _record(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Define a model and those inside it under names with a prefix, since two plugins may use one name."""
    schema = model.model_json_schema(schema_generator=_Generator, ref_template=f"#/$defs/{prefix}.{{model}}")
    for name, inner in schema.pop("$defs", {}).items():
        definitions.setdefault(f"{prefix}.{name}", _rewritten(inner))
    definitions.setdefault(f"{prefix}.{model.__name__}", _rewritten(schema))
    return {"$ref": f"#/$defs/{prefix}.{model.__name__}"}


def _rewritten(schema: Any) -> Any:
    """Point at the entries of a family where a plugin may stand, and let a reference stand for a value."""
    if isinstance(schema, list):
        return [_rewritten(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if _FAMILY in schema:
        rest = {key: value for key, value in schema.items() if key != _FAMILY}
        entry = {"$ref": f"#/$defs/{schema[_FAMILY]}"}
        may_be_null = "default" in rest and rest["default"] is None
        return {**rest, "anyOf": [entry, {"type": "null"}]} if may_be_null else {**rest, **entry}
    properties = schema.get("properties")
    inner = {
        _BOUNDS.get(key, key): value
        if key in ("default", "const", "enum", "examples", "required")
        else _rewritten(value)
        for key, value in schema.items()
        if key != "properties"
    }
    if isinstance(properties, dict):  # its keys are names of options, whatever they are called
        inner["properties"] = {name: _rewritten(value) for name, value in properties.items()}
    is_closed = {"enum", "const", "pattern"} & inner.keys() or inner.get("type") in ("integer", "number", "boolean")
    if not is_closed:
        return inner
    about = {key: inner.pop(key) for key in _ABOUT if key in inner}
    return {**about, "anyOf": [inner, {"$ref": "#/$defs/reference"}]}


def _entries(family: Family, options: dict[str, Any]) -> dict[str, Any]:
    """Describe an entry of a family: the name of a plugin, or the name with options."""
    sections = " or ".join(f"`{each}`" for each in ("plugins", *_ALSO_NAMED_IN.get(family.name, ())))
    named = "" if family.name in NEVER_PLACED else f"The name of an instance from {sections}."
    return {"title": family.name, "description": family.summary, "oneOf": _forms(options, named)}


def _entries_of_any(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Describe an entry of any family. Its name is enough for an interceptor, and where no other family has it."""
    counted = Counter(name for options in found.values() for name in options)
    alone = {
        name: described
        for family, options in found.items()
        for name, described in options.items()
        if counted[name] == 1 or family == "interceptor"
    }
    full = {f"{family}/{name}": described for family, options in found.items() for name, described in options.items()}
    return {
        "title": ANY,
        "description": "Of any family, which may stand in front: `credential/basic`.",
        "oneOf": _forms({**alone, **full}, "The name of another instance."),
    }


def _forms(options: dict[str, Any], named: str) -> list[dict[str, Any]]:
    """List the ways to write an entry; with ``named`` any other word is the name of an instance, too."""
    bare = [
        {"const": name, "description": schema["description"]}
        for name, schema in options.items()
        if "anyOf" in schema  # it can do without options
    ]
    whole = {
        "type": "object",
        "properties": options,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    other = {"type": "string", "not": {"enum": list(options)}, "description": named}
    return [*bare, whole, *([other] if named else [])]


def _options_of(catalogue: Catalogue, family: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe the options of every plugin of a family, by its name."""
    found: dict[str, Any] = {}
    for name in catalogue.names(family):
        try:
            plugin = catalogue.get(family, name)
        except PluginLookupError:
            continue
        prefix = f"{family}.{name}"
        options = plugin.options_type
        reference = _record(options, prefix, definitions)
        record = definitions[f"{prefix}.{options.__name__}"]
        host = {HOST_KEY: {"$ref": f"#/$defs/section.{HostOptions.__name__}", "description": "For the host itself."}}
        record["properties"] = {**record.get("properties", {}), **host}
        summary = _summary(plugin)
        if record.get("required"):
            found[name] = {"description": summary, **reference}
        else:
            found[name] = {"description": summary, "anyOf": [reference, {"type": "null"}]}
    return found


def _summary(plugin: type[Plugin[Any]]) -> str:
    """The first paragraph of what a plugin says about itself."""
    text: Mapping[str, Any] = vars(plugin)
    return " ".join((text.get("__doc__") or plugin.__name__).strip().split("\n\n")[0].split())
