"""From a service to an API whose calls are passed through as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from hookgate_wsdl.reading import Port, Service

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
LONGEST = 160
"""Characters of a description that go into the document."""
SHOWN = 20
"""Operations that are named in a description."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever imports would like to have otherwise."""

    name: str = ""
    """Name of the API; that of the service, in kebab-case, if empty."""
    base_path: str = ""
    """In front of every path; a slash and the name if empty."""
    connection: str = ""
    """Name of the connection; that of the API if empty."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import comes to."""

    document: dict[str, Any]
    """A whole document of the gateway."""
    warnings: list[str] = field(default_factory=list)
    """What was left out."""


def imported(service: Service, wishes: Wishes) -> Imported:
    """Make an API of a service: a resource for each address, or `/` for a single one. POST calls it, and GET asks for
    what the backend says of itself (`?wsdl`). The same service with the same wishes gives the same result.
    """
    name = wishes.name or _kebab(service.name)
    addresses: dict[tuple[str, str], list[Port]] = {}
    for port in service.ports:
        addresses.setdefault((port.origin, port.path), []).append(port)
    connections: dict[str, str] = {}
    for origin, _ in addresses:
        wanted = wishes.connection or name
        connections.setdefault(origin, wanted if not connections else f"{wanted}-{len(connections) + 1}")
    warnings = list(service.warnings)
    warnings += [
        f"the query of the address of the port {port.name} is left out" for port in service.ports if port.query
    ]
    resources = []
    for (origin, path), ports in addresses.items():
        to: dict[str, str] = {"path": path}
        if len(connections) > 1:
            to["connection"] = connections[origin]
        resources.append(
            {
                "path": "/" if len(addresses) == 1 else f"/{_kebab(ports[0].name)}",
                "description": _text(_told(ports)),
                "to": to,
                "operations": {"POST": None, "GET": None},
            }
        )
    api: dict[str, Any] = {"name": name}
    if service.documentation:
        api["description"] = _text(service.documentation)
    api["base_path"] = wishes.base_path or f"/{name}"
    api["to"] = {"connection": next(iter(connections.values()))}
    api["flow"] = ["faults"]
    api["resources"] = resources
    return Imported(
        {"apis": [api], "connections": {each: {"targets": origin} for origin, each in connections.items()}}, warnings
    )


def _told(ports: list[Port]) -> str:
    versions = " and ".join(sorted({port.version for port in ports}))
    names = list(dict.fromkeys(operation.name for port in ports for operation in port.operations))
    more = "" if len(names) <= SHOWN else f" and {len(names) - SHOWN} more"
    return f"SOAP {versions}: {', '.join(names[:SHOWN])}{more}"


def _kebab(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", _HUMP.sub("-", text).lower()).strip("-")[:60].rstrip("-") or "service"


def _text(text: str) -> str:
    """Shorten a text, and take care that nothing in it is taken for a reference to a secret."""
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return short.replace("${", "$${")
