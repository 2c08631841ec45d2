"""The step ``approval``: a call waits for a person, and runs when it is repeated as it was approved, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from hookgate import (
    ContentTooLarge,
    Exchange,
    Forbidden,
    Host,
    Interceptor,
    NotFound,
    Options,
    PositiveDuration,
    Response,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    hookimpl,
)
from hookgate_approval.calls import digest_of, shown_of
from hookgate_approval.keeping import Kept, Over, TooMany, generation_of, served_by
from hookgate_people import By
from hookgate_storage import SealBroken, StoreError, ask_store

HEADER = "X-Approval"
Names = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
_CONFLICTS = {
    "used": "This approval was used. It lets one call through: ask for another one.",
    "expired": "The time of this approval is over: ask for another one.",
    "changed": "This is not the call that was asked about: method, address, query, headers or body are others.",
    "stale": "What the gateway serves has changed since this call was asked about: ask for another approval.",
}


class ApprovalOptions(Options):
    """Options of `approval`."""

    approvers: Names = Field(default=(), max_length=100)
    """The users who may decide; with none, everybody with the permission `approve_calls`. It takes that permission
    anyway."""
    headers: Names = Field(default=(), max_length=50)
    """Request headers that are bound and shown, beside `Content-Type` and `Content-Encoding`, which always
    are bound."""
    masked: Names = Field(
        default=("authorization", "cookie", "password", "secret", "token", "api_key", "access_token", "client_secret"),
        max_length=200,
    )
    """Members of JSON bodies, query parameters and headers that approvers do not see, in either case of letters."""
    valid: PositiveDuration = 3600.0
    """Seconds from the question on in which it is decided and the call is repeated."""
    body_limit: Annotated[int, Field(ge=0, le=1_048_576)] = 65_536
    """Bytes that a body has at most."""
    waiting: Annotated[int, Field(ge=1, le=1000)] = 20
    """Calls of one caller that wait at most."""
    own: bool = False
    """Whether who asks may approve it."""

    @model_validator(mode="after")
    def _stored(self, info: ValidationInfo) -> Self:
        ask_store(info, "an approval is kept in the tables")
        return self


class Approval(Interceptor[ApprovalOptions]):
    """Asks a person before a call runs.

    The call is answered with 202 and an id. Repeated with that id in `X-Approval`, it is answered in the same way until
    somebody has decided; then exactly this call goes on along its flow, once.
    """

    category = "security"
    sides = {"request"}
    reads = {"request.body"}
    writes = {"request.headers"}

    def __init__(self, options: ApprovalOptions) -> None:
        super().__init__(options)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response | None:
        """Ask, or let through what was approved.

        Raises:
            Unauthorized: nobody knows who calls.
            ContentTooLarge: the body is longer than may be asked about.
            TooManyRequests: too many calls of this caller wait.
            NotFound: the caller has no such approval.
            Forbidden: it was refused.
            ServiceUnavailable: the store is away.
        """
        if exchange.identity is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This route needs a caller who is known.", headers=challenge)
        caller = exchange.identity.subject
        if len(caller) > 200:
            raise Forbidden("The name of the caller is longer than 200 characters.", reason="caller-too-long")
        body = bytes(await exchange.request.body.read())
        if len(body) > self.options.body_limit:
            raise ContentTooLarge(f"A body here has at most {self.options.body_limit} bytes.")
        key = exchange.request.headers.single(HEADER) if HEADER in exchange.request.headers else ""
        try:
            served, store = served_by(self._host)
            bound = {
                "caller": caller,
                "application": exchange.identity.application or "",
                "route": exchange.route.name,
                "digest": digest_of(exchange.request, body, self.options.headers),
                "generation": generation_of(served),
            }
            kept, by = Kept(store), By(caller, exchange.request.client)
            if key == "":
                return await self._ask(exchange, kept, by, bound, body)
            return await self._repeated(exchange, kept, by, bound, key or "")
        except StoreError as error:
            self._host.log.warning("calls cannot be approved: %s", error)
            raise ServiceUnavailable("The store of approvals is away.", reason="store-away") from None

    async def _ask(self, exchange: Exchange, kept: Kept, by: By, bound: dict[str, str], body: bytes) -> Response:
        options = self.options
        shown = shown_of(exchange.request, body, options.headers, options.masked)
        call = bound | {"shown": shown, "approvers": options.approvers, "own": options.own}
        try:
            row = await kept.ask(call, by, options.valid, options.waiting)
        except TooMany:
            detail = f"{options.waiting} of your calls wait for approval: no more may."
            raise TooManyRequests(detail, reason="approvals-waiting", headers={"Retry-After": "60"}) from None
        return _waits(row)

    async def _repeated(
        self, exchange: Exchange, kept: Kept, by: By, bound: dict[str, str], key: str
    ) -> Response | None:
        try:
            row = await kept.one(key[:36])
        except SealBroken:
            row = None
        if row is None or any(row["call"][name] != bound[name] for name in ("caller", "application", "route")):
            raise NotFound("You have no such approval on this route.", reason="no-approval")
        if row["state"] == "refused":
            said = f": {row['comment']}" if row["comment"] else "."
            raise Forbidden(f"This call was refused{said}", reason="approval-refused")
        if row["state"] in ("used", "expired"):
            return _conflict(row["state"])
        if row["call"]["digest"] != bound["digest"]:
            return _conflict("changed")
        if row["call"]["generation"] != bound["generation"]:
            return _conflict("stale")
        if row["state"] == "waiting":
            return _waits(row)
        try:
            await kept.use(row["id"], by)
        except Over:
            return _conflict("used")
        exchange.request.headers.remove(HEADER)
        exchange.facts["approval"] = {"id": row["id"], "by": row["by"]}
        return None


def _waits(row: dict[str, Any]) -> Response:
    how = f"Repeat this call as it is, with the header {HEADER}: {row['id']}"
    told = {"id": row["id"], "state": "waiting", "expires": datetime.fromtimestamp(row["expires"], UTC).isoformat()}
    answer = Response.json({**told, "how": how}, 202)
    answer.headers.update([(HEADER, row["id"]), ("Retry-After", "5"), ("Cache-Control", "no-store")])
    return answer


def _conflict(reason: str) -> Response:
    problem = {"title": "Conflict", "status": 409, "reason": f"approval-{reason}", "detail": _CONFLICTS[reason]}
    return Response.json({"type": "about:blank", **problem}, 409, "application/problem+json")
