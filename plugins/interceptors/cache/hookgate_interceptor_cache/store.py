"""Where responses are kept: in memory, bounded by number and by octets, what nobody asked for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from hookgate import Headers
from hookgate_interceptor_cache.entry import Entry, Place, selected

MOST_SELECTING = 16
"""Request fields by which answers of one place are told apart; with more nothing is kept."""
REMEMBERED = 10_000
"""Places and tags of which it is remembered when they were emptied."""


class Resource:
    """The responses of one place, by what their requests had in the fields that ``Vary`` names."""

    __slots__ = ("variants", "vary")

    def __init__(self) -> None:
        self.vary: tuple[str, ...] = ()
        self.variants: dict[tuple[str | None, ...], Entry] = {}


class Store:
    """Keeps entries. Bounds come with each ``put``, so that instances with other bounds may share it."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[tuple[str, ...], Resource]] = {}
        self._order: OrderedDict[int, Entry] = OrderedDict()
        """By number of the object, which lives for as long as it stands here; what was asked for last stands last."""
        self._tags: dict[str, dict[int, Entry]] = {}
        self._emptied: OrderedDict[bytes, int] = OrderedDict()
        """When a place (by its URI) or a tag was emptied last, in the count of ``serial``; by a hash, as clients choose
        URIs."""
        self._floor = 0
        """What was asked before this may have been emptied, and nobody remembers."""
        self.serial = 0
        """Counts up whenever something is taken out on demand: an answer that was asked for before is old."""
        self.octets = 0
        self.under_way = 0
        """Octets of bodies that are still coming in."""

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, entry: object) -> bool:
        return self._order.get(id(entry)) is entry

    def find(self, place: Place, headers: Headers) -> Entry | None:
        """Return what a request selects."""
        resource = self._resource(place)
        if resource is None:
            return None
        entry = resource.variants.get(selected(resource.vary, headers))
        if entry is not None:
            self._order.move_to_end(id(entry))
        return entry

    def knows(self, place: Place) -> bool:
        """Whether something is kept there, whatever requests select it."""
        return self._resource(place) is not None

    def vary_of(self, place: Place) -> tuple[str, ...]:
        """Return the fields that select what is kept there."""
        resource = self._resource(place)
        return () if resource is None else resource.vary

    def put(self, entry: Entry, headers: Headers, since: int, *, entries: int, octets: int) -> int | None:
        """Keep an entry, whose request had these headers and was sent at ``since``; return how many had to go for it,
        ``None`` where it is not kept: too large, selected by too many fields, or taken out before it was there.
        """
        if since < self._latest(entry):
            return None
        resource = self._resources.setdefault(entry.place.uri, {}).setdefault(entry.place.part, Resource())
        vary = tuple(sorted({*resource.vary, *entry.vary}))
        entry.vary, entry.selecting = vary, selected(vary, headers)
        if len(vary) > MOST_SELECTING or entry.octets > octets:
            self._tidy(entry.place)
            return None
        if vary != resource.vary:  # those that are there were selected by other fields
            for other in list(resource.variants.values()):
                self.drop(other)
            resource = self._resources.setdefault(entry.place.uri, {}).setdefault(entry.place.part, resource)
            resource.vary = vary
        if (before := resource.variants.get(entry.selecting)) is not None:
            self.drop(before)
            resource = self._resources.setdefault(entry.place.uri, {}).setdefault(entry.place.part, resource)
        resource.variants[entry.selecting] = entry
        self._order[id(entry)] = entry
        self.octets += entry.octets
        for tag in entry.tags:
            self._tags.setdefault(tag, {})[id(entry)] = entry
        gone = 0
        while len(self._order) > entries or self.octets > octets:
            self.drop(next(iter(self._order.values())))
            gone += 1
        return gone

    def drop(self, entry: Entry) -> None:
        """Take out an entry, if it is still there."""
        if self._order.pop(id(entry), None) is None:
            return
        self.octets -= entry.octets
        for tag in entry.tags:
            tagged = self._tags[tag]
            del tagged[id(entry)]
            if not tagged:
                del self._tags[tag]
        resource = self._resource(entry.place)
        if resource is not None and resource.variants.get(entry.selecting) is entry:
            del resource.variants[entry.selecting]
            self._tidy(entry.place)

    def invalidate(self, uri: str) -> int:
        """Take out what is kept of a URI, for whomever; return how much that was."""
        self._note(f"uri {uri}")
        return self._drop_all(
            entry for resource in self._resources.get(uri, {}).values() for entry in resource.variants.values()
        )

    def purge(self, tag: str) -> int:
        """Take out what has a tag; return how much that was."""
        self._note(f"tag {tag}")
        return self._drop_all(self._tags.get(tag, {}).values())

    def clear(self) -> int:
        """Take out everything; return how much that was."""
        self.serial += 1
        self._floor = self.serial
        return self._drop_all(self._order.values())

    def uris(self) -> Iterable[str]:
        """Return the URIs of which something is kept."""
        return self._resources.keys()

    def _drop_all(self, entries: Iterable[Entry]) -> int:
        found = list(entries)
        for entry in found:
            self.drop(entry)
        return len(found)

    def _resource(self, place: Place) -> Resource | None:
        parts = self._resources.get(place.uri)
        return None if parts is None else parts.get(place.part)

    def _tidy(self, place: Place) -> None:
        """Leave out what is empty."""
        parts = self._resources.get(place.uri)
        if parts is not None and place.part in parts and not parts[place.part].variants:
            del parts[place.part]
            if not parts:
                del self._resources[place.uri]

    def _note(self, what: str) -> None:
        self.serial += 1
        self._emptied[key := _hash(what)] = self.serial
        self._emptied.move_to_end(key)
        while len(self._emptied) > REMEMBERED:
            self._floor = max(self._floor, self._emptied.popitem(last=False)[1])

    def _latest(self, entry: Entry) -> int:
        """Return when what an entry belongs to was emptied last."""
        if not self._emptied:
            return self._floor
        names = (f"uri {entry.place.uri}", *(f"tag {tag}" for tag in entry.tags))
        return max(self._floor, *(self._emptied.get(_hash(name), 0) for name in names))


def _hash(what: str) -> bytes:
    return blake2b(what.encode(errors="surrogatepass"), digest_size=16).digest()
