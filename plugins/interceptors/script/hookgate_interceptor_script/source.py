"""The file of a script: where it may be, and that it is Python."""

import ast
import hashlib
import os
import stat
from pathlib import Path
from types import CodeType

SETTING = "HOOKGATE_SCRIPTS"
"""The setting of the process that names the folder of scripts. A document cannot."""
LONGEST = 1024 * 1024
FUNCTIONS = ("on_request", "on_response", "on_fault")


class Source:
    """A script as it was read. Two are equal when their file and text are."""

    def __init__(self, path: Path, text: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256(text).hexdigest()
        self.code: CodeType = _compiled(path, text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Source {self.path}>"


def opened(name: str) -> Source:
    """Read a script from the folder that the process allows.

    Raises:
        ValueError: no folder is allowed, the file is not in it, anyone may write to it, or it is no script.
    """
    allowed = os.environ.get(SETTING, "")
    if not allowed:
        raise ValueError(
            f"scripts are not allowed here; who runs the gateway allows those of a folder with {SETTING}=/path/to/it"
        )
    folder = Path(allowed)
    try:
        folder = folder.resolve(strict=True)
        path = (folder / name).resolve(strict=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise ValueError(f"cannot read {name!r} in the folder that {SETTING} names: {reason}") from None
    if not path.is_relative_to(folder) or path.suffix != ".py":
        raise ValueError(f"{name!r} is no .py file in the folder that {SETTING} names")
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_mode & stat.S_IWOTH:
                raise ValueError(f"{name!r} can be written by anyone; take that right away (chmod o-w)")
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(f"cannot read {name!r}: {error.strerror}") from None
    if len(text) > LONGEST:
        raise ValueError(f"{name!r} is longer than {LONGEST:,} bytes")
    return Source(path, text)


def _compiled(path: Path, text: bytes) -> CodeType:
    try:
        tree = ast.parse(text, str(path))
        _check(tree, path)
        return compile(tree, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno or 0}:{error.offset or 0}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error) if isinstance(error, _Refused) else f"{path}: {error}") from None


class _Refused(ValueError):
    """A script that is Python, and none of ours."""


def _check(tree: ast.Module, path: Path) -> None:
    """See to it that there is a function to call, and that it takes the call."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names.add(node.name)
        takes = node.args
        positional = len(takes.posonlyargs) + len(takes.args)
        fits = positional - len(takes.defaults) <= 1 and (positional >= 1 or takes.vararg is not None)
        needs = any(default is None for default in takes.kw_defaults)
        if node.name in FUNCTIONS and not node.decorator_list and (not fits or needs):
            raise _Refused(f"{path}:{node.lineno}: {node.name} takes one argument, the exchange")
    if not names.intersection(FUNCTIONS):
        raise _Refused(f"{path}: there is none of the functions {', '.join(FUNCTIONS)}")
