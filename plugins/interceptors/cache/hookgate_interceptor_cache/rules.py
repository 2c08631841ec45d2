"""What may be kept, for how long, and for whom (RFC 9111, 3 and 4.2).

Whether a response may be stored, what of its head, how it is validated and what a 304 makes of it is decided by the
state machine of hishel. What stands here is what that leaves open, or sees less strictly: it counts no ``Age``, heeds
of what a request says only ``no-cache``, takes ``Set-Cookie`` and ``Vary: *``, and guesses lifetimes.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Sequence
from email.utils import parsedate_tz
from uuid import UUID

from hishel import (
    AnyState,
    CacheMiss,
    CacheOptions,
    IdleClient,
    InvalidateEntries,
    NeedRevalidation,
    NeedToBeUpdated,
    StoreAndUse,
)
from hishel import Entry as Known
from hishel import Headers as Fields
from hishel import Request as Asked
from hishel import Response as Answered

from hookgate import Headers
from hookgate_interceptor_cache.directives import Directives
from hookgate_interceptor_cache.entry import Entry, Field

SHARED = CacheOptions(shared=True, supported_methods=["GET"], allow_stale=False)
GUESSABLE = frozenset({200, 203, 300, 301, 308, 410})
"""Statuses whose lifetime the deployer may say, or this cache guess, where the backend says none."""
UNDERSTOOD = GUESSABLE | {204, 302, 303, 307, 400, 401, 403, 404, 405, 414, 500, 501, 502, 503, 504}
"""Statuses that may be kept under ``must-understand``."""
NEGOTIATED = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cookie", "origin"),
        *("access-control-request-headers", "access-control-request-method", "dnt", "prefer", "referer", "save-data"),
        *("sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "user-agent", "x-requested-with"),
    }
)
"""Fields in ``Vary`` that backends get from the client. Any other one may be a step's or a connection's own, and then
says nothing of what the client sends next time."""
OF_OTHER_OCTETS = frozenset({b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"})
"""What speaks of the octets that the backend sent, and holds no more once a step has changed them."""
_TAG = re.compile(r'"[^"]*"')
GUESSED_AT_MOST = 24 * 3600.0
_NOT_KEPT = frozenset({"age", "content-length"})
"""Fields that are made anew for each answer."""
_NOBODY = UUID(int=0)
_URL = "https://here.invalid/"
"""One entry and one request are looked at at a time, so the state machine needs no names to tell them apart."""


def refusal(
    status: int,
    headers: Headers,
    directives: Directives,
    *,
    credentials: bool,
    vary: Collection[str] = (),
) -> str:
    """Say why a response to GET may not be kept, in a word; empty if it may.

    ``credentials`` is whether the request told who calls, where the deployer has not said who may share what such a
    caller gets. ``vary`` names more fields that may stand in ``Vary``.
    """
    if not directives.readable:
        return "unreadable-cache-control"
    if "no-store" in directives:
        return "no-store"
    if directives.whole("private"):
        return "private"
    if "set-cookie" in headers:
        return "set-cookie"
    if status in (206, 304) or "content-range" in headers:
        return "partial"
    named = headers.tokens("vary")
    if not NEGOTIATED.issuperset(named) and (strange := [name for name in named if name not in NEGOTIATED | set(vary)]):
        return "vary-everything" if "*" in strange else "vary"
    if "must-understand" in directives and status not in UNDERSTOOD:
        return "status"
    if (headers.get("content-type") or "").lower().startswith("text/event-stream"):
        return "stream"
    if credentials and not is_for_everyone(directives):
        return "credentials"
    return ""


def is_for_everyone(directives: Directives) -> bool:
    """Whether the backend says that callers with credentials may share a response. RFC 9111, 3.5, also counts
    ``must-revalidate``, which says that only between the lines.
    """
    return "public" in directives or "s-maxage" in directives


def kept_head(status: int, headers: Headers, directives: Directives, *, credentials: bool) -> list[Field] | None:
    """Return the fields that are stored of a response to GET, without ``Age``; ``None`` where nothing may be stored."""
    asked = Asked("GET", _URL, Fields({"authorization": "told"} if credentials else {}))
    state = CacheMiss(request=asked, options=SHARED).next(Answered(status, _fields(headers, directives)))
    if not isinstance(state, StoreAndUse):
        return None
    return [field for field in headers.raw if _name(field) in state.response.headers and _name(field) not in _NOT_KEPT]


def lifetime_of(
    status: int,
    headers: Headers,
    directives: Directives,
    now: float,
    *,
    ttl: float | None = None,
    guesses: bool = False,
) -> float | None:
    """Return for how many seconds a response is fresh; ``None`` where nobody says (RFC 9111, 4.2.1).

    ``now`` is Unix time. ``ttl`` counts where the backend says nothing, and before what may be guessed.
    """
    for name in ("s-maxage", "max-age"):
        if (seconds := directives.seconds(name)) is not None:
            return float(seconds)
    if "expires" in headers:
        said = [_date(each) for each in headers.getall("expires")]
        began = _date(headers.get("date", ""))
        return max(0.0, min(0.0 if each is None else each - (now if began is None else began) for each in said))
    if directives.whole("no-cache") or (not directives and "no-cache" in headers.tokens("pragma")):
        return 0.0
    if status in GUESSABLE and ttl is not None:
        return ttl
    changed = _date(headers.get("last-modified", ""))
    if guesses and status in GUESSABLE and changed is not None:
        return min(GUESSED_AT_MOST, max(0.0, now - changed) / 10)
    return 0.0 if "public" in directives else None


def initial_age(headers: Headers, now: float, delay: float) -> float:
    """Return how old a response was when it came, at Unix time ``now`` and ``delay`` seconds after it was asked for
    (RFC 9111, 4.2.3). The first of several ages counts, and one that is no number does not.
    """
    dated = _date(headers.get("date", ""))
    apparent = 0.0 if dated is None else max(0.0, int(now) - dated)
    told = (headers.get("age") or "").split(",")[0].strip()
    return max(apparent, (int(told) if told.isascii() and told.isdigit() and len(told) < 11 else 0) + max(0.0, delay))


def conditions(entry: Entry) -> list[tuple[str, str]]:
    """Return the fields that ask a backend whether an entry is still right; none where it has no validator."""
    state = _validation(entry)
    names = ("If-None-Match", "If-Modified-Since")
    return [(name, state.request.headers[name]) for name in names if name in state.request.headers]


def updated_head(entry: Entry, headers: Headers) -> list[Field] | None:
    """Return the head of an entry as a 304 makes it; ``None`` for a 304 that is not of this entry."""
    state: AnyState = _validation(entry).next(
        Answered(304, _fields(headers, Directives(headers.getall("cache-control"))))
    )
    if isinstance(state, InvalidateEntries):
        state = state.next()
    if not isinstance(state, NeedToBeUpdated):
        return None
    fields = state.updating_entries[-1].response.headers
    told = {_name(field) for field in headers.raw if _name(field) not in _OF_THE_BODY}
    kept = [f for f in entry.fields if _name(f) not in told and (_name(f) in fields or _name(f) == "vary")]
    return kept + [
        field
        for field in headers.raw
        if _name(field) in told and _name(field) in fields and _name(field) not in _NOT_KEPT
    ]


_OF_THE_BODY = frozenset({"content-encoding", "content-type", "content-range", "content-length"})
"""What a 304 does not change (RFC 9111, 3.2)."""


def _validation(entry: Entry) -> NeedRevalidation:
    """Ask for the state in which an entry has to be validated, which a request brings about that wants that."""
    fields = _fields(Headers.of(entry.fields), entry.directives)
    fields.pop("vary", None)  # it has been selected
    known = Known(_NOBODY, Asked("GET", _URL), Answered(entry.status, fields))
    state = IdleClient(options=SHARED).next(Asked("GET", _URL, Fields({"cache-control": "no-cache"})), [known])
    assert isinstance(state, NeedRevalidation)
    return state


def _fields(headers: Headers, directives: Directives) -> Fields:
    """Hand over a head, ``Cache-Control`` in the spelling that both read in one way."""
    found: dict[str, str | list[str]] = {}
    for name in headers:
        found[name] = headers.getall(name)
    if directives:
        found["cache-control"] = str(directives)
    return Fields(found)


def _name(field: Field) -> str:
    return field[0].lower().decode("latin-1")


def _date(text: str) -> float | None:
    """Read a date of HTTP as Unix time; ``None`` for what is none."""
    parsed = parsedate_tz(text) if len(text) < 64 else None
    if parsed is None:
        return None
    try:
        return float(calendar.timegm(parsed[:6]))
    except (ValueError, OverflowError):
        return None


def matches(conditions: Sequence[tuple[str, str]], etag: str | None, last_modified: str | None) -> bool:
    """Whether a client has what is there, by its ``If-None-Match`` or else ``If-Modified-Since`` (RFC 9110, 13.2.2)."""
    tags = [value for name, value in conditions if name == "if-none-match"]
    if tags:
        if any(line.strip() == "*" for line in tags):
            return True
        return etag is not None and etag.removeprefix("W/") in [each for line in tags for each in _TAG.findall(line)]
    since = [_date(value) for name, value in conditions if name == "if-modified-since"]
    changed = _date(last_modified or "")
    return len(since) == 1 and since[0] is not None and changed is not None and changed <= since[0]
