"""The machine of lifecycles, and the state of an API, as they stand in a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hookgate import Options
from hookgate_apimanager.visibility import Available, Level

StateName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_-]{0,62}$")]
EventName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,62}$")]
Calls = Literal["none", "served", "open", "refused"]
CREATED, PUBLISHED, PROTOTYPED, DEPRECATED = "CREATED", "PUBLISHED", "PROTOTYPED", "DEPRECATED"
FIXED: Mapping[str, Calls] = {PUBLISHED: "served", PROTOTYPED: "open"}
"""States that every machine has, with what they do with calls (KC-20)."""
CheckItem = Literal["deprecate-old-versions", "require-resubscription"]


class StateSection(Options):
    """A state of APIs."""

    events: dict[EventName, StateName] = Field(default_factory=dict, max_length=50)
    """What may happen to an API in this state, and the state that it then has."""
    calls: Calls = "served"
    """What calls get: `none` for an API that is not deployed (404), `served`, `open` for one that is called without a
    subscription, `refused` for one that is off for a while (503, code 700700)."""
    shown: bool = True
    """Whether those who look for APIs see it."""
    subscribable: bool = False
    """Whether it takes new subscriptions."""
    check_items: tuple[CheckItem, ...] = ()
    """What may be ticked when an API of this state is published: `deprecate-old-versions`, and
    `require-resubscription`, without which who is subscribed to old versions is subscribed to the new one, too
    (KC-19)."""


def default_states() -> dict[str, StateSection]:
    """Return the states of the fourth seed (KC-18)."""
    before = {"check_items": ("deprecate-old-versions", "require-resubscription")}
    written: dict[str, dict[str, object]] = {
        CREATED: {
            "events": {"Publish": PUBLISHED, "Deploy as a Prototype": PROTOTYPED},
            "calls": "none",
            "shown": False,
            **before,
        },
        PROTOTYPED: {
            "events": {"Publish": PUBLISHED, "Demote to Created": CREATED, "Deploy as a Prototype": PROTOTYPED},
            "calls": "open",
            **before,
        },
        PUBLISHED: {
            "events": {
                "Block": "BLOCKED",
                "Deploy as a Prototype": PROTOTYPED,
                "Demote to Created": CREATED,
                "Deprecate": DEPRECATED,
                "Publish": PUBLISHED,
            },
            "subscribable": True,
        },
        "BLOCKED": {"events": {"Deprecate": DEPRECATED, "Re-Publish": PUBLISHED}, "calls": "refused", "shown": False},
        DEPRECATED: {"events": {"Retire": "RETIRED"}},
        "RETIRED": {"calls": "none", "shown": False},
    }
    return {name: StateSection.model_validate(each) for name, each in written.items()}


class MachineSection(Options):
    """States of APIs, and how they come from one to another. What is written takes the place of the states that there
    are without it."""

    states: dict[StateName, StateSection] = Field(default_factory=default_states, max_length=50)
    """Every state, by name. PUBLISHED and PROTOTYPED have to be among them."""
    unlisted: StateName = PUBLISHED
    """The state of an API that stands in `apis` and not in `lifecycles`. With `CREATED` nobody calls an API that nobody
    has published."""

    @model_validator(mode="after")
    def _closed(self) -> Self:
        for name, calls in FIXED.items():
            if name not in self.states:
                raise ValueError(f"states: {name} has to stay; write it with the others")
            if self.states[name].calls != calls:
                raise ValueError(f"states.{name}.calls: calls of {name} are {calls}; give another state another name")
        for name, state in self.states.items():
            for event, target in state.events.items():
                if target not in self.states:
                    raise ValueError(
                        f"states.{name}.events.{event}: there is no state {target}; there is {', '.join(self.states)}"
                    )
        if self.unlisted not in self.states:
            raise ValueError(f"unlisted: there is no state {self.unlisted}; there is {', '.join(self.states)}")
        return self


class LifecycleSection(Options):
    """The state of an API."""

    state: StateName
    """One of the states of `lifecycle_machine`."""


class VisibilitySection(Options):
    """Who sees an API, and who may subscribe to it."""

    level: Level = "public"
    """`public` for everybody, `domain` for the people of its tenant, where there are several tenants, `roles` for those
    of them who have one of the `roles`. Who makes or publishes APIs sees all of their tenant."""
    roles: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=1000)
    """Those that see it, at the level `roles`."""
    subscriptions: Available = "current"
    """Tenants that may subscribe: `current` for its own only, `all`, or `listed` for its own and `tenants`. Where there
    is one tenant, and where not everybody sees the API, it is `current`."""
    tenants: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=1000)
    """Those that may subscribe beside its own, with `subscriptions: listed`."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if (self.level == "roles") != bool(self.roles):
            raise ValueError("roles: name those that see it, with `level: roles` and no other level")
        if (self.subscriptions == "listed") != bool(self.tenants):
            raise ValueError("tenants: name those that may subscribe, with `subscriptions: listed` and nothing else")
        if self.level != "public" and self.subscriptions != "current":
            raise ValueError("subscriptions: is `current` where not everybody sees the API; leave it out")
        return self
