"""The endpoint `/userinfo`: clients read of a user what scopes of their tokens show (OpenID Connect Core 1.0, 5.3)."""

from __future__ import annotations

from hookgate import Exchange
from hookgate_keymanager.asked import Malformed, form_of
from hookgate_keymanager.builtin import BuiltIn
from hookgate_keymanager.family import USER
from hookgate_keymanager.identifying import OPENID, about
from hookgate_keymanager.server import Told


async def userinfo(exchange: Exchange, built_in: BuiltIn) -> Told:
    """Answer a call.

    Raises:
        Malformed: the token is shown twice, or the form is none.
        StoreError: the store is away.
    """
    token = await _shown(exchange)
    if token is None:
        return _refused(401, "", "")
    found = await built_in.issuing.access(token)
    said = None if found is None else await built_in.told(found)
    if said is None:
        return _refused(401, "invalid_token", "the token is none, or has ended")
    scopes = said["scope"].split(" ")
    if said["token_kind"] != USER or OPENID not in scopes:
        return _refused(403, "insufficient_scope", "the token is not for openid")
    return Told(200, about(said, scopes))


async def _shown(exchange: Exchange) -> str | None:
    """Return the token, from the header, or from the form of a ``POST`` (RFC 6750, 2)."""
    request = exchange.request
    kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    lines = request.headers.getall("Authorization")
    in_form = request.method == "POST" and kind == "application/x-www-form-urlencoded"
    written = (await form_of(exchange)).form.get("access_token") if in_form else None
    if len(lines) + (written is not None) > 1:
        raise Malformed("the token is shown in one way, and not in two (RFC 6750, 2)")
    if not lines:
        return written
    scheme, _, token = lines[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _refused(status: int, error: str, description: str) -> Told:
    """Return a refusal; of one who has shown nothing it says no error (RFC 6750, 3.1)."""
    shown = 'Bearer realm="hookgate"'
    if not error:
        return Told(status, {}, (("WWW-Authenticate", shown),))
    shown += f', error="{error}", error_description="{description}"'
    if status == 403:
        shown += f', scope="{OPENID}"'
    return Told(status, {"error": error, "error_description": description}, (("WWW-Authenticate", shown),))
