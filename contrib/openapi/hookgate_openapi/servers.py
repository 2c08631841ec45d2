"""Where a description says that its backend is: for all of it, for a path, and for an operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import quote, urlsplit

from hookgate.exchange import Path
from hookgate.flow import parse
from hookgate_openapi.description import Description

_SCHEMES = ("http", "https")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_VARIABLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Server:
    """A backend, taken apart."""

    origin: str = ""
    """`https://api.example.org`; empty where only a path is said."""
    path: str = ""
    others: int = 0
    """Servers that are listed after it."""


def urls(description: Description, value: Any, path: Path) -> list[str]:
    """Return what a list of servers says, variables at their defaults."""
    found: list[str] = []
    for index, server in enumerate(description.listed(value, path)):
        server = description.mapping(server, (*path, index))  # noqa: PLW2901
        variables = description.mapping(server.get("variables"), (*path, index, "variables"))

        def chosen(match: re.Match[str], variables: Mapping[str, Any] = variables) -> str:
            variable = variables.get(match[1])
            return str(variable.get("default", "")) if isinstance(variable, Mapping) else ""

        found.append(_VARIABLE.sub(chosen, str(server.get("url", ""))))
    return found


def urls_of_swagger(description: Description, schemes: Any, path: Path) -> list[str]:
    """Return where Swagger 2.0 says that the backend is, over one of some schemes."""
    host, base = description.value.get("host"), str(description.value.get("basePath", ""))
    listed = [each for each in description.listed(schemes, path) if each in _SCHEMES]
    scheme = "https" if "https" in listed or not listed else "http"
    return [f"{scheme}://{host}{base}" if host else base]


def first(listed: Sequence[str]) -> Server | None:
    """Return the first server with a whole URL, or else the first with a path; ``None`` if there is none."""
    found = [server for url in listed if (server := taken_apart(url)) is not None]
    whole = [server for server in found if server.origin]
    if whole:
        return Server(whole[0].origin, whole[0].path, len(whole) - 1)
    return Server("", found[0].path) if found else None


def own(description: Description, item: Mapping[str, Any], place: Path, operation: Any, at: Path) -> Server | None:
    """Return the server of an operation, or of its path, where one of them has its own; note one that is no URL."""
    if description.version == "2.0":
        if isinstance(operation, Mapping) and "schemes" in operation:
            return first(urls_of_swagger(description, operation["schemes"], (*at, "schemes")))
        return None
    for holder, where in ((operation, (*at, "servers")), (item, (*place, "servers"))):
        if isinstance(holder, Mapping) and holder.get("servers"):
            found = first(urls(description, holder["servers"], where))
            if found is None:
                description.refuse(where, "none of these is a URL such as https://api.example.org/v1")
            return found
    return None


def taken_apart(url: str) -> Server | None:
    """Take a URL apart, or a path; ``None`` for what is neither, and for what no call could go to."""
    try:
        parts = urlsplit(url)
        path = base(parts.path)
        if parts.query or parts.fragment or "@" in parts.netloc:
            return None
        if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
            return Server("", path) if not parts.scheme and not parts.netloc else None
        port = "" if parts.port is None else f":{parts.port}"
        if parts.port == 0:
            return None
        host = f"[{IPv6Address(parts.hostname)}]" if ":" in parts.hostname else _host(parts.hostname)
    except ValueError:
        return None
    return Server(f"{parts.scheme.lower()}://{host}{port}", path)


def base(path: str) -> str:
    """Return a path as it stands in front of others: without variables, percent-encoded, no `/` at the end.

    Raises:
        ValueError: it is none, with the reason.
    """
    path = quote(path.rstrip("/"), safe="/%:@!$&'()+,;=-._~*{}")
    if path and parse(path).kind != "exact":
        raise ValueError(f"{path!r} has variables")
    return path


def _host(name: str) -> str:
    """Return a host as it is looked up."""
    written = name if name.isascii() else name.encode("idna").decode()
    if not _HOST.fullmatch(written):
        raise ValueError(name)
    return written
