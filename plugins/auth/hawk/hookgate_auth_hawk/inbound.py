"""Hawk of callers (AC-44)."""

import secrets
import time
from collections.abc import Awaitable
from typing import Literal

from pydantic import Field

from hookgate import AuthMethod, Exchange, Host, Identity, Options, Secret, Unauthorized, WholeSeconds, hookimpl
from hookgate.workshop import HeaderName, Nonces, refusal_of
from hookgate_auth_hawk.scheme import (
    REQUEST,
    Algorithm,
    Artifacts,
    Attribute,
    Key,
    attributes,
    authority,
    mac,
    payload_hash,
    same,
    time_mac,
)

STALE = "The timestamp is too far off; the challenge tells the time."


class Caller(Options):
    """Somebody who has a key."""

    key: Key
    """The key that both ends share."""
    algorithm: Algorithm = "sha256"
    """Hash function of the MAC."""
    roles: tuple[str, ...] = ()
    """Roles, for steps further right that ask for them."""
    application: str | None = None
    """The application that calls with this key."""


class HawkOptions(Options):
    """Options of `hawk` for callers."""

    credentials: dict[Attribute, Caller] = Field(min_length=1)
    """Who may call, by id."""
    payload: Literal["checked", "required", "ignored"] = "checked"
    """What becomes of a body. `checked`: its hash is checked if the caller sends one, for which the body is kept whole;
    without a hash the body is not protected. `required`: a request with a body must have a hash. `ignored`: bodies
    stream, unchecked."""
    skew: WholeSeconds = Field(default=60, ge=1, le=3600)
    """Seconds that a timestamp may be off, in the past and in the future."""
    nonces: int = Field(default=100_000, ge=1, le=10_000_000)
    """Nonces remembered for each caller, so that none is used twice. With more requests than these in twice the time of
    `skew`, older timestamps are refused sooner."""
    header: HeaderName = "Authorization"
    """Request header that carries the credentials (AC-44)."""


class Hawk(AuthMethod[HawkOptions]):
    """Recognises callers by a MAC over their request, and takes each request once.

    Host and port are those that the client has written into `Host`, with 80 or 443 by the scheme where it names no
    port; behind a proxy that ends TLS the scheme is what a trusted proxy says, and the proxy has to pass `Host` on.
    Place it left of steps that change path or query. `ext`, `app` and `dlg`, which the MAC covers, become claims.

    Nonces are remembered in this process and until it ends: behind several gateways, or right after a restart, a
    request can be replayed within `skew`.
    """

    def __init__(self, options: HawkOptions) -> None:
        super().__init__(options)
        self._wall = time.time
        self._nobody = Caller(key=Secret(secrets.token_hex()))
        self._nonces = {name: Nonces(options.nonces) for name in options.credentials}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | Awaitable[Identity] | None:
        """Return the caller, or `None` when the header has nothing of this scheme.

        Raises:
            Unauthorized: the credentials are malformed, the MAC or the hash of the body is wrong, the timestamp is too
                far off, or the request was there before.
            ServiceUnavailable: the caller has used up the nonces of this second.
        """
        given = self._given(exchange)
        if given is None:
            return None
        caller = self._authentic(exchange, given)
        if self._is_stale(given):
            raise refusal_of("stale", STALE)
        body = exchange.request.body
        hashed = given.get("hash")
        if hashed is None:
            if self.options.payload == "required" and not body.empty:
                raise Unauthorized("The body has no hash in the Hawk credentials.", reason="missing-payload-hash")
        elif self.options.payload != "ignored":
            if body.held is None:
                return self._after_reading(exchange, given, caller)
            self._check_payload(exchange, hashed, caller)
        return self._identity(given, caller)

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for Hawk; who has the key and not the time is told the time, with a proof."""
        try:
            given = self._given(exchange)
            if given is not None and self._is_stale(given):
                caller = self._authentic(exchange, given)
                ts = str(int(self._wall()))
                return f'Hawk ts="{ts}", tsm="{time_mac(ts, caller.key, caller.algorithm)}", error="Stale timestamp"'
        except Unauthorized:
            pass
        return "Hawk"

    def _given(self, exchange: Exchange) -> dict[str, str] | None:
        scheme, _, rest = (exchange.request.headers.single(self.options.header) or "").partition(" ")
        if scheme.lower() != "hawk":
            return None
        try:
            given = attributes(rest.strip(), REQUEST)
        except ValueError:
            given = {}
        ts = given.get("ts", "")
        if not {"id", "ts", "nonce", "mac"} <= given.keys() or not (ts.isdigit() and len(ts) <= 12):
            raise Unauthorized("The Hawk credentials are malformed.", reason="malformed-credentials")
        return given

    def _authentic(self, exchange: Exchange, given: dict[str, str]) -> Caller:
        """Return whose key the MAC was made with; an unknown id takes as long and is told the same as a wrong key."""
        request = exchange.request
        caller = self.options.credentials.get(given["id"], self._nobody)
        host, port = authority(request.host, request.scheme)
        covered = {key: given.get(key, "") for key in ("hash", "ext", "app", "dlg")}
        wanted = Artifacts(given["ts"], given["nonce"], request.method, request.received, host, port, **covered)
        if not same(mac(wanted, caller.key, caller.algorithm), given["mac"]):
            raise Unauthorized("The Hawk credentials do not match the request.", reason="wrong-credentials")
        return caller

    def _is_stale(self, given: dict[str, str]) -> bool:
        ts = int(given["ts"])
        nonces = self._nonces.get(given["id"])
        return abs(ts - self._wall()) > self.options.skew or (nonces is not None and ts < nonces.open_from)

    async def _after_reading(self, exchange: Exchange, given: dict[str, str], caller: Caller) -> Identity:
        await exchange.request.body.read()
        self._check_payload(exchange, given["hash"], caller)
        return self._identity(given, caller)

    def _check_payload(self, exchange: Exchange, hashed: str, caller: Caller) -> None:
        request = exchange.request
        if not same(payload_hash(request.body.data, request.headers.single("content-type"), caller.algorithm), hashed):
            raise Unauthorized("The body is not the one that was signed.", reason="wrong-payload-hash")

    def _identity(self, given: dict[str, str], caller: Caller) -> Identity:
        """Use up the nonce. That comes last, so that who changes a request on its way cannot use it up."""
        ts = int(given["ts"])
        found = self._nonces[given["id"]].use(ts, given["nonce"], int(self._wall() - self.options.skew))
        if found != "new":
            raise refusal_of(found, STALE)
        claims = {key: value for key, value in given.items() if key in {"ext", "app", "dlg"}}
        return Identity(given["id"], "hawk", caller.roles, claims, caller.application)
