"""What pages about people share: who may ask, reading what was sent, and answering in pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.callers import ADMIN, Callers, where
from hookgate_management.calls import number, sent
from hookgate_management.operations import Parameter
from hookgate_management.problems import Refusal, pointer
from hookgate_management.tenancy import FACTS, Tenants, current, let_person, sees
from hookgate_people import By, People

MOST_ON_PAGE = 1000
LATEST = 1e11
"""The latest time that is asked for, in seconds of Unix time."""
AFTER = Parameter("after", "`next` of the page before.")
NAMES = Field(default=(), strict=False)
BodyT = TypeVar("BodyT", bound="Body")


class Body(BaseModel):
    """What is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asked:
    """Calls about people."""

    def __init__(
        self,
        callers: Callers,
        people: Callable[[], Awaitable[People]],
        tenants: Callable[[], Tenants | None],
        providers: Mapping[str, str],
    ) -> None:
        self.callers, self.people = callers, people
        """The people of the store; refuses where nothing is stored."""
        self.tenants = tenants
        self.providers = providers
        """Tenants of providers, by the name of the provider; nothing for one whose people are of no tenant."""

    def let(self, name: str, roles: tuple[str, ...] | None) -> str:
        """Return the tenant of a user or a role that the caller writes; refuses where that is somebody else's."""
        return let_person(self.tenants(), name, roles)

    def let_provider(self, provider: str | None, tenant: str) -> None:
        """Refuse a provider that does not vouch for people of a tenant, or of none.

        Raises:
            Refusal: it is one of others; to somebody of a tenant, one that is not there is the same.
        """
        unknown = tenant if current.get() is None else None
        if provider is not None and self.providers.get(provider, unknown) != tenant:
            raise invalid("provider", f"there is no provider {provider!r} of whom has such a name")

    async def page(self, named: Callable[[str, int], Awaitable[list[Any]]], after: str, limit: int) -> list[Any]:
        """Return users or roles that the caller may see, behind a name."""
        found = await named(after, limit)
        if current.get() is None:
            return found
        mine: list[Any] = []
        while found and len(mine) < limit:
            mine += [each for each in found if sees(each.name)]
            found = await named(found[-1].name, MOST_ON_PAGE)
        return mine[:limit]

    async def owned(self, named: Callable[[str | None, str, int], Awaitable[list[Any]]], limit: int) -> list[Any]:
        """Return tokens or sessions: the own ones, and for an administrator those of all, or of `?user=`. In a tenant
        all are its people.

        Raises:
            Refusal: they are somebody else's.
        """
        caller, user = self.callers.caller(), request.args.get("user")
        if ADMIN not in caller.permissions:
            user = user or caller.name
        if user is not None and (user != caller.name or caller.person is None):
            self.let_with(user)
        if user is not None or current.get() is None:
            return await named(user and clean_name(user), after(), limit)
        found, mine = await named(None, after(), MOST_ON_PAGE), list[Any]()
        while found and len(mine) < limit:
            mine += [each for each in found if sees(each.user)]
            found = await named(None, found[-1].id, MOST_ON_PAGE)
        return mine[:limit]

    def let_with(self, user: str) -> None:
        """Let an administrator do something with tokens and sessions of a user.

        Raises:
            Refusal: the caller is none, or the user is not of the tenant.
        """
        self.callers.let(ADMIN)
        if not sees(user):
            raise Refusal(403, f"{user[:200]} is nobody of the tenant.", "forbidden")

    def let_end(self, found: Any, what: str) -> None:
        """Let somebody end a token or a session: an own one, or as an administrator one of others.

        Raises:
            Refusal: the caller may not, or there is none that they may see.
        """
        caller = self.callers.caller()
        if found is None or found.user != caller.name or caller.person is None:
            self.callers.let(ADMIN)
        if found is None or not sees(found.user):
            raise Refusal(404, f"There is no {what}.", "missing")

    async def know(self, people: People, tenant: str) -> None:
        """Remember that a tenant has people: these stay out when it is gone."""
        if tenant:
            await people.store.tell({FACTS + tenant: True})

    def by(self) -> By:
        """Return who calls, who has to be an administrator."""
        return By(self.callers.let(ADMIN), where())


def schema_of(body: type[Body]) -> dict[str, Any]:
    """Return the schema of what is sent."""
    return body.model_json_schema()


def listed(what: str, found: list[Any], limit: int, key: str) -> Response:
    """Answer with a page of what was found, and with where the next begins."""
    told: dict[str, Any] = {what: [asdict(each) for each in found[:limit]]}
    if len(found) > limit:
        told["next"] = getattr(found[limit - 1], key)
    return as_json(told)


def clean_name(name: str) -> str:
    """Return a name that a database can be asked for."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")


def after() -> str:
    """Return what a page comes after."""
    return clean_name(request.args.get("after", ""))


def limit_of() -> int:
    """Return how many a page has.

    Raises:
        Refusal: that is no number of them.
    """
    return number("limit", 100, MOST_ON_PAGE)


@overload
def unix_time(name: str) -> float | None: ...
@overload
def unix_time(name: str, otherwise: float) -> float: ...
def unix_time(name: str, otherwise: float | None = None) -> float | None:
    """Read a time of the query, in seconds of Unix time.

    Raises:
        Refusal: it is none, or is out of bounds.
    """
    written = request.args.get(name)
    if written is None:
        return otherwise
    try:
        found = float(written)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LATEST:
        raise Refusal(400, f"{name}={written[:50]} is no Unix time, in seconds.", "query")
    return found


def invalid(name: str, detail: str) -> Refusal:
    """Return the refusal of one member of what was sent."""
    errors = [{"pointer": pointer((name,)), "detail": detail}]
    return Refusal(422, "There is a mistake in what was sent.", "invalid", errors)


async def sent_as(shape: type[BodyT]) -> BodyT:
    """Read what is sent.

    Raises:
        Refusal: it is something else.
    """
    found = await sent("application/merge-patch+json")
    try:
        return shape.model_validate(found)
    except ValidationError as error:
        errors = [{"pointer": pointer(each["loc"]), "detail": each["msg"]} for each in error.errors()]
        raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors) from None
