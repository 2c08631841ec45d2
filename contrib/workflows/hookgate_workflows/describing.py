"""What custom routes are, in the words of OpenAPI (CR-30): 3.1, or 3.0 for tools that ask for `swagger`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hookgate import Item
from hookgate_workflows.placing import ROOT, components
from hookgate_workflows.routerecord import CustomRouteSection, path_of, prefix_of
from hookgate_workflows.schemas import Schema
from hookgate_workflows.settings import EngineSection

_VARIABLE = re.compile(r"\{([^{}]*?)(?:\.\.\.)?\}")
_ODD = re.compile(r"[^A-Za-z0-9]+")
SAMPLES = ("1", "x")
"""What stands for a path parameter where a profile is asked, beside its name in braces."""
BEARER = "token"
_BEARER = {"type": "http", "scheme": "bearer"}
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_INSTANCE = {
    "type": "object",
    "required": ["id", "guid"],
    "properties": {"id": {"type": "integer"}, "guid": {"type": "string", "format": "uuid"}},
}


@dataclass(frozen=True, slots=True)
class Described:
    """A route as a document has it."""

    record: CustomRouteSection
    samples: tuple[str, ...]
    """Paths as a call may have them, for profiles."""
    path: str
    operation: dict[str, Any]
    schemas: dict[str, Any]
    security: dict[str, Any]


def described(
    items: Iterable[Item[CustomRouteSection]], settings: EngineSection, proxies: Mapping[str, str], *, old: bool
) -> list[Described]:
    """Describe routes, those left out that are switched off. Names are the same in every document of these routes,
    whoever sees it. ``proxies`` are the headers that sessions are shown in, by the name of a proxy."""
    found: list[Described] = []
    taken: set[str] = set()
    for item in items:
        if item.record.enabled:
            base = name = _ODD.sub("_", item.name).strip("_")
            while name in taken:
                name = f"{base}_{len(taken)}"
            taken.add(name)
            found.append(_described(item.record, settings, name, proxies, old))
    return found


def _described(
    record: CustomRouteSection, settings: EngineSection, name: str, proxies: Mapping[str, str], old: bool
) -> Described:
    template, patterns = path_of(record.route)
    prefix = prefix_of(record, settings)
    path = prefix + _VARIABLE.sub(r"{\1}", template)
    operation: dict[str, Any] = {"operationId": name}
    if record.group:
        operation["tags"] = [record.group]
    if parameters := list(_parameters(template, patterns)):
        operation["parameters"] = parameters
    schemas: dict[str, Any] = {}
    body = _body(record, name, schemas, old)
    if body is not None:
        operation["requestBody"] = body
    operation["responses"] = _responses(record, name, schemas, old)
    security = {BEARER: _BEARER}
    if record.proxy is not None and (header := proxies.get(record.proxy)) is not None:
        security[f"session_{record.proxy}"] = {"type": "apiKey", "in": "header", "name": header}
    operation["security"] = [] if record.public else [{name: []} for name in security]
    samples = (path, *(_VARIABLE.sub(sample, path) for sample in SAMPLES))
    return Described(record, samples, path, operation, schemas, {} if record.public else security)


def _parameters(template: str, patterns: dict[str, str]) -> Iterator[dict[str, Any]]:
    for found in _VARIABLE.finditer(template):
        schema: dict[str, Any] = {"type": "string"}
        made: dict[str, Any] = {"name": found[1], "in": "path", "required": True, "schema": schema}
        if found[0].endswith("...}"):
            made["description"] = "All that is behind, slashes included."
        elif found[1] in patterns and _is_plain(patterns[found[1]]):
            schema["pattern"] = f"^(?:{patterns[found[1]]})$"
        yield made


def _is_plain(pattern: str) -> bool:
    """Whether RE2 and ECMA 262 read it alike."""
    return not re.search(r"\(\?(?!:)|\\[^dDwWsSbB.\-+*?()\[\]{}|^$/\\]|\[\[:", pattern)


def _body(record: CustomRouteSection, name: str, schemas: dict[str, Any], old: bool) -> dict[str, Any] | None:
    if record.body_schema is None:
        if record.method not in ("post", "put", "patch"):
            return None
        return {"content": {"*/*": {}}}
    schema = _placed(record.body_schema, f"{name}.request", schemas, old)
    content = {"application/json": {"schema": schema}}
    return {"required": bool(record.body_schema.mistakes(None)), "content": content}


def _placed(schema: Schema, name: str, schemas: dict[str, Any], old: bool) -> dict[str, Any]:
    schemas |= components(schema.written, name, old=old)
    return {"$ref": f"{ROOT}{name}"}


def _responses(record: CustomRouteSection, name: str, schemas: dict[str, Any], old: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if record.sync:
        answer: dict[str, Any] = {"description": "What the workflow answers."}
        if record.output_schema is not None:
            schema = _placed(record.output_schema, f"{name}.response", schemas, old)
            answer["content"] = {"application/json": {"schema": schema}}
        found["200"] = answer
        if record.on_missing_response == 204:
            found["204"] = {"description": "The workflow is over, and answers nothing."}
    else:
        told = {"application/json": {"schema": {"$ref": f"{ROOT}instance"}}}
        found[str(record.accepted)] = {"description": "The instance that was started.", "content": told}
    wrong = {"400": "The call is not as it should be."}
    if not record.public:
        wrong |= {"401": "Nobody knows who calls.", "403": "The caller may not do this."}
    if record.sync:
        wrong |= {"500": "The workflow has failed.", "504": "The workflow takes too long, and goes on."}
    wrong["503"] = "It cannot be done now."
    problem = {"application/problem+json": {"schema": {"$ref": f"{ROOT}problem"}}}
    return found | {status: {"description": text, "content": problem} for status, text in wrong.items()}


def document(routes: Sequence[Described], *, old: bool) -> dict[str, Any]:
    """Return the OpenAPI document of routes. Two of one method whose paths differ in the names of parameters only are
    one path in OpenAPI: the first of them is described, and says how many are not."""
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, str] = {}
    schemas: dict[str, Any] = {"instance": _INSTANCE, "problem": _PROBLEM}
    tags: dict[str, None] = {}
    for each in routes:
        path = shapes.setdefault(_VARIABLE.sub("{}", each.path), each.path)
        operations = paths.setdefault(path, {})
        if (first := operations.get(each.record.method)) is not None:
            first["description"] = "Calls that no other route of this form takes. OpenAPI cannot tell these apart."
            continue
        operation = dict(each.operation)
        if path != each.path:
            names = iter(_VARIABLE.findall(path))
            operation["parameters"] = [{**one, "name": next(names)} for one in operation["parameters"]]
        operations[each.record.method] = operation
        schemas |= each.schemas
        tags |= dict.fromkeys(operation.get("tags", ()))
    told: dict[str, Any] = {"schemas": schemas}
    if schemes := {name: scheme for each in routes for name, scheme in each.security.items()}:
        told["securitySchemes"] = schemes
    version = hashlib.sha256(orjson.dumps([paths, schemas])).hexdigest()[:12]
    return {
        "openapi": "3.0.3" if old else "3.1.0",
        "info": {"title": "Custom routes", "version": version},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in tags],
        "paths": paths,
        "components": told,
    }
