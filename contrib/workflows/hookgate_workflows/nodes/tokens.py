"""Cells that make tokens which are good for once, and take them."""

from __future__ import annotations

from pydantic import Field

from hookgate import Duration, Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template, Templated


class GenerateOttOptions(Options):
    """Parameters of `generate_ott`."""

    output_context_key: ContextKey
    """The key that the token is put under."""
    value: Templated = Templated({})
    """What it stands for; who takes the token gets it."""
    ttl: Duration = Field(default=600.0, ge=1, le=30 * 86_400)
    """Seconds for which it is good."""


class GenerateOtt(Node[GenerateOttOptions]):
    """Makes a token that is good for once, in any instance and on any node of the gateway. The journal keeps a digest
    of it; the context holds the token itself, as long as you leave it there."""

    outside = True

    @property
    def may_repeat(self) -> bool:
        """A token that nobody was told of harms nobody."""
        return True

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Make it."""
        token = await cell.issue(await cell.value(self.options.value), self.options.ttl)
        cell.set(self.options.output_context_key, token)
        return Done()


class CheckOttOptions(Options):
    """Parameters of `check_ott`."""

    token: Template
    """The token."""
    output_context_key: ContextKey | None = None
    """The key that what it stands for is put under."""


class CheckOtt(Node[CheckOttOptions]):
    """Takes a token of `generate_ott`: `ok` the first time, and `refused` for one that was taken, is too old, or never
    was."""

    outside = True
    outputs = ("ok", "refused")

    @property
    def may_repeat(self) -> bool:
        """It would be refused the second time."""
        return False

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Take it."""
        try:
            value = await cell.redeem(await cell.text(self.options.token))
        except LookupError:
            return Done("refused")
        if self.options.output_context_key is not None:
            cell.set(self.options.output_context_key, value)
        return Done()
