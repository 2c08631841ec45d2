"""What a browser holds between two pages: sealed, for a few minutes, and bound to a cookie, so that no page of somebody
else can agree for anybody."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from hookgate import Exchange, Response
from hookgate_storage import Keys, Store, StoreError

MINUTES = 10
COOKIE = "hookgate-consent"


class Stays(Exception):
    """The browser stays here: nobody knows where it should go (RFC 6749, 4.1.2.1)."""


def check_own(exchange: Exchange) -> None:
    """Check that a page of ours has sent the form.

    Raises:
        Stays: another one has.
    """
    headers = exchange.request.headers
    origins, sites = headers.getall("Origin"), headers.getall("Sec-Fetch-Site")
    own = {f"{scheme}://{exchange.request.host}" for scheme in ("http", "https")}
    if not own.issuperset(origins) or not {"same-origin"}.issuperset(sites):
        raise Stays("this call does not come from a page of this server")


def new_cookie(exchange: Exchange) -> str:
    """Return the cookie that the browser has, or one by chance."""
    return cookie_of(exchange) or secrets.token_urlsafe(32)


def set_cookie(exchange: Exchange, response: Response, cookie: str) -> None:
    """Have the browser keep it for as long as a page is good."""
    secure = exchange.request.scheme == "https"
    line = f"{_name(exchange)}={cookie}; Path=/; Max-Age={MINUTES * 60}; HttpOnly; SameSite=Lax"
    response.headers.add("Set-Cookie", line + ("; Secure" if secure else ""))


def cookie_of(exchange: Exchange) -> str:
    """Return what the browser shows; nothing if that is not one cookie."""
    lines = exchange.request.headers.getall("Cookie")
    pairs = [each.strip().partition("=") for line in lines for each in line.split(";")]
    found = [value for name, _, value in pairs if name == _name(exchange)]
    return found[0] if len(found) == 1 and len(found[0]) == 43 else ""


def seal(store: Store, cookie: str, of: str, fields: Mapping[str, Any]) -> str:
    """Seal what a form carries, for one kind of page and one browser."""
    bound = {"cookie": sha256(cookie.encode()).hexdigest(), "until": time.time() + MINUTES * 60}
    return base64.urlsafe_b64encode(_keys(store).seal(orjson.dumps({**fields, **bound}), of)).decode()


def opened(store: Store, exchange: Exchange, of: str, sealed: str) -> dict[str, Any]:
    """Return what a form carries.

    Raises:
        Stays: it was not sealed here, is of another page or browser, or too old.
    """
    try:
        said: dict[str, Any] = orjson.loads(_keys(store).open(base64.urlsafe_b64decode(sealed), of))
    except (ValueError, StoreError):
        raise Stays("this browser has no login under way here; begin again at the application") from None
    cookie = sha256(cookie_of(exchange).encode()).hexdigest()
    if not hmac.compare_digest(said["cookie"], cookie) or said["until"] < time.time():
        raise Stays("this login is over, or of another browser; begin again at the application")
    return said


def _keys(store: Store) -> Keys:
    return Keys([hmac.digest(store.secret, b"hookgate consent", "sha256")])


def _name(exchange: Exchange) -> str:
    return f"__Host-{COOKIE}" if exchange.request.scheme == "https" else COOKIE
