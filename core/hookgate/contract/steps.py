"""Steps of a flow, and the flows that contain them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from hookgate.contract.plugin import Options, OptionsT, Plugin


class Interceptor(Plugin[OptionsT]):
    """A step of a flow; see :class:`hookgate.contract.hookspecs.FlowSpec`."""

    family = "interceptor"
    category: ClassVar[str] = "custom"
    """Traffic, security, mediation, tracing, transformation or custom (FL-7), in lower case."""
    scopes: ClassVar[frozenset[str] | set[str]] = frozenset({"gateway", "api", "resource", "operation", "plan"})
    """Where the step may be placed (FL-11)."""
    sides: ClassVar[frozenset[str] | set[str]] = frozenset({"request", "response"})
    """``{"request"}`` for a step that has other hooks but may stand on the way in only (FL-10)."""
    paired: ClassVar[bool] = False
    """Its way out comes along even when only ``request:`` names it."""


class FlowOptions(Options):
    """A contained flow, drawn as everywhere: client on the left, backend on the right."""

    flow: tuple[Interceptor[Any], ...] = ()
    """Steps that are placed in every phase they have."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only, after those of `flow`."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only, right of those of `flow`."""


class Ways(NamedTuple):
    """A flow whose ways differ in more than what one of them leaves out: both as drawn, steps known by a key."""

    way_in: tuple[tuple[str, Interceptor[Any]], ...] = ()
    way_out: tuple[tuple[str, Interceptor[Any]], ...] = ()


class Branch(Interceptor[OptionsT]):
    """A step that contains flows. Its ``choose`` hook names the one a call enters, on the way in or, placed on the way
    out only, on the way out; the steps of that flow then stand in the place of the branch."""

    paired = True
    """What it contains decides for itself on which way it runs."""

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The contained flows by the names that ``choose`` may return."""
        raise NotImplementedError
