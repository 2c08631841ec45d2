"""Secrets by value: what references of a document were resolved to stands in nothing that people may see (HC-7).

A value is found as it is, with characters escaped (percent-encoding, JSON, Python), and inside Base64 wherever it
begins there, as in ``Basic``. The whole process knows the values of every document that is held: what is logged need
not know where a value came from.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, ClassVar
from urllib.parse import unquote
from weakref import WeakSet

MASK = "********"
"""How every secret is shown (HC-7)."""
SHORTEST = 6
"""Characters from which on a value is looked for: shorter ones would blot out words."""
STEP = 4
"""Characters by which a text is looked through."""
_REMEMBERED = 512
"""Characters of a text up to which it is remembered what it became: most texts come again."""
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(rf"\\+(?:u({_HEX}{{4}})|U00(0{_HEX}{{5}}|10{_HEX}{{4}})|x({_HEX}{{2}})|(.)|$)", re.DOTALL)
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_LETTERS = {control: letter for letter, control in _CONTROLS.items()}


def printable(text: str) -> str:
    """Take out of a text what a terminal would take for commands."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


class Values:
    """What the references of one document were resolved to. It is hidden for as long as this is held."""

    held: ClassVar[WeakSet[Values]] = WeakSet()
    known: ClassVar[tuple[tuple[str, str, bool], ...]] = ()
    """What is looked for, how it looks among what was decoded, and whether it is part of a value in Base64."""
    starts: ClassVar[frozenset[str]] = frozenset()
    """How any of it begins; empty where that would not tell it from anything."""
    version: ClassVar[int] = 0

    def __init__(self) -> None:
        self._values: set[str] = set()
        self.held.add(self)

    def add(self, values: Iterable[str]) -> None:
        """Hide these from now on, but for those below ``SHORTEST`` and addresses: these are no secrets."""
        fresh = {text for value in values for text in (value, value.strip()) if not _is_address(text)} - self._values
        if not fresh:
            return
        self._values |= fresh
        self.renew()

    @classmethod
    def renew(cls) -> None:
        """Look for what is held now: documents that are gone are forgotten."""
        everything = {value for each in cls.held for value in each._values if len(value) >= SHORTEST}
        as_they_look = everything | {text for value in everything for text in _looks(value)}
        found = [(text, False) for text in sorted(as_they_look, key=len, reverse=True)]
        found += [(part, True) for value in everything for part in _in_base64(value)]
        Values.known = tuple((sought, _plain(sought), is_part) for sought, is_part in found)
        starts = frozenset(each[:STEP] for sought, plain, _ in Values.known for each in (sought, plain))
        Values.starts = starts if all(len(each) == STEP for each in starts) else frozenset()
        Values.version += 1


def hide(text: str) -> str:
    """Put asterisks in the place of every value that a reference was resolved to, however it is encoded."""
    if not Values.known:
        return text
    return _remembered(text, Values.version) if len(text) <= _REMEMBERED else _hidden(text)


def hide_in(value: Any) -> Any:
    """Do so in every text and number of plain data, names of members too."""
    if not Values.known or value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {hide_in(name): hide_in(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        found = [hide_in(inner) for inner in value]
        return tuple(found) if isinstance(value, tuple) else found
    text = hide(str(value))
    return value if text == str(value) else text


def _hidden(text: str, version: int = 0) -> str:
    seen = f"{text}\0{_plain(text)}" if "%" in text or "\\" in text or "+" in text else text
    if len(seen) < 8 * len(Values.starts) and Values.starts.isdisjoint(
        [seen[at : at + STEP] for at in range(len(seen) - STEP + 1)]  # however many values there are
    ):
        return text
    for sought, plain, is_part in Values.known:
        if sought in seen or plain in seen:
            text = _pattern(sought, is_part).sub(MASK, text)
    return text


_remembered = lru_cache(maxsize=4096)(_hidden)


def _is_address(value: str) -> bool:
    """Whether it is an IP address or ``localhost``, with a port or without."""
    for text in (value, re.sub(r":\d+$", "", value)):
        with suppress(ValueError):
            return text == "localhost" or bool(ip_address(text.strip("[]")))
    return False


def _looks(value: str) -> Iterator[str]:
    """Give what becomes of a value on its way: hosts are written small, URLs end without a slash, heads are Latin-1."""
    yield value.lower()
    if len(value.rstrip("/")) >= SHORTEST:
        yield value.rstrip("/")
        yield value.rstrip("/").lower()
    yield value.encode("utf-8", "surrogatepass").decode("latin-1")


@lru_cache(maxsize=4096)
def _in_base64(value: str) -> frozenset[str]:
    """Return what does not depend on the neighbours, for each place in a group of three octets, in both alphabets."""
    octets = value.encode("utf-8", "surrogatepass")
    encoded = [(before, base64.b64encode(bytes(before) + octets).decode()) for before in range(3)]
    found = [whole[(before * 8 + 5) // 6 : (before + len(octets)) * 8 // 6] for before, whole in encoded]
    return frozenset([*found, *(each.replace("+", "-").replace("/", "_") for each in found)])


def _plain(text: str) -> str:
    """Decode a text for as long as there is anything to decode."""
    before = None
    while text != before:
        before, text = text, unquote(_ESCAPE.sub(_unescaped, text))
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # JSON writes halves of characters
    return whole.replace("+", " ")


def _unescaped(match: re.Match[str]) -> str:
    digits, letter = match[1] or match[2] or match[3], match[4] or ""
    return chr(int(digits, 16)) if digits else _CONTROLS.get(letter, letter)


@lru_cache(maxsize=4096)
def _pattern(sought: str, is_part: bool) -> re.Pattern[str]:
    """Find it with any of its characters escaped, once or more often; of Base64, all that it stands in."""
    escaped = "".join(f"(?:{'|'.join(_ways(character))})" for character in sought)
    return re.compile(rf"(?a:[\w+/%-]*){escaped}(?a:[\w+/%-]*)=*" if is_part else escaped)


def _ways(character: str) -> Iterator[str]:
    """Give patterns for the ways to write a character; backslashes double with each time something is escaped."""
    yield re.escape(character)
    yield "".join(rf"%(?:25)*(?i:{octet:02x})" for octet in character.encode("utf-8", "surrogatepass"))
    units = character.encode("utf-16-be", "surrogatepass").hex()
    yield "".join(rf"\\+(?i:u{units[at : at + 4]})" for at in range(0, len(units), 4))
    yield rf"\\+(?i:U{ord(character):08x})"
    if ord(character) < 0x100:
        yield rf"\\+(?i:x{ord(character):02x})"
    if not character.isalnum():
        yield rf"\\+{re.escape(_LETTERS.get(character, character))}"
    if character == " ":
        yield r"\+"
