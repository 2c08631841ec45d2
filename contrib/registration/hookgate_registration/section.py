"""The section ``registration``: the routes by which hosts register themselves and leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from hookgate import FlowOptions, Interceptor, PositiveDuration, Problem, Route, Section, Site, Ways, hookimpl

ROUTES = (
    ("REGISTER HOST TO LOAD BALANCER", "register", "POST", "/register"),
    ("UNREGISTER HOST FROM LOAD BALANCER", "unregister", "POST", "/unregister"),
    ("REMOVE HOST FROM LOAD BALANCER", "remove", "DELETE", "/{id}"),
)
"""Name, action, method, and end of the path."""


_KEY = {"type": "object", "properties": {"secret": {"type": "string", "writeOnly": True}}}
_KEYS = {"anyOf": [{"type": "object", "additionalProperties": _KEY}, {"type": "null"}]}


class RegistrationSection(FlowOptions):
    """Backends that register themselves. The caller needs a role that is named like the connection."""

    enabled: bool = True
    """Whether the routes are there."""
    path: str = Field(default="/api/http/{connection}/hosts", pattern=r"^/.*\{connection\}")
    """Where they stand."""
    keys: Annotated[dict[str, Any] | None, WithJsonSchema(_KEYS)] = Field(default=None, repr=False)
    """Keys of callers, as those of [signature](plugins/auth-signature.md): calls are signed (HTTP Signatures)."""
    profile: Annotated[str | dict[str, Any] | None, WithJsonSchema({"x-hookgate-family": "auth"})] = Field(
        default=None, repr=False
    )
    """Another way to authenticate in the place of signatures: the name of one under `profiles`, or an entry such as
    `{basic: …}`."""
    lease: Annotated[PositiveDuration, Field(le=86400 * 30)] | None = None
    """Seconds after which a host is taken out unless it registers again; null for never."""


class Registration(Section[RegistrationSection]):
    """Backends that register themselves: routes that are signed unless another profile is named."""

    shape = "record"

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes."""
        section, path = self.record, ("registration",)
        if not section.enabled or (section.keys is None) == (section.profile is None):
            return
        at = (*path, "profile" if section.keys is None else "keys")
        method = section.profile if section.keys is None else {"signature": {"keys": section.keys}}
        auth = site.step({"auth": {"methods": [method]}}, at, "registration")
        own = section.ways()
        for name, action, verb, end in ROUTES:
            entry = {"register-host": {"action": action, **({"lease": section.lease} if action == "register" else {})}}
            step = site.step(entry, path, f"registration.{action}")
            if auth is None or step is None:
                return
            placed: list[tuple[str, Interceptor[Any]]] = [*own.way_in, ("auth", auth), ("host", step)]
            said = {
                "name": name,
                "match": {"path": section.path + end, "methods": [verb]},
                "limits": {"request_body": 65536, "buffered_body": 65536},
            }
            yield site.route(said, path, {"match.path": "path"}, steps=Ways(tuple(placed), own.way_out))

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse a section that does not say who may register."""
        if self.record.enabled and self.items and (self.record.keys is None) == (self.record.profile is None):
            message = "write who may register: keys of callers that sign, or a profile in their place"
            yield Problem(("registration",), message)
