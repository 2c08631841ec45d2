"""The pages about what is used."""

from html import escape
from typing import Any

from quart import Blueprint

from acme_subscriptions.section import Subscriptions
from hookgate import App, Host, Options, hookimpl


class Usage(App[Options]):
    """What each subscriber has used today: `subscriptions` in JSON, `subscriptions.html` for people."""

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return both pages."""
        pages = Blueprint("subscriptions", __name__)

        @pages.get("/subscriptions")
        async def told() -> dict[str, Any]:
            return {"subscriptions": await host.section("subscriptions", Subscriptions).usage()}

        @pages.get("/subscriptions.html")
        async def shown() -> str:
            usage = await host.section("subscriptions", Subscriptions).usage()
            rows = [f"<li>{escape(each['subscriber'])}: {each['used']} of {each['quota']}</li>" for each in usage]
            return f"<!doctype html><title>Subscriptions</title><h1>Used today</h1><ul>{''.join(rows)}</ul>"

        return pages
