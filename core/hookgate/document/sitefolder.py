"""Plugins of one site: classes in the ``*.py`` files of a folder, without packaging.

Each file is a module of its own under a private name. The name holds a digest of the text, so a file that did not
change gives the very same classes after a reload, and their instances are kept.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hookgate.contract.plugin import Plugin

SITE_PREFIX = "_hookgate_site_"
"""How the names of modules begin that come from a site's folder; what follows tells folders apart."""


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin in the folder."""

    family: str
    name: str
    file: str
    plugin: type[Plugin[Any]]


def read_folder(folder: Path, bases: Mapping[type, str]) -> tuple[list[Found], dict[str, str]]:
    """Import every ``*.py`` in a folder, except those whose name begins with ``_``.

    Return the plugins they define, each under its class name in kebab-case, and the files that cannot be imported, with
    the reason. ``bases`` gives the name of a family by its base class.

    Raises:
        LookupError: there is no such folder.
    """
    if not folder.is_dir():
        raise LookupError(f"there is no folder {folder} to take plugins from")
    found: list[Found] = []
    broken: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        try:
            module = _module(path)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the file of a site may raise anything
            broken[str(path)] = f"{type(error).__name__}: {error}"
            continue
        for name, plugin in vars(module).items():
            if isinstance(plugin, type) and issubclass(plugin, Plugin) and plugin.__module__ == module.__name__:
                family = next((bases[base] for base in plugin.__mro__ if base in bases), None)
                if family is not None and name == plugin.__name__ and not name.startswith("_"):
                    found.append(Found(family, kebab(name), str(path), plugin))
    return found, broken


def kebab(name: str) -> str:
    """Write ``IpAllow`` as ``ip-allow`` and ``HTTPCheck`` as ``http-check``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _module(path: Path) -> ModuleType:
    source = path.read_bytes()
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + source).hexdigest()[:16]
    name = f"{SITE_PREFIX}{digest}.{path.stem}"
    known = sys.modules.get(name)
    if known is not None:
        return known
    module = ModuleType(name)
    module.__file__ = str(path)
    # Descriptions of options are read from the source text, and both of these may still speak of an earlier version.
    linecache.checkcache(str(path))
    for known_as in (os.path.abspath(path), os.path.realpath(path)):  # noqa: PTH100 - the spelling that inspect uses
        inspect.modulesbyfile.pop(known_as, None)
    sys.modules[name] = module  # pydantic looks names up there while classes are made
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - what importing does, without a cache
    except BaseException:
        del sys.modules[name]
        raise
    return module
