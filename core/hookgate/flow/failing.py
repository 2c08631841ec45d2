"""What is made of a failure: a fault with a name, and a line of the log for who wrote the plugin."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import Any

from hookgate.exchange import streams, waiting
from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.streams import Owner
from hookgate.flow.step import Step

log = logging.getLogger("hookgate.flow")

_HERE = str(PurePath(__file__).parent)
_OURS = frozenset(filter(None, (streams.__file__, waiting.__file__)))


def named(step: Step, hook: str, error: BaseException) -> BaseException:
    """Return what is to be raised for what a hook has raised. A fault stays what it is, and so does a cancellation."""
    if isinstance(error, Fault):
        error.raised_by = (step.id, hook)
    elif isinstance(error, Exception | SystemExit):
        failure = Owner(step.id, hook).failed(error)
        failure.__cause__ = error
        return failure
    return error


def as_fault(error: BaseException) -> Fault:
    """Make any failure a fault; what a stranger must not read goes to the log, with the author's own frames only."""
    if isinstance(error, PluginError):
        cause = error.__cause__
        log.error(
            "plugin %s failed in %s: %s",
            error.plugin or "?",
            error.hook or "?",
            error.detail,
            exc_info=(type(cause), cause, _authors_frames(cause)) if cause is not None else None,
        )
        return error
    if isinstance(error, Fault):
        return error
    log.error("the gateway failed while it handled a call", exc_info=error)
    return PluginError(str(error))


def _authors_frames(error: BaseException) -> Any:
    """Leave out the frames of the walk, so that a plugin's author sees only their own."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        place = traceback.tb_frame.f_code.co_filename
        if place not in _OURS and str(PurePath(place).parent) != _HERE:
            break
        traceback = traceback.tb_next
    return traceback
