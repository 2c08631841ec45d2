"""From a description to an API of the gateway, with its connection, and the contract that its steps refer to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from hookgate import ConfigError, Problem
from hookgate_openapi.description import Description
from hookgate_openapi.operations import Operation, Operations

Checks = Literal["requests", "responses", "both", "none"]
CONTRACT_VERSION = "3.1.1"
LONGEST = 160
"""Characters of a description that go into the document; the contract has all of them."""
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever imports would like to have otherwise."""

    name: str = ""
    """Name of the API; that of the description, in kebab-case, if empty."""
    base_path: str | None = None
    """In front of every path; the path of the server if ``None``."""
    connection: str = ""
    """Name of the connection; that of the API if empty."""
    server: str = ""
    """URL of the backend, in the place of what the description says."""
    checks: Checks = "requests"
    """What steps `schema` check."""
    mock: bool = False
    """Have steps `mock` answer in the place of the backend."""
    contract: str = ""
    """Name of the file with the contract, as steps refer to it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import comes to."""

    document: dict[str, Any]
    """A whole document of the gateway."""
    contract: dict[str, Any]
    """OpenAPI 3.1 in one spelling."""
    warnings: list[str] = field(default_factory=list)
    """What was left out, and what is left to do."""


def described(description: Description, wishes: Wishes) -> Imported:
    """Make an API of a description. The same description with the same wishes gives the same result.

    Raises:
        ConfigError: everything in it that cannot be used, each mistake with its file, line and JSON pointer.
    """
    reader = Operations(description)
    operations = list(reader.all())
    if not operations and not description.problems:
        description.refuse(("paths",), "there is no operation")
    schemas = reader.schemas.components()
    info = description.mapping(description.value.get("info"), ("info",))
    name = _name(wishes.name or str(info.get("title", "")))
    server = _server(description, wishes)
    description.settle()
    contract = _contract(info, server, operations, schemas, reader.examples)
    api: dict[str, Any] = {"name": name}
    if info.get("title"):
        api["description"] = _text(info["title"])
    api["base_path"] = _base_path(wishes, server)
    connections = {}
    if server.origin or wishes.connection:
        connection = wishes.connection or name
        api["to"] = {"connection": connection, **({"prefix": server.path} if server.path else {})}
        if server.origin:
            connections = {connection: {"targets": server.origin}}
    api["resources"] = _resources(operations, wishes)
    document: dict[str, Any] = {"apis": [api]}
    if connections:
        document["connections"] = connections
    return Imported(document, contract, [*dict.fromkeys(reader.warnings), *_left_to_do(description, server, api)])


@dataclass(frozen=True, slots=True)
class _Server:
    origin: str = ""
    path: str = ""
    others: int = 0


def _server(description: Description, wishes: Wishes) -> _Server:
    """Find where the backend is: what was wished for, or the first server with a whole URL."""
    if wishes.server:
        found = _taken_apart(wishes.server)
        if found is None or not found.origin:
            raise ConfigError(
                [Problem(("--server",), f"{wishes.server!r} is no URL such as https://api.example.org/v1")]
            )
        return found
    urls = _urls_of_swagger(description) if description.version == "2.0" else _urls(description)
    whole = [found for url in urls if (found := _taken_apart(url)) is not None and found.origin]
    if whole:
        return _Server(whole[0].origin, whole[0].path, len(whole) - 1)
    paths = [found.path for url in urls if (found := _taken_apart(url)) is not None]
    if not wishes.connection and not wishes.mock:
        place = ("host",) if description.version == "2.0" else ("servers",)
        description.refuse(place, "no server has a whole URL; say where the backend is with --server https://…")
    return _Server("", paths[0] if paths else "")


def _urls(description: Description) -> list[str]:
    found: list[str] = []
    for index, server in enumerate(description.listed(description.value.get("servers"), ("servers",))):
        server = description.mapping(server, ("servers", index))  # noqa: PLW2901
        variables = description.mapping(server.get("variables"), ("servers", index, "variables"))

        def chosen(match: re.Match[str], variables: Mapping[str, Any] = variables) -> str:
            variable = variables.get(match[1])
            return str(variable.get("default", "")) if isinstance(variable, Mapping) else ""

        found.append(_VARIABLE.sub(chosen, str(server.get("url", ""))))
    return found


def _urls_of_swagger(description: Description) -> list[str]:
    host, base = description.value.get("host"), str(description.value.get("basePath", ""))
    schemes = [each for each in description.listed(description.value.get("schemes"), ("schemes",)) if each in _SCHEMES]
    scheme = "https" if "https" in schemes or not schemes else "http"
    return [f"{scheme}://{host}{base}" if host else base]


_SCHEMES = ("http", "https")


def _taken_apart(url: str) -> _Server | None:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or "@" in parts.netloc or (path and not path.startswith("/")):
        return None
    if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
        return _Server("", path) if not parts.scheme and not parts.netloc else None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _Server(f"{parts.scheme.lower()}://{host}{port}", path)


def _base_path(wishes: Wishes, server: _Server) -> str:
    base = server.path if wishes.base_path is None else wishes.base_path
    return "/" + base.strip("/")


def _contract(
    info: Mapping[str, Any],
    server: _Server,
    operations: list[Operation],
    schemas: dict[str, Any],
    examples: dict[str, Any],
) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.contract
    components: dict[str, Any] = {}
    if schemas:
        components["schemas"] = schemas
    if examples:
        components["examples"] = dict(sorted(examples.items()))
    return {
        "openapi": CONTRACT_VERSION,
        "info": {"title": str(info.get("title", "")), "version": str(info.get("version", ""))},
        "servers": [{"url": f"{server.origin}{server.path}" or "/"}],
        "paths": paths,
        **({"components": components} if components else {}),
    }


def _resources(operations: list[Operation], wishes: Wishes) -> list[dict[str, Any]]:
    resources: dict[str, dict[str, Any]] = {}
    for operation in operations:
        resource = resources.setdefault(operation.path, {"path": operation.path, "operations": {}})
        resource["operations"][operation.method] = _operation(operation, wishes) or None
    return list(resources.values())


def _operation(operation: Operation, wishes: Wishes) -> dict[str, Any]:
    said: dict[str, Any] = {}
    contract = operation.contract
    summary = contract.get("summary") or contract.get("description") or contract.get("operationId")
    if summary:
        said["description"] = _text(summary)
    if parameters := [_documented(each) for each in contract.get("parameters", ())]:
        said["parameters"] = parameters
    if operation.produces:
        said["produces"] = [_plain(media) for media in operation.produces]
    if steps := _steps(operation, wishes):
        said["flow"] = steps
    return said


def _steps(operation: Operation, wishes: Wishes) -> list[dict[str, Any]]:
    if not wishes.contract:
        return []
    told = {"file": _plain(wishes.contract), "operation": f"{operation.method} {_plain(operation.path)}"}
    steps: list[dict[str, Any]] = []
    requests = wishes.checks in ("requests", "both") and operation.checks_request
    responses = wishes.checks in ("responses", "both") and bool(operation.produces)
    if requests or responses:
        check = "both" if requests and responses else "responses" if responses else "requests"
        steps.append({"schema": {**told, **({"check": check} if check != "requests" else {})}})
    if wishes.mock:
        steps.append({"mock": told})
    return steps


def _documented(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """Say of a parameter what people want to know at a glance (KC-57); the contract has the rest."""
    said = {"name": _plain(parameter["name"]), "in": parameter["in"]}
    if parameter.get("required"):
        said["required"] = True
    schema = parameter.get("schema")
    if isinstance(schema, Mapping) and isinstance(schema.get("type"), str):
        said["type"] = schema["type"]
    if parameter.get("description"):
        said["description"] = _text(parameter["description"])
    return said


def _left_to_do(description: Description, server: _Server, api: Mapping[str, Any]) -> list[str]:
    found = []
    if server.others:
        found.append(f"{server.others} more servers are listed; calls go to the first one, {server.origin}")
    if "to" in api and not server.origin:
        found.append(f"the connection {api['to']['connection']!r} is not in the document: add it, or give --server")
    schemes = description.value.get("securityDefinitions")
    components = description.value.get("components")
    if isinstance(components, Mapping):
        schemes = components.get("securitySchemes")
    if schemes:
        found.append(
            "security schemes are documentation only: place a step `auth` where callers have to say who they are"
        )
    return found


def _name(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower().replace("'", "")).strip("-")[:60].rstrip("-") or "api"


def _plain(text: str) -> str:
    """Take care that nothing in a description is taken for a reference to a secret."""
    return text.replace("${", "$${")


def _text(value: object) -> str:
    """Shorten a description to its first line."""
    line = next(iter(str(value).strip().splitlines()), "").strip()
    if len(line) > LONGEST:
        line = line[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
    return _plain("".join(letter for letter in line if letter.isprintable()))
