"""The forms in which others may read a text: percent-encoded, with entities of HTML, with escapes of JSON and script.

Everything here takes time by the length of the text and no more.
"""

import re
from collections.abc import Iterator
from html.entities import html5
from urllib.parse import unquote_to_bytes

ROUNDS = 3
"""How many times over a text may be encoded and still be seen through."""
_SHORT = 6
"""Characters of the longest name of an entity that needs no semicolon."""

_NUMBER = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]{1,8})[0-9a-fA-F]*|0*([0-9]{1,8})[0-9]*);?")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31})(;?)")
_ESCAPE = re.compile(
    r"\\(?:u\{0*([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|([bfnrtv])|([^0-9a-zA-Z]))"
)
_OLD_PERCENT = re.compile(r"%[uU]([0-9a-fA-F]{4})")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf][\x80-\xbf]")
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WIDE = {0xFF01 + index: 0x21 + index for index in range(94)} | {0x2028: 0x0A, 0x2029: 0x0A, 0xA0: 0x20, 0x3000: 0x20}
"""Wide characters that older servers take for those of ASCII."""


def forms(data: bytes, *, plus: bool = False) -> Iterator[bytes]:
    """Walk over the forms of a text: as it is, and what it is when it has been decoded, up to three times over.

    With `plus` it is of a query or form: `+` stands for a blank, and it is encoded once more, as everything there is.
    """
    yield data
    if plus and b"+" in data:
        data = data.replace(b"+", b" ")
        yield data
    for _ in range(ROUNDS + plus):  # one of them is how it is sent anyway
        decoded = _decoded(data)
        if decoded == data:
            return
        yield decoded
        data = decoded


def _decoded(data: bytes) -> bytes:
    """Decode once: percent signs first, since they may stand outside, and then what may stand inside."""
    if b"%" in data:
        data = unquote_to_bytes(data)
    if b"\x00" in data:  # UTF-16 and UTF-32, of which this leaves what is ASCII
        data = data.replace(b"\x00", b"")
    if not data.isascii():
        data = _OVERLONG.sub(_shortest, data)
    text = data.decode("utf-8", "surrogateescape")
    if "%u" in text or "%U" in text:
        text = _OLD_PERCENT.sub(lambda match: _character(match[1], 16), text)
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if "&" in text:
        text = _NAMED.sub(_entity, _NUMBER.sub(_numbered, text))
    if not text.isascii():
        text = text.translate(_WIDE)
    return text.encode("utf-8", "surrogateescape")


def _shortest(match: re.Match[bytes]) -> bytes:
    """Write a character in UTF-8 that was longer than it may be."""
    first, *rest = match[0]
    number = first & {2: 0x1F, 3: 0x0F, 4: 0x07}[len(match[0])]
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return chr(number).encode("utf-8", "replace")


def _character(digits: str, base: int) -> str:
    number = int(digits, base)
    return chr(number) if number < 0xD800 or 0xE000 <= number <= 0x10FFFF else "\ufffd"


def _numbered(match: re.Match[str]) -> str:
    return _character(match[1] or match[2], 16 if match[1] else 10)


def _entity(match: re.Match[str]) -> str:
    name = match[1]
    if match[2] and (found := html5.get(name + ";")) is not None:
        return found
    for length in range(min(len(name), _SHORT), 1, -1):  # `&ltscript` is `<script`, too
        if (found := html5.get(name[:length])) is not None:
            return found + name[length:] + match[2]
    return match[0]


def _unescaped(match: re.Match[str]) -> str:
    longer, four, two, octal, control, itself = match.groups()
    if octal is not None:
        return _character(octal, 8)
    if control is not None:
        return _CONTROL[control]
    return str(itself) if itself is not None else _character(longer or four or two, 16)
