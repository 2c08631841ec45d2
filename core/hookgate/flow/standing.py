"""What a hook leaves behind: whether the house can go on with that and, if not, what stood there before.

Messages guard themselves (``exchange/messages.py``). What is left are the places of an exchange. The walk compares them
after each hook, and asks here only where something else stands in one of them, or a body has got something new.
"""

from __future__ import annotations

from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.exchange import Exchange, Identity
from hookgate.exchange.messages import KINDS, Request, Response
from hookgate.exchange.streams import Owner
from hookgate.flow.step import Step


def mended(exchange: Exchange, request: Request, identity: Identity | None, response: Response | None = None) -> str:
    """Put back what nobody can go on with, and say what the first such thing was; empty for nothing.

    Without a response, there is none so far.
    """
    found = []
    if not isinstance(exchange.request, Request) or (exchange.request is not request and not _whole(exchange.request)):
        found.append(_said("request", exchange.request, "Request"))
        exchange.request = request
    if not isinstance(exchange.identity, Identity | None):
        found.append(_said("identity", exchange.identity, "Identity or None"))
        exchange.identity = identity
    if response is not None and (not isinstance(exchange.response, Response) or not _sendable(exchange.response)):
        found.append(_said("response", exchange.response, "Response"))
        exchange.response = response
    return found[0] if found else ""


def settle(
    exchange: Exchange,
    request: Request,
    identity: Identity | None,
    response: Response | None,
    step: Step,
    hook: str,
    timeout: float,
) -> None:
    """Look at what a hook has left, and note whose the streams are that it put there.

    Raises:
        PluginError: nobody can go on with that; it is as it was before.
    """
    owner = Owner(step.id, hook, timeout)
    if wrong := mended(exchange, request, identity, response):
        raise owner.failed(wrong)
    exchange.request.body.belongs_to(owner)
    if response is not None and exchange.response is not None:
        exchange.response.body.belongs_to(owner)


def _whole(request: Request) -> bool:
    """Whether a request that a hook has made can be sent."""
    return all(isinstance(getattr(request, name, None), kind) for name, kind in KINDS.items() if name != "status")


def _sendable(response: Response) -> bool:
    return 200 <= response.status <= 999 or (response.status == 101 and response.tunnel is not None)


def _said(what: str, value: object, wanted: str) -> str:
    if isinstance(value, Response):
        return f"left a Response with the status {value.status}, which is none of an answer"
    kind = "None" if value is None else f"a {type(value).__name__}"
    return f"left {kind} as exchange.{what}, where a {wanted} belongs"


def checked(value: object, step: Step, hook: str, timeout: float) -> Response:
    """Return the response that a hook gave, whose stream is its own.

    Raises:
        PluginError: it is none, or cannot be sent.
    """
    if not isinstance(value, Response):
        raise Owner(step.id, hook).failed(f"returned a {type(value).__name__} where a Response was expected")
    if not _sendable(value):
        raise Owner(step.id, hook).failed(f"returned a Response with the status {value.status}, which is no answer")
    if value.body.held is None:
        value.body.belongs_to(Owner(step.id, hook, timeout))
    return value


def told(fault: Fault) -> tuple[Fault, Response]:
    """Return a fault, and its problem details. One that cannot be told as it is, is the failure of who raised it."""
    try:
        response = Response.problem(fault)
        if not 300 <= fault.status <= 599:
            raise ValueError(f"its status is {fault.status}")
    except Exception as error:  # noqa: BLE001 - a header that would smuggle a line, or what is no text at all
        plugin, hook = fault.raised_by
        what = f"raised a {type(fault).__name__} that cannot be sent: {type(error).__name__}: {error}"
        fault = PluginError(what, plugin=plugin, hook=hook)
        fault.__cause__ = error
        response = Response.problem(fault)
    return fault, response
