"""Entries, made of what a backend answers."""

from __future__ import annotations

import re
from dataclasses import replace
from email.utils import formatdate

from hookgate import Headers, Response
from hookgate_interceptor_cache import rules
from hookgate_interceptor_cache.call import Call
from hookgate_interceptor_cache.directives import Directives
from hookgate_interceptor_cache.entry import Entry, Field
from hookgate_interceptor_cache.options import CacheOptions

MOST_TAGS = 256
LONGEST_TAG = 256
_BETWEEN = re.compile(r"[ \t,]+")


class Unkept(Exception):
    """An answer may not be kept; the text says why, in a word."""


class Maker:
    """Makes entries by the options of a step."""

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._trusted = options.share != "explicit"

    def made(self, call: Call, response: Response, now: float, wall: float) -> Entry:
        """Make an entry of an answer, without its body.

        Raises:
            Unkept: it may not be kept.
        """
        fields = response.headers.raw
        if response.body.changed:  # by a step right of this one; what it has now is kept
            fields = [f for f in fields if f[0].lower() not in rules.OF_OTHER_OCTETS or f[1].startswith(b"W/")]
        age = rules.initial_age(response.headers, wall, now - call.asked)
        return self._made(call, response.status, Headers.of(list(fields)), age, now, wall)

    def updated(self, call: Call, entry: Entry, fields: list[Field], told: Headers, now: float, wall: float) -> Entry:
        """Make an entry of another one, with the head that a 304 has made of its own; ``told`` is that of the 304.

        Raises:
            Unkept: it may not be kept any longer.
        """
        age = rules.initial_age(told, wall, now - call.asked)
        made = self._made(call, entry.status, Headers.of(fields), age, now, wall)
        return replace(made, body=entry.body, tags=made.tags or entry.tags)

    def _made(self, call: Call, status: int, headers: Headers, age: float, now: float, wall: float) -> Entry:
        options = self._options
        directives = Directives(headers.getall("cache-control"))
        credentials = call.credentials and not self._trusted
        if why := rules.refusal(status, headers, directives, credentials=credentials, vary=options.vary):
            raise Unkept(why)
        fields = rules.kept_head(status, headers, directives, credentials=credentials)
        if fields is None:
            raise Unkept("not-storable")
        lifetime = rules.lifetime_of(status, headers, directives, wall, ttl=options.ttl, guesses=options.heuristics)
        if lifetime is None:
            raise Unkept("no-lifetime")
        etag, changed = headers.get("etag"), headers.get("last-modified")
        if lifetime <= age and etag is None and changed is None:
            raise Unkept("stale")
        if options.tags is not None:
            fields = [field for field in fields if field[0].lower() != options.tags.encode()]
        if "date" not in headers:
            fields.append((b"date", formatdate(wall, usegmt=True).encode()))
        return Entry(
            call.place,
            tuple(dict.fromkeys(headers.tokens("vary"))),
            status,
            fields,
            b"",
            directives,
            lifetime,
            age,
            now,
            self._trusted or rules.is_for_everyone(directives),
            self._tags(headers),
            etag,
            changed,
        )

    def _tags(self, headers: Headers) -> frozenset[str]:
        if self._options.tags is None:
            return frozenset()
        found = frozenset(tag for line in headers.getall(self._options.tags) for tag in _BETWEEN.split(line) if tag)
        if len(found) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in found):
            raise Unkept("tags")
        return found
