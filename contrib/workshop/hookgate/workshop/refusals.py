"""Why whoever checks callers lets a call not through, by the numbers that API managers give these refusals."""

from hookgate import Fault, Unauthorized


class MissingCredentials(Unauthorized):
    """401: nobody knows who calls: there is no token, or no step before has looked for one."""

    default_reason, code = "missing-credentials", 900902


class CannotTell(Fault):
    """500: nobody can tell now whether the caller may call."""

    status = 500
    default_reason, code = "unclassified-authentication-failure", 900900
