"""What the pages of the API share: reading what was sent, and writing changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

import orjson
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from hookgate import MASK
from hookgate_apis import Effects
from hookgate_management.answers import as_json
from hookgate_management.bounding import let_name
from hookgate_management.callers import ADMIN, READ, Callers
from hookgate_management.changing import MOST_EFFECTS, Changer
from hookgate_management.grouping import Within
from hookgate_management.kinds import Kind, Kinds
from hookgate_management.masking import NothingToKeep
from hookgate_management.problems import Refusal, pointer
from hookgate_management.tenancy import current, sees
from hookgate_management.waiting import patience
from hookgate_storage import Change, Object, StoreError

LONGEST_COMMENT = 2000
MOST_NESTED = 64
"""Lists and mappings in each other; less than a document may have, since an object stands inside of one."""


class Calls:
    """Calls of one API."""

    def __init__(
        self,
        callers: Callers,
        wait: float,
        kinds: Callable[[], Awaitable[Kinds]],
        changer: Callable[[], Awaitable[Changer]],
    ) -> None:
        self.callers = callers
        self.wait = wait
        """Seconds that `?wait=live` waits."""
        self.kinds, self.changer = kinds, changer

    async def readable(self) -> Callable[[str], bool]:
        """Return which kinds the caller may read: all, or those that they may change.

        Raises:
            Refusal: none.
        """
        self.callers.let_look()
        held = self.callers.caller().permissions
        if {ADMIN, READ} & held:
            return lambda section: True
        return {name for name, kind in (await self.kinds()).items() if kind.permission in held}.__contains__

    async def effects_told(self, found: Effects | None) -> dict[str, Any]:
        """Say what changes for calls, if that is known: by name what the caller may read, and how much there is in all.
        Somebody of a tenant is told of what is theirs only.
        """
        if found is None:
            return {}
        reads, scope = await self.readable(), current.get()
        told = [
            each for each in found.told if reads(each["kind"]) and (scope is None or scope.has(each["route"] or ""))
        ]
        return {"effects": told[:MOST_EFFECTS], "effects_total": found.total if scope is None else len(told)}

    async def scrubbed(self, refusal: Refusal) -> Refusal:
        """Return a refusal without the names of others, for somebody of a tenant, and without those of kinds that the
        caller may not read.
        """
        if any("object" in each for each in refusal.errors):
            refusal = await self._counted(refusal)
        if (scope := current.get()) is None:
            return refusal
        names: set[str] = set()
        with suppress(Refusal, StoreError):
            changer = await self.changer()
            names = {each.name for each in (await changer.whole()).objects}
            names = names.union(*(changer.of_file(kind) for kind in changer.kinds))
        return scope.scrubbed(refusal, names, await _asked_with())

    async def _counted(self, refusal: Refusal) -> Refusal:
        """Return a refusal that names what the caller may read, and says how much more there is; what stands in the
        file is read by who reads everything.
        """
        reads, kinds = await self.readable(), await self.kinds()
        own: list[Any] = []
        others = set()
        for each in refusal.errors:
            kind, _, name = str(each.get("object", "")).partition("/")
            if "object" not in each or reads(kind if name and kind in kinds else ""):
                own.append(each)
            else:
                others.add(str(each["object"]))
        if not others:
            return refusal
        more = f"{len(others)} {'object' if len(others) == 1 else 'objects'} that you may not read"
        told = str(refusal)
        if refusal.kind == "in-use":  # which names them
            users = ", ".join([*dict.fromkeys(str(each["object"]) for each in own if "object" in each), more])
            told = f"It is in use: {users} could not live with that."
        errors = [*own, {"detail": f"{more} could not live with that"}]
        return Refusal(refusal.status, told, refusal.kind, errors)

    def asked(self) -> bool:
        """Check what stands in the query of a write, whatever it comes to; return whether it is rehearsed.

        Raises:
            Refusal: some of it is none.
        """
        patience(request.args.get("wait"), self.wait)
        comment_of(request.args.get("comment", ""))
        return flag("dry_run")

    async def kind_of(self, section: str) -> Kind:
        """Find a kind.

        Raises:
            Refusal: there is none of that name.
        """
        kinds = await self.kinds()
        if section not in kinds:
            raise Refusal(404, f"There is no kind {section!r}; there are {', '.join(sorted(kinds))}.", "no-kind")
        return kinds[section]

    async def stored(self, changer: Changer, section: str, name: str) -> Object:
        """Find a stored object.

        Raises:
            Refusal: there is none.
        """
        held = await changer.store.get(section, name) if name.isprintable() else None
        if held is None:
            raise Refusal(404, f"There is no {section}/{name}.", "missing")
        return held

    async def change(self, kind: Kind, changer: Changer, name: str, body: Any, expected: int | None) -> Change:
        """Make the change of one object, with the secrets that are to be kept.

        Raises:
            Refusal: the body is of another object, or has asterisks where nothing is stored.
        """
        let_name(kind.section, name)
        if (scope := current.get()) is not None:
            scope.let(kind.section, name)
        if body is not None:
            said = kind.name_of(body)
            if said and said != name:
                errors = [{"pointer": pointer(kind.cls.key[:1]), "detail": f"says {said!r}, and the URL says {name!r}"}]
                raise Refusal(422, "The body is of another object.", "invalid", errors)
            stored = getattr(kind.cls, "stored", None)  # what a kind keeps of the body that there was
            masked = MASK in orjson.dumps(body).decode()
            old = await self._old(changer, kind.section, name) if masked or stored is not None else None
            if masked:
                try:
                    body = changer.kinds.masker.kept(body, old, kind.schema)
                except NothingToKeep as error:
                    errors = [{"pointer": pointer(error.path), "detail": str(error)}]
                    raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors) from None
            if stored is not None:
                body = stored(old, body)
        return Change(kind.section, name, body, kind.cls.shape, expected)

    @staticmethod
    async def _old(changer: Changer, section: str, name: str) -> Any:
        whole = await changer.whole()
        return next((each.body for each in whole.objects if (each.kind, each.name) == (section, name)), None)

    async def store(
        self, kind: Kind, changer: Changer, author: str, name: str, body: Any, expected: int | None
    ) -> Response:
        """Put one object into the store."""
        if body is None:
            raise Refusal(422, "null is no object; remove one with DELETE.", "invalid")
        return await self.write(changer, author, [await self.change(kind, changer, name, body, expected)])

    async def write(
        self,
        changer: Changer,
        author: str,
        changes: list[Change],
        comment: str = "",
        *,
        force: bool = False,
        ground: int | None = None,
        also: Mapping[str, Any] | None = None,
        within: Within | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Response:
        """Write changes, and wait for them if the caller does. ``more`` is told with what was done."""
        seconds = patience(request.args.get("wait"), self.wait)
        comment = comment_of(comment or request.args.get("comment", ""))
        outcome = await changer.write(
            changes, author, comment, rehearse=flag("dry_run"), force=force, ground=ground, also=also, within=within
        )
        head = outcome.generation
        told: dict[str, Any] = {"generation": head.number, "digest": head.digest, "written": outcome.written}
        told["changes"] = [change_told(each) for each in changes]
        told |= {**await self.effects_told(outcome.effects), **(more or {})}
        if seconds is not None and outcome.written:
            try:
                found = await changer.store.live(head.number, seconds)
            except StoreError:  # it is stored, and nobody may be told that it is not
                found = []
            told["live"] = bool(found) and all(each.generation >= head.number for each in found)
            told["nodes"] = [node_told(each) for each in found]
        status, headers = 200, {}
        made = outcome.made
        if made is not None and len(changes) == 1 and (only := changes[0]).body is not None:
            told["version"], headers["ETag"] = made.versions[0], f'"{made.versions[0]}"'
            if made.before[0] is None:
                status, headers["Location"] = 201, f"/-/api/objects/{only.kind}/{quote(only.name, safe='')}"
        return as_json(told, status, headers)


async def _asked_with() -> str:
    """Return what a caller has sent, as text: path, query and body."""
    body = b""
    with suppress(RequestEntityTooLarge):
        body = await request.get_data(True, False, False)
    with suppress(ValueError):
        body += orjson.dumps(orjson.loads(body))  # names may have been written with escapes
    return unquote(request.full_path) + body.decode(errors="replace")


def change_told(change: Change) -> dict[str, Any]:
    """Say what a write does to an object, without its body."""
    told: dict[str, Any] = {"kind": change.kind, "name": change.name}
    return told | {"removed": True} if change.body is None else told


def node_told(node: Any) -> dict[str, Any]:
    """Say how far a node has come."""
    return {
        "node": node.node,
        "generation": node.generation,
        "digest": node.digest,
        "rejected": [each for each in node.rejected if sees(each["name"])],
        "seen": node.seen,
    }


async def sent(kind: str = "application/json") -> Any:
    """Return the JSON that was sent.

    Raises:
        Refusal: it is of another type, no JSON, or nested too deeply.
    """
    if request.mimetype not in (kind, "application/json"):
        raise Refusal(415, f"Send {kind}.", "media-type")
    data = await request.get_data()
    try:
        found = orjson.loads(data)
    except ValueError as error:
        raise Refusal(400, f"What was sent is no JSON: {error}.", "no-json") from None
    _shallow(found)
    return found


async def members(*, needs: tuple[str, ...], also: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the JSON object that was sent, with members of these names and no others.

    Raises:
        Refusal: it is none, or has others.
    """
    found = await sent()
    if not isinstance(found, dict) or not set(needs) <= found.keys() or found.keys() - {*needs, *also}:
        shown = ", ".join(f'"{name}": …' for name in needs)
        more = f"; it may also have {', '.join(also)}" if also else ""
        detail = f"Send {{{shown}}}{more}."
        raise Refusal(422, detail, "invalid", [{"pointer": "", "detail": "has other members"}])
    return found


def a_text(found: dict[str, Any], name: str, default: str = "") -> str:
    """Return a member that is a text.

    Raises:
        Refusal: it is none.
    """
    value = found.get(name, default)
    if not isinstance(value, str):
        errors = [{"pointer": pointer((name,)), "detail": "is no text"}]
        raise Refusal(422, f"{name} is no text.", "invalid", errors)
    return value


def comment_of(text: str) -> str:
    """Return a comment that a ledger can have.

    Raises:
        Refusal: it is too long, or has characters that are none.
    """
    if len(text) > LONGEST_COMMENT or "\0" in text:
        raise Refusal(422, f"A comment has at most {LONGEST_COMMENT} characters.", "invalid")
    return text


def expected() -> int | None:
    """Return the version that the caller has read: 0 for none (RFC 9110, 13.1.1 and 13.1.2).

    Raises:
        Refusal: ``If-Match`` names no version, or ``If-None-Match`` something else than ``*``.
    """
    if (unless := request.headers.get("If-None-Match")) is not None:
        if unless != "*":
            raise Refusal(400, f"If-None-Match: {unless} says nothing here; write * to replace nothing.", "query")
        return 0
    written = request.headers.get("If-Match")
    if written is None or written == "*":
        return None
    inner = written[1:-1]
    if not (len(written) > 2 and written[0] == written[-1] == '"' and inner.isascii() and inner.isdigit()):
        raise Refusal(412, f"If-Match: {written} is the ETag of no version.", "stale")
    return int(inner[:18]) or 2**31


def number(name: str, default: int, most: int, least: int = 1) -> int:
    """Read a number of the query.

    Raises:
        Refusal: it is none, or out of bounds.
    """
    written = request.args.get(name)
    if written is None:
        return default
    if not written.isascii() or not written.isdigit() or not least <= int(written[:20]) <= most:
        raise Refusal(400, f"{name}={written} is no number between {least} and {most}.", "query")
    return int(written)


def flag(name: str) -> bool:
    """Read ``true`` or ``false`` of the query.

    Raises:
        Refusal: it is something else; a rehearsal that is written by mistake would be worse than a refusal.
    """
    written = request.args.get(name, "false")
    if written not in ("true", "false"):
        raise Refusal(400, f"{name}={written} is neither true nor false.", "query")
    return written == "true"


def _shallow(found: Any) -> None:
    waiting, depth = [found], 0
    while waiting:
        depth += 1
        if depth > MOST_NESTED:
            raise Refusal(422, f"Lists and mappings stand more than {MOST_NESTED} deep in each other.", "invalid")
        inner: list[Any] = []
        for each in waiting:
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting = inner
