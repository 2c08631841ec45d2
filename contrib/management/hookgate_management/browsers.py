"""Sessions of browsers over HTTP: the cookie, and what keeps pages of other sites from using it."""

from __future__ import annotations

import hmac
import ipaddress

from pydantic import Field
from quart import Response, request

from hookgate import Duration, Options
from hookgate_management.problems import Refusal
from hookgate_people import IDLE, LIFETIME, Held, People, forgery_token

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SECURE_COOKIE = "__Host-hookgate"
PLAIN_COOKIE = "hookgate-session"
"""On the loopback without TLS: browsers keep the other one only where there is TLS."""
FORGERY = "X-CSRF-Token"


class SessionOptions(Options):
    """Options of sessions of browsers."""

    idle: Duration = Field(default=IDLE, ge=1, le=7 * 86400)
    """Seconds without a call after which a session ends."""
    lifetime: Duration = Field(default=LIFETIME, ge=1, le=30 * 86400)
    """Seconds after which a session ends in any case."""
    admin_needs_factor: bool = False
    """Who has the permission `admin` and logs in with a password needs a second factor; without one they may do nothing
    but make it. Tokens, and logins at a provider, go on working."""
    secure: bool = False
    """Browsers come over TLS that ends before the management listener: the cookie is for TLS only."""


class Browsers:
    """Cookies of one API."""

    def __init__(self, options: SessionOptions) -> None:
        self.options = options

    @property
    def secure(self) -> bool:
        """Whether the browser comes over TLS."""
        return self.options.secure or request.scheme == "https"

    @property
    def _cookie(self) -> str:
        return SECURE_COOKIE if self.secure else PLAIN_COOKIE

    def shown(self) -> str:
        """Return what the caller shows of a session; nothing if that is not one cookie."""
        found = request.cookies.getlist(self._cookie)
        return found[0] if len(found) == 1 else ""

    async def held(self, people: People) -> Held | None:
        """Return the session that is shown.

        Raises:
            Refusal: the call would change something, and may come from a page of another site.
            StoreError: the store cannot be asked.
        """
        shown = self.shown()
        held = await people.sessions.held(shown) if shown else None
        if held is not None and request.method not in SAFE:
            token = request.headers.get(FORGERY, "").encode(errors="replace")
            if not hmac.compare_digest(token, forgery_token(shown).encode()):
                raise Refusal(403, f"Show the token of the session: {FORGERY}.", "forgery")
            if not _from_own_page(or_told_nothing=False):
                raise Refusal(403, "The call does not come from a page of this API.", "forgery")
        return held

    def let_log_in(self, *, navigated: bool = False) -> None:
        """Check that a session may begin with this call. Who has ``navigated`` may come from elsewhere.

        Raises:
            Refusal: a page of another site asks, or the password and the cookie would pass over a network in clear.
        """
        if not navigated and not _from_own_page(or_told_nothing=True):
            raise Refusal(403, "The call does not come from a page of this API.", "forgery")
        if not (self.secure or _loopback(request.remote_addr or "")):
            raise Refusal(403, "Sessions need TLS, or a browser on the same machine.", "not-encrypted")

    def give(self, answer: Response, text: str) -> None:
        """Give the browser its session."""
        secure = self._cookie == SECURE_COOKIE
        age = int(self.options.lifetime)
        answer.set_cookie(self._cookie, text, age, path="/", secure=secure, httponly=True, samesite="Strict")

    def take(self, answer: Response) -> None:
        """Take the session from the browser."""
        secure = self._cookie == SECURE_COOKIE
        answer.delete_cookie(self._cookie, path="/", secure=secure, httponly=True, samesite="Strict")


def _from_own_page(*, or_told_nothing: bool) -> bool:
    """Whether a browser says that a page of ours calls. Browsers say it with every call that changes something."""
    origins, sites = request.headers.getlist("Origin"), request.headers.getlist("Sec-Fetch-Site")
    if not origins and not sites:
        return or_told_nothing
    own = {f"{scheme}://{request.host}" for scheme in ("http", "https")}  # of what ends TLS before us
    return own.issuperset(origins) and {"same-origin"}.issuperset(sites)


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
