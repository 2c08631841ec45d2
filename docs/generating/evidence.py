"""What there is to show for a hook beside its prose: examples on our pages, and tests of ours that exercise it.

Both are found in source text. An *example* is a class of the family in a Python block of a page, with the hook in it.
A *test* is a test file with such a class in it (also one written into a string, for a folder of plugins) whose hook
does something; or the test file beside a plugin that implements the hook, where it names the hook or, through
``running`` or ``through``, has the gateway call it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from generating.shipped import DOCS, FAMILIES, ROOT, first_party, specified
from hookgate import Branch
from hookgate.contract.hooks import hooks_of
from hookgate.contract.hookspecs import LifecycleSpec
from hookgate.document.catalogue import Listed

BLOCK = re.compile(r"^```python(?: [^\n]*)?\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
BASES = {each.base.__name__: each.name for each in FAMILIES} | {Branch.__name__: "interceptor"}
"""Families by what their classes inherit from."""
HOOKS = {each.name: {*specified(each.spec), *specified(LifecycleSpec)} for each in FAMILIES}
LIFECYCLE = frozenset(specified(LifecycleSpec))


@dataclass(frozen=True)
class Class:
    """A plugin class in some source text."""

    name: str
    family: str
    hooks: dict[str, str]
    """Those that do something, by name, each with its source text."""


@dataclass(frozen=True)
class Example:
    """A hook as a page implements it."""

    page: str
    """Relative to the folder of the pages."""
    heading: str
    cls: str
    text: str

    @property
    def anchor(self) -> str:
        """What the heading above it is linked by."""
        return re.sub(r"[^\w\- ]", "", self.heading.lower()).strip().replace(" ", "-")


def examples(family: str, hook: str) -> list[Example]:
    """Return the examples of a hook, the best one first: that of the guide to its family, and the fullest class."""
    guide = next((f"plugin-guide/{each.plural}.md" for each in FAMILIES if each.name == family), "plugin-guide/")
    found = [
        (not page.startswith(guide), -_weight(cls, hook), Example(page, heading, cls.name, cls.hooks[hook]))
        for page, heading, cls in _written()
        if hook in cls.hooks and family in ("", cls.family)
    ]
    return [example for *_, example in sorted(found, key=lambda each: each[:2])]


def tests(family: str, hook: str) -> list[str]:
    """Return the test files that exercise a hook, first those that have most of its specification in them."""
    found: dict[str, int] = {}
    for path, classes in _tried().items():
        for cls in classes:
            if hook in cls.hooks and family in ("", cls.family):
                found[path] = max(found.get(path, 0), _weight(cls, hook))
    for listed in first_party():
        cls = _shipped(listed)
        if hook in cls.hooks and family in ("", cls.family):
            for path in _beside(listed):
                if _calls((ROOT / path).read_text(encoding="utf-8"), cls.family, hook):
                    found[path] = max(found.get(path, 0), _weight(cls, hook))
    return sorted(found, key=lambda path: (-found[path], path))


def _weight(cls: Class, hook: str) -> int:
    return sum((name in LIFECYCLE) == (hook in LIFECYCLE) for name in cls.hooks)


def _calls(text: str, family: str, hook: str) -> bool:
    """Whether the test beside a plugin gets a hook of it called. No document names a source, so `running` has none."""
    if re.search(rf"\.{hook}\b", text):
        return True
    if family == "command":
        return "invoke(" in text
    if "running(" in text:
        return family != "source"
    return "through(" in text and family == "interceptor" and hook not in LIFECYCLE


@cache
def _shipped(listed: Listed) -> Class:
    plugin: Any = listed.plugin
    spec = next(each.spec for each in FAMILIES if each.name == listed.family)
    return Class(plugin.__name__, listed.family, dict.fromkeys(hooks_of(plugin, spec), ""))


def _beside(listed: Listed) -> list[str]:
    """Return the test files of the distribution a plugin comes in; it may hold plugins of several families."""
    package = str(listed.plugin.__module__).partition(".")[0]
    found = [*ROOT.glob(f"plugins/*/*/{package}"), *ROOT.glob(f"contrib/*/{package}")]
    return [str(path.relative_to(ROOT)) for folder in found for path in sorted(folder.parent.glob("**/test_*.py"))]


@cache
def _written() -> list[tuple[str, str, Class]]:
    """Return the plugin classes on the pages, each with its page and the heading it stands under."""
    found = []
    for path in [*sorted(DOCS.glob("plugin-guide/*.md")), *sorted(DOCS.glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        bare = FENCED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)  # a comment of Python is no heading
        for block in BLOCK.finditer(text):
            headings = HEADING.findall(bare, 0, block.start())
            place = path.relative_to(DOCS).as_posix(), headings[-1] if headings else ""
            found.extend((*place, cls) for cls in _classes(block["code"]))
    return found


@cache
def _tried() -> dict[str, list[Class]]:
    """Return the plugin classes in test files, by file."""
    paths = [path for folder in ("tests", "plugins", "contrib") for path in sorted(ROOT.glob(f"{folder}/**/test_*.py"))]
    return {str(path.relative_to(ROOT)): list(_all_classes(path.read_text(encoding="utf-8"))) for path in paths}


def _all_classes(text: str) -> Iterator[Class]:
    yield from _classes(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "@hookimpl" in node.value:
            yield from _classes(textwrap.dedent(node.value))


def _classes(text: str) -> Iterator[Class]:
    """Walk over the plugin classes in a module, those that inherit from another one of it included."""
    if "@hookimpl" not in text:
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a string with something else in it
        return
    families: dict[str, str] = dict(BASES)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        family = next((families[name] for name in map(_named, node.bases) if name in families), None)
        if family is None:
            continue
        families[node.name] = family
        yield Class(node.name, family, {name: code for name, code in _hooks(node, text) if name in HOOKS[family]})


def _named(base: ast.expr) -> str:
    base = base.value if isinstance(base, ast.Subscript) else base
    return base.id if isinstance(base, ast.Name) else ""


def _hooks(node: ast.ClassDef, text: str) -> Iterator[tuple[str, str]]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            isinstance(mark, ast.Name) and mark.id == "hookimpl" for mark in method.decorator_list
        ):
            if all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in method.body):
                continue  # a docstring or an ellipsis: nothing is exercised by calling it
            first = method.decorator_list[0].lineno - 1
            yield method.name, textwrap.dedent("\n".join(text.splitlines()[first : method.end_lineno]))
