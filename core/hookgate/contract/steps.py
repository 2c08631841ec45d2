"""Steps of a flow, and the flows that contain them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hookgate.contract.plugin import Options, OptionsT, Plugin
from hookgate.exchange.exchange import Exchange

if TYPE_CHECKING:
    from hookgate.contract.hookspecs import FlowSpec
    from hookgate.exchange.errors import Fault
    from hookgate.exchange.messages import Response

    class Answered(Exchange):
        """To type checkers: an exchange that has a response, as ``on_response`` gets it."""

        response: Response

    class Faulted(Exchange):
        """To type checkers: an exchange that has a fault, as ``on_fault`` gets it."""

        fault: Fault
else:
    FlowSpec = object
    Answered = Faulted = Exchange


class Interceptor(Plugin[OptionsT], FlowSpec):
    """A step of a flow; see :class:`hookgate.contract.hookspecs.FlowSpec`."""

    family = "interceptor"
    category: ClassVar[str] = "custom"
    """Traffic, security, mediation, tracing, transformation or custom (FL-7), in lower case."""
    scopes: ClassVar[frozenset[str] | set[str]] = frozenset(
        {"gateway", "route", "api", "resource", "operation", "plan"}
    )
    """Where the step may be placed (FL-11), by itself or in a branch."""
    sides: ClassVar[frozenset[str] | set[str]] = frozenset({"request", "response"})
    """``{"request"}`` for a step that has other hooks but may stand on the way in only (FL-10)."""
    path_params: frozenset[str] | set[str] = frozenset()
    """Path parameters without which the step fails; `__init__` may set them. A route that has them not is refused."""
    paired: ClassVar[bool] = False
    """Its way out comes along even when only ``request:`` names it."""


class Ways(NamedTuple):
    """A flow as both its ways are drawn, the client on the left; a step of both ways has one key on them."""

    way_in: tuple[tuple[str, Interceptor[Any]], ...] = ()
    way_out: tuple[tuple[str, Interceptor[Any]], ...] = ()

    def ways(self, *, way_in: bool = True) -> Ways:
        """Return itself, as :meth:`FlowOptions.ways` does for what is drawn in lists."""
        return self if way_in else Ways((), self.way_out)


class FlowOptions(Options):
    """A contained flow, drawn as everywhere: client on the left, backend on the right."""

    flow_scope: ClassVar[str] = ""
    """Where steps stand in it, as :attr:`Interceptor.scopes` names it; empty for where the flow itself stands."""
    flow: tuple[Interceptor[Any], ...] = ()
    """Steps that are placed in every phase they have."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only, after those of `flow`."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only, right of those of `flow`."""

    def ways(self, *, way_in: bool = True) -> Ways:
        """Return both ways: which steps each of them has, in which order. One that has no way in has none of the steps
        that are on the way out only because they come along, either."""
        both = [(f"flow/{index}", step) for index, step in enumerate(self.flow)]
        there = [(f"request/{index}", step) for index, step in enumerate(self.request)]
        back = [(f"response/{index}", step) for index, step in enumerate(self.response)]
        along = [(key, step) for key, step in there if type(step).paired]
        return Ways((*both, *there), (*both, *along, *back)) if way_in else Ways((), (*both, *back))


class Branch(Interceptor[OptionsT]):
    """A step that contains flows. Its ``choose`` hook names the one a call enters, on the way in or, placed on the way
    out only, on the way out; the steps of that flow then stand in the place of the branch."""

    paired = True
    """What it contains decides for itself on which way it runs."""

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The contained flows by the names that ``choose`` may return."""
        raise NotImplementedError
