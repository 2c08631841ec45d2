"""The page of hooks: what each means, who implements it, an example, and what tests it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from generating.evidence import examples, tests
from generating.markdown import prose
from generating.shipped import FAMILIES, place, specified, title, users
from hookgate.contract.hookspecs import LifecycleSpec


def hook_reference() -> str:
    """Tell every hook, family by family."""
    lines = ["## Lifecycle", "", *_hooks("", LifecycleSpec)]
    for family in FAMILIES:
        lines += [f"## {family.name}", "", *_hooks(family.name, family.spec)]
    return "\n".join(lines)


def _hooks(family: str, spec: type) -> Iterator[str]:
    yield from (prose(spec.__doc__), "")
    for each in FAMILIES:
        if each.name == family:
            guide = f"[how to write one](plugin-guide/{each.plural}.md)"
            yield from (f"Base class `hookgate.{each.base.__name__}`, entry-point group `{each.group}`; {guide}.", "")
    for name, hook in specified(spec).items():
        yield from (f"### `{signature(name, hook)}`", "", prose(hook.__doc__), "")
        found = ", ".join(f"[{title(each)}]({place(each)})" for each in users(family, name))
        yield from (f"Implemented by: {found or 'no plugin that ships yet'}.", "")
        yield from (f"Tested by: {_tested(family, name)}.", "")
        yield from (*_example(family, name), "")


def _tested(family: str, hook: str) -> str:
    """Name the two tests that say most: a list of all would be stale after every new test, and nobody would read it."""
    found = ", ".join(f"`{path}`" for path in tests(family, hook)[:2])
    return found or "the example below, and by no test file yet"


def _example(family: str, hook: str) -> Iterator[str]:
    found = examples(family, hook)
    if not found:
        yield "Example: none yet."
        return
    best = found[0]
    yield f"Example, from [{best.cls}]({best.page}#{best.anchor}):"
    yield from ("", "<!-- not run: it runs where it comes from -->", "```python", best.text, "```")


def signature(name: str, hook: Any) -> str:
    """Write a hook as the specification does, without ``self``."""
    found = inspect.signature(hook)
    arguments = ", ".join(f"{each}" for each in found.parameters.values() if each.name != "self").replace("'", "")
    says = "async def" if inspect.iscoroutinefunction(hook) else "def"
    return f"{says} {name}({arguments}) -> {str(found.return_annotation).strip(chr(39))}"
