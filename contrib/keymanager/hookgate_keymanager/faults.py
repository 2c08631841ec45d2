"""Why a call is refused, by the numbers that API managers give these refusals (KC-62, table of 4.9)."""

from __future__ import annotations

from hookgate import Forbidden, Unauthorized


class InvalidCredentials(Unauthorized):
    """401: the token is none, has been revoked, or is a key of another kind."""

    code = 900901
    default_reason = "invalid-credentials"


class WrongKind(Unauthorized):
    """401: the token is of an application where one of a user is wanted, or the other way round."""

    code = 900905
    default_reason = "wrong-token-type"


class ScopeMissing(Forbidden):
    """403: the token has not got the scope of this resource."""

    code = 900910
    default_reason = "insufficient-scope"
