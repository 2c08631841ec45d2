"""Claims that a backend says of a user, over a connection of the document (AC-45)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from pydantic import AfterValidator, Field

from hookgate import ConnectionName, Fault, Host, hookimpl
from hookgate_keymanager.claims import ClaimsOptions, ClaimSource, NoClaims, Subject

LONGEST = 65536
"""Bytes of an answer."""
PLACE = "{username}"


def _path(text: str) -> str:
    rest = text.replace(PLACE, "")
    if not text.startswith("/") or text.startswith("//") or PLACE not in text or set(rest) & set("{}# "):
        raise ValueError(f"{text[:80]!r} is a path with {PLACE} in it, such as /users/{PLACE}")
    return text


class HttpClaimsOptions(ClaimsOptions):
    """Options of `http`."""

    connection: ConnectionName
    """The connection that is asked; its credentials, TLS and retries count."""
    path: Annotated[str, Field(max_length=500), AfterValidator(_path)]
    """What is asked with GET: a path, with a query if need be, and `{username}` where the name of the user stands."""


class Http(ClaimSource[HttpClaimsOptions]):
    """Asks a backend for a JSON object that says something of a user. 404 says that it does not know them."""

    _host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, which has the connections."""
        self._host = host

    @hookimpl
    async def claims(self, subject: Subject) -> Mapping[str, Any]:
        """Ask."""
        options = self.options
        path = options.path.replace(PLACE, quote(subject.username, safe=""))
        try:
            by = self._host.connection(options.connection)
            headers = {"Accept": "application/json"}
            response = await by.request("GET", path, headers=headers, timeout=options.timeout)
        except (Fault, LookupError) as error:
            raise NoClaims(
                f"{options.connection} does not answer: {getattr(error, 'reason', 'no-connection')}"
            ) from None
        if response.status == 404:
            return {}
        if response.status != 200:
            raise NoClaims(f"{options.connection} has answered {response.status}")
        body = response.body.data
        if len(body) > LONGEST:
            raise NoClaims(f"{options.connection} has answered with more than {LONGEST} bytes")
        try:
            found = orjson.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NoClaims(f"{options.connection} has answered with something that is no JSON object")
        return found
