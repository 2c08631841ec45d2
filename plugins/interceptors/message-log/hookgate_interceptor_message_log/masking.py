"""What may be shown of a message: everything but the values under names that stand for secrets.

Where a text cannot be taken apart, so that it is not sure where such a value ends, nothing of it is shown.
"""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from hookgate import MASK, Headers

SECRET_HEADERS = ("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key")
"""Headers whose values are always masked."""

DEEPEST = 100
"""Levels of objects and lists that are followed; what is nested deeper is not shown."""

_TEXT = re.compile(
    r"text/.+|application/(?:.+\+)?(?:json|xml)|application/(?:x-ndjson|javascript|graphql|x-www-form-urlencoded)"
)
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})
_FORM = "application/x-www-form-urlencoded"
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
_PARTS = re.compile(r"[.:/\[\]]+")
_JSON_MARK = re.compile(r"""\"(?:[^\"\\]|\\.)*\"|[\[\]{},"]""", re.DOTALL)
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|%([0-9A-Fa-f]{2})")


class Withheld(Exception):
    """A body of which nothing is shown; the text says why."""


class Masking:
    """Masks heads, queries and bodies. Names compare without case and punctuation: ``accessToken`` is ``access_token``.

    Raises:
        ValueError: a name without a letter or digit.
    """

    def __init__(self, headers: Iterable[str], fields: Iterable[str]) -> None:
        self._headers = frozenset(name.lower() for name in (*SECRET_HEADERS, *headers))
        self._fields = frozenset(_key(name) for name in fields)
        if "" in self._fields:
            raise ValueError("mask_fields: a name has letters or digits in it")
        spelt = "|".join(r"[\W_]*".join(map(re.escape, key)) for key in sorted(self._fields)) or r"(?!)"
        named = rf"(?<![^\W_])(?:{spelt})(?![^\W_])"
        self._named = re.compile(named, re.IGNORECASE)
        self._assigned = re.compile(rf"{named}[\s\"'\])\\]*[=:]", re.IGNORECASE)

    def head(self, headers: Headers) -> dict[str, str]:
        """Headers by name in lower case, repeated ones in one line (RFC 9110, 5.3)."""
        shown: dict[str, str] = {}
        for name in headers:
            value = ", ".join(headers.getall(name))
            secret = name in self._headers or self._is_secret(name) or self._assigns(value)
            shown[name] = MASK if secret else value
        return shown

    def path(self, path: str) -> str:
        """A path, or nothing of it where it gives a masked field a value (``/a;token=x``)."""
        return MASK if self._assigns(path) else path

    def query(self, query: str) -> str:
        """A query or form; the values of masked fields are masked, the rest stays to the byte."""
        return "&".join(map(self._pair, query.split("&")))

    def body(self, data: bytes, headers: Headers, *, whole: bool) -> str:
        """Show a body, or its beginning where it is not ``whole``; of JSON that was cut, as far as fields are whole.

        Raises:
            Withheld: it is no text, or may hold secrets that cannot be found for sure.
        """
        if len(headers.getall("content-type")) > 1:
            raise Withheld("of more than one content type")
        kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        text = _text(data, headers, kind, whole=whole)
        is_json = text.lstrip().startswith(("{", "[", '"'))
        if kind == _FORM and not is_json:
            return self.query(text)
        if is_json:
            try:
                return json.dumps(self._masked(json.loads(text if whole else _closed(text))), ensure_ascii=False)
            except (ValueError, RecursionError):
                pass
        if _any(self._named, text):
            raise Withheld("speaks of masked fields and cannot be taken apart")
        return text

    def _pair(self, pair: str) -> str:
        name = pair.partition("=")[0]
        if self._assigns(name):
            return MASK
        if len(name) < len(pair) and (self._is_secret(unquote_plus(name)) or self._assigns(pair)):
            return f"{name}={MASK}"
        return pair

    def _masked(self, value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            return {
                MASK if self._assigns(name) else name: MASK if self._is_secret(name) else self._masked(inner, depth + 1)
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._masked(inner, depth + 1) for inner in value]
        return MASK if isinstance(value, str) and self._assigns(value) else value

    def _is_secret(self, name: str) -> bool:
        """Whether a field is masked, or a part of it is (``user[password]``, ``login.password``)."""
        return _key(name) in self._fields or any(_key(part) in self._fields for part in _PARTS.split(name))

    def _assigns(self, text: str) -> bool:
        """Whether a text inside a message gives a masked field a value, as URLs, parameters and JSON do."""
        return _any(self._assigned, text)


def _any(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a pattern is in a text, as it stands or once it is unescaped (``\\u0070assword``, ``token%3D``)."""
    if pattern.search(text):
        return True
    plain = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    return plain != text and pattern.search(plain) is not None


def _key(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _text(data: bytes, headers: Headers, kind: str, *, whole: bool) -> str:
    if "content-encoding" in headers:
        raise Withheld(f"encoded ({headers['content-encoding']})")
    charset = _CHARSET.search(headers.get("content-type") or "")
    if not _TEXT.fullmatch(kind) or (charset[1].lower() if charset else "") not in _CHARSETS:
        raise Withheld("not text")
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(data, final=whole)
    except UnicodeDecodeError:
        raise Withheld("not UTF-8") from None
    if "\x00" in text:  # UTF-16, most likely, in which no name would be found
        raise Withheld("not text")
    return text


def _closed(text: str) -> str:
    """Make JSON that was cut whole again: without what follows the last whole field, and with its brackets closed.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    end, closing, open_ = 0, "", ""
    for mark in _JSON_MARK.finditer(text):
        found = mark[0]
        if found == '"':  # a string that does not end
            break
        if found in "{[":
            open_ = ("}" if found == "{" else "]") + open_
            end, closing = mark.end(), open_
        elif found in "}]":
            open_ = open_[1:]
            end, closing = mark.end(), open_
        elif found == ",":
            end, closing = mark.start(), open_
        if len(open_) > DEEPEST:
            raise ValueError("nested too deeply")
    return text[:end] + closing
