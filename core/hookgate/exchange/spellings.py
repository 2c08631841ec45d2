"""Headers of a request that have an underscore in a name: many backends take ``X_User`` for ``X-User``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hookgate.exchange.errors import BadRequest
from hookgate.exchange.messages import Headers, RawHeader

Underscores = Literal["guard", "drop", "refuse", "pass"]


class EverySpelling(Headers):
    """Who sets ``X-User`` or takes it out does so in every spelling; who names ``X_User`` means that one."""

    __slots__ = ()

    def set(self, name: str, value: str) -> None:
        """Put one line in the place of all lines of that name."""
        self.remove(name)
        self.add(name, value)

    def update(self, fields: Sequence[tuple[str, str]] | Headers) -> None:
        """Put one line each in the place of all lines of these names."""
        self.remove(*(name for name, _ in (fields.items() if isinstance(fields, Headers) else fields)))
        super().update(fields)

    def remove(self, *names: str) -> None:
        """Take out every line of these names."""
        unwanted = {name.lower().encode("latin-1", "replace") for name in names}
        self.raw = [f for f in self.raw if unwanted.isdisjoint((f[0].lower(), f[0].lower().replace(b"_", b"-")))]


def headers_of(fields: list[RawHeader], underscores: Underscores) -> Headers:
    """Make headers of fields of which some may have an underscore in their name.

    Raises:
        BadRequest: these are refused.
    """
    if underscores == "pass" or not any(b"_" in name for name, _ in fields):
        return Headers.of(fields.copy())  # a head may be remembered
    if underscores == "refuse":
        raise BadRequest("The name of a header has an underscore.", reason="underscored-header")
    if underscores == "drop":
        return Headers.of([field for field in fields if b"_" not in field[0]])
    hops = (b"x-forwarded-", b"x-real-ip")  # the gateway's own to say
    return EverySpelling.of(
        [f for f in fields if b"_" not in f[0] or not f[0].lower().replace(b"_", b"-").startswith(hops)]
    )
