"""From the text of a file to targets: all of them, or every mistake with its place."""

import json
import re
from ipaddress import IPv6Address
from typing import Any, NamedTuple

import yaml
from pydantic import Field, ValidationError

from hookgate import Options, Target

SHOWN = 5
"""Mistakes that are told; the rest is counted."""
MOST = 10_000
"""Entries a list may have."""
LONGEST = 300
"""Characters of one mistake that are told."""
_TWICE = "the key {!r} is there twice"
_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?"
_URL = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?/?", re.IGNORECASE)


class Mistake(ValueError):
    """What is wrong with the list or with an entry."""


class Listed(Options):
    """One entry, written as a mapping."""

    url: str = Field(max_length=300)
    """`http://host` or `https://host`, with a port if need be."""
    weight: int = Field(default=1, ge=0, le=1000, strict=True)
    """Share of the calls; 0 gets none."""
    active: bool = Field(default=True, strict=True)
    """An inactive target gets no calls."""


class _Written(NamedTuple):
    place: str
    value: Any


class _Loader(yaml.SafeLoader):
    """YAML without aliases, which can make much of little, and without keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read; write the entry out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused by the constructor
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=_TWICE.format(key.value[:50]), problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def targets_of(data: bytes, name: str, *, as_json: bool) -> list[Target]:
    """Return the targets that a file lists, in order.

    Raises:
        LookupError: it is not well-formed or empty, or an entry is wrong; the text begins with the name of the file.
    """
    try:
        text = data.decode("utf-8-sig")
        written = _from_json(text) if as_json else _from_yaml(text)
        if not written:
            raise Mistake("there is no target in the list")
        if len(written) > MOST:
            raise Mistake(f"the list has {len(written)} entries; at most {MOST} are read")
    except UnicodeDecodeError:
        raise LookupError(f"{name}: the file is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise LookupError(f"{name}{line}: {error.problem}") from None
    except json.JSONDecodeError as error:
        raise LookupError(f"{name}:{error.lineno}: {error.msg}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise LookupError(f"{name}: {error}") from None
    except RecursionError:
        raise LookupError(f"{name}: this is nested too deeply for a list of targets") from None
    return _checked(written, name)


def _from_yaml(text: str) -> list[_Written]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.SequenceNode):
            raise Mistake("write a list of targets: a line `- http://host:port` for each")
        return [_Written(f":{each.start_mark.line + 1}", loader.construct_document(each)) for each in node.value]
    finally:
        loader.dispose()


def _from_json(text: str) -> list[_Written]:
    found = json.loads(text, object_pairs_hook=_object)
    if not isinstance(found, list):
        raise Mistake('write a list of targets: ["http://host:port", …]')
    return [_Written(f": entry {number}", each) for number, each in enumerate(found, 1)]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Mistake(_TWICE.format(key[:50]))
        found[key] = value
    return found


def _checked(written: list[_Written], name: str) -> list[Target]:
    mistakes: list[str] = []
    found: dict[str, Target] = {}
    for place, value in written:
        try:
            target = _target(value)
            if target.url in found:
                raise Mistake(f"{target.url} is there twice; give it one weight instead")
            found[target.url] = target
        except ValidationError as error:
            mistakes += [f"{name}{place}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        except ValueError as error:
            mistakes.append(f"{name}{place}: {error}")
    if mistakes:
        more = f"; and {len(mistakes) - SHOWN} more mistakes" if len(mistakes) > SHOWN else ""
        raise LookupError("; ".join(mistake[:LONGEST] for mistake in mistakes[:SHOWN]) + more)
    return list(found.values())


def _target(value: Any) -> Target:
    if isinstance(value, str):
        value = {"url": value}
    if not isinstance(value, dict):
        raise Mistake("an entry is a URL, or a mapping with `url`")
    entry = Listed.model_validate(value)
    match = _URL.fullmatch(entry.url)
    if match is None:
        raise Mistake(f"{_shown(entry.url)!r} is no location: write http://host:port, without path, query and user")
    scheme, host = match[1].lower(), match[2].lower()
    port = int(match[3]) if match[3] else {"http": 80, "https": 443}[scheme]
    if not 0 < port < 65536:
        raise Mistake(f"{entry.url!r} needs a port between 1 and 65535")
    if host.startswith("["):
        host = host[1:-1]
        IPv6Address(host)
    return Target(scheme, host, port, weight=entry.weight, active=entry.active)


def _shown(url: str) -> str:
    """Leave user and password out of a message, and make it short."""
    return re.sub(r"//.*@", "//…@", url)[:100]
