"""Writing what an import comes to: the document as YAML for people, the contract as JSON for programs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from hookgate import MachineError
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


def write_whole(targets: list[tuple[Path, str]], *, force: bool) -> None:
    """Write files, each whole or not at all; with one that may not be written nothing is.

    Raises:
        MachineError: one is there already and not to be written over, or cannot be written.
    """
    for target, _ in targets:
        if target.exists() and not force:
            raise MachineError(f"{target} is there already; --force writes over it")
    for target, text in targets:
        temporary = ""
        try:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
            ) as opened:
                temporary = opened.name
                opened.write(text)
            Path(temporary).chmod(0o644)
            os.replace(temporary, target)  # noqa: PTH105
        except OSError as error:
            with suppress(OSError):
                Path(temporary).unlink()
            raise MachineError(f"cannot write {target}: {error.strerror}") from error
