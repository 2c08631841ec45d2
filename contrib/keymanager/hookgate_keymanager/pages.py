"""The pages on which people log in and agree: plain HTML without a script, as that of the management API."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape

from hookgate import Response

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:10vh auto;padding:0 1rem}"
    "label,input,button{display:block;width:100%;box-sizing:border-box}input,button{font:inherit;padding:.4rem;"
    "margin:0 0 1rem}[role=alert]{border-left:.3rem solid #b00020;padding-left:.7rem}"
)
_HASH = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
# no form-action: browsers hold redirects after a form to it, too, and this one leads to the client
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


def page(title: str, body: str, status: int = 200) -> Response:
    """Return a page."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    response = Response(status, {"content-type": "text/html; charset=utf-8"}, text)
    for name, value in HEADERS:
        response.headers.add(name, value)
    return response


def trouble(message: str, status: int) -> Response:
    """Return a page that says what is wrong, for whom nobody can be sent back to."""
    return page("That does not work", f'<p role="alert">{escape(message)}</p>', status)


def login(action: str, application: str, kept: Mapping[str, str], message: str = "", name: str = "") -> Response:
    """Return the page to log in on."""
    body = (
        f"{_alert(message)}<p>{escape(application)} asks you to log in.</p>"
        f'<form method="post" action="{escape(action)}">{_hidden(kept)}{_credentials(name)}'
        "<button>Log in</button></form>"
    )
    return page("Log in", body, 401 if message else 200)


def device(action: str, typed: str, kept: Mapping[str, str], message: str = "", name: str = "") -> Response:
    """Return the page on which somebody types the code that a device shows, and logs in."""
    body = (
        f"{_alert(message)}<p>Type the code that your device shows. Go on only if it is in front of you: whoever has "
        "sent you the code instead gets what you agree to.</p>"
        f'<form method="post" action="{escape(action)}">{_hidden(kept)}'
        '<label for="user_code">Code of the device</label><input id="user_code" name="user_code" required '
        f'autocomplete="off" maxlength="20" value="{escape(typed)}">{_credentials(name)}<button>Go on</button></form>'
    )
    return page("Connect a device", body, 401 if message else 200)


def _alert(message: str) -> str:
    return f'<p role="alert">{escape(message)}</p>' if message else ""


def _credentials(name: str) -> str:
    return (
        '<label for="name">Name</label><input id="name" name="name" autocomplete="username" required '
        f'value="{escape(name)}">'
        '<label for="password">Password</label><input id="password" name="password" type="password" '
        'autocomplete="current-password" required>'
        '<label for="code">Code of a second factor, if you have one</label><input id="code" name="code" '
        'autocomplete="one-time-code">'
    )


def consent(
    action: str, application: str, user: str, scopes: Iterable[tuple[str, str]], kept: Mapping[str, str]
) -> Response:
    """Return the page on which somebody agrees."""
    listed = "".join(f"<li>{escape(title or name)}</li>" for name, title in scopes)
    body = (
        f"<p><strong>{escape(application)}</strong> asks to act for you, <strong>{escape(user)}</strong>, with:</p>"
        f'<ul>{listed}</ul><form method="post" action="{escape(action)}">{_hidden(kept)}'
        '<button name="answer" value="yes">Agree</button><button name="answer" value="no">Refuse</button></form>'
    )
    return page("Do you agree?", body)


def _hidden(kept: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in kept.items()
    )
