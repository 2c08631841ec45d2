"""OpenAPI 3.1 of the API: the operations, once for each kind where they are about objects of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hookgate_management.drafts_answers import DRAFT, EFFECTS, PREVIEW, STEPS, drafts_told
from hookgate_management.following import FOLLOWED
from hookgate_management.kinds import Kind, Kinds
from hookgate_management.operations import Operation, Parameter, phrase
from hookgate_management.people_answers import PEOPLE
from hookgate_management.statistics_answers import STATISTICS

COMPONENTS = "#/components/schemas/"
PROBLEM = "application/problem+json"
BEFORE = frozenset({400, 414, 431})
"""What the listener answers before a call is one: a head that is malformed, or too long."""
_KEPT = frozenset({"default", "const", "enum", "examples"})
"""Keywords of a schema whose values are no schemas."""

_NUMBER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_MISTAKE = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "object": {**_TEXT, "description": "Kind and name of the object that has it, where there are several."},
        "pointer": {**_TEXT, "description": "Where it is in what was sent (RFC 6901)."},
        "detail": _TEXT,
    },
}
_NODE = {
    "type": "object",
    "required": ["node", "generation", "digest", "rejected", "seen"],
    "properties": {
        "node": _TEXT,
        "generation": {**_NUMBER, "description": "The one that it serves."},
        "digest": _TEXT,
        "rejected": {"type": "array", "items": {"type": "object"}, "description": "Objects that it leaves out."},
        "seen": {"type": "number", "description": "Unix time of its last sign of life."},
    },
}
_OBJECT = {
    "type": "object",
    "required": ["kind", "name", "from", "body"],
    "properties": {
        "kind": _TEXT,
        "name": _TEXT,
        "from": {"enum": ["file", "store"], "description": "What stands in the file is read-only."},
        "version": _NUMBER,
        "generation": {**_NUMBER, "description": "The one that wrote it."},
        "draft": {**DRAFT, "description": "There is a draft that is not deployed."},
        "body": {"description": "As the document has it; secrets are eight asterisks."},
    },
}
_CHANGE = {
    "type": "object",
    "required": ["kind", "name", "version"],
    "properties": {
        "kind": _TEXT,
        "name": _TEXT,
        "version": _NUMBER,
        "removed": {"const": True},
        "body": {"description": "After the change; secrets are eight asterisks."},
    },
}
_GENERATION = {
    "type": "object",
    "required": ["generation", "at", "author", "comment", "digest", "changes"],
    "properties": {
        "generation": _NUMBER,
        "at": {"type": "number", "description": "Unix time."},
        "author": _TEXT,
        "comment": _TEXT,
        "digest": _TEXT,
        "changes": {"type": "array", "items": _CHANGE},
    },
}
_REFERENCE = {
    "type": "object",
    "required": ["kind", "name", "from", "pointers"],
    "properties": {
        "kind": _TEXT,
        "name": _TEXT,
        "from": {"enum": ["file", "store", "register"], "description": "What it is of; in a register are no objects."},
        "pointers": {"type": "array", "items": _TEXT, "description": "Where in its body (RFC 6901)."},
    },
}
_DIFFERENCE = {
    "type": "object",
    "required": ["kind", "name", "change", "pointers"],
    "properties": {
        "kind": _TEXT,
        "name": _TEXT,
        "change": {"enum": ["added", "removed", "changed"]},
        "before": {"description": "Secrets are eight asterisks."},
        "after": {"description": "Secrets are eight asterisks."},
        "pointers": {"type": "array", "items": _TEXT, "description": "What differs, secrets too."},
        "drifted": {"const": True, "description": "Somebody else has changed it since the owner applied it."},
        "draft": {"type": "object", "description": "It has a draft that nobody has deployed: by whom, and since when."},
    },
}


def _listed(name: str, items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    properties = {name: {"type": "array", "items": items}, **more}
    return {"type": "object", "required": [name], "properties": properties}


ANSWERS: Mapping[str, Any] = {
    "api.problem": {
        "description": "RFC 9457.",
        "type": "object",
        "required": ["status", "detail"],
        "properties": {
            "type": {**_TEXT, "description": "`urn:hookgate:problem:` and what it is."},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "errors": {"type": "array", "items": _MISTAKE},
        },
    },
    "api.object": _OBJECT,
    "api.objects": _listed("objects", _OBJECT, next={**_TEXT, "description": "`after` of the next page, if any."}),
    "api.kinds": _listed(
        "kinds",
        {
            "type": "object",
            "required": ["kind", "name", "shape", "permission", "objects"],
            "properties": {
                "kind": _TEXT,
                "name": _TEXT,
                "shape": {"enum": ["names", "list", "record"]},
                "permission": _TEXT,
                "objects": _TEXT,
            },
        },
    ),
    "api.schema": {"type": "object", "description": "JSON Schema 2020-12."},
    "api.written": {
        "type": "object",
        "required": ["generation", "digest", "written"],
        "properties": {
            "generation": {**_NUMBER, "description": "The one that was made; of a dry run the one checked against."},
            "digest": _TEXT,
            "written": {"type": "boolean"},
            "version": _NUMBER,
            "live": {"type": "boolean", "description": "Whether every gateway that is alive serves it."},
            "nodes": {"type": "array", "items": _NODE},
            "changes": {"type": "array", "items": {"type": "object"}, "description": "What was changed."},
            "preview": PREVIEW,
            **EFFECTS,
        },
    },
    "api.generation": _GENERATION,
    "api.generations": _listed("generations", _GENERATION),
    "api.nodes": _listed("nodes", _NODE),
    "api.users": _listed("users", _REFERENCE),
    "api.diff": _listed("differences", _DIFFERENCE, **{"from": _NUMBER, "to": _NUMBER}),
    "api.plan": _listed(
        "differences",
        _DIFFERENCE,
        generation={**_NUMBER, "description": "The one that it was made for."},
        owner=_TEXT,
        **EFFECTS,
        plan={**_TEXT, "description": "Sealed; carry it out with `POST /apply-plan`."},
    ),
    "api.document": {"type": "object", "description": "The document; secrets are eight asterisks."},
    **PEOPLE,
    **drafts_told(_DIFFERENCE, _MISTAKE),
    **STEPS,
    **STATISTICS,
    **FOLLOWED,
}


def described(
    operations: Iterable[Operation], kinds: Kinds, more: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Describe the API with the kinds that are installed, and with ``more`` schemas of answers, by component."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        for path, kind in _places(operation, kinds):
            paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, kind, path)
    definitions = {name: _moved(schema) for name, schema in kinds.definitions.items()}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "hookgate management",
            "version": "1",
            "description": "Changes the document of a running gateway. Every section of it is a kind of objects.",
        },
        "servers": [{"url": "/-/api"}],
        "security": [{"token": []}, {"password": []}],
        "tags": [{"name": name, "description": f"Objects of the section `{name}`."} for name in kinds],
        "paths": paths,
        "components": {
            "schemas": {**definitions, **ANSWERS, **more},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The token of a caller."},
                "password": {"type": "http", "scheme": "basic", "description": "Name and password of a user."},
            },
        },
    }


def _places(operation: Operation, kinds: Kinds) -> Iterator[tuple[str, Kind | None]]:
    path = operation.path.replace("<name>", "{name}").replace("<key>", "{key}").replace("<number>", "{number}")
    if "<section>" not in path:
        yield path, None
        return
    for name, kind in kinds.items():
        if not operation.of_flows or name in kinds.with_flows:
            yield path.replace("<section>", name), kind


def _operation(operation: Operation, kind: Kind | None, path: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name if kind is None else f"{operation.name}-{kind.section}",
        "summary": operation.about if kind is None else operation.about.replace("object", kind.name, 1),
        "responses": {
            str(status): _answer(status, operation, operation.answers.get(status))
            for status in sorted({*operation.answers, *operation.problems, *BEFORE})
        },
    }
    if kind is not None:
        told |= {"tags": [kind.section], "x-hookgate-permission": kind.permission}
    if operation.anonymous:
        told["security"] = [{}, {"token": []}, {"password": []}]
    parameters = [_parameter(each) for each in operation.takes]
    for text in ("key", "name"):
        if f"{{{text}}}" in path:
            parameters.insert(0, {"name": text, "in": "path", "required": True, "schema": _TEXT})
    if "{number}" in path:
        parameters.insert(0, {"name": "number", "in": "path", "required": True, "schema": _NUMBER})
    if parameters:
        told["parameters"] = parameters
    if operation.sends is not None:
        schema = _moved(_with_kind(operation.sends, kind))
        told["requestBody"] = {"required": True, "content": {each: {"schema": schema} for each in operation.media}}
    return told


def _answer(status: int, operation: Operation, component: str | None) -> dict[str, Any]:
    if component is None:
        content: dict[str, Any] = {}
        if status in operation.problems:
            content[PROBLEM] = {"schema": {"$ref": f"{COMPONENTS}api.problem"}}
        if status in BEFORE:
            content["text/plain"] = {"schema": _TEXT}
        described: dict[str, Any] = {"description": phrase(status), "content": content}
        if status == 401:
            described["headers"] = {"WWW-Authenticate": {"schema": _TEXT}}
        return described
    schema = {"$ref": f"{COMPONENTS}api.{component}"}
    content = {media: {"schema": schema} for media in (operation.answer_media, *operation.other_media)}
    described = {"description": phrase(status), "content": content}
    if operation.headers:
        described["headers"] = {name: {"schema": _TEXT} for name in operation.headers}
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": parameter.schema} if parameter.repeats else parameter.schema
    return {"name": parameter.name, "in": parameter.place, "description": parameter.about, "schema": schema}


def _with_kind(schema: Any, kind: Kind | None) -> Any:
    """Put the schema of an object of the kind where it is asked for; of any object where there is no kind."""
    if isinstance(schema, Mapping):
        if schema.get("$ref") == "kind":
            return {} if kind is None else kind.schema
        return {key: _with_kind(each, kind) for key, each in schema.items()}
    return [_with_kind(each, kind) for each in schema] if isinstance(schema, list) else schema


def _moved(schema: Any) -> Any:
    """Have references of the document's schema point to where its definitions stand here."""
    if not isinstance(schema, Mapping):
        return [_moved(each) for each in schema] if isinstance(schema, list) else schema
    found: dict[str, Any] = {}
    for key, each in schema.items():
        if key == "$ref" and isinstance(each, str):
            found[key] = each.replace("#/$defs/", COMPONENTS)
        elif key == "properties" and isinstance(each, Mapping):  # its keys are names, whatever they are called
            found[key] = {name: _moved(inner) for name, inner in each.items()}
        elif key == "discriminator":  # that of OpenAPI, which the alternatives say as well
            continue
        else:
            found[key] = each if key in _KEPT else _moved(each)
    return found
