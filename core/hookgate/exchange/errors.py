"""What can go wrong, in three kinds.

* A :class:`Fault` concerns one call. It is an HTTP status with a reason; the flow turns it into an answer.
* A :class:`ConfigError` concerns a document. It carries *every* problem found, each with its place.
* A :class:`MachineError` concerns this machine: a port in use, a folder that cannot be written.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import ClassVar

Path = tuple[str | int, ...]
"""Where something stands in a document: keys and indices from the top."""


class HookgateError(Exception):
    """Base of everything hookgate raises on purpose."""


class Fault(HookgateError):
    """A call that ends in an error answer.

    ``detail`` is for the client and therefore holds nothing that a stranger may not read. ``reason`` is a short
    machine-readable word (``"rate-limited"``), shown in logs, traces and the answer. ``headers`` go on the answer.
    Rendered as RFC 9457 ``application/problem+json`` unless an interceptor answers in ``on_fault``.
    """

    status: ClassVar[int] = 500
    default_reason: ClassVar[str] = "error"
    code: int | None = None
    """Its number in a table of codes, where whoever raises it has one; the answer tells it as ``code``."""
    raised_by: tuple[str, str] = ("", "")
    """Id of the step, and its hook; the flow fills it in."""
    spares_target = False
    """Whether the client or the gateway brought it about, so that it says nothing of the health of a target."""

    def __init__(
        self,
        detail: str = "",
        *,
        reason: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason or self.default_reason
        self.headers: tuple[tuple[str, str], ...] = tuple(headers.items() if isinstance(headers, Mapping) else headers)

    @property
    def title(self) -> str:
        """The phrase of the status, as RFC 9110 writes it."""
        return HTTPStatus(self.status).phrase


class BadRequest(Fault):
    """400: the request cannot be understood."""

    status = 400
    default_reason = "bad-request"


class RefusedEarly(Fault):
    """What a listener answers before there is a call: with a status of its own."""

    default_reason = "refused-early"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status  # type: ignore[misc]


class Unauthorized(Fault):
    """401: nobody we know; the answer carries ``WWW-Authenticate`` (RFC 9110, 11.6.1)."""

    status = 401
    default_reason = "unauthorized"


class Forbidden(Fault):
    """403: this caller may not do this."""

    status = 403
    default_reason = "forbidden"


class NotFound(Fault):
    """404: no route matches."""

    status = 404
    default_reason = "no-route"


class MethodNotAllowed(Fault):
    """405: the path exists, the method does not; the answer carries ``Allow``."""

    status = 405
    default_reason = "method-not-allowed"


class RequestTimeout(Fault):
    """408: the client took too long to send its request."""

    status = 408
    default_reason = "request-timeout"


class ContentTooLarge(Fault):
    """413: the body is longer than the limit in force."""

    status = 413
    default_reason = "content-too-large"


class UnprocessableContent(Fault):
    """422: understood, and refused for what it says."""

    status = 422
    default_reason = "unprocessable"


class TooManyRequests(Fault):
    """429: a limit is used up; the answer carries ``Retry-After``."""

    status = 429
    default_reason = "rate-limited"


class PluginError(Fault):
    """500: a plugin raised, or answered nonsense. The detail stays in the log and never reaches a client."""

    status = 500
    default_reason = "plugin-error"

    def __init__(self, detail: str = "", *, plugin: str = "", hook: str = "") -> None:
        super().__init__(detail)
        self.plugin = plugin
        self.hook = hook


class BadGateway(Fault):
    """502: the backend answered nonsense, broke off, or could not be reached."""

    status = 502
    default_reason = "bad-gateway"


class Unsendable(BadGateway):
    """502: what should go to a backend cannot, or is longer than we take of what it sent."""

    spares_target = True


class ConnectFailed(BadGateway):
    """502: no connection came about, so nothing was done: the only failure that is retried unasked (AC-7)."""

    default_reason = "connect-failed"
    may_be_done = False
    """Whether it was sent all the same, so that a call that does harm twice is not sent again."""


class ServiceUnavailable(Fault):
    """503: no target may be called now, or the pool stayed full (AC-6, AC-14, AC-27)."""

    status = 503
    default_reason = "unavailable"


class GatewayTimeout(Fault):
    """504: the backend did not answer in time."""

    status = 504
    default_reason = "upstream-timeout"


class LoopDetected(Fault):
    """508: the gateway called itself too often for one call."""

    status = 508
    default_reason = "loop-detected"


class MachineError(HookgateError):
    """This machine refuses something hookgate needs; exit code 3."""


def outside(error: BaseException | None) -> bool:
    """Whether an error came about outside the document: a file that cannot be opened, a server that does not answer, a
    port in use. The same document may be good later.
    """
    while error is not None:
        if isinstance(error, MachineError | BadGateway | ServiceUnavailable | GatewayTimeout):
            return True
        if isinstance(error, OSError) and type(error).__module__ != "ssl":  # what OpenSSL says is about what it read
            return True
        error = error.__cause__ or error.__context__
    return False


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a document: where it is, what is wrong and what would be right."""

    path: Path
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    at_key: bool = False
    """The key itself is the mistake (an unknown option), not its value."""
    outside: bool = False
    """It is none of the document: something it names cannot be had now."""
    whole: bool = False
    """It came of all that stands there together."""

    def under(self, prefix: Path) -> "Problem":
        """The same problem seen from further up in the document."""
        return replace(self, path=prefix + self.path)

    def __str__(self) -> str:
        """``file:line:column: path: message``, leaving out what is not known."""
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        return ": ".join(part for part in (place, dotted(self.path), self.message) if part)


class ConfigError(HookgateError):
    """A document that cannot be used, with all that is wrong; exit code 2, or 3 if all of it is ``outside``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        self.outside = bool(self.problems) and all(problem.outside for problem in self.problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """Write a path as people do: ``routes[0].flow[1].ip-filter``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def near(word: str, known: Iterable[str], *, listed: bool = True) -> str:
    """Return the end of a message about an unknown word: the likely one or, if they are to be ``listed``, what there
    is."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(known)}" if known and listed else ""
