"""A client of the management API, which the commands use, too::

with Client("http://127.0.0.1:8001", token) as client:
    plan = client.plan({"routes": [...]}, owner="shop")
    client.apply(plan.plan)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

PATIENCE = 330.0
"""Seconds that an answer may take; writes may wait for 300."""


class ApiError(Exception):
    """The API refuses something; the text says what and why."""

    def __init__(self, status: int, detail: str, kind: str = "", errors: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        """The type of the problem, without `urn:hookgate:problem:`."""
        self.errors = errors
        """Each with a `detail`, and with a `pointer` and an `object` where they are known."""


class Unreachable(Exception):
    """No gateway answers there."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, secrets as asterisks."""

    kind: str
    name: str
    body: Any
    source: str
    """`file` or `store`."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to."""

    generation: int
    digest: str
    written: bool
    live: bool | None
    """Whether every gateway that is alive serves it; ``None`` if nobody waited."""
    nodes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done."""

    generation: int
    """The one that it was made for."""
    owner: str
    differences: tuple[Mapping[str, Any], ...]
    plan: str
    """Sealed."""
    effects: tuple[Mapping[str, Any], ...] = ()
    """Routes that calls meet something else on, the first of them."""
    effects_total: int = 0


class Client:
    """Calls the management API of one gateway. Every method may raise the errors of :meth:`call`."""

    def __init__(self, url: str, token: str, *, patience: float = PATIENCE) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        import httpx  # a quarter of a second, which other commands are spared

        self._failures = (httpx.HTTPError, httpx.InvalidURL)
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/-/api", headers=headers, timeout=patience, trust_env=False
        )
        self.url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str | list[str]] | None = None,
        **headers: str,
    ) -> Any:
        """Call a path behind `/-/api`, and return the JSON of the answer. Bytes are sent as they are.

        Raises:
            ApiError: it is refused.
            Unreachable: nobody answers, or somebody else.
        """
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            sent: dict[str, Any] = {} if body is None else {"content" if isinstance(body, bytes) else "json": body}
            answer = self._http.request(method, path, params=query, headers=told, **sent)
        except self._failures as error:
            raise Unreachable(f"no gateway answers on {self.url}: {error or type(error).__name__}") from None
        try:
            found = answer.json()
        except ValueError:
            raise Unreachable(f"{self.url} answered {answer.status_code}, and no JSON: is it a gateway?") from None
        if not answer.is_success:
            found = found if isinstance(found, dict) else {}
            kind = str(found.get("type", "")).removeprefix("urn:hookgate:problem:")
            detail = str(found.get("detail", f"{self.url} answered {answer.status_code}"))
            raise ApiError(answer.status_code, detail, kind, tuple(found.get("errors", ())))
        return found

    def get(self, kind: str, name: str) -> Stored:
        """Return an object."""
        return _stored(self.call("GET", _place(kind, name)))

    def objects(self, kind: str) -> list[Stored]:
        """Return every object of a kind."""
        found, query = [], {"limit": "1000"}
        while True:
            page = self.call("GET", f"/objects/{quote(kind, safe='')}", query=query)
            found += [_stored(each) for each in page["objects"]]
            if "next" not in page:
                return found
            query["after"] = page["next"]

    def put(self, kind: str, name: str, body: Any, *, version: int | None = None, **query: str) -> Written:
        """Make or replace an object; with a ``version`` only if it has that one, 0 for none."""
        return _written(self.call("PUT", _place(kind, name), body, query, **_over(version)))

    def remove(self, kind: str, name: str, **query: str) -> Written:
        """Remove an object."""
        return _written(self.call("DELETE", _place(kind, name), query=query))

    def rename(self, kind: str, name: str, to: str, *, force: bool = False, **query: str) -> Written:
        """Give an object another name, and write it wherever others refer to it."""
        more = {"force": "true"} if force else {}
        return _written(self.call("POST", f"{_place(kind, name)}/rename", {"to": to}, query | more))

    def rollback(self, to: int, **query: str) -> Written:
        """Make a generation with the state of an older one."""
        return _written(self.call("POST", "/rollback", {"to": to}, query))

    def drafts(self) -> list[Mapping[str, Any]]:
        """Return what drafts there are, without their bodies."""
        found: list[Mapping[str, Any]] = self.call("GET", "/drafts")["drafts"]
        return found

    def draft(self, kind: str, name: str) -> Mapping[str, Any]:
        """Return a draft, secrets as asterisks."""
        found: Mapping[str, Any] = self.call("GET", f"{_place(kind, name)}/draft")
        return found

    def save_draft(
        self, kind: str, name: str, body: Any, *, version: int | None = None, **query: str
    ) -> Mapping[str, Any]:
        """Save a draft; with a ``version`` only over that one, 0 for none. The answer has the `mistakes` in it."""
        found: Mapping[str, Any] = self.call("PUT", f"{_place(kind, name)}/draft", body, query, **_over(version))
        return found

    def drop_draft(self, kind: str, name: str, **query: str) -> None:
        """Forget a draft."""
        self.call("DELETE", f"{_place(kind, name)}/draft", query=query)

    def deploy(self, *drafts: tuple[str, str], **query: str) -> Written:
        """Make drafts live, all as one generation; each is a kind and a name."""
        listed = [{"kind": kind, "name": name} for kind, name in drafts]
        return _written(self.call("POST", "/drafts/deploy", {"drafts": listed}, query))

    def compare(self, kind: str, name: str, **query: str) -> list[Mapping[str, Any]]:
        """Compare two states of an object: `draft`, `live` or the number of a generation, as `from_` and `to`."""
        told = {key.rstrip("_"): value for key, value in query.items()}
        found: list[Mapping[str, Any]] = self.call("GET", f"{_place(kind, name)}/diff", query=told)["differences"]
        return found

    def steps(self, kind: str, name: str, **query: str) -> list[Mapping[str, Any]]:
        """Return the steps of an object, for each of its scopes."""
        found: list[Mapping[str, Any]] = self.call("GET", f"{_place(kind, name)}/steps", query=query)["scopes"]
        return found

    def step(
        self, verb: str, kind: str, name: str, place: Mapping[str, Any], *, version: int | None = None, **query: str
    ) -> Mapping[str, Any]:
        """Add, move or remove a step. ``place`` has `step` and `position`, `flow` (`both`, `inbound`, `outbound`),
        `resource` and `operation`; ``query`` has `draft`, `break_`, `dry_run` and `wait`.
        """
        told = {key.rstrip("_"): value for key, value in query.items()}
        found: Mapping[str, Any] = self.call(
            "POST", f"{_place(kind, name)}/steps/{verb}", place, told, **_over(version)
        )
        return found

    def plan(self, document: Mapping[str, Any], owner: str = "default", *, prune: bool = True) -> Planned:
        """Say what would make the store hold a document, as far as an owner has it. Without ``prune`` the document is a
        part of what the owner has, and nothing is removed."""
        asked = {} if prune else {"prune": False}
        told = self.call("POST", "/plan", {"document": document, "owner": owner, **asked})
        more: dict[str, Any] = {
            "effects": tuple(told.get("effects", ())),
            "effects_total": told.get("effects_total", 0),
        }
        return Planned(told["generation"], told["owner"], tuple(told["differences"]), told["plan"], **more)

    def apply(self, plan: str, **query: str) -> Written:
        """Carry out a plan as it was made."""
        return _written(self.call("POST", "/apply-plan", {"plan": plan}, query))

    def export(self) -> dict[str, Any]:
        """Return what is stored as a document, secrets as asterisks."""
        found: dict[str, Any] = self.call("GET", "/export")
        return found

    def remove_factor(self, user: str) -> None:
        """Remove the second factor of somebody who has lost it."""
        self.call("DELETE", f"/users/{quote(user, safe='')}/factor")

    def statistics(
        self,
        *,
        by: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
        where: Mapping[str, Sequence[str]] | None = None,
        resolution: str | None = None,
        series: bool = False,
    ) -> list[dict[str, Any]]:
        """Return counts of calls between two Unix times, told apart by dimensions."""
        query: dict[str, str | list[str]] = {name: list(values) for name, values in (where or {}).items()}
        told = {"from": since, "to": until, "resolution": resolution}
        query |= {name: str(value) for name, value in told.items() if value is not None}
        query |= {"by": ",".join(by), "limit": "1000", "series": "true" if series else "false"}
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", "/statistics", query=query)
            found += page["rows"]
            if "next" not in page:
                return found
            query["after"] = str(page["next"])


def _place(kind: str, name: str) -> str:
    return f"/objects/{quote(kind, safe='')}/{quote(name, safe='')}"


def _over(version: int | None) -> dict[str, str]:
    """Return the header that refuses a write over another version than this."""
    return {} if version is None else {"If_None_Match": "*"} if version == 0 else {"If_Match": f'"{version}"'}


def _stored(told: Mapping[str, Any]) -> Stored:
    return Stored(told["kind"], told["name"], told["body"], told["from"], told.get("version", 0))


def _written(told: Mapping[str, Any]) -> Written:
    nodes = tuple(told.get("nodes", ()))
    return Written(told["generation"], told["digest"], told["written"], told.get("live"), nodes)
