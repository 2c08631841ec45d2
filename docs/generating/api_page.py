"""The page of the API: every promised name, with its signature and what it is for, read from the source."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import hookgate
from generating.markdown import prose, table

FACES = {
    "hookgate.testing": (),
    "hookgate.workshop": (),
    "hookgate.client.keeper": ("Turns",),
    "hookgate.client.refusing": ("connected_late", "refuses"),
    "hookgate.commands": ("ask", "errors", "out", "print_line", "refused", "table"),
    "hookgate.document": ("MAX_BYTES", "Document", "parse"),
    "hookgate.client": ("UpstreamPool",),
    "hookgate.http.tls": ("UpstreamTls",),
    "hookgate.jose": (),
}
"""What is promised beside `hookgate` itself: the names, or all that stand in `__all__`."""
GROUPS = {
    "Families": ("contract.families", "contract.steps", "contract.backends", "contract.section.Section"),
    "Plugins": (
        "contract.plugin",
        "contract.hookspecs",
        "contract.secret",
        "contract.rules",
        "contract.metadata",
        "contract.duration",
    ),
    "What a host gives": ("contract.host", "contract.clock", "contract.counters", "contract.metrics", "contract.state"),
    "Sections": ("contract.section",),
    "A call": ("exchange",),
    "Faults and errors": ("exchange.errors", "contract.hooks"),
    "Expressions": ("expressions",),
}
"""Headings by where a name comes from; the longest way to it counts."""


class Found(NamedTuple):
    """Where a name is made."""

    module: str
    node: ast.stmt
    text: str
    """Its docstring, or the string below it."""


def promised() -> dict[str, list[str]]:
    """Return every promised name, by the module it is imported from."""
    faces = {face: list(names) or list(importlib.import_module(face).__all__) for face, names in FACES.items()}
    return {"hookgate": list(hookgate.__all__), **faces}


def api() -> str:
    """Tell every promised name."""
    lines: list[str] = []
    grouped: dict[str, list[str]] = {heading: [] for heading in GROUPS}
    for name in hookgate.__all__:
        grouped[_heading(name)].append(name)
    for heading, names in grouped.items():
        lines += [f"## {heading}", "", f"From `hookgate`: {', '.join(f'`{name}`' for name in names)}.", ""]
        for name in names:
            lines += _entry("hookgate", name)
    for face in FACES:
        lines += [f"## {face}", "", f"From `{face}`.", ""]
        for name in promised()[face]:
            lines += _entry(face, name)
    return "\n".join(lines)


def _heading(name: str) -> str:
    found = find("hookgate", name)
    way = f"{found.module.removeprefix('hookgate.')}.{name}"
    near = [
        (len(start), title) for title, starts in GROUPS.items() for start in starts if f"{way}.".startswith(f"{start}.")
    ]
    if not near:
        raise LookupError(f"docs/generating/api_page.py has no heading for {name}, which comes from {found.module}")
    return max(near)[1]


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text(encoding="utf-8"))


def find(module: str, name: str) -> Found:
    """Find where a name is made, however often it has been handed on."""
    body = [*_tree(module).body]
    for index, node in enumerate(body):
        if isinstance(node, ast.If):  # what stands under TYPE_CHECKING
            body[index + 1 : index + 1] = node.body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return Found(module, node, ast.get_docstring(node) or "")
        if name in _assigned(node):
            return Found(module, node, _string(after))
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            if node.level:  # somebody else's package, whose bases are no pages of ours
                break
            return find(node.module, name)
    raise LookupError(f"{module} has no {name}")


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _string(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def _entry(face: str, name: str) -> Iterator[str]:
    found = find(face, name)
    yield from (f"### `{name}`", "")
    yield from ("<!-- not run: a signature -->", "```python", _signature(name, found), "```", "")
    if found.text:
        yield from (_first(found.text), "")
    if isinstance(found.node, ast.ClassDef) and (members := list(_all_members(found))):
        yield table(("member", ""), members)


def _signature(name: str, found: Found) -> str:
    node = found.node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _function(node)
    if not isinstance(node, ast.ClassDef):
        return ast.unparse(node)
    bases = ", ".join(ast.unparse(base) for base in node.bases if not ast.unparse(base).endswith("Spec"))
    head = f"class {name}({bases})" if bases else f"class {name}"
    own = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if own is not None:
        return f"{head}\n{_function(own, name=name, returns=False)}"
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list) or bases == "NamedTuple":
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each)]
        return f"{head}\n{name}({', '.join(_field(each) for each in fields)})"
    return head


def _field(node: ast.AnnAssign) -> str:
    default = "" if node.value is None else f" = {'…' if isinstance(node.value, ast.Call) else ast.unparse(node.value)}"
    return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}"


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, *, name: str = "", returns: bool = True) -> str:
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    wait = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    result = f" -> {ast.unparse(node.returns)}" if returns and node.returns is not None else ""
    return f"{wait}{name or node.name}({arguments}){result}"


def _all_members(found: Found) -> Iterator[tuple[str, str]]:
    """Tell its members, and those of bases that nobody else can read about."""
    assert isinstance(found.node, ast.ClassDef)
    yield from _members(found.node)
    for base in found.node.bases:
        name = ast.unparse(base).partition("[")[0]
        if name not in hookgate.__all__ and not name.endswith("Spec"):
            with suppress(LookupError):
                inner = find(found.module, name)
                if isinstance(inner.node, ast.ClassDef) and inner.module.startswith("hookgate."):
                    yield from _all_members(inner)


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    yield from _fields(node.body)
    for each in node.body:
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if each.name == "__init__":
            yield from _fields(each.body)
        text = _first(ast.get_docstring(each) or "")
        if each.name.startswith("_") or not text:
            continue
        if any(ast.unparse(decorator) == "property" for decorator in each.decorator_list):
            yield f"`{each.name}`", text
        else:
            yield f"`{_function(each)}`", text


def _fields(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for each, after in itertools.pairwise(body):
        names = _assigned(each)
        if isinstance(each, ast.Assign | ast.AnnAssign):
            target = each.targets[0] if isinstance(each, ast.Assign) else each.target
            if isinstance(target, ast.Attribute):  # self.name, in a constructor
                names = [target.attr]
        if (text := _first(_string(after))) and names and not names[0].startswith("_"):
            yield f"`{names[0]}`", text


def _first(text: str) -> str:
    return prose(inspect.cleandoc(text).partition("\n\n")[0])
