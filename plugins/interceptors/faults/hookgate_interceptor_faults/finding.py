"""Which line of the table a fault is."""

from __future__ import annotations

from typing import NamedTuple

from hookgate import Fault, Request
from hookgate_interceptor_faults.table import REASONS, RUNTIME, STATUSES, TABLE, Style

NOTHING_SHOWN, ALL_WRONG = "missing-credentials", "wrong-credentials"
SUSPENDED = "x-hookgate-reason"
"""Header of faults that no target may be called."""
NO_RESOURCE = 900906


class Found(NamedTuple):
    """What is written of a fault."""

    code: int
    status: int
    message: str
    description: str
    style: Style


def found(fault: Fault, request: Request, no_resource: int) -> Found:
    """Look a fault up: by its own code, by its reason, or by its status. One that no code is for has its status."""
    code = fault.code if fault.code is not None else _code(fault, request)
    # What a fault of 500 says may be for the log only, as with problem details.
    said = fault.detail if fault.status != 500 else ""
    line = TABLE.get(code)
    if line is None:
        return Found(code, fault.status, fault.title, said or fault.title, RUNTIME)
    status = line.status or fault.status
    if code == NO_RESOURCE and no_resource == 404:
        status = fault.status
    return Found(code, status, line.message, said or line.description, line.style)


def _code(fault: Fault, request: Request) -> int:
    if fault.status == 401 and fault.reason in {NOTHING_SHOWN, ALL_WRONG}:
        return _unauthorized(fault, request)
    code = REASONS.get(fault.reason)
    if code is not None and (TABLE[code].status is not None or fault.status >= 500):
        return code  # those of transports are of backends, and some of these reasons are of clients, too
    if fault.status == 503 and any(name.lower() == SUSPENDED for name, _ in fault.headers):
        return 303001
    return STATUSES.get(fault.status, fault.status)


def _unauthorized(fault: Fault, request: Request) -> int:
    """Tell by the challenges which kinds of credentials were looked for, and by the request which was shown."""
    asked = {value.partition(" ")[0].lower() for name, value in fault.headers if name.lower() == "www-authenticate"}
    nothing = fault.reason == NOTHING_SHOWN
    if asked == {"clientcertificate"}:
        return 900911
    if asked == {"basic"}:
        return 900913 if nothing else 900914
    if asked == {"basic", "bearer"}:
        if nothing:
            return 900917
        shown = {line.partition(" ")[0].lower() for line in request.headers.getall("authorization")}
        if len(shown & asked) == 1:
            return 900915 if "basic" in shown else 900916
    if nothing:
        return 900902
    return 900912 if len(asked) > 1 else 900901
