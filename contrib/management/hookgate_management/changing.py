"""Checking and storing changes: what would go live is loaded first, in the words of ``hookgate check``."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hookgate import ConfigError, Problem
from hookgate.document import Catalogue, Document, Kept
from hookgate.gateway import Configuration
from hookgate_apis import Effects, effects
from hookgate_management.drafting import Drafts
from hookgate_management.grouping import Outcome, Turns, Waiting, Within, parts
from hookgate_management.kinds import Kinds
from hookgate_management.problems import Refusal, pointer
from hookgate_management.references import References
from hookgate_management.spent import Spent
from hookgate_management.tenancy import current, keep_tenants
from hookgate_people import InUse
from hookgate_storage import (
    Change,
    Exists,
    Merged,
    Missing,
    Moved,
    Object,
    Refused,
    Served,
    Stale,
    Store,
    StoreError,
    Whole,
    Writing,
    checked,
    forbidden,
    merge,
    tried,
)

ROUNDS = 10
"""How often changes are checked anew because somebody else has written meanwhile."""
AWAY = 503
MOST_EFFECTS = 200
"""Routes that a plan or a rehearsal names; it counts them all."""
Key = tuple[str, str]


@dataclass(slots=True)
class Verdict:
    """What a check of writes has found."""

    mistakes: set[tuple[Key, str]]
    """Those that there are then: they were there before, or are wanted by force."""
    config: Configuration | None
    """What the document comes to then, if there are no mistakes."""
    refusal: Refusal | None = None
    """Why the writes cannot be."""
    blamed: Collection[Key] = ()
    """Objects that are written and have a mistake."""


class Changer:
    """Checks changes against what is stored, and stores them."""

    def __init__(self, served: Served, store: Store, kinds: Kinds, catalogue: Catalogue, turns: Turns) -> None:
        self.store = store
        self.kept: Kept | None = None
        """The records of the document that was checked last."""
        self.drafts = Drafts(store)
        self.kinds = kinds
        self._served = served
        self._catalogue = catalogue
        self._bad: dict[int, set[tuple[Key, str]]] = {}
        """Mistakes in what is stored, by generation: others have made them, and they hold up nobody."""
        self._turns = turns
        self._spent = Spent()

    async def whole(self) -> Whole:
        """Return everything that is stored."""
        return await self.store.current()

    def of_file(self, kind: str) -> Mapping[str, Any]:
        """Return what the file has of a kind, by name."""
        written = self._served.file.value.get(kind)
        shape = self.kinds[kind].cls.shape
        if shape == "record":
            return {} if written is None else {kind: written}
        if shape == "names":
            return written if isinstance(written, dict) else {}
        listed = written if isinstance(written, list) else []
        return {self.kinds[kind].name_of(each): each for each in listed}

    async def write(
        self,
        wanted: Sequence[Change],
        author: str,
        comment: str = "",
        *,
        rehearse: bool = False,
        force: bool = False,
        ground: int | None = None,
        also: Mapping[str, Any] | None = None,
        within: Within | None = None,
    ) -> Outcome:
        """Check changes and store them, all or none. A rehearsal stores nothing. By force they are stored though other
        stored objects could not live with them; these are left out of what is served. ``ground`` is the generation
        that must be the newest, ``also`` what the store is told with them, ``within`` what else is done with them.

        Raises:
            Refusal: they cannot be, and why.
        """
        waiting = Waiting(self, Writing(wanted, author, comment, also, within), force=force, ground=ground)
        if not rehearse:
            return await self._turns.take(waiting)
        whole = await self.asked(self.whole())
        self._ready(whole, await asyncio.to_thread(_by_key, whole), waiting)
        verdict, head = await self._check(whole, [waiting]), whole.generation
        if verdict.refusal is not None:
            raise verdict.refusal
        told = await self._effects(whole, verdict.config)
        del verdict, whole
        await self._spent.let_go()
        return Outcome(head, False, told)

    async def settle(self, group: Sequence[Waiting]) -> None:
        """Check writes together and store them in one transaction. Where that cannot be, those are found that are to
        blame: they are refused alone, with their own words.
        """
        for _ in range(ROUNDS):
            group = [each for each in group if not each.is_over]
            try:
                async with self._turns.among_processes(self.store):
                    rest = await self._settled(group)
            except Moved:
                self._turns.others_write()
                continue
            except StoreError as error:
                rest = _refused(group, Refusal(AWAY, f"{error}.", "store-away"))
            await self._spent.let_go()
            for part in rest:
                await self.settle(part)
            return
        for each in group:
            each.refuse(Refusal(409, "Others write all the time; try again.", "busy"))

    async def _settled(self, group: Sequence[Waiting]) -> Sequence[Sequence[Waiting]]:
        """Settle what can be; return what is to be tried apart.

        Raises:
            Moved: another process has written meanwhile.
        """
        try:
            whole = await self.asked(self.whole())
        except Refusal as error:
            return _refused(group, error)
        ready, held = [], await asyncio.to_thread(_by_key, whole)
        for each in group:
            try:
                self._ready(whole, held, each)
            except Refusal as error:
                each.refuse(error)
            else:
                ready.append(each)
        if not ready:
            return ()
        verdict = await self._check(whole, ready)
        if verdict.refusal is not None:
            return _refused(ready, verdict.refusal) if len(ready) == 1 else parts(ready, verdict.blamed)
        try:
            writings = [each.writing for each in ready]
            made = await self.asked(self.store.write_all(writings, whole.generation.number))
        except Refusal as error:
            return _refused(ready, error) if len(ready) == 1 or error.status == AWAY else parts(ready, ())
        head = made[-1].generation
        self._bad = {head.number: verdict.mistakes}
        for each, done in zip(ready, made, strict=True):
            each.tell(Outcome(done.generation, written=True, made=done))
        return ()

    def _ready(self, whole: Whole, held: Mapping[Key, Object], waiting: Waiting) -> None:
        """Refuse a write that cannot be, whatever else is written with it.

        Raises:
            Refusal: it is for another generation, to the file, or expects something else; or what it is by itself.
        """
        ground, wanted = waiting.ground, waiting.writing.changes
        if ground is not None and whole.generation.number != ground:
            detail = f"Generation {whole.generation.number} came after {ground}, which this was made for."
            raise Refusal(409, detail, "moved")
        keep_tenants(wanted, whole.objects)
        if waiting.scope is not None:
            waiting.scope.check(wanted, whole.objects, self.kinds, self.kinds.definitions)
        changed: dict[Key, Object | None] = {}
        for change in wanted:
            key = change.kind, change.name
            if change.name in self.of_file(change.kind):
                file = self._served.file.file
                raise Refusal(409, f"{change.kind}/{change.name} stands in {file}; change it there.", "in-file")
            old = changed[key] if key in changed else held.get(key)
            self._expect(change, old)
            if change.body is not None:
                self.let(change, alone=len(wanted) == 1)
            self.expect_written(change)
            changed[key] = _after(old, change)

    @staticmethod
    def expect_written(change: Change) -> None:
        """Refuse what can be stored under no circumstances.

        Raises:
            Refusal: its name or its body is none, or too long.
        """
        try:
            checked(change)
        except Refused as error:
            raise Refusal(422, f"{error}.", "invalid") from None

    @staticmethod
    async def asked(question: Any) -> Any:
        """Ask the store, and tell what it says as the API does.

        Raises:
            Refusal: it cannot answer, or refuses to.
        """
        try:
            return await question
        except Moved:
            raise
        except Exists as error:
            raise Refusal(409, f"{error}.", "exists") from None
        except Missing as error:
            raise Refusal(404, f"{error}.", "missing") from None
        except Stale as error:
            raise Refusal(412, f"{error}.", "stale") from None
        except InUse as error:
            users = [{"object": user, "detail": how} for user, how in error.users]
            raise Refusal(409, f"{error}.", "in-use", users) from None
        except Refused as error:
            raise Refusal(422, f"{error}.", "invalid") from None
        except StoreError as error:
            raise Refusal(503, f"{error}.", "store-away") from None

    def let(self, change: Change, *, alone: bool = True) -> None:
        """Refuse a body that may never be stored, in a draft neither.

        Raises:
            Refusal: it refers to what those who write to the store shall not read.
        """
        if why := forbidden(change.body, self._served.allowed, change.kind):
            place = {"pointer": pointer(why[0]), "detail": why[1]}
            told = place if alone else {"object": f"{change.kind}/{change.name}", **place}
            raise Refusal(422, f"{change.kind}/{change.name}: {why[1]}.", "invalid", [told])

    async def _check(self, whole: Whole, group: Sequence[Waiting]) -> Verdict:
        """Find the mistakes of writes, and whether others could live with them."""
        held = await asyncio.to_thread(_by_key, whole)  # calls are served meanwhile
        wanted = [change for each in group for change in each.writing.changes]
        for change in wanted:
            key = change.kind, change.name
            if (new := _after(held.get(key), change)) is None:
                held.pop(key, None)
            else:
                held[key] = new
        changed = {(change.kind, change.name) for change in wanted}
        merged, found, config = await self._mistakes(tuple(held.values()))
        before = await self._mistakes_of(whole) if found else set()
        own, others, blamed = [], [], set()
        for problem in found:
            owner, rest = _place(merged, problem)
            if owner is not None and owner in changed:
                blamed.add(owner)
                told = {"pointer": pointer(rest), "detail": problem.message}
                own.append(told if len(wanted) == 1 else {"object": "/".join(owner), **told})
            elif owner is not None and not group[0].force and (owner, problem.message) not in before:
                others.append({"object": "/".join(owner), "pointer": pointer(rest), "detail": problem.message})
            elif owner is None:
                others.append({"object": self._served.file.file, "detail": str(problem)})
        places = ((_place(merged, problem)[0], problem.message) for problem in found)
        verdict = Verdict({(owner or ("", ""), message) for owner, message in places}, config, blamed=blamed)
        if own:
            verdict.refusal = Refusal(422, f"{_counted(own)} in what was sent.", "invalid", own + others)
        elif others:
            users = ", ".join(dict.fromkeys(each["object"] for each in others))
            verdict.refusal = Refusal(409, f"It is in use: {users} could not live with that.", "in-use", others)
        return verdict

    async def _effects(self, whole: Whole, after: Configuration | None) -> Effects | None:
        """Return what changes for calls; ``None`` where something that is stored has a mistake."""
        if after is None or current.get() is not None:  # they name routes of others
            return None
        _, _, before = await self._mistakes(whole.objects)
        return None if before is None else await asyncio.to_thread(effects, before, after, MOST_EFFECTS)

    async def users(self, section: str, name: str) -> dict[tuple[str, str, str], set[str]]:
        """Return what uses an object: kind, name, and whether it is of the file or the store, with the places in it.

        They are those that the schema knows, and those that loading would find without the object.
        """
        whole = await self.asked(self.whole())
        references = References(self.kinds.definitions, section, name)
        found: dict[tuple[str, str, str], set[str]] = {}
        bodies = {(kind, of, "file"): body for kind in self.kinds for of, body in self.of_file(kind).items()}
        bodies |= {(each.kind, each.name, "store"): each.body for each in whole.objects if each.kind in self.kinds}
        for key, body in bodies.items():
            if paths := references.found(body, self.kinds[key[0]].schema):
                found[key] = {pointer(path) for path in paths}
        file, objects = self._served.file, whole.objects
        before = await self._mistakes_of(whole)
        if name in self.of_file(section):
            file = Document(self._without(section, name), file.file)
        else:
            objects = tuple(each for each in objects if (each.kind, each.name) != (section, name))
        merged, mistakes, _ = await self._mistakes(objects, file)
        for problem in mistakes:
            owner, rest = _place(merged, problem)
            if owner is None:
                user, rest = self._in_file(file, problem), problem.path[2:]
            else:
                user = None if (owner, problem.message) in before else (*owner, "store")
            if user is not None:
                found.setdefault(user, set()).add(pointer(rest))
        del merged
        await self._spent.let_go()
        return found

    def _without(self, section: str, name: str) -> dict[str, Any]:
        """Return what the file has, without one object."""
        value, shape = dict(self._served.file.value), self.kinds[section].cls.shape
        if shape == "record":
            del value[section]
        elif shape == "names":
            value[section] = {key: each for key, each in value[section].items() if key != name}
        else:
            value[section] = [each for each in value[section] if self.kinds[section].name_of(each) != name]
        return value

    def _in_file(self, file: Document, problem: Problem) -> tuple[str, str, str] | None:
        """Return the object of the file that has a mistake."""
        section, key = (*problem.path, None, None)[:2]
        kind = self.kinds.get(str(section))
        if kind is None:
            return None
        if kind.cls.shape == "list" and isinstance(key, int):
            key = kind.name_of(file.value[kind.section][key])
        return kind.section, kind.section if kind.cls.shape == "record" or key is None else str(key), "file"

    @staticmethod
    def _expect(change: Change, old: Object | None) -> None:
        what = f"{change.kind}/{change.name}"
        if change.version == 0 and old is not None:
            raise Refusal(409, f"{what} is there already.", "exists")
        if old is None and (change.body is None or change.version):
            raise Refusal(404, f"There is no {what}.", "missing")
        if change.version and old is not None and old.version != change.version:
            detail = f"{what} has been changed since: it has version {old.version}, not {change.version}."
            raise Refusal(412, detail, "stale")

    async def _mistakes_of(self, whole: Whole) -> set[tuple[Key, str]]:
        number = whole.generation.number
        if number not in self._bad:
            merged, found, _ = await self._mistakes(whole.objects)
            places = ((_place(merged, problem)[0], problem.message) for problem in found)
            self._bad = {number: {(place, message) for place, message in places if place is not None}}
        return self._bad[number]

    async def _mistakes(
        self, objects: tuple[Object, ...], file: Document | None = None
    ) -> tuple[Merged, list[Problem], Configuration | None]:
        merged = await asyncio.to_thread(merge, file or self._served.file, objects, {}, self._served.allowed)
        try:
            config = await tried(merged.document, self._catalogue, self.kept)
        except ConfigError as error:
            await asyncio.to_thread(self._spent.add, merged, None, None)
            return merged, list(error.problems), None
        await asyncio.to_thread(self._spent.add, merged, config, self.kept)
        self.kept = config.kept
        return merged, [], config


def _place(merged: Merged, problem: Problem) -> tuple[Key | None, tuple[str | int, ...]]:
    """Return the stored object that has a mistake, and where in it."""
    for length in (2, 1):
        held = merged.places.get(problem.path[:length])
        if held is not None:
            return (held.kind, held.name), problem.path[length:]
    return None, problem.path


def _by_key(whole: Whole) -> dict[Key, Object]:
    return {(each.kind, each.name): each for each in whole.objects}


def _after(old: Object | None, change: Change) -> Object | None:
    """Return what a change makes of an object."""
    if change.body is None:
        return None
    version = 1 if old is None else old.version + 1
    return Object(change.kind, change.name, change.body, version, 0, change.shape)


def _refused(group: Sequence[Waiting], why: Refusal) -> tuple[()]:
    for each in group:
        each.refuse(why)
    return ()


def _counted(errors: Sequence[object]) -> str:
    return "There is a mistake" if len(errors) == 1 else f"There are {len(errors)} mistakes"
