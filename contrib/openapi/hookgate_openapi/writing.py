"""Writing what an import comes to: the document as YAML for people, the contract as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from hookgate.document import yaml12


class _Dumper(yaml.CSafeDumper):
    """Writes YAML 1.2: a text stays a text, whatever it looks like to which version."""


def _string(dumper: Any, text: str) -> Any:
    try:
        is_text = isinstance(yaml12.resolve(text), str)
    except ValueError:
        is_text = False
    style = None if is_text and "${" not in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def document_text(document: Mapping[str, Any], heading: str) -> str:
    """Write a document as YAML, under a heading that becomes a comment."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return comment + text


def contract_text(contract: Mapping[str, Any]) -> str:
    """Write a contract as JSON, a line for each operation and each schema, so that two of them can be compared."""
    lines: list[str] = []
    for key, value in contract.items():
        if key == "paths":
            paths = [f"{_json(path)}: {{\n{_members(item)}\n}}" for path, item in value.items()]
            lines.append(f'"paths": {{\n{_joined(paths)}\n}}')
        elif key == "components":
            parts = [f"{_json(name)}: {{\n{_members(part)}\n}}" for name, part in value.items()]
            lines.append(f'"components": {{\n{_joined(parts)}\n}}')
        else:
            lines.append(f"{_json(key)}: {_json(value)}")
    return "{\n" + _joined(lines) + "\n}\n"


def _members(value: Mapping[str, Any]) -> str:
    return _joined([f"{_json(key)}: {_json(item)}" for key, item in value.items()])


def _joined(lines: list[str]) -> str:
    return ",\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
