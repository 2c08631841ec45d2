"""What templates have beside the words of Jinja2 (WF-3): filters, tests and functions. None of them may take more time
or memory than grows with what it is given; `LINEAR` are those that need no bound of their own."""

from __future__ import annotations

import base64
import hashlib
import hmac as hmacs
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jmespath  # type: ignore[import-untyped]
import orjson
import re2  # type: ignore[import-untyped]

LONGEST_PATTERN = 1000
"""Characters of a regular expression or a query."""
DIGESTS = ("sha256", "sha384", "sha512", "sha1", "md5")


@lru_cache(1024)
def query(expression: str) -> Any:
    """Compile a JMESPath query.

    Raises:
        ValueError: it is none.
    """
    if len(expression) > LONGEST_PATTERN:
        raise ValueError(f"a query has at most {LONGEST_PATTERN} characters")
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{expression[:60]!r} is no JMESPath query: {str(error).splitlines()[0]}") from None


@lru_cache(1024)
def pattern(expression: str) -> Any:
    """Compile a regular expression, of RE2, which takes no longer than the text is long.

    Raises:
        ValueError: it is none.
    """
    if len(expression) > LONGEST_PATTERN:
        raise ValueError(f"a regular expression has at most {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise ValueError(f"{expression[:60]!r} is no regular expression of RE2: {error}") from None


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def _rest2dict(value: Any) -> Any:
    found = value
    if isinstance(value, str | bytes):
        try:
            found = orjson.loads(value)
        except ValueError:
            return value
    if isinstance(found, Mapping) and isinstance(found.get("body"), str):
        try:
            return {**found, "body": orjson.loads(found["body"])}
        except ValueError:
            return found
    return found


def _json_query(value: Any, expression: str) -> Any:
    return query(expression).search(value)


def _combine(value: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(value)
    for each in others:
        found.update(each)
    return found


def _pp_dict(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str).decode()


def _to_json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def _regex_replace(value: Any, expression: str, replacement: str = "") -> str:
    return str(pattern(expression).sub(replacement, str(value)))


def _regex_findall(value: Any, expression: str) -> list[Any]:
    return list(pattern(expression).findall(str(value)))


def _regex_search(value: Any, expression: str) -> str | None:
    found = pattern(expression).search(str(value))
    return None if found is None else str(found[0])


def _unique(value: Iterable[Any]) -> list[Any]:
    return _union(value, ())


def _union(value: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    return [*{_key(each): each for each in (*value, *other)}.values()]


def _intersect(value: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    there = {_key(each) for each in other}
    return [each for each in _unique(value) if _key(each) in there]


def _difference(value: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    there = {_key(each) for each in other}
    return [each for each in _unique(value) if _key(each) not in there]


def _key(value: Any) -> Any:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


def _b64encode(value: Any) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode()


def _b64decode(value: Any) -> str:
    return base64.b64decode(str(value)).decode()


def _hmac(value: Any, key: str, digest: str = "sha256") -> str:
    if digest not in DIGESTS:
        raise ValueError(f"hmac: write one of {', '.join(DIGESTS)}")
    return hmacs.new(str(key).encode(), str(value).encode(), digest).hexdigest()


def _hash(value: Any, digest: str = "sha256") -> str:
    if digest not in DIGESTS:
        raise ValueError(f"hash: write one of {', '.join(DIGESTS)}")
    return hashlib.new(digest, str(value).encode(), usedforsecurity=False).hexdigest()


def _to_datetime(value: Any, form: str | None = None) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value)) if form is None else datetime.strptime(str(value), form)  # noqa: DTZ007


def _strftime(value: Any, form: str) -> str:
    return _to_datetime(value).strftime(form[:LONGEST_PATTERN])


def _timedelta(value: Any, **parts: float) -> datetime:
    return _to_datetime(value) + timedelta(**parts)


def _to_bool(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).strip().lower() in ("yes", "on", "1", "true")


def _url_qs(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in parse_qsl(str(value), keep_blank_values=True, max_num_fields=1000):
        found[name] = [*found[name], each] if isinstance(found.get(name), list) else (
            [found[name], each] if name in found else each
        )  # fmt: skip
    return found


def _dict_filter(value: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    wanted = set(names)
    return {name: each for name, each in value.items() if name in wanted}


FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": _b64decode,
    "b64encode": _b64encode,
    "combine": _combine,
    "dict_filter": _dict_filter,
    "difference": _difference,
    "hash": _hash,
    "hmac": _hmac,
    "intersect": _intersect,
    "json": _json,
    "json_query": _json_query,
    "pp_dict": _pp_dict,
    "regex_findall": _regex_findall,
    "regex_replace": _regex_replace,
    "regex_search": _regex_search,
    "rest2dict": _rest2dict,
    "strftime": _strftime,
    "timedelta": _timedelta,
    "to_bool": _to_bool,
    "to_datetime": _to_datetime,
    "tojson": _to_json,
    "union": _union,
    "unique": _unique,
    "url_path": lambda value: urlsplit(str(value)).path,
    "url_qs": _url_qs,
    "url_raw_query": lambda value: urlsplit(str(value)).query,
}
TESTS: dict[str, Callable[..., bool]] = {
    "endswith": lambda value, end: str(value).endswith(end),
    "startswith": lambda value, start: str(value).startswith(start),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "now": lambda: datetime.now().astimezone(),
    "randint": random.randint,
    "rest2dict": _rest2dict,
    "utcnow": lambda: datetime.now(UTC),
    "uuid": lambda: str(uuid.uuid4()),
}
LINEAR = frozenset(
    (
        *(name for name in FILTERS if name != "regex_replace"),
        *("abs", "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int"),
        *("items", "join", "last", "length", "list", "lower", "max", "min", "round", "safe"),
        *("sort", "string", "sum", "title", "trim", "truncate", "upper", "urlencode", "wordcount"),
    )
)
"""Filters whose result is not much longer than what they are given."""
