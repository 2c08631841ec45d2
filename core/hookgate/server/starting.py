"""Making the gateway that a command, a server or the settings of the process ask for. Quart is not needed yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hookgate.document.building import Builder
from hookgate.document.catalogue import AmbiguousError, Catalogue
from hookgate.exchange.errors import ConfigError, Problem
from hookgate.gateway.gateway import Gateway
from hookgate.server.settings import Settings


def gateway_for(
    path: Path | None, plugins_dir: Path | None = None, source: str | None = None, options: str | None = None
) -> Gateway:
    """Make a gateway that reads its document by a source, the default one if none is named.

    ``options`` of the source are a JSON object; the path stands in them where the source has an option of that name.

    Raises:
        ConfigError: there is no such folder of plugins, or no source plugin that can be used so.
    """
    try:
        catalogue = Catalogue(plugins_dir)
        name = source or catalogue.default("source")
        if name is None:
            raise LookupError("no source is installed that reads files, so no document can be read")
        cls = catalogue.get("source", name)
    except AmbiguousError as error:
        why = str(error).partition("; name one")[0]
        raise ConfigError([Problem((), f"{why}; set HOOKGATE_SOURCE to the name of one")]) from error
    except LookupError as error:
        raise ConfigError([Problem((), str(error))]) from error
    given = _options(options)
    if path is not None and "path" in cls.options_type.model_fields:
        given = {"path": path, **given}
    elif path is not None:
        raise ConfigError([Problem((), f"the source {name!r} reads no file: leave out {path}")])
    problems: list[Problem] = []
    try:
        made = Builder(catalogue, problems=problems).place("source", {name: given}, ("source",), "source")
    except (Exception, SystemExit) as error:
        why = f"the source {name!r} cannot be made: {type(error).__name__}: {error}"
        raise ConfigError([Problem((), why)]) from error
    if made is None:
        raise ConfigError(problems or [Problem(("source",), "it cannot be disabled")])
    try:
        return Gateway(made, catalogue)
    except LookupError as error:  # a part of the house that is broken
        raise ConfigError([Problem((), str(error))]) from error


def _options(written: str | None) -> dict[str, Any]:
    try:
        given = json.loads(written or "{}")
    except ValueError as error:
        raise ConfigError([Problem(("HOOKGATE_SOURCE_OPTIONS",), f"is no JSON: {error}")]) from None
    if not isinstance(given, dict):
        raise ConfigError([Problem(("HOOKGATE_SOURCE_OPTIONS",), 'is no JSON object, such as {"prefix": "gateway/"}')])
    return given


def gateway_as_set(path: Path | None = None) -> Gateway:
    """Make the gateway that the settings of the process ask for; ``path`` is the document where they name none.

    Raises:
        LookupError: no document is named, and no source that needs none.
        ConfigError: as for :func:`gateway_for`.
    """
    settings = Settings()
    document = path or settings.config
    if document is None and settings.source is None:
        raise LookupError("name a document, or set HOOKGATE_CONFIG to one")
    return gateway_for(document, settings.plugins_dir, settings.source, settings.source_options)
