"""The steps of proxies: who calls, whether the call is let in, and whose session it has upstream (CR-25 to CR-27)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hookgate import (
    Answered,
    BadGateway,
    Branch,
    Entry,
    Exchange,
    Fault,
    FlowOptions,
    Forbidden,
    Host,
    Interceptor,
    Options,
    Secret,
    ServiceUnavailable,
    Unauthorized,
    hookimpl,
)
from hookgate_workflows.proxyrecord import ProxySection
from hookgate_workflows.sessions import LONGEST_SESSION, UpstreamUser

LOCAL = ("authorization", "cookie")
"""What local users are known by; no upstream gateway sees it."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="hookgate"'}


class OfProxy(Interceptor[Options]):
    """A step of a proxy, which asks the live document for it."""

    category = "security"

    def __init__(self, entry_id: str, proxy: str) -> None:
        super().__init__(Options())
        self.entry = Entry(entry_id, f"proxy-{entry_id.rpartition('.')[2].replace('_', '-')}", "interceptor")
        self.proxy = proxy
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @property
    def record(self) -> ProxySection:
        """What the document says of the proxy.

        Raises:
            ServiceUnavailable: it is not there any more.
        """
        return record_of(self._host, self.proxy)


def record_of(host: Host, proxy: str) -> ProxySection:
    """Return what the live document says of a proxy.

    Raises:
        ServiceUnavailable: it is not there.
    """
    section: Any = host.section("proxies")
    found: ProxySection | None = section.by_name.get(proxy)
    if found is None:
        raise ServiceUnavailable("The proxy is not there any more.", reason="no-proxy")
    return found


def hidden(record: ProxySection) -> list[str]:
    """Return where sessions stand in a call."""
    names = {record.session_header.lower(), record.header.lower()}
    return [f"{side}.headers.{name}" for side in ("request", "response") for name in sorted(names)]


class CheckSession(OfProxy):
    """Asks the upstream gateway whose session a call has."""

    sides = {"request"}
    writes = {"identity"}

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Ask.

        Raises:
            Unauthorized: the session is none, or is over.
            BadGateway: the upstream gateway does not say whose it is.
        """
        record = self.record
        exchange.hide(*hidden(record))
        shown = exchange.request.headers.getall(record.session_header)
        session = shown[0].strip() if len(shown) == 1 else ""
        if not session or len(session) > LONGEST_SESSION or not session.isascii() or not session.isprintable():
            raise Unauthorized(f"{record.session_header} holds one session.", reason="bad-session")
        name = await self._name(record, Secret(session))
        exchange.identity = UpstreamUser(f"{self.proxy}:{name}", "session", proxy=self.proxy, session=Secret(session))

    async def _name(self, record: ProxySection, session: Secret) -> str:
        section: Any = self._host.section("proxies")
        kept = section.kept(self.proxy)
        if kept is None:
            return await self._asked(record, session)
        found: str = await kept.get(key_of(session), lambda: self._asked(record, session))
        return found

    async def _asked(self, record: ProxySection, session: Secret) -> str:
        try:
            answer = await self._host.connection(record.connection).request(
                "GET",
                f"{record.upstream_prefix}{record.check.path}",
                headers={record.header: record.shown(session), "Accept": "application/json"},
                timeout=record.check.timeout,
            )
        except LookupError:
            raise ServiceUnavailable("The proxy is not there any more.", reason="no-proxy") from None
        if answer.status in (401, 403):
            raise Unauthorized("The session is not good, or is over.", reason="session-over", headers=_CHALLENGE)
        try:
            name = record.user_in(await answer.body.json()) if answer.status == 200 else ""
        except (ValueError, Fault):
            name = ""
        if not name:
            self._host.log.warning(
                "the proxy %s: %s answered with %d, and names no user", self.proxy, record.check.path, answer.status
            )
            raise BadGateway("The upstream gateway does not say whose session it is.", reason="session-unknown")
        return name


class ByWhomOptions(Options):
    """The two ways of a call."""

    session: FlowOptions
    local: FlowOptions


class ByWhom(Branch[ByWhomOptions]):
    """Lets a call with a session go one way, and that of a local user through the steps of `workflow_engine.auth`."""

    category = "security"

    def __init__(self, entry_id: str, proxy: str, check: CheckSession, local: Sequence[Interceptor[Any]]) -> None:
        session = FlowOptions.model_construct(flow=(check,))
        others = FlowOptions.model_construct(flow=tuple(local))
        super().__init__(ByWhomOptions.model_construct(session=session, local=others))
        self.entry = Entry(entry_id, "proxy-by-whom", "interceptor")
        self.proxy = proxy
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The two ways."""
        return {"session": self.options.session, "local": self.options.local}

    @hookimpl
    def choose(self, exchange: Exchange) -> str:
        """Take the first one if there is a session, even one that is none: who shows one is no local user."""
        return "session" if record_of(self._host, self.proxy).session_header in exchange.request.headers else "local"


class LetIn(OfProxy):
    """Lets users of the upstream gateway in, which decides itself what they may, and local users whom a profile allows
    the call."""

    sides = {"request"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Let the call in.

        Raises:
            Unauthorized: nobody knows who calls.
            Forbidden: no profile of a local user allows it.
        """
        identity = exchange.identity
        if identity is None:
            raise Unauthorized("This route needs a caller who is known.", headers=_CHALLENGE)
        if isinstance(identity, UpstreamUser):
            return
        section: Any = self._host.section("workflow_engine")
        request = exchange.request
        if not section.profiles.allow(identity, request.method, request.path, strict=True):
            raise Forbidden("No profile of the caller allows this call.", reason="profile")


class Forward(OfProxy):
    """Gives a call that is passed on its session: that of its user, or that of the system for a local one."""

    writes = {"request.headers", "response.headers"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Take out what is not for the upstream gateway, and put the session in.

        Raises:
            Forbidden: the proxy has no session for local users.
        """
        record, identity, headers = self.record, exchange.identity, exchange.request.headers
        exchange.hide(*hidden(record))
        session = identity.session if isinstance(identity, UpstreamUser) else record.system_session
        if session is None:
            raise Forbidden("This proxy has no session for local users.", reason="no-system-session")
        headers.remove(*LOCAL, record.session_header)
        headers.set(record.header, record.shown(session))

    @hookimpl
    def on_response(self, exchange: Answered) -> None:
        """Take out what would hand on a session of the system.

        Raises:
            BadGateway: the upstream gateway refuses the session of the system.
        """
        record, identity, headers = self.record, exchange.identity, exchange.response.headers
        headers.remove("set-cookie")
        if isinstance(identity, UpstreamUser):
            if exchange.response.status == 401:
                section: Any = self._host.section("proxies")
                section.forget(self.proxy, identity.session)
            return
        headers.remove(record.header, record.session_header)
        if exchange.response.status == 401:
            self._host.log.warning("the proxy %s: the upstream gateway refuses the system_session", self.proxy)
            raise BadGateway("The upstream gateway refuses the gateway.", reason="system-session-refused")


def key_of(session: Secret) -> str:
    """Return what a session is remembered under."""
    return hashlib.sha256(session.reveal().encode()).hexdigest()
