"""Pages of the management API: what calls wait for a person, and the decision."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar

from quart import Response

from hookgate import Host
from hookgate_approval.keeping import Kept, Over, generation_of, served_by
from hookgate_management.pages import CHANGES, READS, Calls, Operation, Operations, Refusal, as_json, members, where
from hookgate_people import By
from hookgate_storage import SealBroken, StoreError

APPROVE = "approve_calls"
LONGEST = 1000
DECISIONS = {"approve": "approved", "refuse": "refused"}
T = TypeVar("T")
_TEXT = {"type": "string"}
_ONE = {
    "type": "object",
    "required": ["id", "state", "caller", "route", "call", "at", "expires", "stale"],
    "properties": {
        **dict.fromkeys(("id", "caller", "route", "at", "expires"), _TEXT),
        "state": {"enum": ["waiting", "approved", "refused", "used", "expired"]},
        "call": {"type": "object", "description": "What is asked about, with what is secret masked."},
        "stale": {"type": "boolean", "description": "What is served has changed since: it would not run."},
        "by": {"type": ["string", "null"]},
        "comment": {"type": ["string", "null"]},
    },
}
_ALL = {
    "type": "object",
    "required": ["approvals"],
    "properties": {"approvals": {"type": "array", "items": _ONE}},
}
_DECISION = {
    "type": "object",
    "required": ["decision"],
    "properties": {
        "decision": {"enum": list(DECISIONS)},
        "comment": {**_TEXT, "maxLength": LONGEST, "description": "The caller reads it."},
    },
}


def approval_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.call-approvals": _ALL, "api.call-approval": _ONE}

    @api.add(
        Operation(
            "GET",
            "/call-approvals",
            "call-approvals",
            "List calls that wait for a person, the oldest first",
            {200: "call-approvals"},
            READS,
        )
    )
    async def listing() -> Response:
        who = calls.callers.let(APPROVE)
        kept, generation = _kept(host)
        found = [each for each in await _asked(kept.waiting()) if _may(each, who)]
        return as_json({"approvals": [_told(each, generation) for each in found]})

    @api.add(
        Operation(
            "GET",
            "/call-approvals/<key>",
            "call-approval",
            "Show a call that a person is asked about",
            {200: "call-approval"},
            READS | {404},
        )
    )
    async def one(key: str) -> Response:
        who = calls.callers.let(APPROVE)
        kept, generation = _kept(host)
        return as_json(_told(await _found(kept, key, who), generation))

    @api.add(
        Operation(
            "POST",
            "/call-approvals/<key>",
            "decide-call",
            "Approve or refuse a call",
            {200: "call-approval"},
            CHANGES | {409},
            (),
            _DECISION,
        )
    )
    async def decide(key: str) -> Response:
        who = calls.callers.let(APPROVE)
        said = await members(needs=("decision",), also=("comment",))
        decision, comment = said["decision"], said.get("comment", "")
        if not isinstance(decision, str) or decision not in DECISIONS:
            raise Refusal(422, "decision is approve or refuse.", "invalid")
        if not isinstance(comment, str) or len(comment) > LONGEST:
            raise Refusal(422, f"comment is a text of at most {LONGEST} characters.", "invalid")
        kept, generation = _kept(host)
        row = await _found(kept, key, who)
        if decision == "approve" and row["call"]["caller"] == who and not row["call"]["own"]:
            raise Refusal(403, "Who has asked for a call does not approve it.", "forbidden")
        if decision == "approve" and row["call"]["generation"] != generation:
            raise Refusal(409, "What is served has changed since: the caller has to ask again.", "stale")
        try:
            await _asked(kept.decide(key, DECISIONS[decision], By(who, where()), comment))
        except Over:
            raise Refusal(409, "It waits for nobody any more.", "state") from None
        return as_json(_told(await _found(kept, key, who), generation))


def _kept(host: Host) -> tuple[Kept, str]:
    try:
        served, store = served_by(host)
    except StoreError:
        raise Refusal(409, "This gateway has no store, and no call waits.", "no-store") from None
    return Kept(store), generation_of(served)


def _may(row: dict[str, Any], who: str) -> bool:
    return not row["call"]["approvers"] or who in row["call"]["approvers"]


async def _found(kept: Kept, key: str, who: str) -> dict[str, Any]:
    row = await _asked(kept.one(key[:36]))
    if row is None or not _may(row, who):
        raise Refusal(404, f"There is no call {key[:36]!r} that you are asked about.", "missing")
    return row


def _told(row: dict[str, Any], generation: str) -> dict[str, Any]:
    call = row["call"]
    return {
        **{name: row[name] for name in ("id", "state", "by", "comment")},
        "caller": call["caller"],
        "route": call["route"],
        "call": call["shown"],
        "at": datetime.fromtimestamp(row["at"], UTC).isoformat(),
        "expires": datetime.fromtimestamp(row["expires"], UTC).isoformat(),
        "stale": call["generation"] != generation,
    }


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except SealBroken as error:
        raise Refusal(409, f"It cannot be read: {error}.", "sealed") from None
    except StoreError as error:
        raise Refusal(503, f"The store is away: {error}.", "away") from None
