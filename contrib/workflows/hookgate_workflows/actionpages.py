"""Pages of the management API on which operators see what instances ask, and answer."""

from __future__ import annotations

from typing import Any

from quart import Response

from hookgate import Host
from hookgate_management.pages import CHANGES, READS, Calls, Operation, Operations, Refusal, as_json, members, where
from hookgate_people import By
from hookgate_workflows.actions import (
    LONGEST_COMMENT,
    MEMBERS,
    Answerer,
    BadAnswer,
    Busy,
    Unanswerable,
    answer,
    open_actions,
)
from hookgate_workflows.asking import note
from hookgate_workflows.pages import OPERATE, engine_of, from_journal

_TEXT = {"type": "string"}
_ANSWER = {
    "type": "object",
    "required": ["answer"],
    "properties": {
        "answer": {**_TEXT, "description": "One of the `answers` of the action, such as `approved`."},
        "comment": {**_TEXT, "maxLength": LONGEST_COMMENT},
        "data": {"description": "Any value, for the workflow."},
    },
}
_ANSWERED = {
    "type": "object",
    "required": ["id", "transaction", "answer", "by"],
    "properties": {
        **dict.fromkeys(("id", "guid", "answer", "by", "comment", "at"), _TEXT),
        "transaction": {"type": "integer"},
        "data": {},
    },
}
_LISTED = {
    "type": "object",
    "required": ["actions"],
    "properties": {"actions": {"type": "array", "items": {"type": "object"}}},
}


def action_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.actions": _LISTED, "api.answered": _ANSWERED}

    @api.add(
        Operation("GET", "/actions", "actions", "List what instances ask people now", {200: "actions"}, READS | {409})
    )
    async def listing() -> Response:
        who = Answerer(calls.callers.let(OPERATE), is_operator=True)
        return as_json({"actions": await from_journal(open_actions(engine_of(host), who))})

    @api.add(
        Operation(
            "POST",
            "/actions/<key>",
            "answer",
            "Answer what an instance asks: approve, refuse, or what else the action offers",
            {202: "answered"},
            CHANGES | {409},
            (),
            _ANSWER,
        )
    )
    async def answered(key: str) -> Response:
        author = calls.callers.let(OPERATE)
        found = await members(needs=("answer",), also=tuple(each for each in MEMBERS if each != "answer"))
        engine, section = engine_of(host), host.section("workflow_engine")
        executor: Any = section.executor  # type: ignore[attr-defined]
        who = Answerer(author, is_operator=True)
        try:
            told = await from_journal(answer(engine, executor, key, found, who, _forbidden))
        except LookupError:
            raise Refusal(404, "There is no such action.", "missing") from None
        except BadAnswer as error:
            raise Refusal(422, f"{error}.", "invalid") from None
        except Busy:
            raise Refusal(409, "The transaction runs just now: send the answer again in a moment.", "busy") from None
        except Unanswerable as error:
            raise Refusal(409, f"{error}.", "unanswerable") from None
        by = By(author, where())
        await note(host, by, "answer", told["transaction"], {"action": key, "answer": told["answer"]})
        return as_json(told, 202)


def _forbidden() -> Refusal:
    return Refusal(403, "Who has started a transaction does not approve it.", "forbidden")
