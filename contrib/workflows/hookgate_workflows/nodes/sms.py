"""The cell that sends a short message, by the API of whoever delivers it."""

from __future__ import annotations

import re
from typing import Annotated

import orjson
from pydantic import Field

from hookgate import ConnectionName, Options, PositiveDuration, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template, Templated

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
MOST_RECEIVERS, LONGEST = 100, 1600


class SendSmsOptions(Options):
    """Parameters of `send_sms`."""

    connection: ConnectionName
    """The connection to the provider, with its credentials."""
    url: Template = Template("/")
    """The path of the provider's call."""
    to: Templated
    """Who gets it: a number such as `+4312345678` (E.164), or a list of up to 100."""
    text: Template
    """The message, up to 1600 characters."""
    sender: Annotated[str, Field(max_length=50)] = ""
    """Who it comes from."""
    body: Templated = Templated({"to": "{{ to }}", "from": "{{ sender }}", "text": "{{ text }}"})
    """What the provider wants as JSON; templates have `to`, `text` and `sender`."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds for each call."""
    output_context_key: ContextKey | None = None
    """The key that the answers are put under: a list of `status`, `headers` and `body`."""


class SendSms(Node[SendSmsOptions]):
    """Sends a short message through a connection, with one call for each receiver. All numbers are checked before the
    first call."""

    outside = True
    outputs = ("ok", "error")

    @property
    def may_repeat(self) -> bool:
        """Nobody wants it twice."""
        return False

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Send it.

        Raises:
            NodeFailed: a number is none, the text is too long, or the provider does not take it.
        """
        options = self.options
        to, text = await cell.value(options.to), await cell.text(options.text)
        if isinstance(to, int):
            raise NodeFailed("to: a number is written as a text that begins with '+'")
        receivers = [re.sub(r"[ ().-]", "", str(each)) for each in (to if isinstance(to, list) else [to])]
        if not 1 <= len(receivers) <= MOST_RECEIVERS:
            raise NodeFailed(f"to has no receiver, or more than {MOST_RECEIVERS}")
        for place, each in enumerate(receivers, 1):
            if not _NUMBER.fullmatch(each):
                raise NodeFailed(f"to: the receiver {place} is no number such as +4312345678; nothing was sent")
        if not text or len(text) > LONGEST:
            raise NodeFailed(f"text is empty, or has more than {LONGEST} characters")
        cell.given(receivers=len(receivers), characters=len(text))
        answers = []
        for place, each in enumerate(receivers, 1):
            more = {"to": each, "text": text, "sender": options.sender}
            found = await cell.call(
                "POST",
                await cell.text(options.url, **more),
                connection=options.connection,
                headers={"Content-Type": "application/json", "Idempotency-Key": f"{cell.key}-{place}"},
                body=orjson.dumps(await cell.value(options.body, **more)),
                timeout=options.timeout,
            )
            answers.append(found.told())
            if found.status >= 400:
                sent = f"; {place - 1} of {len(receivers)} were sent"
                raise NodeFailed(f"the provider has answered {found.status} for the receiver {place}{sent}")
        if options.output_context_key is not None:
            cell.set(options.output_context_key, answers)
        return Done()
