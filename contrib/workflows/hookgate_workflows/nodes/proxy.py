"""The cells that call an upstream gateway behind a proxy, with the right session (CR-26 to CR-28)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlencode

import orjson
from pydantic import model_validator

from hookgate import Refers, ServiceUnavailable, hookimpl
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.family import Called, Cell, Done, NodeFailed, Pause
from hookgate_workflows.nodes.http import AnswerOptions, Calling, CallOptions
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.proxysteps import LOCAL, record_of
from hookgate_workflows.requests import is_json
from hookgate_workflows.sessions import kept_by, opened

Selector = Literal["system", "original user or system", "original user or fail"]
FORM = "application/x-www-form-urlencoded"


ProxyName = Annotated[str, Refers("proxies")]


class ProxySessionCallOptions(CallOptions):
    """Parameters of `proxy_session_call`."""

    proxy: ProxyName
    """The proxy whose upstream gateway is called."""
    session: Selector = "original user or fail"
    """Whose session the call has: that of the `system`, or that of the user of the upstream gateway who has started the
    instance. Where somebody else has, `original user or system` takes that of the system, and `original user or fail`
    fails. A session that the upstream gateway refuses is never followed by another one."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if not self.url.compiled.source.startswith(("/", "{{", "{%")):
            raise ValueError("url: is a path behind the proxy's upstream_prefix, and begins with '/'")
        return self


class ProxyCallOptions(AnswerOptions):
    """Parameters of `proxy_call`."""

    proxy: ProxyName
    """The proxy whose upstream gateway is called."""
    session: Selector = "original user or system"
    """Whose session the call has, as with `proxy_session_call`."""
    output_context_key: ContextKey | None = "*response*"
    """The key of the context that the answer is put under."""


class CallingUpstream(Calling[Any]):
    """What both cells share: whose session it is."""

    async def call(self, cell: Cell, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Called:
        """Make the call once, with the session.

        Raises:
            NodeFailed: there is no answer, no session, or the parameters say one themselves.
        """
        options = self.options
        try:
            record = record_of(cell.host, options.proxy)
        except (LookupError, ServiceUnavailable):
            raise NodeFailed(f"there is no proxy {options.proxy} any more") from None
        own = {record.header.lower(), record.session_header.lower(), *LOCAL}
        if wrong := sorted(name for name in headers if name.lower() in own):
            raise NodeFailed(f"the header {wrong[0]} carries who calls: `session` says whose session the call has")
        session, whose = self._session(cell, record)
        cell.given(method=method, url=url, proxy=options.proxy, session=whose)
        if not url.startswith("/") or any(unquote(each) in (".", "..") for each in url.partition("?")[0].split("/")):
            raise NodeFailed("the path begins with '/', and has no segments '.' and '..'")
        found = await cell.call(
            method,
            f"{record.upstream_prefix}{url}",
            connection=record.connection,
            headers={**headers, record.header: record.shown(session)},
            body=body,
            timeout=options.timeout,
        )
        shown = {name: value for name, value in found.headers.items() if name.lower() not in own}
        return Called(found.status, shown, found.body)

    def _session(self, cell: Cell, record: Any) -> tuple[Any, str]:
        options, user = self.options, kept_by(cell.session, cell.instance.get("user_id"))
        if options.session != "system" and user is not None:
            if user["proxy"] != options.proxy:
                raise NodeFailed(f"the instance was started by a user of {user['proxy']}, who has no session here")
            try:
                session = opened(user, cell.host)
            except JournalAway as error:
                raise NodeFailed(str(error)) from None
            if session is None:
                raise NodeFailed(
                    f"the session of {user['user']} is not kept: the instance was over before, or began without it"
                )
            return session, user["user"]
        if options.session == "original user or fail":
            raise NodeFailed(f"the instance was not started by a user of {options.proxy}, whose session it asks for")
        if record.system_session is None:
            raise NodeFailed(f"the proxy {options.proxy} has no system_session")
        return record.system_session, "system"


class ProxySessionCall(CallingUpstream):
    """Calls an upstream gateway behind a proxy, with the session that `session` says.

    What comes of it has the shape of a `*response*`, as with `http_call`. No session is put into the context, the
    journal or the history of calls.
    """

    options_type = ProxySessionCallOptions

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Make the call.

        Raises:
            NodeFailed: there is no answer, no session, or an answer of another status than `http_codes` has.
        """
        found = await self.asked(cell)
        return found if isinstance(found, Pause) else self.ended(cell, found)


class ProxyCall(CallingUpstream):
    """Passes the call that has started the instance on to an upstream gateway behind a proxy: its method, its path
    behind the prefix, its query and its body.

    The answer is that of the instance, unless `output_context_key` says otherwise.
    """

    options_type = ProxyCallOptions

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Make the call.

        Raises:
            NodeFailed: there is no answer, no session, nothing that could be passed on, or an answer of another status
                than `http_codes` has.
        """
        request = cell.request
        if not isinstance(request, Mapping) or not {"method", "tail", "url", "body"} <= request.keys():
            raise NodeFailed("the instance was started by no call that could be passed on")
        headers = {name: await cell.text(value) for name, value in self.options.headers.items()}
        media_type = str(request.get("content_type") or "")
        body = passed_on(request["body"], media_type)
        if body and media_type and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = media_type
        query = str(request["url"]).partition("?")[2]
        url = f"{request['tail']}?{query}" if query else str(request["tail"])
        found = await self.made(cell, str(request["method"]), url, headers, body)
        return found if isinstance(found, Pause) else self.ended(cell, found)


def passed_on(body: Any, media_type: str) -> bytes:
    """Return a body as it was sent, as far as a workflow has it: JSON, a form or a text.

    Raises:
        NodeFailed: it is of another kind.
    """
    kind = media_type.partition(";")[0].strip().lower()
    if body is None:
        return b""
    if kind == FORM and isinstance(body, Mapping):
        return urlencode(body, doseq=True).encode()
    if is_json(media_type) or not kind:
        return orjson.dumps(body)
    if isinstance(body, str) and (kind.startswith("text/") or kind.endswith(("/xml", "+xml"))):
        return body.encode()
    raise NodeFailed(f"a body of {kind[:100]} cannot be passed on: only JSON, forms and texts can")
