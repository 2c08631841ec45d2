"""Set, add and remove headers of requests and responses."""

from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

import hookgate
from hookgate import Exchange, Expression, ExpressionError, Host, Interceptor, Options, hookimpl

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
    """What happens to one head, in this order: remove, set, add, set_from, add_from."""

    remove: tuple[Name, ...] = ()
    """Names whose lines are all taken out."""
    set: dict[Name, Value] = Field(default_factory=dict)
    """Headers that get this one value, in the place of all lines of that name."""
    add: dict[Name, Value] = Field(default_factory=dict)
    """Headers that get one more line, whatever is there already."""
    set_from: dict[Name, Expression] = Field(default_factory=dict)
    """Headers that get the value of an expression, in the place of all lines of that name: of the calling application
    (`application.fields.tier`), of a token (`identity.claims.tenant`) or of anything else. Where it is null, or a text
    that no header can hold, there is no such header: none that the other side wrote, either."""
    add_from: dict[Name, Expression] = Field(default_factory=dict)
    """Headers that get one more line with the value of an expression, if it is not null and a header can hold it."""

    @cached_property
    def _set(self) -> hookgate.Headers:
        """The headers to set, checked once."""
        fields = hookgate.Headers()
        for name, value in self.set.items():  # one by one: of names that differ in their case the last one counts
            fields.set(name, value)
        return fields

    @property
    def names(self) -> tuple[str, ...]:
        """All names that are spoken of."""
        return (*self.remove, *self.set, *self.add, *self.set_from, *self.add_from)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All expressions."""
        return (*self.set_from.values(), *self.add_from.values())

    def apply(self, headers: hookgate.Headers) -> None:
        """Change a head in place, as far as values stand in the document."""
        if self.remove:
            headers.remove(*self.remove)
        if self.set:
            headers.update(self._set)
        for name, value in self.add.items():
            headers.add(name, value)

    def apply_values(self, headers: hookgate.Headers, exchange: Exchange) -> list[str]:
        """Change a head in place by the values of expressions (FL-51); return the names of those no header can hold.

        Raises:
            ExpressionError: an expression cannot be evaluated.
        """
        left_out: list[str] = []
        for added, fields in ((False, self.set_from), (True, self.add_from)):
            for name, expression in fields.items():
                value = _text(expression(exchange), expression)
                if not added:
                    headers.remove(name)
                if value is not None:
                    try:
                        headers.add(name, value)
                    except ValueError:  # a control character, or one outside Latin-1
                        left_out.append(name)
        return left_out


def _text(value: object, expression: Expression) -> str | None:
    """Write a value as a header; a list of values is one with commas (RFC 9110, 5.3)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, (str, int, float)) for each in value):
        return ", ".join(_text(each, expression) or "" for each in value)
    raise ExpressionError(f"the expression {expression.text!r} gives a mapping, which is no value of a header")


class HeadersOptions(Options):
    """Options of `headers`. Values are Latin-1 text without control characters."""

    request: Changes = Changes()
    """Changes to what the steps further right and the backend see. `Host` is not among them: it is the target's."""
    response: Changes = Changes()
    """Changes to what the client sees, on error answers too."""

    @field_validator("request")
    @classmethod
    def _leave_host_alone(cls, changes: Changes) -> Changes:
        if any(name.lower() == "host" for name in changes.names):
            raise ValueError("leave out Host: it is written by the connection, for the target it calls")
        return changes

    @model_validator(mode="after")
    def _change_something(self) -> "HeadersOptions":
        if self.request == self.response == Changes():
            raise ValueError("nothing to do; name at least one header under request or response")
        return self


class Headers(Interceptor[HeadersOptions]):
    """Changes headers on the way in and on the way out: remove, then set, then add, then what expressions give.

    Values of expressions come from the calling application, from a token, or from anything else of the call (FL-51).
    An expression that cannot be evaluated is an error of the configuration and answered with 500.

    Names that belong to one connection (`Connection`, `Keep-Alive`, `Proxy-*`, `TE`, `Trailer`, `Transfer-Encoding`,
    `Upgrade`) or frame a message (`Content-Length`) are refused at load.
    """

    category = "transformation"
    writes = {"request.headers", "response.headers"}

    def __init__(self, options: HeadersOptions) -> None:
        super().__init__(options)
        self._request_asks, self._response_asks = options.request.expressions, options.response.expressions
        if any(expression.reads_body for expression in (*self._request_asks, *self._response_asks)):
            self.reads = {"request.body"}
        self._host: Host | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, for its log."""
        self._host = host

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Change the head of the request.

        Raises:
            ExpressionError: an expression cannot be evaluated.
        """
        headers = exchange.request.headers
        self.options.request.apply(headers)
        if self._request_asks:
            self._tell(exchange, self.options.request.apply_values(headers, exchange))

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Change the head of the answer, whoever gave it.

        Raises:
            ExpressionError: an expression cannot be evaluated.
        """
        if exchange.response is not None:
            headers = exchange.response.headers
            self.options.response.apply(headers)
            if self._response_asks:
                self._tell(exchange, self.options.response.apply_values(headers, exchange))

    def _tell(self, exchange: Exchange, left_out: list[str]) -> None:
        for name in left_out:
            exchange.note(f"{self.entry.name}: {name} is left out, as no header can hold its value")
            if self._host is not None:
                self._host.log.warning("%s: %s is left out, as no header can hold its value", self.entry.id, name)
