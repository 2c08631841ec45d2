"""The family ``claims``: other systems say more of a user, in each of their new tokens (AC-45)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import AfterValidator, Field

from hookgate import Duration, Family, Options, Plugin, ServiceUnavailable, hookspec
from hookgate.contract import OptionsT

# mypy: disable-error-code="empty-body"

RESERVED = frozenset(
    [
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "active", "scope", "client_id", "username"),
        *("token_type", "token_kind", "key_type", "application", "roles", "grant_type", "family", "cnf", "act"),
        *("may_act", "acr", "amr", "auth_time", "nonce", "azp", "sid", "events"),
    ]
)
"""What no other system says: the gateway does, or nobody may believe it."""
LONGEST = 4000
"""Bytes of JSON that the claims of one source may have."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose token it is going to be."""

    username: str
    client_id: str
    application: str


class NoClaims(ServiceUnavailable):
    """503: a source cannot say anything now. Its text is for the log: nothing of what it was asked with."""

    default_reason = "no-claims"


class ClaimsSpec:
    """``hookgate.claims``: who says more of a user. Named in ``keymanager.claims``."""

    @hookspec(firstresult=True)
    async def claims(self, subject: Subject) -> Mapping[str, Any]:
        """Return what there is to say of a user, as JSON has it: names as the source has them. Nothing of somebody whom
        it does not know. It is asked for every new token, those of refresh tokens too.

        Raise :class:`NoClaims` where it cannot be said now. Whoever takes longer than ``timeout`` is not waited for.
        """


if TYPE_CHECKING:
    _Spec = ClaimsSpec
else:
    _Spec = object


def _free(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is what the gateway says of a token, and no other system")
    return name


class ClaimsOptions(Options):
    """What every source of claims has."""

    claims: dict[Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_free)], str] = Field(
        min_length=1, max_length=50
    )
    """What becomes a claim: its name in the token, and what the source calls it."""
    timeout: Duration = Field(default=3.0, gt=0, le=30)
    """Seconds that it may take."""
    required: bool = True
    """Whether there is no token while the source says nothing; else there is one without its claims."""


class ClaimSource(Plugin[OptionsT], _Spec):
    """Says more of a user; see :class:`ClaimsSpec`. Its options are :class:`ClaimsOptions` with its own."""

    family = "claims"


CLAIMS = Family("claims", "claims", ClaimsSpec, ClaimSource, "What other systems say of a user in a token.")


async def gathered(sources: Sequence[ClaimSource[Any]], subject: Subject, log: Any) -> dict[str, Any]:
    """Ask all of them, one after the other; of two that say the same the later one counts.

    Raises:
        NoClaims: one that is required cannot say anything.
    """
    found: dict[str, Any] = {}
    for each in sources:
        try:
            found |= await _asked(each, subject)
        except NoClaims as error:
            log.warning("%s: no claims: %s", each.entry.id, error)
            if each.options.required:
                raise
    return found


async def _asked(source: ClaimSource[Any], subject: Subject) -> dict[str, Any]:
    options: ClaimsOptions = source.options
    try:
        async with asyncio.timeout(options.timeout):
            asked: Any = source.claims(subject)
            said: Any = await asked if hasattr(asked, "__await__") else asked
    except NoClaims:
        raise
    except TimeoutError:
        raise NoClaims(f"there was no answer within {options.timeout:g} s") from None
    except Exception as error:
        raise NoClaims(f"it failed: {type(error).__name__}") from error
    if not isinstance(said, Mapping):
        raise NoClaims("it said something that is no mapping")
    kept = {name: said[theirs] for name, theirs in options.claims.items() if said.get(theirs) is not None}
    try:
        size = len(orjson.dumps(kept))
    except TypeError:
        raise NoClaims("it said something that is no JSON") from None
    if size > LONGEST:
        raise NoClaims(f"it said more than {LONGEST} bytes")
    return kept
