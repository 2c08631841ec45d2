"""A request at an endpoint, as Authlib sees it. What is ambiguous is refused before (RFC 6749, 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from hookgate import Exchange

MOST_FIELDS = 50
LONGEST = 4000
"""Characters of one value."""
LONGEST_TOKEN = 8192
"""Characters of a token or an assertion."""
_TOKENS = ("token", "assertion")
_Request: Any = OAuth2Request  # what Authlib calls types does not hold for what it does
_PLAIN = ("client_id", "code_challenge_method", "grant_type", "redirect_uri", "response_type", "scope")
"""Parameters of printable ASCII; Authlib puts some of them into texts that may hold nothing else."""


class Malformed(Exception):
    """The request is none; the text says why."""


class AskedRequest(_Request):  # type: ignore[misc]
    """A request of form fields, or of a query."""

    def __init__(self, method: str, fields: Mapping[str, str], authorization: str | None = None) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        # the scheme was looked at before, with what is known of proxies
        super().__init__(method, "https://hookgate.invalid/", headers=headers)
        self.payload = BasicOAuth2Payload(dict(fields))
        self.address = ""
        """Where it comes from."""
        self.granted: Any = None
        """What another grant has given."""

    @property
    def args(self) -> Mapping[str, str]:
        """What stands in the query."""
        found: Mapping[str, str] = self.payload.data
        return found

    @property
    def form(self) -> Mapping[str, str]:
        """What stands in the form."""
        found: Mapping[str, str] = self.payload.data
        return found


def fields_of(text: str, longest: int = LONGEST) -> dict[str, str]:
    """Return parameters; those without a value count as left out (RFC 6749, 3.1).

    Raises:
        Malformed: one comes more than once, or is too long, or there are too many.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("the parameters are no UTF-8") from None
    except ValueError:
        raise Malformed(f"there are more than {MOST_FIELDS} parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Malformed("a parameter comes more than once")
        most = max(longest, LONGEST_TOKEN) if name in _TOKENS else longest
        if len(value) > most:
            raise Malformed(f"a parameter has more than {most} characters")
        found[name] = value
    for name in _PLAIN:
        value = found.get(name, "")
        if not (value.isascii() and value.isprintable()) or set(value) & set('"\\'):
            raise Malformed(f"{name} has characters that it cannot have")
    return {name: value for name, value in found.items() if value}


async def form_of(exchange: Exchange) -> AskedRequest:
    """Return the request of a form.

    Raises:
        Malformed: it is none, or shows credentials twice, or in the query.
        Fault: the body is too long, or does not come.
    """
    request = exchange.request
    kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Malformed("the body is application/x-www-form-urlencoded")
    if request.query:
        raise Malformed("parameters stand in the body, and none in the query")
    lines = request.headers.getall("Authorization")
    if len(lines) > 1:
        raise Malformed("there is more than one Authorization")
    body: Any = await request.body.read()
    try:
        fields = fields_of(bytes(body).decode("ascii"))
    except UnicodeDecodeError:
        raise Malformed("the body has characters that are not encoded") from None
    if lines and "client_secret" in fields:
        raise Malformed("the client says who it is in one way, and not in two (RFC 6749, 2.3)")
    asked = AskedRequest(request.method, fields, lines[0] if lines else None)
    asked.address = request.client
    return asked
