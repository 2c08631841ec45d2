"""The source of a plugin as text: where its classes and methods stand, and which of them have no docstring."""

from __future__ import annotations

import ast
from pathlib import Path

from hookgate_authoring.findings import Finding


class Source:
    """The Python files of a package."""

    def __init__(self, package: Path) -> None:
        self.findings: list[Finding] = []
        self.readable = True
        """Whether all of it is Python, so that importing it can tell more."""
        self._first = package / "__init__.py"
        self._places: dict[str, tuple[Path, int]] = {}
        for file in sorted(package.rglob("*.py")):
            try:
                tree = ast.parse(file.read_bytes(), str(file))
            except (SyntaxError, ValueError) as error:
                self.readable = False
                line = getattr(error, "lineno", None) or 1
                self.findings.append(Finding(file, line, f"is not Python: {getattr(error, 'msg', error)}"))
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._look_at(file, node, public=node in tree.body and not node.name.startswith("_"))

    def place(self, cls: str, member: str = "") -> tuple[Path, int]:
        """Return file and line of a class, or of what it has under a name."""
        return self._places.get(f"{cls}.{member}") or self._places.get(cls) or (self._first, 1)

    def _look_at(self, file: Path, cls: ast.ClassDef, *, public: bool) -> None:
        self._places.setdefault(cls.name, (file, cls.lineno))
        if public and not ast.get_docstring(cls):
            message = f"the class {cls.name} has no docstring; say in it what the class is for"
            self.findings.append(Finding(file, cls.lineno, message))
        for node in cls.body:
            for name in _names(node):
                self._places.setdefault(f"{cls.name}.{name}", (file, node.lineno))
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and _is_hook(node)
                and not ast.get_docstring(node)
            ):
                message = f"the hook {cls.name}.{node.name} has no docstring; say what it does and raises"
                self.findings.append(Finding(file, node.lineno, message))


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _is_hook(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name | ast.Attribute) and ast.unparse(called).rpartition(".")[2] == "hookimpl":
            return True
    return False
