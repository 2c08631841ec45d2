"""How modules of the data path are written, so that they stay fast, and can be compiled one day."""

import ast

import pytest

from .workspace import ROOT, under

DATA_PATH = ("exchange", "flow", "connections", "http", "gateway", "server")
MODULES = [path for package in DATA_PATH for path in under("core", "hookgate", package)]
MODULES += [path for part in ("bridge", "client", "metrics") for path in under("contrib", part, "hookgate")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(path.parts[-2:]))
def test_nothing_is_awaited_in_a_finally(path):
    """Say it in an `except BaseException:` that raises again, and after the `try`."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    found = [
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for last in node.finalbody
        for inner in ast.walk(last)
        if isinstance(inner, waits)
    ]

    assert not found


@pytest.mark.parametrize("top", ["core", "plugins", "contrib"])
def test_nothing_keeps_weak_references_to_calls_or_generations(top):
    found = [
        str(path)
        for path in under(top)
        if not path.name.startswith("test_")
        and any(
            f"Weak{kind}[{name}" in (ROOT / path).read_text(encoding="utf-8")
            for kind in ("Set", "KeyDictionary", "ValueDictionary")
            for name in ("Exchange", "Generation")
        )
    ]

    assert not found
