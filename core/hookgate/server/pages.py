"""Quart for the pages of apps: one that fails is named, and leaves the others alone."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from quart import Blueprint, Quart, has_request_context, request
from quart import Response as Answer

from hookgate.contract.families import App
from hookgate.exchange.errors import Fault, PluginError, Problem
from hookgate.exchange.messages import Response as ResponseOf
from hookgate.gateway.generation import Generation

log = logging.getLogger("hookgate.pages")


class Pages(Quart):
    """A Quart app with the pages of apps."""

    def __init__(self, name: str, *, answers_faults: bool = True) -> None:
        super().__init__(name)
        if answers_faults:  # behind a flow they are the flow's
            self.register_error_handler(Fault, _answered)
        self._owners: dict[str, str] = {}
        """Ids of apps, by the name of their blueprint."""

    def place(self, plugin: App[Any], generation: Generation, prefix: str) -> list[Problem]:
        """Ask an app for its pages and put them under a prefix; return what is wrong with it."""
        config = generation.config
        place = config.placed.get(plugin.entry.id, (plugin.entry.id,))
        try:
            blueprint = blueprint_of(plugin, generation.house.hosting.host_of(plugin))
            if (owner := self._owners.get(blueprint.name)) is not None:
                raise PluginError(f"its pages are called {blueprint.name!r}, as those of {owner} are")
            self.register_blueprint(blueprint, url_prefix=prefix)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes a problem
            what = error.detail if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            if not isinstance(error, PluginError) or error.__cause__ is not None:
                trace = config.hide("".join(traceback.format_exception(error)))
                log.error("%s failed in blueprint\n%s", plugin.entry.id, trace)  # noqa: TRY400 - secrets are hidden
            return [Problem(place, config.hide(f"{plugin.entry.id} cannot be shown: {what}"))]
        self._owners[blueprint.name] = plugin.entry.id
        return []

    async def dispatch_request(self, request_context: Any = None) -> Any:
        """Ask a view. One that calls ``sys.exit`` would end the process."""
        try:
            return await super().dispatch_request(request_context)
        except SystemExit as error:
            raise RuntimeError(f"called sys.exit({error.code!r})") from error

    async def dispatch_websocket(self, websocket_context: Any = None) -> Any:
        """Ask a view of a WebSocket."""
        try:
            return await super().dispatch_websocket(websocket_context)
        except SystemExit as error:
            raise RuntimeError(f"called sys.exit({error.code!r})") from error

    def log_exception(self, exception_info: Any) -> None:
        """Name the app whose view failed."""
        name, path = "", ""
        if has_request_context():
            name, path = (request.blueprint or "").partition(".")[0], request.path
        log.error("%s failed to show %s", self._owners.get(name, "an app"), path, exc_info=exception_info)


async def _answered(fault: Fault) -> Answer:
    problem = ResponseOf.problem(fault)
    return Answer(problem.body.data, problem.status, dict(problem.headers.items()))


def blueprint_of(plugin: App[Any], host: Any) -> Blueprint:
    """Ask an app for its pages.

    Raises:
        PluginError: it fails, or gives something else.
    """
    try:
        blueprint = plugin.blueprint(host)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{type(error).__name__}: {error}", plugin=plugin.entry.id, hook="blueprint") from error
    if not isinstance(blueprint, Blueprint):
        what = f"gave a {type(blueprint).__name__} where a quart.Blueprint should be"
        raise PluginError(what, plugin=plugin.entry.id, hook="blueprint")
    return blueprint
