"""Steps that rules put on the way of a call: answers, and the check of claims that rules have believed."""

from __future__ import annotations

from hookgate import Entry, Exchange, Forbidden, Interceptor, Options, PluginError, Response, hookimpl
from hookgate_rewrites.texts import shown

LOCATION, CLAIMS = "rewrites.location", "rewrites.claims"
"""Notes of the rules for the steps."""


class _Step(Interceptor[Options]):
    def __init__(self, owner: str, name: str) -> None:
        super().__init__(Options())
        self.entry = Entry(id=f"{owner}/{name}", name=name, family="interceptor")


class Leave(_Step):
    """Sends the client where a rule says."""

    category = "traffic"
    writes = {"response.status", "response.headers", "answer"}

    def __init__(self, owner: str, status: int) -> None:
        super().__init__(owner, "rewrite-redirect")
        self._status = status

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response:
        """Answer the call.

        Raises:
            PluginError: no rule has sent it here.
        """
        location = exchange.variables.get(LOCATION)
        if location is None:
            raise PluginError("no rule has sent this call here", plugin=self.entry.id, hook="on_request")
        return Response(self._status, {"Location": location})


class Forbid(_Step):
    """Refuses the call."""

    category = "security"
    writes = {"answer"}

    def __init__(self, owner: str) -> None:
        super().__init__(owner, "rewrite-forbid")

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse it.

        Raises:
            Forbidden: always.
        """
        raise Forbidden("A rewrite rule forbids this.")


class Vouch(_Step):
    """Refuses calls whose way rules have chosen by claims that turned out not to be those of the caller."""

    category = "security"
    reads = {"identity", "variables"}

    def __init__(self) -> None:
        super().__init__("rewrites", "rewrite-claims")

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Compare.

        Raises:
            Forbidden: a claim is another one.
        """
        claims = exchange.identity.claims if exchange.identity is not None else {}
        for name, value in exchange.variables.get(CLAIMS, {}).items():
            if shown(claims.get(name)) != value:
                raise Forbidden("The token of this call is not the one that its caller was recognised by.")
