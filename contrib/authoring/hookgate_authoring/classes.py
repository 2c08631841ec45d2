"""The classes of a plugin, imported: whether they are what the loader and the documentation want them to be."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from hookgate import Family, Options, Plugin
from hookgate.contract import HookError, hooks_of
from hookgate_authoring.findings import Finding
from hookgate_authoring.names import camel, near
from hookgate_authoring.project import Project
from hookgate_authoring.source import Source

WORDS = frozenset(
    {
        "request.method",
        "request.path",
        "request.query",
        "request.headers",
        "request.body",
        "response.headers",
        "response.body",
        "response.status",
        "identity",
        "application",
        "variables",
        "cache",
        "limit",
        "network",
        "target",
        "answer",
    },
)
"""What ``reads`` and ``writes`` may name."""


def check_classes(project: Project, source: Source) -> list[Finding]:
    """Import the classes that the entry points of a project name, without installing it, and look at them."""
    found: list[Finding] = []
    checked: set[type] = set()
    for family, value, line in project.classes:
        module_name, _, class_name = value.partition(":")
        with _importable(project.folder, module_name.partition(".")[0]):
            try:
                module = importlib.import_module(module_name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
                file, at = _raised_in(error, project.folder) or (project.file, line)
                found.append(Finding(file, at, f"{module_name} cannot be imported: {type(error).__name__}: {error}"))
                continue
            cls = getattr(module, class_name, None)
            if not isinstance(cls, type):
                have = [name for name, each in vars(module).items() if _is_plugin(each, module_name)]
                which = f"; it has {', '.join(have)}" if have else ""
                found.append(Finding(project.file, line, f"{module_name} has no class {class_name}{which}"))
                continue
            found += _check_plugin(cls, family, source, module)
            found += _check_records(source, module_name, checked)
    return list(dict.fromkeys(found))


def _check_plugin(cls: Any, family: Family, source: Source, module: ModuleType) -> Iterator[Finding]:
    name = cls.__name__
    if not issubclass(cls, family.base):
        base = family.base.__name__
        record = {"section": f"{name}Item", "command": "Options"}.get(family.name, f"{name}Options")
        message = f"{name} does not inherit from {base}; class {name}({base}[{record}]) would be right"
        yield Finding(*source.place(name), message)
        return
    try:
        hooks_of(cls, family.spec)
    except HookError as error:
        hook = re.match(rf"{re.escape(name)}\.(\w+) ", str(error))
        yield Finding(*source.place(name, hook[1] if hook else ""), str(error))
    for kind in ("reads", "writes"):
        given = getattr(cls, kind)
        if isinstance(given, set | frozenset):
            for word in sorted(map(str, given - WORDS)):
                hint = near(word, WORDS) or f"; it may be {', '.join(sorted(WORDS))}"
                yield Finding(*source.place(name, kind), f"{name}.{kind} names {word!r}, which nobody knows{hint}")
        else:
            yield Finding(*source.place(name, kind), f'{name}.{kind} is no set; {kind} = {{"identity"}} would be right')
    yield from _check_options_type(cls, source, module)


def _check_options_type(cls: type[Plugin[Any]], source: Source, module: ModuleType) -> Iterator[Finding]:
    name, wanted = cls.__name__, f"{cls.__name__}Options"
    for base in getattr(cls, "__orig_bases__", ()):
        for argument in get_args(base):
            if isinstance(argument, type) and not issubclass(argument, Options):
                message = f"{argument.__name__} is no record of options; class {wanted}(Options) would be right"
                yield Finding(*source.place(argument.__name__), message)
                return
    options = cls.options_type
    if cls.family == "section":
        return  # its record is called after one item
    if cls.family == "command":
        if options is not Options:
            message = f"no document gives a command its options; class {name}(Command[Options]) would be right"
            yield Finding(*source.place(name), message)
        return
    plain = f"{name.removesuffix(camel(cls.family))}Options"
    if not options.__module__.startswith("hookgate.") and options.__name__ not in (wanted, plain):
        message = f"the options of {name} are called {options.__name__}; {wanted} would be right"
        yield Finding(*source.place(options.__name__), message)
    elif options.__name__ != wanted and hasattr(module, wanted):
        message = f"{name} does not name its options; {name}(…[{wanted}]) would be right"
        yield Finding(*source.place(name), message)


def _check_records(source: Source, module_name: str, checked: set[type]) -> Iterator[Finding]:
    """Look at every record of options that the package defines, nested ones too."""
    package = module_name.partition(".")[0]
    modules = [
        module for name, module in list(sys.modules.items()) if name == package or name.startswith(f"{package}.")
    ]
    for cls in [each for module in modules for each in vars(module).values()]:
        ours = isinstance(cls, type) and (cls.__module__ == package or cls.__module__.startswith(f"{package}."))
        if not ours or not issubclass(cls, Options) or cls in checked:
            continue
        checked.add(cls)
        if not cls.model_config.get("frozen") or cls.model_config.get("extra") != "forbid":
            message = f"{cls.__name__} undoes what Options sets; leave frozen=True and extra='forbid' as they are"
            yield Finding(*source.place(cls.__name__, "model_config"), message)
        for name, field in cls.model_fields.items():
            if name in cls.__annotations__ and not (field.description or "").strip():
                message = (
                    f"the option {name} has no docstring; put a string under it that says what it does, in which unit"
                )
                yield Finding(*source.place(cls.__name__, name), message)


def _is_plugin(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module


@contextmanager
def _importable(folder: Path, package: str) -> Iterator[None]:
    """Have a package imported from a folder, whatever is installed under its name; afterwards all is as it was."""
    folder = folder.resolve()
    before = {name: each for name, each in sys.modules.items() if name == package or name.startswith(f"{package}.")}
    known = before.get(package)
    foreign = known is not None and folder not in Path(str(known.__file__)).resolve().parents
    if foreign:
        _forget(package)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes
        if foreign or known is None:
            _forget(package)
            sys.modules.update(before)


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _raised_in(error: BaseException, folder: Path) -> tuple[Path, int] | None:
    """Return the last line of the project's own that an exception came through."""
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if file.is_relative_to(folder.resolve()) and frame.lineno is not None:
            place = folder / file.relative_to(folder.resolve()), frame.lineno
    return place
