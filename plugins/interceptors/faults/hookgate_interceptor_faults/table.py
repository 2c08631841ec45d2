"""The table of faults: what each code means, how it is answered, and in which of three classes it is written."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """How faults of one class are written."""

    prefix: str
    namespace: str
    kind: str = ""
    """What stands in `type`, if they have one."""


SECURITY = Style("ams", "http://wso2.org/apimanager/security")
THROTTLING = Style("amt", "http://wso2.org/apimanager/throttling")
RUNTIME = Style("am", "http://wso2.org/apimanager", "Status report")


class Line(NamedTuple):
    """What belongs to a code."""

    status: int | None
    """Status it is answered with; none for that of whatever went wrong."""
    message: str
    description: str
    """Said where the fault says nothing that a client may read."""
    style: Style = SECURITY


_AGAIN = "You have exceeded your quota. Try again later."
_KEY = "Make sure that you have given the right credentials."


def _transport(message: str) -> Line:
    return Line(None, message, "The backend of the API could not be called.", RUNTIME)


TABLE: dict[int, Line] = {
    700700: Line(503, "API blocked", "This API has been blocked temporarily. Try again later.", RUNTIME),
    900422: Line(422, "Invalid GraphQL query", "The query cannot be understood.", RUNTIME),
    900800: Line(429, "Message throttled out", _AGAIN, THROTTLING),
    900801: Line(503, "API limit reached", "The backend gets no more calls now. Try again later.", THROTTLING),
    900802: Line(429, "Resource level throttled out", _AGAIN, THROTTLING),
    900803: Line(429, "Application level throttled out", _AGAIN, THROTTLING),
    900804: Line(429, "Subscription level throttled out", _AGAIN, THROTTLING),
    900805: Line(429, "Message blocked", "You have been blocked from accessing the resource.", THROTTLING),
    900806: Line(429, "Custom policy throttled out", _AGAIN, THROTTLING),
    900807: Line(429, "Burst control throttled out", _AGAIN, THROTTLING),
    900900: Line(500, "Unclassified Authentication Failure", "The credentials could not be checked."),
    900901: Line(401, "Invalid Credentials", _KEY),
    900902: Line(401, "Missing Credentials", "The request has no credentials of a kind that is accepted here."),
    900903: Line(401, "Access Token Expired", "Renew the access token and try again."),
    900904: Line(401, "Access Token Inactive", "Renew the access token and try again."),
    900905: Line(401, "Incorrect Access Token Type is provided", "The resource takes tokens of another kind."),
    900906: Line(403, "No matching resource found in the API for the given request", "Check path and method."),
    900907: Line(401, "The requested API is temporarily blocked", "Access to the API is blocked for now."),
    900908: Line(403, "Resource forbidden", "The caller may not use this API."),
    900909: Line(401, "The subscription to the API is inactive", "The subscription is not active yet."),
    900910: Line(
        403,
        "The access token does not allow you to access the requested resource",
        "The access token lacks a scope.",
    ),
    900911: Line(401, "Mutual TLS authentication failed", "A client certificate is needed that is accepted here."),
    900912: Line(401, "All authenticators failed", _KEY),
    900913: Line(401, "Missing basic credentials", "The request has no user name and password."),
    900914: Line(401, "Invalid basic credentials", "User name and password are not accepted."),
    900915: Line(401, "Authentication failed and OAuth credentials are missing", _KEY),
    900916: Line(401, "Authentication failed and basic credentials are missing", _KEY),
    900917: Line(401, "OAuth and basic credentials are missing", _KEY),
    900918: Line(500, "API definition missing", "The gateway does not know the definition of the API."),
    102511: Line(400, "Incomplete payload", "The body ended before all of it had come.", RUNTIME),
    303001: Line(None, "Endpoint suspended", "The backend of the API is not called for now.", RUNTIME),
    101000: _transport("Receiver error sending"),
    101001: _transport("Receiver error receiving"),
    101500: _transport("Sender error sending"),
    101501: _transport("Sender error receiving"),
    101502: _transport("Sender error"),
    101503: _transport("Connection failed"),
    101504: _transport("Connection timed out"),
    101505: _transport("Connection closed"),
    101506: _transport("Protocol violation"),
    101507: _transport("Connection cancelled"),
    101508: _transport("No connection in time"),
    101509: _transport("Send aborted"),
    101510: _transport("Response processing failed"),
}
REASONS = {
    "auth-error": 900900,
    "backend-throttled": 900801,
    "bad-framing": 102511,
    "bad-gateway": 101510,
    "connect-failed": 101503,
    "connect-refused": 101503,
    "connect-timeout": 101508,
    "destination-timeout": 101504,
    "dns-failed": 101503,
    "expired-credentials": 900903,
    "insufficient-scope": 900910,
    "method-not-allowed": 900906,
    "no-route": 900906,
    "pool-exhausted": 101508,
    "proxy-failed": 101503,
    "read-timeout": 101504,
    "request-timeout": 101504,
    "response-too-large": 101510,
    "spike-arrested": 900807,
    "tls-failed": 101500,
    "too-large": 101510,
    "upstream-closed": 101505,
    "upstream-protocol": 101506,
    "upstream-timeout": 101504,
}
"""Our reasons, and the code that each has where its fault brings none."""
STATUSES = {401: 900901, 403: 900908, 429: 900800}
"""What is left: the code of a status."""
