"""Call another API of this gateway and keep its answer in a variable."""

from typing import Annotated

from pydantic import AfterValidator

from hookgate import Exchange, Headers, Interceptor, hookimpl
from hookgate.workshop import UrlTemplate, VariableOptions


def _path(template: UrlTemplate) -> UrlTemplate:
    if not template.start.startswith("/") or template.start.startswith("//"):
        raise ValueError("a path on this gateway begins with one '/': write it like '/users/{identity.subject}'")
    return template


def _host(host: str) -> str:
    Headers({"host": host})
    return host


class InternalCallOptions(VariableOptions):
    """Options of `internal-call`."""

    path: Annotated[UrlTemplate, AfterValidator(_path)]
    """Path on this gateway, with a query if need be. Expressions in braces are put in percent-encoded, as in
    `/users/{identity.subject}?page={request.query.page}`."""
    host: Annotated[str, AfterValidator(_host)] | None = None
    """`Host` to ask for; that of the call unless given."""


class InternalCall(Interceptor[InternalCallOptions]):
    """Calls another API or route of the same gateway, and so of the same environment, through its whole flow (FL-53).

    Nothing goes over the network until that flow calls its backend. Limits, authentication and plans of the other API
    hold as for any client, which this one is: nothing of the call goes along but what the options say. The other flow
    sees the same client address.

    Eight calls of the gateway to itself, one inside the other, are the most; the ninth is answered with 508. The
    answer of an API that fails is one with another status than `expect` has, and a fault here: 502
    `unexpected-status`. A connection error there is answered by its own flow, and so is a status here as well.
    """

    category = "mediation"
    sides = {"request"}
    writes = {"variables"}

    def __init__(self, options: InternalCallOptions) -> None:
        super().__init__(options)
        self.reads = {"request.body"} if options.reads_body or options.path.reads_body else set()

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Make the call and keep what comes of it.

        Raises:
            Fault: it failed, unless `on_failure` lets the call go on.
            BadRequest: a value for the path or a header is not there or cannot be sent.
            ExpressionError: an expression cannot be evaluated.
        """
        options = self.options
        if self.reads:
            await exchange.request.body.read()
        asked = options.asked(exchange, options.path(exchange))
        headers = dict(asked.headers) | ({} if options.host is None else {"host": options.host})
        made = exchange.visit(asked.method, asked.url, headers=headers, body=asked.body)
        exchange.variables[options.name] = await options.outcome(
            made, lambda error: exchange.note(f"{self.entry.name} {options.name}: {type(error).__name__}: {error}")
        )
