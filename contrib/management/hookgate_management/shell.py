"""The pages that browsers see: plain HTML without a script, and nothing from elsewhere."""

from __future__ import annotations

import base64
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from hookgate_management.browsers import Browsers
from hookgate_management.problems import Refusal
from hookgate_people import Held, People, forgery_token

LONGEST_FIELD = 1000
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:10vh auto;padding:0 1rem}"
    "label,input,button{display:block;width:100%;box-sizing:border-box}input,button{font:inherit;padding:.4rem;"
    "margin:0 0 1rem}[role=alert]{border-left:.3rem solid #b00020;padding-left:.7rem}"
)
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page_of(title: str, body: str, status: int = 200, more: str = "") -> Response:
    """Make a page; what stands in it is escaped already."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · hookgate</title>'
        f'<meta name="viewport" content="width=device-width">{more}<style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return Response(text, status, HEADERS, content_type="text/html; charset=utf-8")


async def fields_of() -> dict[str, Any]:
    """Read the form that was sent.

    Raises:
        Refusal: it is too long.
    """
    try:
        found = await request.form
    except RequestEntityTooLarge:
        raise Refusal(413, "The form is too long.", "too-large") from None
    return {key: found[key][:LONGEST_FIELD] for key in ("name", "password", "code", "csrf") if key in found}


async def held_by(browsers: Browsers, people: People, fields: dict[str, Any]) -> Held | None:
    """Return the session that a form of one of our pages was sent in; ``None`` if there is none any more.

    Raises:
        Refusal: the form does not come from the page of this session.
        StoreError: the store is away.
    """
    text = browsers.shown()
    held = await people.sessions.held(text)
    if held is not None:
        browsers.let_log_in()
        if not compare_digest(fields.get("csrf", "").encode(errors="replace"), forgery_token(text).encode()):
            raise Refusal(403, "The call does not come from the page of this session.", "forgery")
    return held
