"""The cells that send mail."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from hookgate import Options, hookimpl
from hookgate.contract import OptionsT
from hookgate_email.sending import Mail, Server, address, send
from hookgate_workflows import Cell, Done, Node, NodeFailed, Template, Templated

MOST_RECEIVERS = 100


class Words(Options):
    """The words of a mail."""

    subject: Template
    """The subject: one line, up to 500 characters."""
    text: Template
    """The text."""
    html: Template | None = None
    """The same as HTML, for those who can show it. Write `{{ value | e }}` for what others have given."""


class Addressed(Options):
    """What all mail has."""

    server: Server
    """The server that takes the mail."""
    sender: str
    """The address that it comes from; it is written, and not rendered."""
    to: Templated
    """Who gets it: an address, or a list. `to`, `cc` and `bcc` have up to 100 together."""
    cc: Templated = Templated([])
    """Who gets a copy."""
    bcc: Templated = Templated([])
    """Who gets a copy that the others do not see."""
    reply_to: Template | None = None
    """The address that answers go to."""
    attachments: Templated = Templated([])
    """The names of documents of the instance that are attached."""
    limit: int = Field(default=10_485_760, ge=1_024, le=104_857_600)
    """Bytes of the whole mail at most, attachments as they are encoded."""
    output_context_key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The key that `message_id` and `refused` (a list of addresses) are put under."""
    may_repeat: bool = False
    """Whether the mail may be sent again where nobody knows if it was, since the process was killed."""


class SendEmailOptions(Addressed, Words):
    """Parameters of `send_email`."""


class SendEmailTemplateOptions(Addressed):
    """Parameters of `send_email_template`."""

    templates: Annotated[dict[str, Words], Field(min_length=1, max_length=100)]
    """The words by name, such as one for each language."""
    template: Template
    """The name of those that are used."""
    default: str | None = None
    """The name of those that are used where `template` gives none of `templates`; the cell then fails if this is left
    out."""


class _Sending(Node[OptionsT]):
    outside = True
    outputs = ("ok", "error")

    async def _send(self, cell: Cell, options: Addressed, words: Words) -> Done:
        attachments = []
        for name in _listed(await cell.value(options.attachments)):
            content = cell.document(str(name))
            if content is None:
                raise NodeFailed(f"attachments: the instance has no document {str(name)[:50]!r}; nothing was sent")
            attachments.append((str(name), content))
        people = {each: await self._people(cell, each, getattr(options, each)) for each in ("to", "cc", "bcc")}
        reply_to = "" if options.reply_to is None else await cell.text(options.reply_to)
        mail = Mail(
            sender=address("sender", options.sender),
            **people,
            reply_to=reply_to and address("reply_to", reply_to),
            subject=await cell.text(words.subject),
            text=await cell.text(words.text),
            html="" if words.html is None else await cell.text(words.html),
            attachments=attachments,
        )
        if not mail.to or len(mail.receivers) > MOST_RECEIVERS:
            raise NodeFailed(f"to has no receiver, or there are more than {MOST_RECEIVERS}; nothing was sent")
        if sum(len(content) for _, content in attachments) > options.limit:
            raise NodeFailed(f"the mail has more than {options.limit} bytes; nothing was sent")
        key = hashlib.sha256(cell.key.encode()).hexdigest()[:32]
        message = mail.encoded(key)
        if len(message) > options.limit:
            raise NodeFailed(f"the mail has more than {options.limit} bytes; nothing was sent")
        cell.given(host=options.server.host, receivers=len(mail.receivers), bytes=len(message))
        refused = await send(options.server, mail.sender, mail.receivers, message)
        if refused:
            cell.message(f"the server has refused {len(refused)} of {len(mail.receivers)} receivers")
        if options.output_context_key is not None:
            message_id = f"<{key}@{mail.sender.rpartition('@')[2]}>"
            cell.set(options.output_context_key, {"message_id": message_id, "refused": refused})
        return Done()

    async def _people(self, cell: Cell, place: str, given: Templated) -> list[str]:
        found = _listed(await cell.value(given))
        return [address(f"{place}: the receiver {number}", each) for number, each in enumerate(found, 1)]


class SendEmail(_Sending[SendEmailOptions]):
    """Sends a mail. All addresses are checked before the server is called."""

    @property
    def may_repeat(self) -> bool:
        """Whether the parameters say so."""
        return self.options.may_repeat

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Send it.

        Raises:
            NodeFailed: an address is none, the mail is too long, or the server does not take it.
        """
        return await self._send(cell, self.options, self.options)


class SendEmailTemplate(_Sending[SendEmailTemplateOptions]):
    """Sends a mail in the words that are chosen by name, such as by the language of whoever gets it."""

    @property
    def may_repeat(self) -> bool:
        """Whether the parameters say so."""
        return self.options.may_repeat

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Send it.

        Raises:
            NodeFailed: there are no such words, an address is none, the mail is too long, or the server refuses it.
        """
        options = self.options
        name = await cell.text(options.template)
        words = options.templates.get(name) or options.templates.get(options.default or "")
        if words is None:
            raise NodeFailed(f"template: there is no {name[:50]!r} in templates; nothing was sent")
        return await self._send(cell, options, words)


def _listed(found: object) -> list[object]:
    if isinstance(found, list):
        return found
    return [] if found in (None, "") else [found]
