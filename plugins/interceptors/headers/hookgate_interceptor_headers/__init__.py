"""Set, add and remove headers of requests and responses."""

from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

import hookgate
from hookgate import Exchange, Interceptor, Options, hookimpl

_FRAMING = frozenset({"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


def _name(name: str) -> str:
    hookgate.Headers({name: ""})
    if name.lower() in _FRAMING or name.lower().startswith("proxy-"):
        raise ValueError(f"leave out {name}: it belongs to a single connection and is written by the gateway itself")
    return name


def _value(value: str) -> str:
    hookgate.Headers({"value": value})
    return value


Name = Annotated[str, AfterValidator(_name)]
Value = Annotated[str, AfterValidator(_value)]


class Changes(Options):
    """What happens to one head, in this order: remove, set, add."""

    remove: tuple[Name, ...] = ()
    """Names whose lines are all taken out."""
    set: dict[Name, Value] = Field(default_factory=dict)
    """Headers that get this one value, in the place of all lines of that name."""
    add: dict[Name, Value] = Field(default_factory=dict)
    """Headers that get one more line, whatever is there already."""

    @cached_property
    def _set(self) -> hookgate.Headers:
        """The headers to set, checked once."""
        fields = hookgate.Headers()
        for name, value in self.set.items():  # one by one: of names that differ in their case the last one counts
            fields.set(name, value)
        return fields

    def apply(self, headers: hookgate.Headers) -> None:
        """Change a head in place."""
        if self.remove:
            headers.remove(*self.remove)
        if self.set:
            headers.update(self._set)
        for name, value in self.add.items():
            headers.add(name, value)


class HeadersOptions(Options):
    """Options of `headers`. Values are Latin-1 text without control characters."""

    request: Changes = Changes()
    """Changes to what the steps further right and the backend see. `Host` is not among them: it is the target's."""
    response: Changes = Changes()
    """Changes to what the client sees, on error answers too."""

    @field_validator("request")
    @classmethod
    def _leave_host_alone(cls, changes: Changes) -> Changes:
        if any(name.lower() == "host" for name in (*changes.remove, *changes.set, *changes.add)):
            raise ValueError("leave out Host: it is written by the connection, for the target it calls")
        return changes

    @model_validator(mode="after")
    def _change_something(self) -> "HeadersOptions":
        if self.request == self.response == Changes():
            raise ValueError("nothing to do; name at least one header under request or response")
        return self


class Headers(Interceptor[HeadersOptions]):
    """Changes headers on the way in and on the way out: remove, then set, then add.

    Names that belong to one connection (`Connection`, `Keep-Alive`, `Proxy-*`, `TE`, `Trailer`, `Transfer-Encoding`,
    `Upgrade`) or frame a message (`Content-Length`) are refused at load.
    """

    category = "transformation"
    writes = {"request.headers", "response.headers"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Change the head of the request."""
        self.options.request.apply(exchange.request.headers)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Change the head of the answer, whoever gave it."""
        if exchange.response is not None:
            self.options.response.apply(exchange.response.headers)
