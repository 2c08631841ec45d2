"""What steps with a limit have in common: how a document says in what time, and whose calls are counted together."""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from hookgate import Entry, Exchange, Expression, Forbidden, PositiveDuration

LONGEST_KEY = 128
"""Characters of what a limit counts by; of more a hash is taken, since what a client sends must not fill the memory."""

Seconds = Annotated[PositiveDuration, Field(allow_inf_nan=False)]
"""As the type of an option: a time above 0."""


def in_one_message(kind: str, message: str) -> WrapValidator:
    """Return a validator for an option with several types, which says in one message what would be right for any."""

    def validate(value: object, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise PydanticCustomError(kind, message) from None

    return WrapValidator(validate)


def read_by(by: Expression | None) -> frozenset[str]:
    """Return what a step reads that counts by an expression, for its ``reads``."""
    if by is None:
        return frozenset()
    return by.roots & {"identity"} | ({"request.body"} if by.reads_body else frozenset())


_READS_CLIENT = re.compile(r"\brequest\W+(?:client|remoteAddr)\b")


class LimitKey:
    """Names the counter of a call, in the words of ``host.counters``.

    Entries never share one, and neither do kinds of counting. Without an expression everybody counts together, or in
    the flow of a plan each application on its own (FL-40). Made at ``startup``, when the entry is known.

    Of an address of IPv6 its network counts, of ``ipv6_prefix`` bits: whoever has one address has as many as it likes.
    """

    __slots__ = ("_name", "_prefix", "_value")

    def __init__(self, entry: Entry, kind: str, by: Expression | None, ipv6_prefix: int = 64) -> None:
        self._name = f"{entry.id}/{kind}"
        self._prefix = ipv6_prefix if by is not None and _READS_CLIENT.search(by.text) else 0
        self._value: Callable[[Exchange], Any] | None = by
        if by is None and entry.origin.startswith("plans."):
            self._value = _caller

    def of(self, exchange: Exchange) -> str:
        """Return the key of a call.

        Raises:
            ExpressionError: the expression cannot be evaluated.
            Forbidden: it counts by an address that a trusted proxy has told in a way that cannot be read.
        """
        client = network = ""
        if self._prefix:
            client, network = exchange.request.client, exchange.request.client_network(self._prefix)
            if not network:
                raise Forbidden("The address of the caller cannot be read.", reason="address-unknown")
        value = None if self._value is None else self._value(exchange)
        if value is None:
            return self._name
        text = value if isinstance(value, str) else repr(value)
        if client != network:
            text = text.replace(client, network)
        if len(text) > LONGEST_KEY:
            text = blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return f"{self._name}={text}"


def _caller(exchange: Exchange) -> str | None:
    """Who calls by a plan: the application, or else whoever has the token."""
    if exchange.application is not None:
        return exchange.application.name
    return None if exchange.identity is None else exchange.identity.subject
