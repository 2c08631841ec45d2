"""What a simulation gives: the trace of a call as a live one has it, and what only a simulation knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hookgate_trace import HookRun


@dataclass(frozen=True, slots=True)
class Simulation:
    """What became of a call. Secrets in queries and headers are masked in all that is shown; ``content`` is raw."""

    trace: Mapping[str, Any]
    """The whole trace as plain data: what the trace of a live call has (``hooks``, ``notes``, ``facts``, ``callouts``,
    ``attempts``, ``api``, ``application``, ``plan``, ``environment``, …) and besides

    * ``request.body_bytes``, and in ``response`` the ``body`` (its first 2 KiB as text, ``None`` if it is none),
      ``body_bytes`` and ``truncated``;
    * in each attempt ``sent``: ``method``, ``url``, ``headers``, ``body_bytes``, ``whole`` (the body came
      to its end) and ``answered_by``, or ``None`` where nothing was sent;
    * ``calls``: the same of each call to others amid this one;
    * ``visits``: the traces of the calls that the gateway made to itself;
    * ``fault.detail``.
    """
    hooks: Sequence[HookRun]
    """Hooks in the order in which they ran."""
    passed: Sequence[str]
    """Ids of the steps that let the call pass on its way in."""
    content: bytes = field(default=b"", repr=False)
    """The whole body that the client got."""

    @property
    def request(self) -> Mapping[str, Any]:
        """``method``, ``path``, ``query``, ``headers`` (pairs), ``body_bytes``, ``client`` and so on, as sent."""
        return self.trace["request"]  # type: ignore[no-any-return]

    @property
    def route(self) -> str | None:
        """Name of the route that matched, if any."""
        route = self.trace["route"]
        return None if route is None else str(route["name"])

    @property
    def params(self) -> Mapping[str, str]:
        """Path parameters."""
        return self.trace["params"]  # type: ignore[no-any-return]

    @property
    def notes(self) -> list[str]:
        """Lines that steps wrote."""
        return [str(note["text"]) for note in self.trace["notes"]]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What steps have told of the call."""
        return self.trace["facts"]  # type: ignore[no-any-return]

    @property
    def callouts(self) -> Sequence[Mapping[str, Any]]:
        """Calls to others and visits amid the call: ``method``, ``url``, ``connection``, ``status``, ``error``."""
        return self.trace["callouts"]  # type: ignore[no-any-return]

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        """What was sent amid the call: by callouts, and by attempts of visits."""
        return self.trace["calls"]  # type: ignore[no-any-return]

    @property
    def visits(self) -> Sequence[Mapping[str, Any]]:
        """Traces of the calls of the gateway to itself."""
        return self.trace["visits"]  # type: ignore[no-any-return]

    @property
    def answered_by(self) -> str:
        """Id of the step that answered in place of the backend, or empty."""
        return self.trace["answered_by"] or ""

    @property
    def fault(self) -> Mapping[str, Any] | None:
        """The last failure: ``status``, ``reason`` and ``detail``."""
        return self.trace["fault"]  # type: ignore[no-any-return]

    @property
    def attempts(self) -> Sequence[Mapping[str, Any]]:
        """``connection``, ``target``, ``outcome``, ``status``, ``error``, ``verdict`` and ``sent``."""
        return self.trace["attempts"]  # type: ignore[no-any-return]

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        """What backends received, of the attempts that got that far."""
        return [attempt["sent"] for attempt in self.attempts if attempt["sent"] is not None]

    @property
    def response(self) -> Mapping[str, Any]:
        """``status``, ``headers`` (pairs), ``body``, ``body_bytes`` and ``truncated``."""
        return self.trace["response"]  # type: ignore[no-any-return]

    @property
    def status(self) -> int:
        """Status that the client got."""
        return int(self.response["status"])

    @property
    def outcome(self) -> str:
        """``ok``, or how the answer broke off."""
        return str(self.trace["outcome"])

    def header(self, name: str) -> str | None:
        """Return the first value that the client got under a name, masked if the name says that it is secret."""
        return next((value for key, value in self.response["headers"] if key == name.lower()), None)

    def json(self) -> Any:
        """Return the body that the client got as the value of its JSON.

        Raises:
            ValueError: it is no JSON.
        """
        return json.loads(self.content)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``hookgate simulate --json`` prints."""
        return dict(self.trace)
