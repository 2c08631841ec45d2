"""Plugins outside of any document."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError

from hookgate.contract.hooks import hooks_of
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Item, Section
from hookgate.document.building import Builder
from hookgate.document.catalogue import Catalogue
from hookgate.document.inside import out_of_place, plugins_in
from hookgate.document.validation import flattened
from hookgate.exchange.errors import ConfigError

PluginT = TypeVar("PluginT", bound=Plugin[Any])


@lru_cache(maxsize=1)
def _installed() -> Catalogue:
    return Catalogue()


def construct(plugin: type[PluginT], options: Mapping[str, Any]) -> PluginT:
    """Check the hooks of a class, validate options and construct.

    Raises:
        ConfigError: every mistake in the options.
        HookError: the hooks are not as their family wants them.
    """
    catalogue = _installed()
    hooks_of(plugin, catalogue.family(plugin.family).spec)
    try:
        checked = plugin.options_type.model_validate(dict(options), context={"builder": Builder(catalogue)})
    except ValidationError as error:
        raise ConfigError(flattened(error, plugin.options_type, options, ())) from None
    problems = list(out_of_place(plugins_in(checked, options, ())))
    if problems:
        raise ConfigError(problems)
    if issubclass(plugin, Section):
        return plugin((Item("", checked, (), dict(options)),))
    return plugin(checked)
