"""Pages of the management API by which operators repair instances (WF-2)."""

from __future__ import annotations

import re
from typing import Any

from quart import Response

from hookgate import Host
from hookgate_management.pages import CHANGES, Calls, Operation, Operations, Refusal, as_json, members, where
from hookgate_people import By
from hookgate_workflows.asking import MEMBERS, Unclear, repaired
from hookgate_workflows.deciding import Undecidable
from hookgate_workflows.pages import OPERATE, engine_of, from_journal
from hookgate_workflows.repairing import ACTIONS, LONGEST_REASON

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_IDS = {"type": "array", "items": {"type": "integer"}}
_REPAIR = {
    "type": "object",
    "required": ["action"],
    "properties": {
        "action": {"enum": list(ACTIONS)},
        "task": {"type": "integer", "description": "The number of the task; left out, the only one that offers it."},
        "children": {"type": "boolean", "description": "Whether it is for all sub-instances, and not for itself."},
        "reason": {"type": "string", "maxLength": LONGEST_REASON, "description": "Why an instance is closed."},
    },
}
_REPAIRED = {
    "type": "object",
    "required": ["id", "guid"],
    "properties": {
        "id": {"type": "integer"},
        "guid": {"type": "string"},
        "done": {**_IDS, "description": "Sub-instances that it was done to."},
        "refused": {"type": "array", "items": {"type": "object"}, "description": "The others, and why."},
        "more": {"type": "boolean", "description": "Whether there are more sub-instances: ask again."},
    },
}


def repair_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.repaired": _REPAIRED}

    @api.add(
        Operation(
            "POST",
            "/transactions/<key>/repairs",
            "repair",
            "Replay, skip or roll back a task that has failed, or close the instance (WF-2)",
            {202: "repaired"},
            CHANGES | {409},
            (),
            _REPAIR,
        )
    )
    async def repair(key: str) -> Response:
        author = calls.callers.let(OPERATE)
        found = await members(needs=("action",), also=tuple(each for each in MEMBERS if each != "action"))
        wanted: Any = int(key) if _NUMBER.fullmatch(key) else key[:100]
        row = await from_journal(engine_of(host).journal.read(wanted)) if "\0" not in key else None
        if row is None:
            raise Refusal(404, "There is no such transaction.", "missing")
        try:
            return as_json(await from_journal(repaired(host, row, found, By(author, where()))), 202)
        except Unclear as error:
            raise Refusal(422, f"{error}.", "invalid") from None
        except Undecidable as error:
            raise Refusal(409, f"{error}.", "undecidable") from None
