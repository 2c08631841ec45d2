"""Run a contained flow only for the calls that a condition picks."""

from collections.abc import Mapping

from pydantic import Field

from hookgate import Branch, Exchange, Expression, FlowOptions, hookimpl


class WhenOptions(FlowOptions):
    """Options of `when`. Its `flow`, `request` and `response` are what runs where the condition holds."""

    if_: Expression = Field(alias="if")
    """The condition: an expression such as `request.headers['x-env'] == 'qly'`. Anything but null, false, 0 and what is
    empty holds. It is asked once, when the call gets to this step."""
    otherwise: FlowOptions | None = None
    """What runs where the condition does not hold; nothing unless given."""


class When(Branch[WhenOptions]):
    """Lets a call go through one contained flow or another, in the place of this step.

    The steps of the chosen flow stand in the flow around it as if they were written there, on the way in and on the way
    out, faults included. Placed under `response:`, the condition is asked on the way out and may look at `response` and
    `fault`; only what the contained steps do on the way out happens then. A condition that cannot be evaluated
    (`null < 5`) is an error of the configuration and answered with 500; it does not count as false, since what is
    contained may be a lock.
    """

    category = "mediation"

    def __init__(self, options: WhenOptions) -> None:
        super().__init__(options)
        self.reads = options.if_.roots & {"identity"} | ({"request.body"} if options.if_.reads_body else set())

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The flow taken where the condition holds, and the other one."""
        flows: dict[str, FlowOptions] = {"then": self.options}
        if self.options.otherwise is not None:
            flows["otherwise"] = self.options.otherwise
        return flows

    @hookimpl
    def choose(self, exchange: Exchange) -> str | None:
        """Name the flow that this call enters.

        Raises:
            ExpressionError: the condition cannot be evaluated over this call.
        """
        if self.options.if_(exchange):
            return "then"
        return "otherwise" if self.options.otherwise is not None else None
