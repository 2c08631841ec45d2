"""Pages about the versions of an API: copy one to a new version, and say which is called without a version (KC-82)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from quart import Response, request

from hookgate import Host
from hookgate_apimanager.pages import KIND as STATES
from hookgate_apimanager.pages import LIFECYCLE, state_in
from hookgate_apimanager.records import CREATED, MachineSection
from hookgate_apimanager.sections import LifecycleMachine
from hookgate_management.pages import (
    CHANGES,
    WRITES,
    Calls,
    Changer,
    Operation,
    Operations,
    Refusal,
    a_text,
    members,
    pointer,
    sees,
)
from hookgate_storage import Change

APIS = "apis"
MAKES = "api_api"
"""The permission to make APIs; creators have it."""
ALONG = ("offers", "visibilities")
"""Kinds of what is said of an API by its name, and goes along with a copy: who does not see the one does not see the
other."""
_TEXT = {"type": "string"}
_COPIED = {
    "type": "object",
    "required": ["generation", "written", "api"],
    "properties": {
        "generation": {"type": "integer"},
        "written": {"type": "boolean"},
        "api": {**_TEXT, "description": "The name of the copy with its version."},
    },
}
_DEFAULT = {
    "type": "object",
    "required": ["generation", "written", "api", "before"],
    "properties": {
        "generation": {"type": "integer"},
        "written": {"type": "boolean"},
        "api": _TEXT,
        "before": {"type": "array", "items": _TEXT, "description": "Versions that were the default before."},
    },
}
_SENDS = {
    "type": "object",
    "required": ["version"],
    "properties": {"version": {**_TEXT, "description": "The version of the copy, such as `2.0`."}},
    "additionalProperties": False,
}


def version_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.version-copied": _COPIED, "api.default-version": _DEFAULT}

    def machine() -> MachineSection:
        return host.section("lifecycle_machine", LifecycleMachine).record

    def along_with(name: str, made: str) -> Any:
        """Return what is copied within the same transaction: documents, where something is installed that has them."""
        try:
            community: Any = host.section("community")
        except LookupError:
            return None
        return community.copying(name, made)

    @api.add(
        Operation(
            "POST",
            "/apis/<name>/copies",
            "copy-api",
            "Copy an API to a new version, which nobody calls before it is published",
            {200: "version-copied", 201: "version-copied"},
            CHANGES,
            WRITES,
            _SENDS,
            headers=("Location",),
            of_tenants=True,
        )
    )
    async def copy(name: str) -> Response:
        author, changer = calls.callers.let(MAKES), await calls.changer()
        version = a_text(await members(needs=("version",)), "version")
        body = {**await _stored(calls, changer, name), "version": version}
        body.pop("default_version", None)  # calls without a version go where they went
        kind = await calls.kind_of(APIS)
        made = kind.name_of(body) or ""
        if made in changer.of_file(APIS) or await changer.store.get(APIS, made) is not None:
            errors = [{"pointer": pointer(("version",)), "detail": "is there already"}]
            raise Refusal(409, f"There is {APIS}/{made} already.", "exists", errors)
        changes = [await calls.change(kind, changer, made, body, 0)]
        if machine().unlisted != CREATED and CREATED in machine().states:
            changes.append(await calls.change(await calls.kind_of(STATES), changer, made, {"state": CREATED}, None))
        for along in ALONG:
            said = await _said(changer, along, name)
            if said is not None:
                changes.append(await calls.change(await calls.kind_of(along), changer, made, said, None))
        comment = ": ".join(filter(None, (f"{name} copied to {made}", request.args.get("comment"))))
        answer = await calls.write(changer, author, changes, comment, within=along_with(name, made), more={"api": made})
        if "dry_run" not in request.args:
            answer.status_code = 201
            answer.headers["Location"] = f"/-/api/objects/{APIS}/{quote(made, safe='')}"
        return answer

    @api.add(
        Operation(
            "POST",
            "/apis/<name>/default-version",
            "set-default-version",
            "Have a version called where a call names none, in the place of the one before",
            {200: "default-version"},
            CHANGES,
            WRITES,
            of_tenants=True,
        )
    )
    async def default(name: str) -> Response:
        author, changer = calls.callers.let(LIFECYCLE), await calls.changer()
        body = await _stored(calls, changer, name)
        if not body.get("version"):
            raise Refusal(422, f"{name} has no version that calls could leave out.", "invalid")
        state, _ = await state_in(changer, machine(), name)
        known = machine().states.get(state)
        if known is None or known.calls == "none":
            raise Refusal(
                409, f"{name} is {state}, and its calls are answered with 404: publish it first.", "lifecycle"
            )
        kind, before = await calls.kind_of(APIS), []
        changes: list[Change] = []
        for other, its_body in await _others(changer, name, body["name"]):
            if other in changer.of_file(APIS):
                raise Refusal(
                    409, f"{APIS}/{other} stands in the file, and is the default; change it there.", "in-file"
                )
            before.append(other)
            changes.append(await calls.change(kind, changer, other, {**its_body, "default_version": False}, None))
        changes.append(await calls.change(kind, changer, name, {**body, "default_version": True}, None))
        comment = ": ".join(filter(None, (f"{name} is the default version", request.args.get("comment"))))
        answer = await calls.write(changer, author, changes, comment, more={"api": name, "before": before})
        answer.status_code = 200
        return answer


async def _stored(calls: Calls, changer: Changer, name: str) -> dict[str, Any]:
    """Return an API of the store.

    Raises:
        Refusal: it is not there, is not for the caller, or stands in the file.
    """
    if not sees(name):
        raise Refusal(404, f"There is no {APIS}/{name}.", "missing")
    if name in changer.of_file(APIS):
        raise Refusal(409, f"{APIS}/{name} stands in the file; change it there.", "in-file")
    return dict((await calls.stored(changer, APIS, name)).body)


async def _said(changer: Changer, kind: str, name: str) -> Any:
    """Return what is said of an API under another kind; ``None`` for nothing."""
    if kind not in changer.kinds:
        return None
    in_file = changer.of_file(kind).get(name)
    if in_file is not None:
        return in_file
    held = await changer.store.get(kind, name)
    return None if held is None else held.body


async def _others(changer: Changer, name: str, of: str) -> list[tuple[str, Any]]:
    """Return the other versions of an API that are the default."""
    stored = {each.name: each.body for each in (await changer.whole()).objects if each.kind == APIS}
    known = {**stored, **changer.of_file(APIS)}
    return [
        (other, body)
        for other, body in sorted(known.items())
        if other != name and body["name"] == of and body.get("default_version")
    ]
