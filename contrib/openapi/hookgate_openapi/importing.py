"""From a description to an API of the gateway, with its connection, and the contract that its steps refer to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from hookgate import ConfigError, Problem
from hookgate_openapi.description import Description, check_data
from hookgate_openapi.operations import Operation, Operations
from hookgate_openapi.servers import Server, base, first, taken_apart, urls, urls_of_swagger

Checks = Literal["requests", "responses", "both", "none"]
CONTRACT_VERSION = "3.1.1"
LONGEST = 160
"""Characters of a description that go into the document; the contract has all of them."""
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
    needed = any(operation.server is None or not operation.server.origin for operation in operations)
    server = _server(description, wishes, needed=needed or not operations)
    description.settle()
    contract = _contract(info, server, operations, schemas, reader.examples)
    check_data(description, contract)
    api: dict[str, Any] = {"name": name}
    if info.get("title"):
        api["description"] = _text(info["title"])
    api["base_path"] = _base_path(wishes, server)
    places = _Destinations(wishes.connection or name, server)
    if server.origin or wishes.connection:
        api["to"] = places.of_api()
    api["resources"] = _resources(operations, wishes, places)
    document: dict[str, Any] = {"apis": [api]}
    if places.connections:
        document["connections"] = places.connections
    return Imported(
        document,
        contract,
        [
            *dict.fromkeys([*description.warnings, *reader.warnings]),
            *_left_to_do(description, wishes, server, api, operations),
        ],
    )


def _server(description: Description, wishes: Wishes, *, needed: bool) -> Server:
    """Find where the backend is: what was wished for, or the first server with a whole URL."""
    if wishes.server:
        found = taken_apart(wishes.server)
        if found is None or not found.origin:
            raise ConfigError(
                [Problem(("--server",), f"{wishes.server!r} is no URL such as https://api.example.org/v1")]
            )
        return found
    value = description.value
    if description.version == "2.0":
        found = first(urls_of_swagger(description, value.get("schemes"), ("schemes",)))
    else:
        found = first(urls(description, value.get("servers"), ("servers",)))
    if (found is None or not found.origin) and needed and not wishes.connection and not wishes.mock:
        place = ("host",) if description.version == "2.0" else ("servers",)
        description.refuse(
            place, "no server has a whole URL that calls could go to; say where the backend is with --server https://…"
        )
    return found or Server()


def _base_path(wishes: Wishes, server: Server) -> str:
    if wishes.base_path is None:
        return server.path or "/"
    try:
        return base("/" + wishes.base_path.strip("/")) or "/"
    except ValueError as error:
        raise ConfigError([Problem(("--base-path",), f"{error}; write a path such as /orders")]) from None


def _contract(
    info: Mapping[str, Any],
    server: Server,
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


class _Destinations:
    """Where calls go, with the connections for it: one for each origin."""

    def __init__(self, connection: str, server: Server) -> None:
        self._connection = connection
        self._server = server
        self.connections: dict[str, dict[str, Any]] = {}
        self._by_origin: dict[str, str] = {}
        if server.origin:
            self._named(server.origin, connection)

    def of_api(self) -> dict[str, Any]:
        """Say where the calls of the API go."""
        return {"connection": self._connection, **({"prefix": self._server.path} if self._server.path else {})}

    def of(self, server: Server) -> dict[str, Any]:
        """Say what is different for an operation with a server of its own."""
        origin = server.origin or self._server.origin
        said: dict[str, Any] = {}
        if origin and origin != self._server.origin:
            said["connection"] = self._by_origin.get(origin) or self._named(origin, _name(urlsplit(origin).netloc))
        if server.path != self._server.path:
            said["prefix"] = server.path or "/"
        return said

    def _named(self, origin: str, base: str) -> str:
        name, number = base, 1
        while name in self.connections:
            number += 1
            name = f"{base}-{number}"
        self.connections[name] = {"targets": origin}
        self._by_origin[origin] = name
        return name


def _resources(operations: list[Operation], wishes: Wishes, places: _Destinations) -> list[dict[str, Any]]:
    resources: dict[str, dict[str, Any]] = {}
    for operation in operations:
        resource = resources.setdefault(operation.path, {"path": operation.path, "operations": {}})
        resource["operations"][operation.method] = _operation(operation, wishes, places) or None
    return list(resources.values())


def _operation(operation: Operation, wishes: Wishes, places: _Destinations) -> dict[str, Any]:
    said: dict[str, Any] = {}
    contract = operation.contract
    summary = contract.get("summary") or contract.get("description") or contract.get("operationId")
    if summary:
        said["description"] = _text(summary)
    if parameters := [_documented(each) for each in contract.get("parameters", ())]:
        said["parameters"] = parameters
    if operation.produces:
        said["produces"] = [_plain(media) for media in operation.produces]
    if operation.server is not None and not wishes.server and (to := places.of(operation.server)):
        said["to"] = to
    if steps := _steps(operation, wishes):
        said["flow"] = steps
    return said


def _steps(operation: Operation, wishes: Wishes) -> list[dict[str, Any]]:
    if not wishes.contract:
        return []
    told = {"file": _plain(wishes.contract), "operation": f"{operation.method} {_plain(operation.path)}"}
    steps: list[dict[str, Any]] = []
    requests = wishes.checks in ("requests", "both") and operation.checks_request
    responses = wishes.checks in ("responses", "both") and bool(operation.produces) and not wishes.mock
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


def _left_to_do(
    description: Description, wishes: Wishes, server: Server, api: Mapping[str, Any], operations: list[Operation]
) -> list[str]:
    found = []
    if wishes.mock and wishes.checks in ("responses", "both"):
        found.append("answers are not checked where they are mocks: they come from the description itself")
    if server.others:
        found.append(f"{server.others} more servers are listed; calls go to the first one, {server.origin}")
    apart = [each for each in operations if each.server is not None]
    if wishes.server and apart:
        which = f"{apart[0].method} {apart[0].path}"
        found.append(f"operations with servers of their own go to {server.origin} as well, such as {which}")
    if more := [each for each in apart if each.server is not None and each.server.others and not wishes.server]:
        which = f"{more[0].method} {more[0].path}"
        found.append(f"some operations list several servers, such as {which}; calls go to the first one of each")
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
