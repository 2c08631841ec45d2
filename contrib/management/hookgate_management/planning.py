"""A plan: what makes the store hold a document, made for one generation and carried out as it is, or not at all.

Objects have an owner, which is who applied them: what an owner leaves out of its next document is removed, and what
another owner has, or nobody, is left alone. So two repositories do not remove each other's objects.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from hookgate_management.calls import Calls
from hookgate_management.changing import Changer
from hookgate_management.comparing import compared
from hookgate_management.kinds import Kind
from hookgate_management.problems import Refusal
from hookgate_storage import Change, Object, StoreError

Key = tuple[str, str]
PLACE = "plan"
FACTS = "owner/"
DEFAULT_OWNER = "default"
OWNER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
_NO_OBJECTS = re.compile(r"\$schema|x-.*")
"""Keys of a document for editors and anchors."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done."""

    ground: int
    """The generation that it was made for."""
    digest: str
    owner: str
    changes: tuple[Change, ...]
    owned: Mapping[str, str]
    """What the owner has afterwards: a hash of each body, by kind and name."""
    noted: bool
    """Whether the store knows that already."""
    differences: tuple[dict[str, Any], ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What the store is told with the changes."""
        return {FACTS + self.owner: dict(self.owned)}

    def sealed(self, changer: Changer) -> str:
        """Write it so that nobody reads or changes it who has not the key of the store."""
        changes = [[each.kind, each.name, each.body, each.shape, each.version] for each in self.changes]
        told = [self.ground, self.digest, self.owner, changes, self.owned, self.noted]
        return b64encode(changer.store.keys.seal(orjson.dumps(told), PLACE)).decode()

    @classmethod
    def opened(cls, sealed: str, changer: Changer) -> Plan:
        """Read a plan.

        Raises:
            Refusal: it is none of this store.
        """
        try:
            plain = changer.store.keys.open(b64decode(sealed, validate=True), PLACE)
        except (ValueError, StoreError):
            raise Refusal(422, "That is no plan of this store, or it was changed.", "invalid") from None
        ground, digest, owner, changes, owned, noted = orjson.loads(plain)
        return cls(ground, digest, owner, tuple(Change(*each) for each in changes), owned, noted)


async def planned(
    calls: Calls, changer: Changer, document: Mapping[str, Any], owner: str, *, prune: bool = True
) -> Plan:
    """Make a plan for a document. It is not checked yet. Without ``prune`` it is a part of what the owner has, and
    removes nothing.

    Raises:
        Refusal: the document has what is no kind, an object of another owner, or one twice.
    """
    whole, facts = await changer.asked(changer.whole()), await changer.asked(changer.store.told(FACTS))
    held = {(each.kind, each.name): each for each in whole.objects}
    mine = facts.get(FACTS + owner, {})
    others = {key: name.removeprefix(FACTS) for name, keys in facts.items() if name != FACTS + owner for key in keys}
    owned: dict[str, str] = {}
    changes: list[Change] = []
    async for kind, name, body in _objects(calls, document):
        key = kind.section, name
        place, old = "/".join(key), held.get(key)
        if place in owned:
            raise Refusal(422, f"{place} stands twice in the document.", "invalid")
        in_file = changer.of_file(kind.section)
        if name in in_file and in_file[name] == body:
            continue  # it stands in the file of the gateway, word for word
        if old is not None and (whose := others.get(place)):
            raise Refusal(409, f"{place} is owned by {whose}.", "owned")
        made = await _change(calls, kind, changer, name, body, old)
        owned[place] = _hash(made.body)
        if old is None or _hash(old.body) != owned[place]:
            changes.append(made)
    if not prune:
        owned = mine | owned
    for place in sorted(mine.keys() - owned.keys()):
        section, _, name = place.partition("/")
        old = held.get((section, name))
        if old is not None and place not in others:
            changes.append(Change(section, name, None, old.shape, old.version))
    after = held | {(c.kind, c.name): Object(c.kind, c.name, c.body, 0, 0, c.shape) for c in changes}
    left = [each for each in after.values() if each.body is not None]
    differences = list(compared(held.values(), left, changer.kinds))
    for each in differences:
        before, old = mine.get(f"{each['kind']}/{each['name']}"), held.get((each["kind"], each["name"]))
        if before is not None and (old is None or _hash(old.body) != before):
            each["drifted"] = True
    head = whole.generation
    return Plan(head.number, head.digest, owner, tuple(changes), owned, owned == mine, tuple(differences))


def exported(objects: Iterable[Object], changer: Changer) -> dict[str, Any]:
    """Return stored objects as a document, secrets as asterisks."""
    masker, document = changer.kinds.masker, dict[str, Any]()
    for each in objects:
        if each.kind not in changer.kinds:
            continue  # of others nobody knows what is a secret
        body = masker.masked(each.body, changer.kinds[each.kind].schema)
        if each.shape == "record":
            document[each.kind] = body
        elif each.shape == "list":
            document.setdefault(each.kind, []).append(body)
        else:
            document.setdefault(each.kind, {})[each.name] = body
    return document


async def _objects(calls: Calls, document: Mapping[str, Any]) -> AsyncIterator[tuple[Kind, str, Any]]:
    for section, value in document.items():
        if _NO_OBJECTS.fullmatch(section):
            continue
        try:
            kind = await calls.kind_of(section)
        except Refusal as error:
            errors = [{"pointer": f"/{section}", "detail": "is no kind of objects"}]
            raise Refusal(422, str(error), "no-kind", errors) from None
        for name, body in _listed(kind, value):
            yield kind, name, body


def _listed(kind: Kind, value: Any) -> Iterator[tuple[str, Any]]:
    shape = kind.cls.shape
    if shape == "record":
        yield kind.section, value
    elif isinstance(value, dict) and shape == "names":
        yield from value.items()
    elif isinstance(value, list) and shape == "list":
        for index, body in enumerate(value):
            name = kind.name_of(body)
            if not name:
                errors = [{"pointer": f"/{kind.section}/{index}", "detail": f"has no {' and '.join(kind.cls.key)}"}]
                raise Refusal(422, "There is a mistake in the document.", "invalid", errors)
            yield name, body
    elif value is not None:
        what = "a mapping of names to objects" if shape == "names" else "a list"
        errors = [{"pointer": f"/{kind.section}", "detail": f"is not {what}"}]
        raise Refusal(422, "There is a mistake in the document.", "invalid", errors)


async def _change(calls: Calls, kind: Kind, changer: Changer, name: str, body: Any, old: Object | None) -> Change:
    place = f"{kind.section}/{name}"
    if body is None:
        raise Refusal(422, f"{place} is null, which is no object.", "invalid")
    try:
        return await calls.change(kind, changer, name, body, 0 if old is None else old.version)
    except Refusal as error:
        errors = [{"object": place, **each} for each in error.errors]
        raise Refusal(error.status, f"{place}: {error}", error.kind, errors) from None


def _hash(body: Any) -> str:
    return sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
