"""Choose one of several contained flows by conditions or by a value."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from hookgate import Branch, Exchange, Expression, FlowOptions, Options, hookimpl


class Case(FlowOptions):
    """A flow with the condition on which it runs."""

    when: Expression
    """The condition: an expression such as `'urgent' in request.body`. Anything but null, false, 0 and what is empty
    holds. It is asked only if no case before it held."""


def _kind(value: Any) -> str:
    return "by value" if isinstance(value, Mapping) else "in order"


Cases = Annotated[
    Annotated[tuple[Case, ...], Tag("in order")] | Annotated[dict[str, FlowOptions], Tag("by value")],
    Discriminator(_kind),
    Field(min_length=1),
]


class SwitchOptions(Options):
    """Options of `switch`."""

    on: Expression | None = None
    """The value that chooses among `cases`, if these are a mapping."""
    cases: Cases
    """The flows. A list of conditions (`when`) with the `flow`, `request` and `response` that run where one holds: the
    first that does. Or, with `on`, a mapping of values to these: a value is compared as text, with `true` and `false`
    for truth values."""
    default: FlowOptions | None = None
    """What runs where no case does; nothing unless given."""

    @model_validator(mode="after")
    def _agree(self) -> "SwitchOptions":
        by_value = isinstance(self.cases, Mapping)
        if by_value and self.on is None:
            raise ValueError("on is required: the expression whose value chooses among the cases")
        if not by_value and self.on is not None:
            raise ValueError("cases is a list of conditions and needs no `on`; for values write it as a mapping")
        return self


class Switch(Branch[SwitchOptions]):
    """Lets a call go through one of several contained flows, in the place of this step.

    The steps of the chosen flow stand in the flow around it as if they were written there, on the way in and on the way
    out, faults included. The choice is made once, when the call gets to this step. Placed under `response:` that is on
    the way out, and may look at `response` and `fault`; only what the contained steps do on the way out happens then.
    A condition that cannot be evaluated is an error of the configuration and answered with 500: it does not count as
    false, since what is contained may be a lock. A value that is null or a list chooses the default.

    With expressions that look at `request.body`, the body is kept whole, up to `limits.buffered_body`. A longer one is
    answered with 413.
    """

    category = "mediation"

    def __init__(self, options: SwitchOptions) -> None:
        super().__init__(options)
        self._flows: dict[str, FlowOptions] = {}
        self._conditions: list[tuple[str, Expression]] = []
        asked = [] if options.on is None else [options.on]
        if isinstance(options.cases, Mapping):
            self._flows |= {f"is {value}": flow for value, flow in options.cases.items()}
        else:
            for number, case in enumerate(options.cases, 1):
                self._flows[f"case {number}"] = case
                self._conditions.append((f"case {number}", case.when))
                asked.append(case.when)
        if options.default is not None:
            self._flows["default"] = options.default
        if any(expression.reads_body for expression in asked):
            self.reads = {"request.body"}

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The contained flows: `case 1`, `case 2`, … or `is VALUE`, and `default`."""
        return self._flows

    @hookimpl
    def choose(self, exchange: Exchange) -> str | None:
        """Name the flow that this call enters.

        Raises:
            ExpressionError: a condition cannot be evaluated over this call.
        """
        if self.options.on is not None:
            value = _text(self.options.on(exchange))
            if value is not None and f"is {value}" in self._flows:
                return f"is {value}"
        else:
            for name, condition in self._conditions:
                if condition(exchange):
                    return name
        return "default" if self.options.default is not None else None


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None
