"""What the people of a tenant may see and change over the API (KC-80): what is theirs by its name, and nothing else.

There are tenants where the section ``tenants`` is installed and has some. A call of somebody of a tenant carries a
:class:`Scope`, whoever else calls carries none, and where there is none nothing is asked. Pages that do not know of
tenants are closed to their people: :data:`OPEN` lists the others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from hookgate_management.forms import Forms, Schema, among, under
from hookgate_management.problems import Path, Refusal, pointer
from hookgate_storage import Change, Object, Store

FACTS = "tenant/"
"""Tenants that have ever had people: these stay out when the tenant is gone."""
OBJECT_PAGES = frozenset(
    {"list", "read", "make", "put", "patch", "remove", "used-by", "rename", "diff-of"}
    | {"read-draft", "save-draft", "drop-draft", "deploy-draft", "steps", "add-step", "move-step", "remove-step"}
)
WRITTEN = frozenset({"put", "save-draft"})
"""Pages that may make what is not there."""
PEOPLE_PAGES = frozenset({"user", "change-user", "remove-user", "remove-factor", "role", "change-role", "remove-role"})
OPEN = frozenset(
    {"me", "password", "users", "make-user", "roles", "make-role", "tokens", "make-token", "end-token", "audit"}
    | {"session", "log-out", "sessions", "end-session"}
    | {"login-page", "login-form", "login-begin", "login-callback", "logout-form", "factor-form", "factor-confirm"}
    | {"factor", "enrol-factor", "confirm-factor", "renew-codes", "end-factor"}
    | {"drafts", "deploy-drafts", "statistics"}
    | {"apply", "plan", "apply-plan", "export", "rollback", "generations", "generation"}
    | OBJECT_PAGES
    | PEOPLE_PAGES
)
"""Operations that know of tenants."""
_VARIABLE = re.compile(r"\$\{variable:([^{}]*)\}")
_SECTION = "x-hookgate-section"
_HIDDEN = "\N{HORIZONTAL ELLIPSIS}"


class Tenants(Protocol):
    """The section ``tenants``."""

    tenants: Mapping[str, Any]

    def tenant_of(self, name: str) -> str:
        """Return the tenant whose a name is; nothing for what is of none."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody of a tenant is confined to."""

    tenant: str
    section: Tenants

    def has(self, name: str) -> bool:
        """Whether a user, a role or an object of that name is of the tenant."""
        return self.section.tenant_of(name) == self.tenant

    def owner(self, owner: str) -> str:
        """Return the name of an owner that no other tenant can have."""
        return f"{owner}@{self.tenant}"

    def let(self, kind: str, name: str) -> None:
        """Refuse to write what is not of the tenant, whether it is there or not.

        Raises:
            Refusal: it is not.
        """
        record = self.section.tenants[self.tenant]
        if kind not in record.kinds:
            raise Refusal(403, f"The tenant {self.tenant} has no {kind}.", "forbidden")
        if not self.has(name):
            detail = f"{name[:200]!r} is no name of an object of the tenant: it ends in @{self.tenant}."
            raise Refusal(422, detail, "tenant")

    def check(self, wanted: Sequence[Change], held: Iterable[Object], kinds: Mapping[str, Any], schemas: Any) -> None:
        """Refuse changes of what is not of the tenant, references to what it may not use, and too many objects.

        Raises:
            Refusal: there are some.
        """
        record = self.section.tenants[self.tenant]
        there = {(each.kind, each.name) for each in held if self.has(each.name)}
        before = len(there)
        for change in wanted:
            self.let(change.kind, change.name)
            (there.discard if change.body is None else there.add)((change.kind, change.name))
            if change.body is None:
                continue
            found = dict(self._beyond(change, kinds[change.kind].schema, Forms(schemas, everywhere=True)))
            if found:
                errors = [
                    {"pointer": pointer(path), "detail": f"there is no {name!r} that the tenant may refer to"}
                    for path, name in found.items()
                ]
                if len(wanted) > 1:
                    errors = [{"object": f"{change.kind}/{change.name}", **each} for each in errors]
                raise Refusal(422, "It refers to what is not there for this tenant.", "invalid", errors)
        if len(there) > max(record.objects, before):
            detail = f"The tenant {self.tenant} may have {record.objects} objects, and has {before}."
            raise Refusal(409, detail, "quota")

    def _beyond(self, change: Change, schema: Schema, forms: Forms) -> Iterator[tuple[Path, str]]:
        """Give the places that name an object of somebody else, whether there is one or not."""
        shared = self.section.tenants[self.tenant].shared
        for path, section, name in _referred(change.body, [schema], forms, ()):
            if not self.has(name) and not any(fnmatchcase(f"{section}/{name}", each) for each in shared):
                yield path, name
        for path, text in _texts(change.body, ()):
            for name in _VARIABLE.findall(text):
                if not self.has(name) and not any(fnmatchcase(f"variables/{name}", each) for each in shared):
                    yield path, name
            if self.section.tenant_of(text) not in ("", self.tenant):
                yield path, text

    def scrubbed(self, refusal: Refusal, names: Iterable[str], sent: str) -> Refusal:
        """Take the names of others out of what is told; not those that the caller has sent, since hiding one would say
        that there is such a thing.
        """
        hidden = sorted({each for each in names if not self.has(each) and each not in sent}, key=len, reverse=True)
        pattern = re.compile(rf"(?<![\w@.-])(?:{'|'.join(map(re.escape, hidden))})(?![\w@-]|\.\w)") if hidden else None

        def clean(text: str) -> str:
            found = text if pattern is None else pattern.sub(_HIDDEN, text)
            return re.sub(rf"{_HIDDEN}(?:'?,? '?{_HIDDEN})+", _HIDDEN, found)

        errors = []
        for each in refusal.errors:
            told = {key: clean(value) if isinstance(value, str) else value for key, value in each.items()}
            if "object" in each and not self.has(str(each["object"]).partition("/")[2]):
                told = {"detail": "something that is not of the tenant could not live with that"}
            errors.append(told)
        return Refusal(refusal.status, clean(str(refusal)), refusal.kind, errors)


current: ContextVar[Scope | None] = ContextVar("hookgate_management_scope", default=None)
"""The scope of the call that is served; ``None`` for who is of no tenant."""


def keep_tenants(wanted: Sequence[Change], held: Iterable[Object]) -> None:
    """Refuse to remove a tenant that still has objects, unless the same write removes them.

    Raises:
        Refusal: it has some.
    """
    gone = {change.name for change in wanted if change.kind == "tenants" and change.body is None}
    if not gone:
        return
    removed = {(change.kind, change.name) for change in wanted if change.body is None}
    for each in held:
        ends = {word.rpartition("@")[2].casefold() for word in each.name.split(" ") if "@" in word}
        if (each.kind, each.name) not in removed and (theirs := gone & ends):
            detail = f"The tenant {min(theirs)} is not empty: it has {each.kind}/{each.name}. Remove what it has first."
            told = {"object": f"{each.kind}/{each.name}", "detail": "is what the tenant has"}
            raise Refusal(409, detail, "in-use", [told])


def let_person(section: Tenants | None, name: str, roles: Iterable[str] | None) -> str:
    """Return the tenant of a user or a role that is written, with these roles.

    Raises:
        Refusal: the caller may not, or a role is of somebody else.
    """
    scope = current.get()
    tenant = section.tenant_of(name) if section is not None else ""
    if scope is not None and tenant != scope.tenant:
        detail = f"{name[:200]!r} is no name in the tenant: it ends in @{scope.tenant}."
        raise Refusal(422, detail, "tenant", [{"pointer": "/name", "detail": "is of somebody else"}])
    for index, role in enumerate(roles or ()):
        whose = section.tenant_of(role) if section is not None else ""
        if whose != tenant and (scope is not None or whose):
            errors = [{"pointer": f"/roles/{index}", "detail": f"there is no role {role[:200]!r} for {name[:200]}"}]
            raise Refusal(422, "A user has roles of the own tenant.", "invalid", errors)
    return tenant


def seen(objects: Iterable[Object]) -> tuple[Object, ...]:
    """Return the objects that the caller may see."""
    scope = current.get()
    return tuple(objects) if scope is None else tuple(each for each in objects if scope.has(each.name))


def sees(name: str) -> bool:
    """Whether the caller may see what has that name."""
    scope = current.get()
    return scope is None or scope.has(name)


async def scope_of(name: str, section: Tenants | None, store: Store | None) -> Scope | None:
    """Return what a caller of that name is confined to; ``None`` for who is of no tenant.

    Raises:
        Refusal: the tenant is disabled, or there is none any more.
    """
    if "@" not in name:
        return None
    tenant = section.tenant_of(name) if section is not None else ""
    if section is not None and tenant in section.tenants:
        if section.tenants[tenant].disabled:
            raise Refusal(403, f"The tenant {tenant} is disabled.", "tenant")
        return Scope(tenant, section)
    known = {} if store is None else await store.told(FACTS)
    if tenant or any(FACTS + word.rpartition("@")[2].casefold() in known for word in name.split(" ")):
        raise Refusal(403, f"There is no tenant of {name} here.", "tenant")
    return None


def confined(
    scope: Scope, page: str, names: Mapping[str, Any], opened: Collection[str] = frozenset()
) -> Refusal | None:
    """Return why somebody of a tenant may not call a page: it knows of no tenants, or is about what is not theirs.
    ``opened`` are pages of other distributions that know of them.
    """
    if page not in OPEN and page not in opened:
        return Refusal(403, "That is for people of no tenant.", "forbidden")
    name, section = str(names.get("name", "")), str(names.get("section", ""))
    if page in OBJECT_PAGES and section not in scope.section.tenants[scope.tenant].kinds:
        return Refusal(403, f"The tenant {scope.tenant} has no {section[:100]}.", "forbidden")
    if page in OBJECT_PAGES and name and page not in WRITTEN and not scope.has(name):
        return Refusal(404, f"There is no {section}/{name}.", "missing")
    if page in PEOPLE_PAGES and not scope.has(name):
        return Refusal(404, f"There is no {name}.", "missing")
    return None


def _referred(value: Any, schemas: list[Schema], known: Forms, path: Path) -> Iterator[tuple[Path, str, str]]:
    forms = known.of(schemas)
    if isinstance(value, dict):
        keys = known.of([form["propertyNames"] for form in forms if "propertyNames" in form])
        for key, each in value.items():
            yield from (((*path, key), form[_SECTION], key) for form in keys if _SECTION in form)
            yield from _referred(each, under(forms, key), known, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _referred(each, among(forms, index), known, (*path, index))
    elif isinstance(value, str):
        yield from ((path, form[_SECTION], value) for form in forms if _SECTION in form)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key), key
            yield from _texts(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(each, (*path, index))
