"""What a call belongs to where routes come from an API: the API with its place in it, the application, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiInfo:
    """The operation of an API that a route stands for."""

    name: str
    version: str = ""
    resource: str = ""
    """Path of the resource, as its API writes it."""
    operation: str = ""
    """Method, or empty for all of the resource."""


@dataclass(frozen=True, slots=True)
class Application:
    """Whoever calls APIs: an application, known by its client ids (FL-34, FL-46)."""

    name: str
    client_ids: tuple[str, ...] = ()
    plans: Mapping[str, str] = field(default_factory=dict)
    """Name of the plan by name of the API."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Extra fields, for steps that use them (FL-51, FL-52)."""
