"""The section ``keymanager``: the endpoints of the authorization server, and what is remembered of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookgate import Entry, Exchange, Host, Item, Options, Problem, Route, Section, Site, Ways, hookimpl
from hookgate.workshop import Answer, Remembering
from hookgate_keymanager.describing import issuer_of
from hookgate_keymanager.extending import Desk
from hookgate_keymanager.family import KeyManager
from hookgate_keymanager.records import KeyManagementSection

if TYPE_CHECKING:
    from hookgate_keymanager.builtin import BuiltIn
    from hookgate_keymanager.clients import Client
    from hookgate_keymanager.endpoints import Endpoint

LONGEST_BODY = 65536


class KeyManagement(Section[KeyManagementSection]):
    """An authorization server on the public listener (KC-4, KC-5), and who says whether tokens are good (KC-6)."""

    shape = "record"

    def __init__(self, items: Sequence[Item[KeyManagementSection]] = ()) -> None:
        super().__init__(items)
        self.built_in: BuiltIn | None = None
        self._endpoints: list[tuple[Endpoint, str, tuple[str, ...]]] = []
        self._remembering: Remembering[Mapping[str, Any]] | None = None
        self._host: Host
        if self.items and self.record.manager is None:
            self._build_in()

    def _build_in(self) -> None:
        # a gateway that is no authorization server need not know what one is made of, nor what a database is
        from hookgate_keymanager.builtin import BuiltIn
        from hookgate_keymanager.endpoints import ENDPOINTS, IDENTIFYING, Endpoint

        own = self.built_in = BuiltIn(Options())
        own.entry = Entry("keymanager.built-in", "built-in", "key-manager")
        own.patience = self.record.stale
        own.signs = self.record.signing
        for name, place in ENDPOINTS.items():
            if name in IDENTIFYING and not self.record.identifies:
                continue
            self._endpoints.append((Endpoint(name, self.record, own), place.path, place.methods))
        for grant in self.record.extension_grants:
            for word, more in grant.endpoints().items():
                name = f"{grant.entry.name} {word}"
                self._endpoints.append((Endpoint(name, self.record, own, grant, more), more.path, more.methods))

    @property
    def manager(self) -> KeyManager[Any]:
        """Who says whether tokens are good."""
        found = self.record.manager if self.built_in is None else self.built_in
        assert found is not None
        return found

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes of the endpoints."""
        if self.built_in is None:
            return
        site.adopt(self.built_in, ("keymanager",))  # type: ignore[arg-type]
        for endpoint, path, methods in self._endpoints:
            site.adopt(endpoint, ("keymanager",))
            said = {
                "name": f"keymanager {endpoint.name}",
                "match": {"path": place_of(path, self.record.path), "methods": list(methods)},
                "limits": {"request_body": LONGEST_BODY, "buffered_body": LONGEST_BODY},
            }
            where = {"match.path": "path"}
            yield site.route(said, ("keymanager",), where, steps=Ways(((endpoint.name, endpoint),)))

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse what is written for a server that is not there."""
        for name in ("introspectors", "extension_grants", "claims"):
            if self.items and self.record.manager is not None and getattr(self.record, name):
                message = "is for the built-in key manager, and there is another one"
                yield Problem(("keymanager", name), message, at_key=True)
        types = [each.grant_type for each in self.record.extension_grants] if self.items else []
        for index, each in enumerate(types):
            if each in types[:index]:
                yield Problem(("keymanager", "extension_grants", index), "is there already")
        if self.items and self.record.access_tokens == "jwt" and self.record.issuer is None:
            message = "jwt: others check who has issued a token, so write issuer, too"
            yield Problem(("keymanager", "access_tokens"), message)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to remember."""
        if not self.items:
            return
        record = self.record
        if self.built_in is not None:
            for grant in record.extension_grants:  # which may be those of the document before
                grant.desk = desk_of(self.built_in, record)
        about = "Tokens that the key manager was asked about."
        self._validations = host.metrics.counter("keymanager_validations_total", about, ("outcome",))
        if record.cache.enabled:
            cache, self._host = record.cache, host
            self._remembering = Remembering(host, cache.ttl, cache.most, cache.bad_ttl, cache.bad_most)
            self.manager.on_ended = self._forget

    def known(self, mark: str) -> Mapping[str, Any] | None:
        """Return what a good token says, if that is remembered, and counts."""
        kept = self._remembering
        said = kept.peek(mark) if kept is not None and self.manager.is_current() else None
        return None if not said or self._is_over(said) else said

    async def said(self, mark: str, token: str) -> Mapping[str, Any] | None:
        """Return what a token says, or ``None`` for one that is none. ``mark`` stands for it where it is remembered.

        Raises:
            Exception: whatever says that the key manager cannot be asked.
        """
        manager, kept = self.manager, self._remembering

        async def ask() -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] | None = await _awaited(manager.validate(token))
            except Exception:
                self._validations.add(1, "failed")
                raise
            self._validations.add(1, "bad" if found is None else "good")
            return found

        if kept is None or not manager.is_current():
            return await ask()

        async def answer() -> Answer[Mapping[str, Any]]:
            said = await ask()
            if said is None or self._is_over(said):
                return Answer({}, (), good=False)
            named = (("family", said.get("family")), ("client", said.get("client_id")), ("user", said.get("sub")))
            return Answer(said, tuple((kind, str(name)) for kind, name in named), good=True, ends=said.get("exp"))

        said = await kept.get(mark, answer)
        return None if not said or self._is_over(said) else said

    def _is_over(self, said: Mapping[str, Any]) -> bool:
        ends = said.get("exp")
        return ends is not None and ends <= self._host.clock.wall()

    def _forget(self, kind: str, value: str) -> None:
        assert self._remembering is not None
        if kind == "token":
            self._remembering.forget_one(value)
        else:
            self._remembering.forget(kind, value)


def desk_of(built_in: BuiltIn, record: KeyManagementSection) -> Desk:
    """Return what grants may ask."""

    async def client(client_id: str) -> Client | None:
        return await built_in.clients.get(client_id)

    async def end_family(family: str) -> None:
        await built_in.issuing.end_family(family)

    def place(exchange: Exchange) -> str:
        return issuer_of(exchange, record)

    return Desk(lambda: built_in.store, lambda: built_in.people, client, record.issuer, place, end_family)


def place_of(path: str, prefix: str) -> str:
    """Return where an endpoint is: what is well known has the path of the issuer behind it (RFC 8414, 3.1), but for
    that of OpenID Connect Discovery 1.0, 4."""
    behind = path.startswith("/.well-known/") and not path.endswith("/openid-configuration")
    return path + prefix if behind else prefix + path


async def _awaited(found: Any) -> Any:
    return await found if hasattr(found, "__await__") else found
