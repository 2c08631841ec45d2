"""Cells that put values into the context of an instance, or give it a status."""

from __future__ import annotations

import secrets
import string
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed
from hookgate_workflows.templating import Template, Templated, as_written, valued

ContextKey = Annotated[str, Field(min_length=1, max_length=200)]
SPECIAL = "!#$%&()*+,-./:;<=>?@[]^_{|}~"


class ContextSetterOptions(Options):
    """Parameters of `context_setter`."""

    key: ContextKey
    """The key."""
    value: Templated
    """The value: any, with templates in its texts. A text that says JSON, an object or a list, is what it says."""


class ContextSetter(Node[ContextSetterOptions]):
    """Puts a value into the context; what is there under that key is overwritten."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Put it there."""
        cell.set(self.options.key, await cell.value(self.options.value))
        return Done()


class MultiContextSetterOptions(Options):
    """Parameters of `multi_context_setter`."""

    entries: dict[ContextKey, Templated]
    """Values by key. All are rendered before any of them is put there."""


class MultiContextSetter(Node[MultiContextSetterOptions]):
    """Puts several values into the context at once."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Put them there."""
        found = {key: await cell.value(value) for key, value in self.options.entries.items()}
        for key, value in found.items():
            cell.set(key, value)
        return Done()


class SyncResponseOptions(Options):
    """Parameters of `sync_response`."""

    body: Templated = Templated("")
    """The body. A text that begins with `[` or `{` is JSON."""
    status: Templated = Templated(200)
    """The status."""


class SyncResponse(Node[SyncResponseOptions]):
    """Sets what a synchronous route answers, under `*sync_response*`; a `*response*` counts before it."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Put it there."""
        body, status = await cell.value(self.options.body), await cell.value(self.options.status)
        if isinstance(body, str):
            body = valued(body)
        try:
            number = int(as_written(status))
        except ValueError:
            raise NodeFailed("the status is no number") from None
        cell.set("*sync_response*", {"status": number, "body": body})
        return Done()


class GenerateRandomStringOptions(Options):
    """Parameters of `generate_random_string`."""

    output_context_key: ContextKey
    """The key that the text is put under."""
    length: int = Field(default=16, ge=1, le=4096)
    """Characters."""
    lowercase: bool = True
    """Whether there are small letters in it."""
    uppercase: bool = True
    """Whether there are capital letters in it."""
    digits: bool = True
    """Whether there are digits in it."""
    special_chars: bool = False
    """Whether there are other characters in it."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.kinds:
            raise ValueError("all kinds of characters are switched off; leave one of them on")
        if self.length < len(self.kinds):
            raise ValueError(f"length: {len(self.kinds)} kinds of characters need as many characters at least")
        return self

    @property
    def kinds(self) -> list[str]:
        """The characters, by kind."""
        given: list[tuple[Any, str]] = [
            (self.lowercase, string.ascii_lowercase),
            (self.uppercase, string.ascii_uppercase),
            (self.digits, string.digits),
            (self.special_chars, SPECIAL),
        ]
        return [letters for wanted, letters in given if wanted]


class GenerateRandomString(Node[GenerateRandomStringOptions]):
    """Makes a text by chance that nobody can guess, with a character of each kind at least."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Make it."""
        kinds = self.options.kinds
        letters = [secrets.choice(each) for each in kinds]
        letters += [secrets.choice("".join(kinds)) for _ in range(self.options.length - len(kinds))]
        secrets.SystemRandom().shuffle(letters)
        cell.set(self.options.output_context_key, "".join(letters))
        return Done()


class SetRequestStatusOptions(Options):
    """Parameters of `set_request_status`."""

    status: Template
    """The status, up to 100 characters."""


class SetRequestStatus(Node[SetRequestStatusOptions]):
    """Gives the request a status of its own, beside that of the instance."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Give it."""
        cell.set_status(await cell.text(self.options.status))
        return Done()


class SetTaskStatusOptions(Options):
    """Parameters of `set_task_status`."""

    target_id: Annotated[str, Field(min_length=1, max_length=100)]
    """The name of the cell."""
    status: Literal["OK", "ERROR"]
    """The status that its last run is shown with."""
    message: Template = Template("")
    """What is told of it."""


class SetTaskStatus(Node[SetTaskStatusOptions]):
    """Changes the status that the last run of a cell is shown with, so that people see what they have to do again."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Change it."""
        cell.mark(self.options.target_id, self.options.status, await cell.text(self.options.message))
        return Done()
