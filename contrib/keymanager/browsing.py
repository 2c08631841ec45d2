"""What a browser goes through at ``/authorize``, for tests."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

from oauthlib.oauth2 import WebApplicationClient

from .town import CALLBACK, PASSWORD

VERIFIER = "v" * 43


def challenge(verifier=VERIFIER):
    """Return what a verifier hashes to."""
    return WebApplicationClient("x").create_code_challenge(verifier, "S256").rstrip("=")


def asked(client, **more):
    """Return the parameters of a request, without those that are `None`."""
    given = {
        "response_type": "code",
        "client_id": client[0],
        "redirect_uri": CALLBACK,
        "scope": "news_read news_write",
        "state": "a state & more",
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def hidden(page):
    """Return the field that a page carries."""
    return {"sealed": unescape(re.search(r'name="sealed" value="([^"]*)"', page.text)[1])}


def log_in(browser, client, name="tom", password=PASSWORD, **more):
    """Return the page after the login."""
    page = browser.get("/authorize", params=asked(client, **more))
    assert page.status_code == 200, page.text
    return browser.post("/authorize", data={**hidden(page), "name": name, "password": password})


def agreed(browser, client, answer="yes", **more):
    """Return what the client gets with the browser."""
    page = log_in(browser, client, **more)
    back = browser.post("/authorize", data={**hidden(page), "answer": answer})
    assert back.status_code == 303, back.text
    return back.headers["location"]


def told(location):
    """Return the parameters of a URL."""
    return {name: value for name, (value,) in parse_qs(urlsplit(location).query).items()}
