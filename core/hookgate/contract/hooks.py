"""Which hooks a plugin class has, and whether it wrote them as the specifications want them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType, MappingProxyType, MethodType
from typing import Any

import pluggy

from hookgate.contract.hookspecs import PROJECT, LifecycleSpec
from hookgate.contract.plugin import Plugin
from hookgate.exchange.errors import near

_REORDERING = ("tryfirst", "trylast", "wrapper", "hookwrapper")
_FUNCTIONS = (FunctionType, MethodType, classmethod, staticmethod)


class HookError(TypeError):
    """A plugin class whose hooks cannot be used; the text names the class, the hook and what would be right."""


def hooks_of(cls: type[Plugin[Any]], spec: type) -> Mapping[str, bool]:
    """Return the hooks of a class, lifecycle included: name -> whether it is ``async def``.

    Hooks are called as ``plugin.hook(argument, …)`` in the order of the document, so arguments must be exactly those of
    the specification, and nothing may ask for another order.

    Raises:
        HookError: a hook or argument that the specification does not have, an ``async def`` where nothing may wait, an
            option that would reorder the flow, a hook without ``@hookimpl``, or no hook at all.
    """
    return _inspected(cls, spec)  # type: ignore[arg-type]  # mypy takes the class for one of its instances


@lru_cache(maxsize=4096)
def _inspected(cls: Any, spec: Any) -> Mapping[str, bool]:
    manager = _manager(spec)
    specs = {hook.name: hook.spec.function for hook in vars(manager.hook).values() if hook.spec is not None}
    bare = cls.__new__(cls)  # constructing would need options; pluggy looks at attributes only
    found: dict[str, bool] = {}
    functions = {name for each in cls.__mro__ for name, value in vars(each).items() if isinstance(value, _FUNCTIONS)}
    for name in sorted(functions | (specs.keys() & dir(bare))):  # nothing else can be a hook, and each takes long
        options = manager.parse_hookimpl_opts(bare, name)
        if options is not None:
            _check_options(cls, name, options)
            if name not in specs:
                raise HookError(f"{cls.__name__}.{name} is not a hook of this family{near(name, specs, listed=False)}")
            found[name] = _check_function(cls, name, getattr(bare, name), specs[name])
        elif name in specs and inspect.isroutine(inspect.getattr_static(bare, name)):
            raise HookError(f"{cls.__name__}.{name} has the name of a hook; put @hookimpl above it or rename it")
    if not found and not getattr(spec, "passive", False):
        raise HookError(f"{cls.__name__} has no hook; write one of {', '.join(specs)} under @hookimpl")
    return MappingProxyType({name: found[name] for name in specs if name in found})


@lru_cache
def _manager(spec: Any) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    manager.add_hookspecs(LifecycleSpec)
    return manager


def _check_options(cls: type, name: str, options: Mapping[str, Any]) -> None:
    for option in _REORDERING:
        if options.get(option):
            raise HookError(
                f"{cls.__name__}.{name} asks for {option}, which is refused: the order is what the deployer wrote"
            )
    if options.get("specname") not in (None, name):
        raise HookError(f"{cls.__name__}.{name} names its hook with specname; call the method {options['specname']}")


def _check_function(cls: type, name: str, function: Any, spec: Any) -> bool:
    """Compare one hook with its specification; return whether it is ``async def``."""
    wanted = [argument for argument in inspect.signature(spec).parameters if argument != "self"]
    given = list(inspect.signature(function).parameters)
    if given != wanted:
        strange = next((argument for argument in given if argument not in wanted), "")
        raise HookError(
            f"{cls.__name__}.{name} takes ({', '.join(given) or 'nothing'}); the hook is called with "
            f"({', '.join(wanted) or 'nothing'}){near(strange, wanted, listed=False)}"
        )
    gives_several = str(inspect.signature(spec).return_annotation).startswith("Iterable")
    if inspect.isasyncgenfunction(function) or (inspect.isgeneratorfunction(function) and not gives_several):
        raise HookError(f"{cls.__name__}.{name} has a yield in it; a hook returns its result")
    is_async = inspect.iscoroutinefunction(function)
    if is_async and not inspect.iscoroutinefunction(spec):
        raise HookError(
            f"{cls.__name__}.{name} is async def, but runs where nothing may wait: write def, "
            "and hand slow work to a task that startup began"
        )
    return is_async
