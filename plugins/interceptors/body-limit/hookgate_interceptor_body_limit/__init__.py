"""Refuse bodies that are longer than a route should take."""

from pydantic import Field, model_validator

from hookgate import BadGateway, Body, ContentTooLarge, Exchange, Interceptor, Options, hookimpl


class BodyLimitOptions(Options):
    """Options of `body-limit`. Lengths are in bytes as transferred: of what is compressed, the compressed ones."""

    request: int | None = Field(default=None, ge=0)
    """Longest request body, in bytes; 0 for none at all. `null` leaves it to the limit of the gateway."""
    response: int | None = Field(default=None, ge=0)
    """Longest response body, in bytes. `null` for no limit."""

    @model_validator(mode="after")
    def _limit_something(self) -> "BodyLimitOptions":
        if self.request is None and self.response is None:
            raise ValueError("nothing to do; write request or response, in bytes")
        return self


class BodyLimit(Interceptor[BodyLimitOptions]):
    """Answers 413 to a request, and 502 in the place of a response, whose body is too long. Nothing is buffered.

    A length that is known is judged before the body is read, and a request refused so reaches no backend. Where it is
    not, bytes are counted as they pass. A request is then broken off towards the backend, which may have seen the
    beginning; of a response the head may be out already, and all that is left is to break off the connection.

    The limit of the gateway and those of other `body-limit` steps stay: the lowest counts. The answer to a fault, which
    the gateway writes itself, is not judged.
    """

    category = "traffic"

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse a request that says it is too long; have the others counted.

        Raises:
            ContentTooLarge: it is too long.
        """
        limit, body = self.options.request, exchange.request.body
        if limit is None:
            return
        if body.length is not None and body.length > limit:
            raise ContentTooLarge(f"The body is {body.length} bytes long; here at most {limit} bytes are accepted.")
        _lower(body, limit)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Refuse a response that says it is too long; have the others counted.

        Raises:
            BadGateway: it is too long.
        """
        limit = self.options.response
        if limit is None or exchange.response is None or exchange.fault is not None:
            return
        body = exchange.response.body
        if body.length is not None and body.length > limit:
            raise _refused(f"The response is {body.length} bytes long; here at most {limit} bytes are passed on.")
        if not body.replayable:
            _lower(body, limit)
            body.too_large = _refused


def _lower(body: Body, limit: int) -> None:
    body.limit = limit if body.limit is None else min(body.limit, limit)


def _refused(detail: str) -> BadGateway:
    return BadGateway(detail, reason="response-too-large")
