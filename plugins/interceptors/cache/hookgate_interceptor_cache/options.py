"""The options of `cache`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hookgate import Duration, Expression, Options, PositiveDuration

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")


def _header(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    return name.lower()


Name = Annotated[str, AfterValidator(_header)]


class CacheOptions(Options):
    """Options of `cache`."""

    moved = {
        **dict.fromkeys(
            ("timeout", "cache_timeout", "max_age", "default_ttl"), "how long answers are kept is written ttl"
        ),
        **dict.fromkeys(("size", "max_size", "memory"), "the bound on memory is written max_octets"),
    }
    ttl: PositiveDuration | None = None
    """How long an answer is fresh of which the backend says nothing: neither `max-age` nor `s-maxage`, `Expires` or
    `no-cache`. Only for 200, 203, 300, 301, 308 and 410. What the backend does say counts before it. Without, such
    answers are not kept."""
    heuristics: bool = False
    """Whether to guess how long such an answer is fresh, from its `Last-Modified`: a tenth of the time since then,
    and a day at most. `ttl` counts before that."""
    share: Literal["explicit", "caller", "all"] = "explicit"
    """Who may get an answer that was made for a caller with credentials: an identity, `Authorization`, `Cookie` or a
    client certificate. `explicit`: everybody, if the backend says `public` or `s-maxage`; else it is not kept.
    `caller`: only calls with the very same credentials. `all`: everybody, since you know that answers do not depend on
    who calls, or say in `key` on what they do."""
    key: tuple[Expression, ...] = Field(default=(), max_length=8)
    """What answers depend on beside scheme, host, path, query, route, destination and `Vary`: each of the values has
    answers of its own. `identity.claims.tenant`, say."""
    vary: tuple[Name, ...] = Field(default=(), max_length=16)
    """Further request headers that `Vary` may name, as they reach the backend just as the client sent them. Those by
    which content is negotiated are known; an answer whose `Vary` names another one is not kept, since a step or the
    connection may have written it."""
    obey_clients: bool = True
    """Whether a client may say what it takes: `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`,
    `only-if-cached`."""
    wait: Duration = Field(default=5.0, ge=0)
    """Seconds for which calls wait for the same answer that is on its way to another one, before they go to the backend
    themselves; with 0 each goes at once. Half of `gateway.hook_timeout` is a bound, too."""
    stale_while_revalidate: Duration = Field(default=0.0, ge=0)
    """Seconds for which a stale answer is given while one call asks the backend whether it is still right, where the
    answer does not say so itself (RFC 5861, 3)."""
    stale_if_error: Duration = Field(default=0.0, ge=0)
    """Seconds for which a stale answer is given in the place of 500, 502, 503 and 504, where the answer does not say so
    itself (RFC 5861, 4)."""
    max_entries: int = Field(default=10_000, ge=1, le=10_000_000)
    """Answers that are kept; one more takes the place of the one that nobody asked for longest."""
    max_octets: int = Field(default=64 * 1024 * 1024, ge=4096)
    """Octets that all of them may take, with their heads."""
    max_body: int = Field(default=1024 * 1024, ge=0)
    """Octets of a body that is kept; a longer one streams through."""
    tags: Name | None = None
    """Header in which the backend names the tags of an answer, by which it can be taken out: `Surrogate-Key`,
    `Cache-Tag`. With blanks or commas between them. Clients do not get it."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,99}$")] = "hookgate"
    """What this cache is called in `Cache-Status`."""
    tell: bool = True
    """Whether answers say in `Cache-Status` what came of them here (RFC 9211)."""
