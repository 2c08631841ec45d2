"""Check requests and answers against JSON Schema."""

import json
from collections.abc import Iterator
from typing import Any

from hookgate import (
    BadGateway,
    BadRequest,
    ContentTooLarge,
    Exchange,
    Fault,
    Host,
    Interceptor,
    Response,
    UnprocessableContent,
    hookimpl,
)
from hookgate_interceptor_schema.bodies import Bodies, Media, TooLong, Unknown, Unreadable, kind_of, read
from hookgate_interceptor_schema.checking import Check, Mistake
from hookgate_interceptor_schema.options import SchemaOptions
from hookgate_interceptor_schema.parameters import Read, received, values_of
from hookgate_interceptor_schema.settling import holds

__all__ = ["Schema", "SchemaOptions"]

_LONGEST = 100
"""Characters of a name that are told."""


class UnsupportedMediaType(Fault):
    """415: a body of a kind that is not taken here."""

    status = 415
    default_reason = "unsupported-media-type"


class Schema(Interceptor[SchemaOptions]):
    """Refuses requests that are not as a JSON Schema (drafts 7 and 2020-12) says, and answers that are not.

    A refusal is problem details (RFC 9457) whose `errors` say of each mistake where it is (`in`, with the `name` of a
    parameter or the `pointer` into a body) and what would be right, never what was sent. A schema is written in the
    document, or stands in a file, which may be the contract that `hookgate openapi import` writes. Nothing is ever
    fetched: a schema that refers to another host is refused at load.

    A body is held whole where there is a schema for it, and only there. Content codings gzip and deflate are unpacked
    to look at what is inside.
    """

    category = "security"
    reads: frozenset[str] | set[str] = frozenset({"request.body", "response.body"})
    writes = {"response.status", "response.headers", "response.body"}

    def __init__(self, options: SchemaOptions) -> None:
        super().__init__(options)
        self._plan = plan = options.plan()
        looks = {
            "request.body": plan.request is not None and plan.request.looks,
            "response.body": any(bodies.looks for bodies in plan.responses.values()),
        }
        self.reads = frozenset(name for name, wanted in looks.items() if wanted)
        self._log: Any = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the log that bad answers are written to."""
        self._log = host.log

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        """Check parameters and body; answer with problem details where they are not as the schemas say.

        Raises:
            BadRequest: the query is not UTF-8, or has too many parameters; or there are several content types.
            ContentTooLarge: the body is longer than `max_size`.
            UnsupportedMediaType: the body is of a kind that is not taken here.
        """
        found = [*self._wrong_inputs(exchange), *self._wrong_body(exchange)]
        if not found:
            return None
        exchange.note(f"{self.entry.id}: refused: {'; '.join(_line(*each) for each in found)}")
        return self._refusal(found[: self.options.max_errors])

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Check the body of the answer.

        Raises:
            BadGateway: it is not as its schema says, and `on_bad_response` does not let it through.
        """
        response = exchange.response
        if response is None or not self._plan.responses or exchange.request.method == "HEAD":
            return
        if self._is_ours(exchange):
            return
        bodies = self._plan.bodies_of(response.status)
        if bodies is None or not bodies.medias or response.status in (204, 205, 304):
            return
        reason = self._wrong_answer(response, bodies)
        if not reason:
            return
        exchange.note(f"{self.entry.id}: bad answer: {reason}")
        if self._log is not None:
            self._log.warning("%s: the answer to %s is not as it should be: %s", self.entry.id, exchange.route, reason)
        if self.options.on_bad_response == "refuse":
            raise BadGateway("The backend's answer is not as its contract says.", reason="response-invalid")

    def _is_ours(self, exchange: Exchange) -> bool:
        """Whether the gateway made the answer: of a refusal no contract speaks."""
        return exchange.fault is not None or exchange.answered_by == self.entry.id

    # --- requests ---------------------------------------------------------------------------------------------------

    def _wrong_inputs(self, exchange: Exchange) -> Iterator[tuple[str, Mistake]]:
        inputs = self._plan.inputs
        if inputs is None:
            return
        found = Read()
        for place, parameters in inputs.parameters.items():
            texts = received(place, exchange)
            others = inputs.others.get(place)
            found.value[place] = values_of(texts, parameters, others=others, into=found, path=(place,))
        for mistake in _wrong(inputs.check, found, self.options.max_errors):
            yield str(mistake.path[0]) if mistake.path else "request", Mistake(mistake.path[1:], mistake.detail)

    def _wrong_body(self, exchange: Exchange) -> Iterator[tuple[str, Mistake]]:
        bodies, request = self._plan.request, exchange.request
        if bodies is None or not bodies.medias:
            return
        if request.body.empty or (bodies.looks and not request.body.data):
            if self._plan.required:
                yield "body", Mistake((), "is required")
            return
        media = bodies.of(request.headers)
        if media is None:
            raise UnsupportedMediaType(f"A body here is one of: {bodies}.", headers={"Accept": str(bodies)})
        if media.check is None or not media.looks_into(kind_of(request.headers)):
            return
        try:
            found = read(media, request.body.data, request.headers, self.options.max_size)
        except TooLong:
            raise ContentTooLarge(f"A body here has at most {self.options.max_size} bytes, unpacked.") from None
        except Unknown:
            raise UnsupportedMediaType(
                "The content coding of the body is not known here.", headers={"Accept-Encoding": "gzip, deflate"}
            ) from None
        except Unreadable as error:
            yield "body", Mistake((), str(error))
            return
        for mistake in _wrong(media.check, found, self.options.max_errors):
            yield "body", mistake

    def _refusal(self, found: list[tuple[str, Mistake]]) -> Response:
        kind = UnprocessableContent if self.options.status == 422 else BadRequest
        answer = Response.problem(kind("The request is not as it should be.", reason="schema-mismatch"))
        document = json.loads(answer.body.data)
        document["errors"] = [_error(place, mistake) for place, mistake in found]
        return Response.json(document, answer.status, "application/problem+json")

    # --- answers ----------------------------------------------------------------------------------------------------

    def _wrong_answer(self, response: Response, bodies: Bodies) -> str:
        try:
            media: Media | None = bodies.of(response.headers)
        except BadRequest:
            return "it says more than one content type"
        if media is None:
            return f"its content type is none of {bodies}"
        kind = kind_of(response.headers)
        if media.check is None or not media.looks_into(kind) or not (kind or response.body.data):
            return ""
        try:
            found = read(media, response.body.data, response.headers, self.options.max_size)
        except TooLong:
            return f"it is longer than {self.options.max_size} bytes"
        except Unknown:
            return "its content coding is not known"
        except Unreadable as error:
            return f"it {error}"
        return "; ".join(_line("body", each) for each in _wrong(media.check, found, self.options.max_errors))


def _wrong(check: Check, found: Read, most: int) -> list[Mistake]:
    """Say what is wrong with what was read: with how it is written, or else with what it says."""
    if found.wrong:
        return found.wrong[:most]
    return [] if holds(check, found) else check.mistakes(found.value, most)


def _pointer(path: tuple[str | int, ...]) -> str:
    steps = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "#" + (steps if len(steps) <= 2 * _LONGEST else steps[: 2 * _LONGEST] + "…")


def _error(place: str, mistake: Mistake) -> dict[str, str]:
    """One of `errors`: the place in the words of RFC 9457, 3, and what would be right."""
    if place == "body":
        return {"in": place, "pointer": _pointer(mistake.path), "detail": mistake.detail}
    error = {"in": place}
    if mistake.path:
        error["name"] = str(mistake.path[0])[:_LONGEST]
    if len(mistake.path) > 1:
        error["pointer"] = _pointer(mistake.path[1:])
    return {**error, "detail": mistake.detail}


def _line(place: str, mistake: Mistake) -> str:
    return f"{place}{_pointer(mistake.path)[1:]} {mistake.detail}"
