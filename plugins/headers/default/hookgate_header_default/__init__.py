"""A fixed value for a header action."""

from pydantic import Field, field_validator

from hookgate import Exchange, HeaderProvider, Headers, Options, Outbound, hookimpl


class DefaultOptions(Options):
    """Options of `default`."""

    value: str = Field(max_length=8192)
    """The value, in characters of Latin-1 without control characters; spaces around it are dropped."""

    @field_validator("value")
    @classmethod
    def _sendable(cls, value: str) -> str:
        return Headers({"header": value})["header"]


class Default(HeaderProvider[DefaultOptions]):
    """Gives every attempt the same value (AC-20)."""

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str:
        """Return the value."""
        return self.options.value
