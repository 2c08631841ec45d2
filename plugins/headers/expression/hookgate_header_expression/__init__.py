"""The value of an expression for a header action."""

from typing import Any

from hookgate import (
    BadGateway,
    BadRequest,
    Exchange,
    Expression,
    ExpressionError,
    HeaderProvider,
    Headers,
    Host,
    Options,
    Outbound,
    hookimpl,
)

MOST_MESSAGES = 100
"""Different messages that one header action writes to the log."""


class ExpressionOptions(Options):
    """Options of `expression`."""

    value: Expression
    """The expression, such as `request.headers['x-user'] + '-' + connection.name`, in quotation marks in YAML. One that
    reads `request.body` has the whole body kept, up to `limits.buffered_body`, and can look at 100000 bytes."""


class ExpressionHeader(HeaderProvider[ExpressionOptions]):
    """Gives what an expression makes of the call, asked anew for every attempt (AC-24).

    A string is sent as it is, a number in decimal digits, a truth value as `true` or `false`. Null leaves the header
    out; with `set` one of that name that the client has sent is then taken out, too.

    If the expression cannot be evaluated over a call (null has no `+`), or if no header can hold what comes out (a
    list, a control character, a character outside Latin-1), the call ends in 502 with the reason `config-error`, and
    the log says why, once for each kind of mistake. For what may be missing write
    `request.headers['x-user'] || 'nobody'`.
    """

    def __init__(self, options: ExpressionOptions) -> None:
        super().__init__(options)
        if options.value.reads_body:
            self.reads = {"request.body"}
        self._host: Host | None = None
        self._told: set[str] = set()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the log."""
        self._host = host

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str | None:
        """Return the value, or `None` if the expression gives null.

        Raises:
            BadGateway: it cannot be evaluated over this call, or cannot be sent.
            BadRequest: it asks for a parameter that comes twice.
        """
        try:
            value = self.options.value(exchange)
        except BadRequest:  # a parameter comes twice, which is the client's doing
            raise
        except ExpressionError as error:
            raise self._refused(str(error)) from error
        if value is None:
            return None
        text = _text(value)
        if text is None:
            raise self._refused(f"the expression {self.options.value} gives a list or a mapping; make a string of it")
        try:
            return Headers({"value": text})["value"]
        except ValueError:
            pass  # its message shows the value, which may be a secret
        raise self._refused(
            f"the expression {self.options.value} gives a control character, or one outside Latin-1; "
            "no header can hold it"
        )

    def _refused(self, problem: str) -> BadGateway:
        if self._host is not None and problem not in self._told and len(self._told) < MOST_MESSAGES:
            self._told.add(problem)
            self._host.log.error("%s: %s", self.entry.id, problem)
        return BadGateway("The gateway is not set up for calls to this backend.", reason="config-error")


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
