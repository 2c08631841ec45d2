"""Pages on which people make a second factor: its address is shown to be copied, or opened by an authenticator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape

from quart import Blueprint, Response

from hookgate_management.browsers import Browsers
from hookgate_management.callers import where
from hookgate_management.problems import Refusal
from hookgate_management.shell import fields_of, held_by, page_of
from hookgate_people import By, Factor, Held, People, forgery_token
from hookgate_storage import Missing, Refused, StoreError

_BACK = '<p><a href="/-/login">Go on</a></p>'


def logged_in(held: Held, csrf: str, factor: Factor | None) -> Response:
    """Make the page of somebody who is logged in. Who has come from a provider has the second factor of that one."""
    told = f"<p>You are logged in as <strong>{escape(held.session.user)}</strong>.</p>"
    with_password = held.session.method == "password"
    if with_password and factor is not None and factor.confirmed:
        told += f"<p>A login takes your second factor; {factor.recovery} recovery codes are left.</p>"
    elif with_password:
        told += _form("/-/factor", csrf, "<button>Make a second factor</button>")
    return page_of("Logged in", told + _form("/-/logout", csrf, "<button>Log out</button>"))


def factor_forms(blueprint: Blueprint, asked: Callable[[], Awaitable[People]], browsers: Browsers) -> None:
    """Add the pages."""

    async def answered(page: Callable[[People, Held, dict[str, str]], Awaitable[Response]]) -> Response:
        try:
            people, fields = await asked(), await fields_of()
            held = await held_by(browsers, people, fields)
            if held is None:
                return _trouble("Log in first.", 401)
            return await page(people, held, fields)
        except Refusal as error:
            return _trouble(str(error), error.status)
        except (Refused, Missing) as error:
            text = str(error)
            return _trouble(f"{text[:1].upper()}{text[1:]}.", 409)
        except StoreError:
            return _trouble("The store of users is away. Try again later.", 503)

    async def make() -> Response:
        async def enrol(people: People, held: Held, _: dict[str, str]) -> Response:
            user = held.session.user
            secret, uri = await people.factors.enrol(By(user, where()), user)
            return _made(secret, uri, forgery_token(browsers.shown()))

        return await answered(enrol)

    async def confirm() -> Response:
        async def code(people: People, held: Held, fields: dict[str, str]) -> Response:
            user, csrf = held.session.user, forgery_token(browsers.shown())
            try:
                found = await people.factors.confirm(By(user, where()), user, fields.get("code", ""), held.session.id)
            except Refused as error:
                factor = await people.factors.get(user)
                if factor is None or factor.confirmed:
                    raise
                return page_of("A second factor", f'<p role="alert">{escape(str(error))}.</p>{_confirms(csrf)}', 422)
            return _confirmed(found)

        return await answered(code)

    blueprint.add_url_rule("/factor", "factor-form", make, methods=["POST"])
    blueprint.add_url_rule("/factor/confirm", "factor-confirm", confirm, methods=["POST"])


def _form(action: str, csrf: str, inner: str) -> str:
    return (
        f'<form method="post" action="{action}"><input type="hidden" name="csrf" value="{escape(csrf)}">{inner}</form>'
    )


def _confirms(csrf: str) -> str:
    return _form(
        "/-/factor/confirm",
        csrf,
        '<label for="code">Code that it shows</label><input id="code" name="code" autocomplete="one-time-code" '
        'inputmode="numeric" required><button>Confirm</button>',
    )


def _made(secret: str, uri: str, csrf: str) -> Response:
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return page_of(
        "A second factor",
        f'<p>Copy the address into an authenticator, <a href="{escape(uri)}">open it</a> there, or type the secret. '
        "Neither is shown again.</p>"
        f'<label for="uri">Address</label><input id="uri" readonly value="{escape(uri)}">'
        f'<label for="secret">Secret</label><input id="secret" readonly value="{groups}">{_confirms(csrf)}',
    )


def _confirmed(recovery: list[str]) -> Response:
    codes = "\n".join(map(escape, recovery))
    told = "<p>From now on a login takes its code. Each of these recovery codes stands in for one, once; keep them:</p>"
    return page_of("A second factor", f"{told}<pre>{codes}</pre>{_BACK}")


def _trouble(text: str, status: int) -> Response:
    return page_of("A second factor", f'<p role="alert">{escape(text)}</p>{_BACK}', status)
