"""From the operations of APIs to routes: paths, methods, destinations, and the flow each of them gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hookgate import ApiInfo, Route, Site, Ways
from hookgate.flow import RouteLimitsSection
from hookgate_apis.records import ApiSection, ResourceSection, ScopeDestination
from hookgate_apis.steps import Steps
from hookgate_apis.templates import NONE, Front, with_lifecycle
from hookgate_apis.tree import Scope, Tree


class _Place(NamedTuple):
    """A path that clients call for a resource."""

    pattern: str
    cut: str
    """What stands in front of the path of the resource."""
    when: str = ""
    """What a pattern cannot say."""
    note: str = ""


class Maker:
    """Makes the routes of APIs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._steps = Steps(site)
        self._lifecycles: Any = site.section("lifecycles")
        self._templates: Any = site.section("api_templates")

    def routes(self, tree: Tree) -> Iterator[Route | None]:
        """Make the routes of one API; ``None`` in between, so that calls can be served."""
        deployed, front = self._front(tree)
        self._steps.left[tree.name] = self._template(tree)
        if not deployed:
            yield from self._absent(tree, front)
        for resource, described, operations in tree.resources:
            for method, scope in operations or [("", resource)]:
                yield from self._operation(tree, scope, described, method, front if deployed else None)
                yield None

    def _front(self, tree: Tree) -> tuple[bool, Front]:
        """Return whether an API is deployed, and the steps that its state puts in front of its own."""
        return (True, ()) if self._lifecycles is None else self._lifecycles.front(tree.name, tree.api.path, self._site)

    def _template(self, tree: Tree) -> Ways:
        """Build the steps of the template that an API is made with."""
        said = tree.section.template
        if self._templates is None:
            if said not in (None, NONE):
                self._site.problem((*tree.api.path, "template"), f"there is no template {said!r}: write api_templates")
            return Ways()
        try:
            item = self._templates.of(said)
        except LookupError as error:
            self._site.problem((*tree.api.path, "template"), str(error))
            return Ways()
        return Ways() if item is None else self._templates.ways(item, tree.name, self._site)

    def _absent(self, tree: Tree, front: Front) -> Iterator[Route | None]:
        """Make routes for an API that is not deployed, where the default version of another one would take its calls
        as calls of its own.
        """
        mine = tree.section
        beside = [each.record for each in self._site.section("apis").items if each.record.base_path == mine.base_path]  # type: ignore[union-attr]
        others = [each for each in beside if each is not mine]
        if not mine.version or not any(each.default_version for each in others):
            return
        if any(each.version == mine.version for each in others):  # it has been replaced
            return
        for host in mine.hosts or (None,):
            match = {"path": f"{mine.base_path}/{mine.version}/*"} | ({"host": host} if host else {})
            name = f"{tree.name} (absent)" + (f" on {host}" if host else "")
            yield self._site.route({"name": name, "match": match}, tree.api.path, steps=Ways(front, ()))

    def _operation(
        self,
        tree: Tree,
        scope: Scope,
        resource: ResourceSection,
        method: str,
        front: Front | None,
    ) -> Iterator[Route | None]:
        section = tree.section
        ways = self._steps.ways(tree.name, scope)
        to = destination(scope)
        if to.connection is None and not ways.way_in:
            self._site.problem(scope.path, "calls go nowhere: write to.connection here or above")
        if section.environments and self._site.gateway.environment not in section.environments:
            return
        if front is None:  # its steps are checked, and its calls go nowhere
            return
        ways = with_lifecycle(ways, front)
        info = ApiInfo(section.name, section.version, resource.path, method)
        said = {
            "description": scope.section.description,
            "limits": limits(scope),
            "to": self._to(to),
            "labels": labels(scope),
            **extensions(scope),
        }
        made_of = {"to": (*scope.path, "to"), "": scope.path}
        for place in _places(section, resource.path):
            for host in section.hosts or (None,):
                where = f" on {host}" if host and len(section.hosts) > 1 else ""
                match: dict[str, Any] = {"path": place.pattern}
                if host:
                    match["host"] = host
                if method:
                    match["methods"] = (method,)
                if place.when:
                    match["when"] = place.when
                yield self._site.route(
                    {"name": f"{scope.name}{place.note}{where}", "match": match, **said},
                    scope.path,
                    made_of,
                    steps=ways,
                    api=info,
                    strip="" if to.keep_base_path else place.cut,
                    prefix=to.prefix or "",
                )

    def _to(self, to: ScopeDestination) -> dict[str, Any] | None:
        """Return the destination as the document of a route says it."""
        if to.connection is None:
            return None
        cap = self._site.gateway.timeout_cap
        return {
            "connection": to.connection,
            "path": to.path,
            "path_params": "by_name" if to.by_name else "positional",
            "timeout": min(to.timeout or cap, cap) if cap is not None else to.timeout,
            "preserve_host": bool(to.preserve_host),
            "stream": bool(to.stream),
        }


def destination(scope: Scope) -> ScopeDestination:
    """Return where the calls of a scope go: of each part, what the nearest scope says (FL-12, FL-17)."""
    if scope.parent is None:
        return scope.section.to
    above, said = destination(scope.parent), vars(scope.section.to)
    return ScopeDestination.model_construct(
        **{name: above_value if said[name] is None else said[name] for name, above_value in vars(above).items()}
    )


def limits(scope: Scope) -> RouteLimitsSection:
    """Return the limits of a scope: of each, what the nearest scope says."""
    said = scope.section.limits
    if scope.parent is None:
        return said
    above = limits(scope.parent)
    own = {name: value for name, value in vars(said).items() if value is not None}
    return RouteLimitsSection.model_construct(**{**vars(above), **own})


def labels(scope: Scope) -> dict[str, str]:
    """Return the labels of a scope: those above it, and its own."""
    above = labels(scope.parent) if scope.parent is not None else {}
    return {**above, **scope.section.labels}


def extensions(scope: Scope) -> dict[str, Any]:
    """Return what stands under ``x-…`` in a scope or above it; of the same name what is nearer."""
    above = extensions(scope.parent) if scope.parent is not None else {}
    return {**above, **scope.section.extensions}


def _places(api: ApiSection, path: str) -> Iterator[_Place]:
    """Where clients find a resource: below base path and version, and for the default version without it."""
    if not api.version:
        yield _joined(api.base_path, path, "")
        return
    yield _joined(f"{api.base_path}/{api.version}", path, "")
    if api.default_version:
        yield _joined(api.base_path, path, " (default)")


def _joined(prefix: str, path: str, note: str) -> _Place:
    if path.startswith("*") and prefix:  # an extension is looked for in every path; here only below the prefix
        return _Place(f"{prefix}/*", prefix, f"request.path.endswith('{path[1:]}')", note)
    if path == "/" and prefix:
        return _Place(prefix, prefix, "", note)
    return _Place(f"{prefix}{path}", prefix, "", note)
