"""The sections `plugins` and `profiles`: instances that have a name of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.plugin import Options
from hookgate.contract.section import Definition, Section
from hookgate.document.entries import PROFILE_SIDES, entry


class ProfileSection(Options):
    """A security profile: what stands for its name in the `methods` of `auth`, and in the `auth` of connections."""

    inbound: Annotated[Any, entry("auth"), Field(repr=False)] = None
    """How callers authenticate."""
    outbound: Annotated[Any, entry("credential"), Field(repr=False)] = None
    """How the gateway authenticates itself to backends."""

    @model_validator(mode="after")
    def _either(self) -> ProfileSection:
        if self.inbound is None and self.outbound is None:
            raise ValueError("write inbound, outbound or both")
        return self


class Shared(Options):
    """An instance with a name of its own: any entry of a step."""

    entry: Any = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return {"entry": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-hookgate-family": "interceptor"}


class Plugins(Section[Shared]):
    """Instances with a name of their own; placing that name in several flows shares one instance."""

    @hookimpl
    def instances(self) -> Iterable[Definition]:
        """Let steps be placed by the names."""
        return [Definition(item.name, item.record.entry, item.path, "interceptor") for item in self.items]


class Profiles(Section[ProfileSection]):
    """Security profiles with a name of their own, placed by it on routes and connections."""

    @hookimpl
    def instances(self) -> Iterator[Definition]:
        """Let credentials and ways to authenticate be placed by the names."""
        for item in self.items:
            for side, family in PROFILE_SIDES.items():
                if (entry := getattr(item.record, side)) is not None:
                    yield Definition(item.name, entry, (*item.path, side), family)
