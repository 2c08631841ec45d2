"""The conformance kit: one line of test that holds a plugin against the contract, on random calls.

::

    def test_conformance():
        conformance(IpFilter, options={"allow": ["10.0.0.0/8"]})

The calls are drawn by hypothesis, the same ones at every run. The rules stand in ``RULES``; all of them are checked
through the hooks, and none by reading the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hookgate import Plugin
from hookgate.document import Catalogue
from hookgate_authoring.conformance import bench, commands, families, interceptors, lifecycle, schema, sections
from hookgate_authoring.conformance.messages import calls, draw, words_of
from hookgate_authoring.conformance.report import RULES, Nonconforming, Report, Violation
from hookgate_authoring.conformance.watching import watched

__all__ = ["RULES", "Nonconforming", "Violation", "conformance"]


def conformance(
    plugin: type[Plugin[Any]],
    *,
    options: Mapping[str, Any] | None = None,
    examples: int = 25,
    except_rules: Mapping[str, str] | None = None,
    document: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Sequence[Sequence[Any]]] | None = None,
    item: str = "conformance",
) -> None:
    """Hold a plugin against the contract. Call it from a test that is not async.

    ``options`` are as in a document; of a section they are one item, called ``item``. Strings in them are mixed into
    the calls, so that the plugin is met. ``examples`` is the number of random calls. ``except_rules`` names rules that
    do not hold, each with the reason. ``document`` is what else the document says, for an item of a section that refers
    to something, and for a plugin that asks its host for a section.
    ``arguments`` says what hooks of a family of yours are called with, where the kit cannot tell from its
    specification: ``{"greet": [("Ann",), ("",)]}``.

    Raises:
        Nonconforming: rules are broken; all of them are listed.
        ConfigError: the options are not valid, or the document that a section is tried in.
        ValueError: ``except_rules`` names no rule or gives no reason.
        ImportError: hypothesis is not installed.
    """
    report = Report(except_rules or {})
    given = dict(options or {})
    drawn = draw(calls(tuple(dict.fromkeys(words_of(given)))), examples)
    family = Catalogue().family(plugin.family)
    schema.check(plugin, family, report)
    hooks = {name for name in vars(family.spec) if not name.startswith("_")}
    bench.House.document = {} if plugin.family == "section" else document or {}
    with watched(plugin, frozenset(hooks | {"startup", "shutdown", "take_over", "health"}), report):
        lifecycle.check(plugin, given, report)
        if plugin.family == "interceptor":
            interceptors.check(plugin, given, drawn, report)
        elif plugin.family == "section":
            sections.check(plugin, item, given, document or {}, report)
        elif plugin.family == "command":
            commands.check(plugin, report)
        families.check(family, plugin, given, drawn, arguments or {}, report)
        lifecycle.leaks(plugin, given, report)
    report.conclude(plugin.__name__)
