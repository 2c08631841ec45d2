"""What credentials in headers have in common: options, challenges, and lines towards backends (RFC 9110, 11)."""

from typing import Annotated

from pydantic import AfterValidator

from hookgate import Exchange, Headers, Outbound, Secret


def _token(text: str) -> str:
    Headers({text: ""})  # a scheme is a token, as the name of a header is
    return text


def _token_or_nothing(text: str) -> str:
    return _token(text) if text else text


def _realm(realm: str) -> str:
    if not (realm.isascii() and realm.isprintable()):
        raise ValueError("a realm is printable ASCII text")
    return realm


def _filled(secret: Secret) -> Secret:
    if not secret:
        raise ValueError("it is empty; write one or leave it out")
    return secret


HeaderName = Annotated[str, AfterValidator(_token)]
"""As the type of an option: the name of a header (RFC 9110, 5.1)."""
Scheme = Annotated[str, AfterValidator(_token)]
"""As the type of an option: the word before credentials, such as ``Basic`` (RFC 9110, 11.1)."""
Prefix = Annotated[str, AfterValidator(_token_or_nothing)]
"""The same where it may be empty, for a header that holds the credentials alone."""
Realm = Annotated[str, AfterValidator(_realm)]
"""As the type of an option: what a challenge says the credentials are for (RFC 9110, 11.5)."""
FilledSecret = Annotated[Secret, AfterValidator(_filled)]
"""As the type of an option: a secret that is not empty."""


def challenge_of(scheme: str, realm: str) -> str:
    """Return a challenge with a realm, to which further parameters may be added (RFC 9110, 11.3)."""
    escaped = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'{scheme} realm="{escaped}"'


def add_credentials(exchange: Exchange, outbound: Outbound, header: str, line: str) -> None:
    """Put the line of a credential behind those of other credentials, in the place of what the caller sent (X7)."""
    drop_received(exchange, outbound, header)
    outbound.headers.add(header, line)


def drop_received(exchange: Exchange, outbound: Outbound, header: str) -> None:
    """Take out what the caller sent under a header: it is for the gateway, and not for the backend.

    What header actions and other credentials wrote stays, in its order.
    """
    headers = outbound.headers
    present = headers.getall(header)
    if present:
        received = exchange.request.headers.getall(header)
        headers.remove(header)
        for value in present:
            if value not in received:
                headers.add(header, value)
