"""Steps that the state of an API puts in front of its own."""

from __future__ import annotations

from hookgate import Entry, Exchange, Interceptor, NotFound, Options, ServiceUnavailable, hookimpl

VARIABLE = "lifecycle"
"""Where steps behind it find the state: `vars.lifecycle`."""


class ApiBlocked(ServiceUnavailable):
    """503: the API is off for a while (KC-17)."""

    default_reason, code = "api-blocked", 700700


class _State(Interceptor[Options]):
    def __init__(self, api: str, state: str) -> None:
        super().__init__(Options())
        self._state = state
        self.entry = Entry(id=f"apis.{api}/{VARIABLE}", name=VARIABLE, family="interceptor")


class Blocked(_State):
    """Refuses every call."""

    category = "traffic"
    sides = {"request"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse the call.

        Raises:
            ApiBlocked: always.
        """
        raise ApiBlocked("This API is not served at the moment.")


class Absent(_State):
    """Refuses every call as one to what is not there (KC-12, KC-16)."""

    category = "traffic"
    sides = {"request"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse the call.

        Raises:
            NotFound: always.
        """
        raise NotFound("No route matches this host and path.")


class Prototype(_State):
    """Tells the steps behind it that the API is called without a subscription (KC-13)."""

    category = "traffic"
    sides = {"request"}
    writes = {"variables"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Note the state."""
        exchange.variables[VARIABLE] = self._state
