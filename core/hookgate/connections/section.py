"""Connections: from their section of the document to what the engine makes them of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from hookgate.connections.record import ConnectionSection, location
from hookgate.contract.backends import Balancer, Credential, Discovery, HeaderProvider, Monitor, Transport
from hookgate.contract.section import Item, Section
from hookgate.document.building import Builder
from hookgate.exchange.errors import Path, Problem
from hookgate.http.tls import UpstreamTlsSection, check

FAILOVER = "failover"
"""The balancer of a connection with backups, unless another is named."""

WEIGHTED = "weighted-balancer"
"""What claims to be the default of lists that give weights: shares are exact then (AC-5)."""

ACTIONS = ("set", "add", "remove")


@dataclass(frozen=True, slots=True)
class HeaderActionConfig:
    """One action on a header, with the plugin that gives its value."""

    action: Literal["set", "add", "remove"]
    name: str
    provider: HeaderProvider[Any] | None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One address."""

    scheme: str
    host: str
    port: int
    weight: int
    active: bool


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """A connection with its plugins built. Two are equal when they say the same and hold the very same instances."""

    name: str
    section: ConnectionSection
    """What the document says, except for its plugins: these are below, and only there."""
    transport: Transport[Any]
    balancer: Balancer[Any] | None
    monitors: tuple[Monitor[Any], ...]
    credentials: tuple[Credential[Any], ...]
    headers: tuple[HeaderActionConfig, ...]
    targets: tuple[TargetConfig, ...]
    discovery: Discovery[Any] | None = None
    """Finds the targets where the document lists none."""


def connection_of(builder: Builder, item: Item[ConnectionSection], given: Mapping[str, Any]) -> ConnectionConfig | None:
    """Add to a connection what it leaves to defaults, and check what no record sees, beside what is written; ``None``
    for one with a mistake, which is noted."""
    noted = len(builder.problems)
    name, section, path = item.name, item.record, item.path
    owner = f"connections.{name}"
    transport = section.transport or _by_scheme(builder, section, path, owner)
    balancer = section.balancer
    found = given.get("discovery") is not None
    if balancer is None and section.backups:
        balancer = builder.place("balancer", FAILOVER, (*path, "balancer"), owner)
    elif balancer is None and (len(section.targets) > 1 or found or given.get("balancer")):
        weighted = any("weight" in target.model_fields_set for target in section.targets)
        balancer = _default(builder, "balancer", path, owner, WEIGHTED if weighted else "")
    if given.get("monitor") and isinstance(given.get("targets"), str) and not section.backups:
        message = "a monitor needs load balancing: write targets as a list"
        builder.problems.append(Problem((*path, "monitor"), message, at_key=True))
    headers = _headers(section)
    credentials = section.auth
    _check_signing(builder, credentials, given.get("auth"), (*path, "auth"))
    _warn_of_one_header(builder, credentials, (*path, "auth"))
    if transport is None:
        return None
    targets = _targets(builder, section, transport, (*path, "targets"))
    _check_client_certificates(builder, credentials, targets, (*path, "targets"))
    _check_tls(builder, section, targets, (*path, "tls"))
    if len(builder.problems) > noted:
        return None
    return ConnectionConfig(
        name, section, transport, balancer, section.monitor, credentials, headers, targets, section.discovery
    )


def _default(builder: Builder, family: str, path: Path, owner: str, where: str = "") -> Any:
    """Build the default of a family, in a certain case if there is one for that."""
    try:
        default = (where and builder.catalogue.default(family, where)) or builder.catalogue.default(family)
    except LookupError as error:
        builder.problems.append(Problem(path, str(error)))
        return None
    if default is None:
        builder.problems.append(
            Problem(path, f"no {family} is installed that serves unless another is named; name one")
        )
        return None
    return builder.place(family, default, (*path, family), owner)


def _by_scheme(builder: Builder, section: ConnectionSection, path: Path, owner: str) -> Any:
    """Build the default transport or, where it does not call the schemes of the targets, the one that does (HC-21)."""
    wanted = {location(target.url).scheme for target in (*section.targets, *section.backups)}
    catalogue, default = builder.catalogue, None
    with suppress(LookupError):
        default = catalogue.default("transport")
    if not wanted or (default is not None and wanted <= _schemes(builder, default)):
        return _default(builder, "transport", path, owner)
    fitting = [name for name in catalogue.names("transport") if wanted <= _schemes(builder, name)]
    if len(fitting) > 1:
        message = f"{' and '.join(fitting)} all call {' and '.join(sorted(wanted))}; name one of them in transport"
        builder.problems.append(Problem((*path, "targets"), message))
        return None
    if fitting:
        return builder.place("transport", fitting[0], (*path, "transport"), owner)
    return _default(builder, "transport", path, owner)


def _schemes(builder: Builder, name: str) -> frozenset[str]:
    with suppress(LookupError):
        return frozenset(getattr(builder.catalogue.get("transport", name), "schemes", ()))
    return frozenset()


def _headers(section: ConnectionSection) -> tuple[HeaderActionConfig, ...]:
    return tuple(
        HeaderActionConfig(action, name, given.from_)  # type: ignore[arg-type]
        for given in section.headers
        for action in ACTIONS
        if (name := getattr(given, action)) is not None and (given.from_ is not None or action == "remove")
    )


def _check_signing(builder: Builder, credentials: Sequence[Any], listed: object, path: Path) -> None:
    for index, credential in enumerate(credentials[:-1]):
        if type(credential).signs_message:
            at = (*path, index) if isinstance(listed, list) and len(listed) == len(credentials) else path
            message = f"{credential.entry.name} signs what the others add, so it comes last: move it to the end of auth"
            builder.problems.append(Problem(at, message))


def _check_tls(builder: Builder, section: ConnectionSection, targets: tuple[TargetConfig, ...], path: Path) -> None:
    builder.problems += [problem.under(path) for problem in check(section.tls)]
    if section.tls != UpstreamTlsSection() and targets and all(target.scheme == "http" for target in targets):
        message = "tls has no effect, as no target is https: write https://… in targets, or leave tls out"
        builder.problems.append(Problem(path, message, at_key=True))


def _check_client_certificates(
    builder: Builder, credentials: Sequence[Any], targets: tuple[TargetConfig, ...], path: Path
) -> None:
    """Refuse a client certificate where a target is called without TLS, and would never see it (HC-13).

    A credential that knows its certificate only once it is started is asked again when the document goes live.
    """
    plain = [index for index, target in enumerate(targets) if target.scheme == "http"]
    if plain and any(map(_has_certificate, credentials)):
        text = "the client certificate would never be shown, as the target is called without TLS: write https://"
        builder.problems += [Problem((*path, index), text) for index in plain]


def _has_certificate(credential: Any) -> bool:
    with suppress(Exception, SystemExit):
        return hasattr(credential, "client_certificate") and credential.client_certificate() is not None
    return False


def _warn_of_one_header(builder: Builder, credentials: Sequence[Any], path: Path) -> None:
    """Warn where several credentials write one header: each adds a line, and most backends read only one (X7)."""
    writers: dict[str, list[str]] = {}
    for credential in credentials:
        if credential.header is not None:
            writers.setdefault(credential.header.lower(), []).append(credential.entry.name)
    for name, several in writers.items():
        if len(several) > 1:
            message = (
                f"{' and '.join(several)} all write the header {name}: the backend gets a line of each, and most "
                "backends read only one; move the others with their option header"
            )
            builder.warnings.append(Problem(path, message))


def _targets(builder: Builder, section: ConnectionSection, transport: Any, path: Path) -> tuple[TargetConfig, ...]:
    found: list[TargetConfig] = []
    listed = [(target, (*path, index)) for index, target in enumerate(section.targets)]
    listed += [(target, (*path[:-1], "backups", index)) for index, target in enumerate(section.backups)]
    for target, place in listed:
        where = location(target.url)
        if where.scheme not in type(transport).schemes:
            known = ", ".join(sorted(type(transport).schemes))
            message = f"the transport {transport.entry.name} calls {known}, not {where.scheme!r}"
            builder.problems.append(Problem(place, message))
        found.append(TargetConfig(*where, target.weight, target.active))
    return tuple(found)


class Connections(Section[ConnectionSection]):
    """Backends and the ways to them, by name."""
