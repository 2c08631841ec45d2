"""Take values out of a call and keep them with its trace."""

import logging
from functools import partial
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from hookgate import Body, Exchange, Expression, ExpressionError, Headers, Interceptor, Options, hookimpl
from hookgate.workshop import Masking
from hookgate_interceptor_extract.values import JsonCopy, plain, pointer

MOST = 50

log = logging.getLogger("hookgate.extract")


def _pointer(text: str) -> str:
    pointer(text)
    return text


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Pointer = Annotated[str, Field(max_length=500), AfterValidator(_pointer)]


class ExtractOptions(Options):
    """Options of `extract`."""

    facts: dict[Name, Expression] = Field(default_factory=dict, max_length=MOST)
    """What to take down, by name: an expression such as `request.headers['x-customer']`, `request.query.page` or
    `int(request.headers['x-count'])`. A value keeps its type: text, number, truth value, list or mapping."""
    body: dict[Name, Pointer] = Field(default_factory=dict, max_length=MOST)
    """What to take out of a JSON body, by name: a JSON Pointer (RFC 6901) such as `/order/items/0/id`. On the way in
    the body is that of the request, on the way out that of the response."""
    longest: int = Field(default=1000, ge=10, le=100_000)
    """Characters of a text at most; one that is longer is cut, and ends in `…`. A list or a mapping that is longer as
    JSON is left out."""
    body_limit: int = Field(default=65536, ge=1, le=8 * 1024 * 1024)
    """Bytes of a body at most; nothing is taken out of a longer one."""
    mask: tuple[str, ...] = ()
    """Headers and parameters of the query that expressions see masked, beside those whose names speak of
    authorization, cookies, tokens, secrets, passwords or API keys."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if not self.facts and not self.body:
            raise ValueError("nothing to do; name at least one fact under facts or body")
        if twice := sorted(self.facts.keys() & self.body.keys()):
            raise ValueError(f"{twice[0]} is under facts and under body; names are there once")
        return self


class Extract(Interceptor[ExtractOptions]):
    """Takes values out of a call and keeps them as `exchange.facts`, which its trace shows (FL-49).

    Placed in `request` it does so on the way in, in `response` on the way out, and in `flow` on both. Of several facts
    with one name the last counts; what is null adds none and takes none away. The query is not there on the way out:
    what is of interest in it is taken on the way in.

    Nothing here changes, delays or refuses a call. An expression that cannot be evaluated adds nothing, which is logged
    once. A JSON body is copied as it passes, so its facts are there once it has passed; one that is compressed is not
    looked into. (An expression that reads `request.body` has that kept whole, which `body` does without.)
    """

    category = "tracing"

    def __init__(self, options: ExtractOptions) -> None:
        super().__init__(options)
        self._masking = Masking(options.mask)
        self._pointers = {name: pointer(text) for name, text in options.body.items()}
        self._failed: dict[str, bool] = dict.fromkeys(options.facts, False)
        """Of which facts it has been said that they fail."""
        if any(expression.reads_body for expression in options.facts.values()):
            self.reads = {"request.body"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Take down what there is on the way in."""
        self._evaluate(exchange, with_query=True)
        self._look_into(exchange, exchange.request.headers, exchange.request.body)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Take down what there is on the way out."""
        self._evaluate(exchange, with_query=False)
        if exchange.response is not None:
            self._look_into(exchange, exchange.response.headers, exchange.response.body)

    def _evaluate(self, exchange: Exchange, *, with_query: bool) -> None:
        if not self.options.facts:
            return
        seen = self._masking.view(exchange, with_query=with_query)
        for name, expression in self.options.facts.items():
            try:
                value = expression(seen)
            except ExpressionError as error:
                self._tell(exchange, name, error)
            else:
                self._keep(exchange, name, value)

    def _look_into(self, exchange: Exchange, headers: Headers, body: Body) -> None:
        if not self._pointers or body.empty or headers.get("content-encoding", "identity") != "identity":
            return
        copy = JsonCopy(self._pointers, self.options.body_limit, partial(self._keep, exchange))
        if body.held is None:
            body.tee(copy)
        else:
            copy.write(body.held)
            copy.close(complete=True)

    def _keep(self, exchange: Exchange, name: str, value: Any) -> None:
        fact = plain(value, self.options.longest)
        if fact is not None:
            exchange.facts[name] = fact
        elif value is not None:
            exchange.note(f"the fact {name} is left out: longer than {self.options.longest} characters, or no data")

    def _tell(self, exchange: Exchange, name: str, error: ExpressionError) -> None:
        exchange.note(f"the fact {name} is left out: {error}")
        if not self._failed[name]:
            self._failed[name] = True
            log.warning("%s: the fact %s is left out: %s; this is said once", self.entry.id, name, error)
