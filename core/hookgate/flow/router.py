"""Which route a call takes: a table over host, path, method and condition, compiled to a lookup.

**The order.** A call takes the first route that matches its host, path, method and condition, when all routes stand in
this order:

1. By host: a host with a port, the host alone, ``*.example.org`` (the longer the part after ``*`` the earlier, and with
   a port before without), and last the routes for any host.
2. By kind of path (KC-52: url-mappings before uri-templates): exact paths, prefixes ``/a/*`` (longest first, ``/*``
   last), extensions ``*.html`` (longest first), templates ``/a/{b}``, catch-alls ``/a/{rest...}``.
3. Among templates, and among catch-alls: the most literal segments, then the most literal characters (a segment with a
   variable in it is not literal, its other characters are), then the path that was declared first.
4. Among routes of one path (the names of variables do not tell paths apart): for ``HEAD``, routes that list it before
   those that take it only because they list ``GET`` (RFC 9110, 9.3.2) or take any method; then routes with a condition
   before those without; then the order of declaration.

So a path, method or condition that does not match falls through to the next route, also to one for a less specific
host. When none is left the call ends in 404, or in 405 when another method would have found a route.

Paths compare in the spelling of :func:`hookgate.flow.paths.normalise`, case-sensitively; hosts compare without case,
without a dot at the end, and with a port only where the pattern has one.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.errors import Fault, MethodNotAllowed, NotFound
from hookgate.exchange.exchange import Exchange
from hookgate.expressions import Expression
from hookgate.flow.paths import WHOLE, Segment, Template, normalise, parse, take

_log = logging.getLogger("hookgate.router")

_HOST = re.compile(r"(\*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LONGEST_AUTHORITY = 261
"""A name (RFC 1035, 2.3.4) and a port. What is longer is not looked up: that takes time by the square of the length."""
_REMEMBERED_HOSTS = 1024
_REMEMBERED_PATHS = 4096
_REMEMBERED_LENGTH = 256
"""Longer paths are looked up each time, so that nobody fills the memory with them."""

HostPattern = tuple[bool, str, str]
"""Whether it is a wildcard, the name (for a wildcard what follows ``*.``), and the port or nothing."""


class Route:
    """One entry of the table, with what the gateway does for its calls. Two routes are equal only if they are one.

    ``when`` is asked before the exchange is routed: ``exchange.route`` is ``None`` and ``exchange.params`` empty. A
    condition that raises counts as not fulfilled, and the exception goes to the debug log.

    Raises:
        ValueError: the host or the path is not a pattern, or ``methods`` is empty.
    """

    __slots__ = (
        "api",
        "extensions",
        "host",
        "host_pattern",
        "labels",
        "methods",
        "name",
        "parameters",
        "passage",
        "path",
        "settings",
        "template",
        "when",
    )

    def __init__(
        self,
        name: str,
        path: str,
        *,
        host: str | None = None,
        methods: Iterable[str] | None = None,
        when: Expression | None = None,
        settings: Any = None,
    ) -> None:
        self.name = name
        self.api: ApiInfo | None = None
        """What it stands for, where it comes from an API."""
        self.labels: Mapping[str, str] = {}
        """Short texts by name, as the document has them."""
        self.extensions: Mapping[str, Any] = {}
        """What the document says of it under ``x-…``."""
        self.passage: Any = None
        """The way its calls take, compiled by the generation."""
        self.host = host
        """A host, ``*.example.org`` for every host under one, either with ``:port``; ``None`` for any."""
        self.path = path
        """See :mod:`hookgate.flow.paths` for what may be written here."""
        self.methods = None if methods is None else frozenset(methods)
        """Methods as they stand in a request (they are case-sensitive); ``None`` for any."""
        self.when = when
        self.settings = settings
        if self.methods is not None and not self.methods:
            raise ValueError("an empty list of methods matches nothing; leave it out for any method")
        self.template: Template = parse(path)
        self.host_pattern: HostPattern | None = None if host is None else _parse_host(host)
        self.parameters = self.template.names
        """Names of the path parameters, in the order of the path."""

    def __repr__(self) -> str:
        return f"<Route {self.name}: {','.join(sorted(self.methods or '*'))} {self.host or ''}{self.path}>"


def _parse_host(text: str) -> HostPattern:
    match = _HOST.fullmatch(text.lower())
    if match is None or (match[1] and match[2].startswith("[")):
        raise ValueError(
            f"{text!r} is not a host: write 'api.example.org' or '*.example.org', with ':port' if only that port is "
            "meant, an IPv6 address in brackets, an international name in its xn-- form, nothing at all for any host"
        )
    return match[1] is not None, match[2], match[3] or ""


def _holds(condition: Expression, exchange: Exchange) -> bool:
    try:
        return bool(condition(exchange))
    except Fault:  # what comes twice may lead elsewhere by its other value
        raise
    except Exception as error:  # noqa: BLE001 - whatever a condition stumbles over, the call gets its answer from other routes
        _log.debug("the condition %r failed: %r", getattr(condition, "text", condition), error)
        return False


class _Leaf:
    """The routes of one path on one host, sorted out by method."""

    __slots__ = ("by_method", "rank", "unlisted")

    def __init__(self, rank: int, routes: Sequence[Route]) -> None:
        self.rank = rank
        ordered = sorted(routes, key=lambda route: route.when is None)
        listed = {method for route in ordered for method in route.methods or ()}
        if "GET" in listed:
            listed.add("HEAD")
        self.by_method = {method: tuple(_takers(ordered, method)) for method in listed}
        self.unlisted = tuple(route for route in ordered if route.methods is None)
        """The routes for a method that none of them lists."""

    def choose(self, method: str, exchange: Exchange) -> Route | None:
        """Return the first route that takes the method and whose condition holds."""
        for route in self.by_method.get(method, self.unlisted):
            if route.when is None or _holds(route.when, exchange):
                return route
        return None


def _takers(routes: Sequence[Route], method: str) -> list[Route]:
    wanted = {"HEAD", "GET"} if method == "HEAD" else {method}
    takers = [route for route in routes if route.methods is None or route.methods & wanted]
    return sorted(takers, key=lambda route: method == "HEAD" and method not in (route.methods or ()))


class _Node:
    """A point in the tree of templates and prefixes: the edges that lead on, and the paths that end here."""

    __slots__ = ("ends", "literals", "mixed", "prefix", "tail", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.mixed: dict[Segment, _Node] = {}
        self.variable: _Node | None = None
        self.ends: _Leaf | None = None
        self.prefix: _Leaf | None = None
        self.tail: _Leaf | None = None
        """The catch-all that begins here."""

    def descend(self, segment: Segment) -> "_Node":
        """Return the node behind an edge, made where it is missing."""
        if len(segment) == 1:
            return self.literals.setdefault(segment[0], _Node())
        if segment != WHOLE:
            return self.mixed.setdefault(segment, _Node())
        if self.variable is None:
            self.variable = _Node()
        return self.variable


_Candidate = tuple[_Leaf, tuple[str, ...]]


class _Table:
    """The paths of one host."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, _Leaf] = {}
        self._extensions: dict[str, _Leaf] = {}
        self._root = _Node()
        shapes: dict[object, list[Route]] = {}
        for route in routes:
            shapes.setdefault(route.template.shape, []).append(route)
        for rank, alike in enumerate(sorted(shapes.values(), key=lambda alike: alike[0].template.rank)):
            self._place(alike[0].template, _Leaf(rank, alike))
        self._longest_extension = max(map(len, self._extensions), default=0)

    def _place(self, template: Template, leaf: _Leaf) -> None:
        if template.kind == "exact":
            self._exact["".join(f"/{segment[0]}" for segment in template.segments)] = leaf
            return
        if template.kind == "extension":
            self._extensions[template.segments[0][0]] = leaf
            return
        node = self._root
        for segment in template.segments:
            node = node.descend(segment)
        if template.kind == "template":
            node.ends = leaf
        elif template.kind == "prefix":
            node.prefix = leaf
        else:
            node.tail = leaf

    def exact(self, path: str) -> _Leaf | None:
        """Return the routes of exactly this path."""
        return self._exact.get(path.rstrip("/"))

    def others(self, path: str) -> list[_Candidate]:
        """Return the routes of every other path that matches, best first, with what its variables stand for."""
        found: list[_Candidate] = []
        segments = path.split("/")[1:]
        end = len(segments)
        pending: list[tuple[_Node, int, tuple[str, ...]]] = [(self._root, 0, ())]
        while pending:
            node, depth, values = pending.pop()
            if node.prefix is not None:
                found.append((node.prefix, ()))
            if node.tail is not None:
                found.append((node.tail, (*values, "/".join(segments[depth:]))))
            if depth == end:
                if node.ends is not None:
                    found.append((node.ends, values))
                continue
            segment = segments[depth]
            depth += 1
            if (child := node.literals.get(segment)) is not None:
                pending.append((child, depth, values))
            if node.variable is not None and segment:
                pending.append((node.variable, depth, (*values, segment)))
            if node.mixed:
                for mixed, child in node.mixed.items():
                    if (taken := take(mixed, segment)) is not None:
                        pending.append((child, depth, values + taken))
        if self._extensions:
            tail = segments[-1][-self._longest_extension :]
            dot = tail.find(".")
            while dot >= 0:
                if (leaf := self._extensions.get(tail[dot:])) is not None:
                    found.append((leaf, ()))
                dot = tail.find(".", dot + 1)
        if len(found) > 1:
            found.sort(key=lambda candidate: candidate[0].rank)
        return found


class Router:
    """Finds the route of a call. Compiled once from all routes and never changed after."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        """The routes in the order of declaration."""
        hosts: dict[HostPattern | None, list[Route]] = {}
        for route in routes:
            hosts.setdefault(route.host_pattern, []).append(route)
        self._hosts = {pattern: _Table(alike) for pattern, alike in hosts.items()}
        anywhere = self._hosts.pop(None, None)
        self._anywhere = () if anywhere is None else (anywhere,)
        self._tables = lru_cache(_REMEMBERED_HOSTS)(self._tables_of)
        self._candidates = lru_cache(_REMEMBERED_PATHS)(self._look_up)

    def find(self, exchange: Exchange) -> Route:
        """Find the route of a call and write it into ``exchange.route``, its path parameters into ``exchange.params``.

        The request stays as it is: whoever forwards its path normalises it too.

        Raises:
            BadRequest: the path cannot be normalised.
            NotFound: no route matches host, path and condition.
            MethodNotAllowed: some do, but for other methods; these are in ``Allow``.
        """
        request = exchange.request
        path, method = request.path, request.method
        # One table for all hosts is the rule; then the host does not matter.
        host, scheme = (request.host, request.scheme) if self._hosts else ("", "")
        short = len(path) + len(host) <= _REMEMBERED_LENGTH
        candidates = self._candidates(path, host, scheme) if short else self._look_up(path, host, scheme)
        for leaf, values in candidates:
            route = leaf.choose(method, exchange)
            if route is not None:
                exchange.route = route
                if values:
                    exchange.params = dict(zip(route.parameters, values, strict=True))
                return route
        missed = [leaf for leaf, _ in candidates]
        allowed = {other for leaf in missed for other in leaf.by_method if leaf.choose(other, exchange) is not None}
        if not allowed:
            raise NotFound("No route matches this host and path.")
        raise MethodNotAllowed(
            "This path takes other methods; see Allow.", headers={"Allow": ", ".join(sorted(allowed))}
        )

    def _look_up(self, path: str, authority: str, scheme: str) -> tuple[_Candidate, ...]:
        """Return the routes of a path on a host, best first, whatever their methods and conditions."""
        path = normalise(path)
        found: list[_Candidate] = []
        for table in self._tables(authority, scheme) if self._hosts else self._anywhere:
            leaf = table.exact(path)
            if leaf is not None:
                found.append((leaf, ()))
            found += table.others(path)
        return tuple(found)

    def _tables_of(self, authority: str, scheme: str) -> tuple[_Table, ...]:
        """Return the tables for the host of a request, the most specific first."""
        if len(authority) > _LONGEST_AUTHORITY:
            return self._anywhere
        name, port = _split(authority.lower())
        port = port or _DEFAULT_PORTS.get(scheme, "")
        patterns = [(False, name)]
        dot = name.find(".", 1)
        while dot >= 0:
            patterns.append((True, name[dot + 1 :]))
            dot = name.find(".", dot + 1)
        keys = [(wildcard, part, either) for wildcard, part in patterns for either in (port, "")]
        return tuple(self._hosts[key] for key in keys if key in self._hosts) + self._anywhere


def _split(authority: str) -> tuple[str, str]:
    """Return the host without a dot at its end, and the port, which is empty where none is written."""
    name, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = authority, ""
    return name.removesuffix("."), port


def conflicts(routes: Sequence[Route]) -> list[tuple[Route, Route]]:
    """Return the pairs of routes that only the order of declaration tells apart, the earlier one first.

    Such routes have the same host and path (the names of variables aside), a method in common, and no condition, so
    that the later one is never taken for that method. Of several earlier routes for one method the first is named.
    """
    found: list[tuple[Route, Route]] = []
    taken: dict[object, dict[str | None, Route]] = {}
    for route in routes:
        if route.when is not None:
            continue
        owners = taken.setdefault((route.host_pattern, route.template.shape), {})
        methods = route.methods or {None}
        rivals = [owner for method, owner in owners.items() if method is None or None in methods or method in methods]
        found += [(owner, route) for owner in dict.fromkeys(rivals)]
        for method in methods:
            owners.setdefault(method, route)
    return found
