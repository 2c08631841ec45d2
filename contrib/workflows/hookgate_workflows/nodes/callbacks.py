"""The cell that asks somebody who answers later, by a call of their own, and the answer to that call."""

from __future__ import annotations

from typing import Annotated, Self

import orjson
from pydantic import AliasChoices, Field, model_validator

from hookgate import ConnectionName, Duration, Options, PositiveDuration, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed, Pause
from hookgate_workflows.nodes.http import needs_place
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template, Templated, as_written

TIMED_OUT = "timeout"


class AsyncJsonCallOptions(Options):
    """Parameters of `async_json_call`."""

    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call; then `url` is a path on it."""
    method: Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")] = "POST"
    """The method."""
    url: Template
    """A path on the connection, or an absolute URL whose host is written and not rendered."""
    body: Templated = Templated({"callback_url": "{{ callback_url }}"})
    """The body, sent as JSON. Templates have `callback_url` and `callback_id` beside what others have."""
    headers: dict[Annotated[str, Field(min_length=1, max_length=200)], Template] = Field(
        default_factory=dict, max_length=100
    )
    """More headers."""
    output_context_key: ContextKey | None = None
    """The key that what the callback brings is put under: `body`, `content_type` and `params`."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds until the call itself is answered."""
    callback_timeout: Duration = Field(default=86_400.0, gt=0, le=366 * 86_400)
    """Seconds until the callback has come; then the cell goes on at `timeout`, or fails where that leads nowhere."""
    may_repeat: bool = False
    """Whether the call may be made again where nobody knows if it was made, since the process was killed. It has the
    same `callback_id` and `Idempotency-Key` then."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        needs_place(self.url, self.connection)
        return self


class AsyncJsonCall(Node[AsyncJsonCallOptions]):
    """Calls somebody who answers later, by `POST /api/v01/transactions/callbacks/{id}`. The instance is put down until
    then. Only the first callback counts, and one that comes before the call itself is answered is kept. An answer of
    400 or more to the call fails the cell: nobody would call back."""

    outside = True
    pauses = True
    outputs = ("ok", TIMED_OUT, "error")

    @property
    def may_repeat(self) -> bool:
        """Whether the parameters say so."""
        return self.options.may_repeat

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Call, or go on with what has come.

        Raises:
            NodeFailed: the call failed, or nobody has called back in time.
        """
        options = self.options
        if cell.is_resumed:
            return self._come(cell)
        url = await cell.expect()
        key = url.rpartition("/")[2]
        more = {"callback_id": key, "callback_url": url}
        url = await cell.text(options.url, **more)
        headers = {name: await cell.text(value, **more) for name, value in options.headers.items()}
        names = {name.lower() for name in headers}
        if "content-type" not in names:
            headers["Content-Type"] = "application/json"
        if "idempotency-key" not in names:
            headers["Idempotency-Key"] = cell.key
        body = await cell.value(options.body, **more)
        cell.given(method=options.method.upper(), url=url.replace(key, "***"))
        found = await cell.call(
            options.method.upper(),
            url,
            connection=options.connection or "",
            headers=headers,
            body=orjson.dumps(body),
            timeout=options.timeout,
        )
        if found.status >= 400:
            raise NodeFailed(f"the answer to the call has the status {found.status}, so nobody will call back")
        until = cell.host.clock.wall() + options.callback_timeout
        return Pause(until, key="callback", reason="waits for a callback")

    def _come(self, cell: Cell) -> Done:
        if cell.resumed is None:
            if cell.leads(TIMED_OUT):
                return Done(TIMED_OUT)
            raise NodeFailed(f"nobody has called back within {self.options.callback_timeout:g} s")
        if self.options.output_context_key is not None:
            cell.set(self.options.output_context_key, cell.resumed)
        return Done()


class CallbackResponseOptions(Options):
    """Parameters of `callback_response`."""

    body: Templated = Templated("")
    """The body."""
    status: Templated = Templated(200)
    """The status."""


class CallbackResponse(Node[CallbackResponseOptions]):
    """Sets what callbacks of the instance are answered with from now on, under `*cb_response*`. Without it: 202."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Put it there."""
        body, status = await cell.value(self.options.body), await cell.value(self.options.status)
        try:
            number = int(as_written(status))
        except ValueError:
            raise NodeFailed("the status is no number") from None
        if not 200 <= number <= 599:
            raise NodeFailed(f"the status {number} is none from 200 to 599")
        cell.set("*cb_response*", {"status": number, "body": body})
        return Done()
