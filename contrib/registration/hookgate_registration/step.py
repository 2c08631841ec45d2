"""What registers a host, and takes it out again."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote

from pydantic import Field, ValidationError

from hookgate import (
    BadRequest,
    Conflict,
    Exchange,
    Fault,
    Forbidden,
    Host,
    Interceptor,
    NotFound,
    Options,
    PositiveDuration,
    Response,
    ServiceUnavailable,
    StateError,
    StateRefused,
    Unauthorized,
    UnprocessableContent,
    hookimpl,
)
from hookgate_registration.discovery import Registered
from hookgate_registration.hosts import STATE, Coming, Leaving, group, id_of

_TRIES = 5
_ID = re.compile(r"[0-9a-f]{16}")
BodyT = TypeVar("BodyT", bound=Leaving)


class Fixed(Fault):
    """409: the targets of the connection are those of the document."""

    status = 409
    default_reason = "targets-fixed"


class RegisterHostOptions(Options):
    """Options of `register-host`."""

    action: Literal["register", "unregister", "remove"] = "register"
    """`register` takes `{endpoint, active, weight}`, `unregister` takes `{endpoint}`, `remove` the path
    parameter `id`."""
    lease: Annotated[PositiveDuration, Field(le=86400 * 30)] | None = None
    """Seconds after which a host is taken out unless it registers again; null for never."""


class RegisterHost(Interceptor[RegisterHostOptions]):
    """Takes a host into the targets of the connection that `{connection}` in the path names, or out of them (AC-35).

    It stands behind a step that finds out who is calling. The caller needs a role that is named like the connection;
    otherwise the answer is 403, and 401 where nobody is known (AC-37). The connection has `discovery: registered`. One
    that is not there is 404, one with targets of its own 409, a body that is none 422.

    To register twice changes weight and activity and begins the lease anew: 201 for a host that is new, 200 for one
    that was there. A host that is taken out is answered with 204, one that was not there with 404.
    """

    category = "traffic"
    sides = {"request"}
    reads = {"request.body", "identity"}
    writes = {"answer"}

    def __init__(self, options: RegisterHostOptions) -> None:
        super().__init__(options)
        self.path_params = {"connection", "id"} if options.action == "remove" else {"connection"}
        self._host: Host | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the state."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Register the host, or take it out.

        Raises:
            Unauthorized: nobody is known to call.
            NotFound: there is no such connection, or no such host.
            Fixed: the connection has targets of its own.
            Forbidden: the caller has no role of that name.
            BadRequest: the body is no JSON.
            UnprocessableContent: the body says something else than a host.
            ServiceUnavailable: the state is away, or full.
        """
        found = self._checked(exchange, unquote(exchange.params.get("connection", "")))
        try:
            if self.options.action == "register":
                return await self._register(found, await self._body(exchange, Coming))
            if self.options.action == "unregister":
                return await self._remove(found, id_of((await self._body(exchange, Leaving)).endpoint))
            return await self._remove(found, exchange.params.get("id", ""))
        except (StateError, StateRefused) as error:
            assert self._host is not None
            self._host.log.warning("hosts of %s cannot be kept: %s", found.connection, error)
            raise ServiceUnavailable("Hosts cannot be registered now.", reason="state-unavailable") from error

    def _checked(self, exchange: Exchange, name: str) -> Registered:
        assert self._host is not None
        if exchange.identity is None:
            raise Unauthorized("Who registers a host says who it is.", reason="missing-credentials")
        found = next((each for each in self._host.find(Registered) if each.connection == name), None)
        if found is None:
            try:
                self._host.connection(name)
            except LookupError:
                raise NotFound("There is no connection of this name.", reason="no-connection") from None
        if name not in exchange.identity.roles:
            raise Forbidden("The caller has no role that is named like the connection.", reason="wrong-role")
        if found is None:
            raise Fixed(
                "The targets of this connection stand in its document, and nobody joins them. Whoever runs the gateway "
                "writes `discovery: registered` in their place, and `{registered: {targets: […]}}` to keep them."
            )
        return found

    async def _body(self, exchange: Exchange, of: type[BodyT]) -> BodyT:
        try:
            said = json.loads(await exchange.request.body.read())
        except (ValueError, RecursionError):
            raise BadRequest("The body is no JSON.", reason="malformed-body") from None
        try:
            return of.model_validate(said)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "body"
            raise UnprocessableContent(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None

    async def _register(self, found: Registered, coming: Coming) -> Response:
        assert self._host is not None
        name, lease = id_of(coming.endpoint), self.options.lease
        value: dict[str, Any] = {"endpoint": coming.endpoint, "active": coming.active, "weight": coming.weight}
        state, key, tries = self._host.state(STATE), group(found.connection) + name, 0
        while True:
            before = await state.get(key)
            try:
                await state.put(key, value, ttl=lease, version=before.version if before is not None else 0)
                break
            except Conflict:
                tries += 1
                if tries == _TRIES:
                    raise
        found.tell()
        return Response.json({"id": name, **value, "lease": lease}, 200 if before is not None else 201)

    async def _remove(self, found: Registered, name: str) -> Response:
        assert self._host is not None
        if not _ID.fullmatch(name) or not await self._host.state(STATE).delete(group(found.connection) + name):
            raise NotFound("There is no such host.", reason="no-host")
        found.tell()
        return Response(204)
