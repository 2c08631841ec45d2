"""Reading and writing what stands behind the scheme: ``Digest realm="…", nonce="…", …`` (RFC 9110, 11.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

from pydantic import AfterValidator

MAX_LENGTH = 8 * 1024
"""Characters of a header value that are looked at; a longer one is refused."""
MAX_PARAMETERS = 40
"""Parameters of one challenge or of credentials; Digest has fourteen."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - a token of the grammar
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ELEMENT = re.compile(rf'(?:{_QUOTED}|[^",])++')
_PARAMETER = re.compile(rf"(?:({_TOKEN})[ \t]+)?({_TOKEN})[ \t]*=[ \t]*({_TOKEN}|{_QUOTED})", re.DOTALL)
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+[A-Za-z0-9._~+/-]+=*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def _user_name(name: str) -> str:
    if not name:
        raise ValueError("a user name is empty; write one")
    if ":" in name:
        raise ValueError(f"{name!r} has a colon, which ends the user name in what is hashed; choose another name")
    if not name.isprintable():
        raise ValueError(f"{name!r} has a control character; choose another name")
    return name


UserName = Annotated[str, AfterValidator(_user_name)]
"""As the type of an option: a name that can stand in credentials."""


def challenges_in(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Walk over the Digest challenges in lines of ``WWW-Authenticate``, several to a line too, as their parameters.

    Names are in lower case, values without quotes. What cannot be read is left out, since there may be others.
    """
    for line in lines:
        if len(line) > MAX_LENGTH:
            continue
        try:
            found = list(_schemes(line))
        except ValueError:
            continue
        yield from (parameters for scheme, parameters in found if scheme == "digest")


def credentials_in(value: str) -> dict[str, str] | None:
    """Return the parameters of Digest credentials, or ``None`` for another scheme.

    Raises:
        ValueError: they are too long or malformed, or a parameter is there twice.
    """
    if value.partition(" ")[0].lower() != "digest":
        return None
    if len(value) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    found = list(_schemes(value))
    if len(found) != 1:
        raise ValueError("several credentials in one line")
    return found[0][1]


def _schemes(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Walk over (scheme in lower case, parameters).

    Raises:
        ValueError: it is not of the grammar, or a parameter is there twice.
    """
    scheme = ""
    parameters: dict[str, str] = {}
    for element in _elements(value):
        match = _PARAMETER.fullmatch(element)
        beginning = match[1] if match else _scheme(element)
        if beginning is not None:
            if scheme:
                yield scheme, parameters
            scheme, parameters = beginning.lower(), {}
        if match is None:
            continue
        name = match[2].lower()
        if not scheme or name in parameters or len(parameters) >= MAX_PARAMETERS:
            raise ValueError("a parameter without a scheme, a parameter twice, or too many of them")
        parameters[name] = unquoted(match[3])
    if scheme:
        yield scheme, parameters


def _scheme(element: str) -> str:
    match = _SCHEME.fullmatch(element)
    if match is None:
        raise ValueError("neither a scheme nor a parameter")
    return match[1]


def _elements(value: str) -> Iterator[str]:
    """Split at commas outside of quotes."""
    position = 0
    while position < len(value):
        match = _ELEMENT.match(value, position)
        if match is None:
            if value[position] == '"':
                raise ValueError("a quote that does not end")
            position += 1  # a comma
            continue
        position = match.end()
        if element := match[0].strip(" \t"):
            yield element


def unquoted(value: str) -> str:
    """Return what a token or quoted string means."""
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value.startswith('"') else value


def quoted(value: str) -> str:
    """Write a value as a quoted string.

    Raises:
        ValueError: it has a control character.
    """
    if _UNPRINTABLE.search(value):
        raise ValueError("a quoted string has no control characters")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def written(parameters: Mapping[str, str]) -> str:
    """Put parameters behind the scheme, in their order; values are written as they are."""
    return "Digest " + ", ".join(f"{name}={value}" for name, value in parameters.items())


def extended(value: str) -> str:
    """Write a name that is not ASCII for ``username*`` (RFC 8187)."""
    return f"UTF-8''{quote(value, safe='')}"


def user_in(parameters: Mapping[str, str]) -> bytes:
    """Return the name of credentials, in UTF-8 where it is of ``username*``, else as it came.

    Raises:
        ValueError: there is none, there are two, or it cannot be read.
    """
    plain, star = parameters.get("username"), parameters.get("username*")
    if (plain is None) == (star is None):
        raise ValueError("neither username nor username*, or both")
    if plain is not None:
        return plain.encode("latin-1")
    charset, _, rest = (star or "").partition("'")
    language, mark, value = rest.partition("'")
    if charset.lower() != "utf-8" or not mark or not value.isascii():
        raise ValueError(f"username* is in UTF-8 (language {language!r} is not looked at)")
    return unquote_to_bytes(value)
