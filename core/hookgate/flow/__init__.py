"""Which steps a call meets: routes, and the walk over their steps."""

from hookgate.flow.flow import Backend, Flow, finish, order
from hookgate.flow.paths import Template, asked, normalise, parse
from hookgate.flow.record import Method, Name, RouteLimitsSection
from hookgate.flow.routes import RouteConfig
from hookgate.flow.step import Step

__all__ = [
    "Backend",
    "Flow",
    "Method",
    "Name",
    "RouteConfig",
    "RouteLimitsSection",
    "Step",
    "Template",
    "asked",
    "finish",
    "normalise",
    "order",
    "parse",
]
