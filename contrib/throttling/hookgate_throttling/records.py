"""What a document says of a tier: how many calls, in what time, and who may choose it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hookgate import Limit, Options, Refers
from hookgate.contract import Described
from hookgate.workshop import Seconds, in_one_message

Window = Annotated[
    Seconds | Literal["second", "minute", "hour", "day", "week", "month"],
    in_one_message("window", "a window is a number of seconds above 0, or second, minute, hour, day, week or month"),
]
Level = Literal["api", "resource", "subscription", "application"]
LEVELS: tuple[Level, ...] = ("api", "resource", "subscription", "application")
TierName = Annotated[str, Refers("tiers")]
LENGTHS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 28 * 86_400.0}
"""Seconds of the calendar windows, of a month those of the shortest."""


def _listed(value: object) -> object:
    """Let roles be written as a text with commas, as the seed has them."""
    return [role for part in value.split(",") if (role := part.strip())] if isinstance(value, str) else value


Roles = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
    Field(min_length=1, max_length=1000),
    BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
]


class Counted(Options):
    """So many calls in such a time."""

    limit: int = Field(ge=1)
    """Calls in one window."""
    window: Window = "minute"
    """A calendar window by the clock in UTC (`second`, `minute`, `hour`, `day`, `week`, `month`), or a number of
    seconds for calls that are spread evenly: `limit` may come at once, and each gives its place back after
    `window / limit` seconds."""

    @property
    def counted(self) -> Limit:
        """It in the words of counters."""
        return Limit(self.limit, self.window)


class TierSection(Described):
    """A tier: a limit with a name, which is chosen for an API, a resource, a subscription or an application."""

    moved = {
        **dict.fromkeys(("requests", "calls", "rate", "count", "requestCount"), "how many calls may come is limit"),
        **dict.fromkeys(
            ("per", "period", "interval", "unitTime"), "the time in which so many calls may come is window"
        ),
    }
    description: str = ""
    """What it is for, as those read it who choose one."""
    limit: (
        Annotated[
            int | Literal["unlimited"],
            Field(union_mode="left_to_right"),
            in_one_message("limit", "a limit is a whole number of calls from 1 on, or unlimited"),
        ]
        | None
    ) = None
    """Calls in one window, or `unlimited`."""
    window: Window = "minute"
    """A calendar window by the clock in UTC (`second`, `minute`, `hour`, `day`, `week`, `month`), or a number of
    seconds for calls that are spread evenly: `limit` may come at once, and each gives its place back after
    `window / limit` seconds."""
    burst: Counted | None = None
    """A second limit in a shorter time, for subscriptions: 1000 a day, and of these 10 a second (KC-40). Each process
    of a gateway counts it for itself."""
    levels: Annotated[frozenset[Level], Field(min_length=1)] = frozenset(LEVELS)
    """What it is offered for: `api`, `resource`, `subscription`, `application`."""
    allow: Roles | None = None
    """Roles that may choose it, as a list or with commas between them: who has one of them sees it, and nobody else.
    Everybody, if neither `allow` nor `deny` is written (KC-36)."""
    deny: Roles | None = None
    """Roles that may not choose it: who has one of them does not see it, and everybody else does."""
    enabled: bool = True
    """Whether it is there. `Unlimited: {enabled: false}` takes a tier of the preset away (KC-31)."""
    preset: Literal["classic", "v3", "none"] | None = None
    """In the place of all else: which tiers come along. `classic`, as without any: Bronze (1 a minute), Silver (5),
    Gold (20) and Unlimited. `v3`: Bronze (1000), Silver (2000) and Gold (5000) for subscriptions, 10PerMin, 20PerMin
    and 50PerMin for applications, 10KPerMin, 20KPerMin and 50KPerMin for APIs and resources, and Unlimited. `none`:
    none. The name of such an item counts for nothing. Tiers that are written stand in the place of those of their
    name."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.preset is not None:
            if others := self.model_fields_set - {"preset", "description", "labels"}:
                raise ValueError(f"{min(others)}: an item with a preset is no tier; write this to an item of its own")
            return self
        if self.limit is None:
            if self.enabled:
                raise ValueError("limit: write how many calls may come in one window, or unlimited")
            return self
        if self.limit != "unlimited" and self.limit < 1:
            raise ValueError("limit: at least 1 call; write enabled: false for a tier that nobody may use")
        if self.allow is not None and self.deny is not None:
            raise ValueError("deny: write either allow or deny")
        if self.burst is not None and self.limit != "unlimited" and _long(self.burst.window) >= _long(self.window):
            raise ValueError("burst.window: a burst is counted in a shorter time than the limit itself (KC-40)")
        return self

    @property
    def counted(self) -> Limit | None:
        """The limit in the words of counters; none where calls are not counted."""
        return Limit(self.limit, self.window) if isinstance(self.limit, int) else None

    @property
    def bursting(self) -> Limit | None:
        """The limit of the burst in the words of counters."""
        return None if self.burst is None else self.burst.counted

    def may_be_chosen(self, roles: frozenset[str] | tuple[str, ...]) -> bool:
        """Whether somebody with these roles sees this tier and may choose it: with ``deny`` none of the roles may be in
        it, with ``allow`` one has to be (KC-36). Names of roles are compared as they are written."""
        if self.deny is not None:
            return not set(self.deny) & set(roles)
        return self.allow is None or bool(set(self.allow) & set(roles))


def _long(window: float | str) -> float:
    return LENGTHS[window] if isinstance(window, str) else window


def _a_minute(limit: int, *levels: Level) -> TierSection:
    return TierSection(limit=limit, window="minute", levels=frozenset(levels or LEVELS))


UNLIMITED = {"Unlimited": TierSection(limit="unlimited", description="Calls are not counted.")}
PRESETS: dict[str, dict[str, TierSection]] = {
    "classic": {"Bronze": _a_minute(1), "Silver": _a_minute(5), "Gold": _a_minute(20), **UNLIMITED},
    "v3": {
        "Bronze": _a_minute(1000, "subscription"),
        "Silver": _a_minute(2000, "subscription"),
        "Gold": _a_minute(5000, "subscription"),
        "10PerMin": _a_minute(10, "application"),
        "20PerMin": _a_minute(20, "application"),
        "50PerMin": _a_minute(50, "application"),
        "10KPerMin": _a_minute(10_000, "api", "resource"),
        "20KPerMin": _a_minute(20_000, "api", "resource"),
        "50KPerMin": _a_minute(50_000, "api", "resource"),
        **UNLIMITED,
    },
    "none": {},
}
"""The tiers that come along, by the name of the preset (X10)."""
