"""Who is calling, for a header action."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from hookgate import BadGateway, Exchange, HeaderProvider, Identity, Options, Outbound, hookimpl

LONGEST = 8192
"""Characters of a value."""
SAFE = "!#$&'()*+/:;<=>?@[]^`{|}~\""
"""Besides letters, digits and `_.-~`, what stands for itself; not `%`, the comma, the backslash and the space."""


class IdentityOptions(Options):
    """Options of `identity`."""

    field: Literal["subject", "application", "method", "roles"] | None = None
    """What is told of the caller: the `subject` (also if neither this nor `claim` is given), the `application` it calls
    from, the auth `method` that vouches for it, or its `roles`."""
    claim: str | tuple[str, ...] | None = Field(default=None, min_length=1)
    """Or a claim: its name, `email`, or the way to it, `address.city`. A list for names with a dot in them:
    `[https://example.org/groups]`."""
    encode: bool = True
    """Whether commas, spaces, backslashes, `%`, control characters and what is not ASCII are percent-encoded in UTF-8,
    so that any name can be sent and a comma is always one between two items. Without it, a call whose value would need
    that ends in 502."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.field is not None and self.claim is not None:
            raise ValueError("give `field` or `claim`, not both")
        if any(not name for name in self.names):
            raise ValueError("claim: there is an empty name in the way to the claim")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names on the way to the claim, outermost first; none if no claim is asked for."""
        if self.claim is None:
            return ()
        return tuple(self.claim.split(".")) if isinstance(self.claim, str) else self.claim


class IdentityHeader(HeaderProvider[IdentityOptions]):
    """Tells the backend who is calling, as an authentication step of the flow has found out.

    The header is left out if nobody was identified or the caller has no such thing: no application, no roles, no such
    claim. With `set` a header of that name that the client has sent is then taken out; with `add` it stays.

    Roles, and claims that are lists, are joined with commas. Numbers are sent in decimal digits, truth values as `true`
    and `false`. A claim that is a mapping, or holds one, ends the call in 502 with the reason `config-error`, and so
    does a value of more than 8192 characters.
    """

    reads = {"identity"}

    def __init__(self, options: IdentityOptions) -> None:
        super().__init__(options)
        self._names = options.names
        self._field = options.field or "subject"

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str | None:
        """Return the value, or `None` if there is none.

        Raises:
            BadGateway: no header can hold it.
        """
        identity = exchange.identity
        if identity is None:
            return None
        found = self._claim(identity) if self._names else getattr(identity, self._field)
        if found is None:
            return None
        several = isinstance(found, list | tuple | set | frozenset)
        words = [self._word(item) for item in (_ordered(found) if several else (found,))]
        value = ",".join(words)
        if len(value) > LONGEST:
            raise _refused("is too long")
        return value or None

    def _claim(self, identity: Identity) -> Any:
        found: Any = identity.claims
        for name in self._names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _word(self, item: Any) -> str:
        if isinstance(item, bool):
            return "true" if item else "false"
        if not isinstance(item, str | int | float):
            raise _refused("is no text")
        text = str(item)
        if self.options.encode:
            return quote(text, safe=SAFE, errors="replace")
        if "," in text or text != text.strip() or not (text.isprintable() and text.isascii()):
            raise _refused("needs to be encoded")
        return text


def _ordered(items: Iterable[Any]) -> Iterable[Any]:
    return sorted(items, key=str) if isinstance(items, set | frozenset) else items


def _refused(problem: str) -> BadGateway:
    return BadGateway(f"What is to be told of the caller {problem}.", reason="config-error")
