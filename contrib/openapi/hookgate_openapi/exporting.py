"""From an API in a document to an OpenAPI description: what its paths, methods and parameters are (KC-57)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""Methods for which OpenAPI 3.1 has a place."""
_OF_ANY = ("get", "put", "post", "patch", "delete")
"""What is written of a resource that takes every method."""
_VARIABLE = re.compile(r"\{([^{}.]+)(\.\.\.)?\}")
_PASSED_ON = ("description", "required", "deprecated", "style", "explode", "allowReserved", "example", "examples")


def exported(api: Any, warnings: list[str]) -> dict[str, Any]:
    """Return an ``ApiSection`` as OpenAPI 3.1. What OpenAPI has no place for is added to ``warnings``."""
    version = f"/{api.version}" if api.version else ""
    paths: dict[str, dict[str, Any]] = {}
    for resource in api.resources:
        path = _path(resource.path)
        item = paths.setdefault(path, {})
        for method, operation in (resource.operations or dict.fromkeys(_OF_ANY, resource)).items():
            key = method.lower()
            if key not in METHODS:
                warnings.append(f"{resource.path}: OpenAPI has no place for the method {method}")
            elif key in item:
                warnings.append(f"{resource.path}: OpenAPI cannot tell its {method} from another one of {path}")
            else:
                item[key] = _operation(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": api.name,
            "version": api.version or "1",
            **({"description": api.description} if api.description else {}),
        },
        "servers": [{"url": f"{api.base_path}{version}" or "/"}],
        "paths": paths,
    }


def _path(pattern: str) -> str:
    """Write a path as OpenAPI does, which knows variables of one segment only."""
    if pattern.startswith("*"):
        pattern = "/{path}" + pattern[1:]
    elif pattern.endswith("/*"):
        pattern = f"{pattern[:-1]}{{path}}"
    return _VARIABLE.sub(r"{\1}", pattern)


def _operation(path: str, operation: Any) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if operation.description:
        said["description"] = operation.description
    if parameters := _parameters(path, getattr(operation, "parameters", ())):
        said["parameters"] = parameters
    content: dict[str, Any] = {media: {} for media in getattr(operation, "produces", ())}
    said["responses"] = {"default": {"description": "The answer", **({"content": content} if content else {})}}
    return said


def _parameters(path: str, given: Sequence[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Return parameters as OpenAPI writes them; one for each variable of the path, as it asks for them."""
    names = _VARIABLE.findall(path)
    found = [
        _parameter(each) for each in given if each["in"] != "path" or any(each["name"] == name for name, _ in names)
    ]
    known = {each["name"] for each in found if each["in"] == "path"}
    missing = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name, _ in names]
    return [*found, *(each for each in missing if each["name"] not in known)]


def _parameter(given: Mapping[str, Any]) -> dict[str, Any]:
    said = {"name": given["name"], "in": given["in"], **{key: given[key] for key in _PASSED_ON if key in given}}
    if given["in"] == "path":
        said["required"] = True
    if "content" in given:
        return {**said, "content": given["content"]}
    return {**said, "schema": given.get("schema", {"type": given["type"]} if "type" in given else {})}
