"""Greet callers in a header of every response."""

from pydantic import field_validator

from hookgate import Answered, Interceptor, Options, hookimpl


class GreetingOptions(Options):
    """Options of `greeting`."""

    words: str = "Hello"
    """What to say before the name, in printable ASCII."""
    stranger: str = "stranger"
    """What to call somebody whom no `auth` step has identified, in printable ASCII."""

    @field_validator("words", "stranger")
    @classmethod
    def _fits_into_a_header(cls, text: str) -> str:
        if not (text.isascii() and text.isprintable()):
            raise ValueError("a header takes printable ASCII only; leave out line breaks and accents")
        return text


class Greeting(Interceptor[GreetingOptions]):
    """Sets `x-greeting` on every response, with the name of the caller where an `auth` step found it out."""

    category = "transformation"
    reads = {"identity"}
    writes = {"response.headers"}

    @hookimpl
    def on_response(self, exchange: Answered) -> None:
        """Set the header. A name that is not printable ASCII is left out, so that nobody can forge header lines."""
        name = exchange.identity.subject if exchange.identity is not None else self.options.stranger
        greeting = f"{self.options.words}, {name}" if name.isascii() and name.isprintable() else self.options.words
        exchange.response.headers.set("x-greeting", greeting)
