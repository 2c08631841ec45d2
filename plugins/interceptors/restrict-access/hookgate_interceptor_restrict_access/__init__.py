"""Open or close what it stands on by environment."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from hookgate import Exchange, Forbidden, Interceptor, Options, hookimpl

Environment = Annotated[str, Field(min_length=1, max_length=200)]


class RestrictAccessOptions(Options):
    """Options of `restrict-access`. Exactly one of the two lists is written."""

    allow: tuple[Environment, ...] | None = None
    """Environments in which calls pass; in every other one they are refused, in one without a name, too. An empty list
    refuses everywhere."""
    block: tuple[Environment, ...] | None = None
    """Environments in which calls are refused; in every other one they pass. An empty list refuses nowhere."""

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if (self.allow is None) == (self.block is None):
            raise ValueError("write either allow or block, a list of environments each")
        return self


class RestrictAccess(Interceptor[RestrictAccessOptions]):
    """Answers 403 in environments that are not to have an API, a resource or an operation.

    The environment is what the document says of this gateway, `gateway.environment`; names are compared as they are
    written. So one document serves all environments, and what is not for all of them says where it is closed.
    """

    category = "traffic"
    sides = {"request"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse the call where this environment is closed to it.

        Raises:
            Forbidden: with the reason `environment-denied`.
        """
        allow, block = self.options.allow, self.options.block or ()
        here = exchange.environment
        if here in block or (allow is not None and here not in allow):
            raise Forbidden("Access denied for this environment", reason="environment-denied")
