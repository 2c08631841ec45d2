"""Answer with examples in place of the backend."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from hookgate import BadRequest, Duration, Exchange, Fault, Headers, Interceptor, Options, Response, hookimpl
from hookgate_interceptor_mock.contract import Contract, followed
from hookgate_interceptor_mock.generating import Generator
from hookgate_interceptor_mock.preferring import chosen, preferences

__all__ = ["Mock", "MockOptions"]

_WITHOUT_BODY = frozenset({204, 205, 304})
_NOT_YOURS = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-type"}
)


class NotAcceptable(Fault):
    """406: there is no example of a kind that the client takes."""

    status = 406
    default_reason = "not-acceptable"


class MockOptions(Options):
    """Options of `mock`. Answers are written here, or stand in `file`."""

    file: Contract | None = None
    """An OpenAPI 3.1 contract, JSON or YAML, as `hookgate openapi import` writes it. Read again when it has changed and
    the document is loaded again."""
    operation: str = ""
    """The operation of the contract that is answered, such as `GET /pets/{id}`."""
    responses: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Answers by status, as OpenAPI 3.1 writes them: `{"200": {content: {application/json: {example: …}}}}`."""
    status: int | None = Field(default=None, ge=200, le=599)
    """The answer that is given unasked; otherwise the lowest status of 200 to 299, else the first."""
    delay: Duration = Field(default=0.0, ge=0, le=25)
    """Seconds until the answer is given."""

    @model_validator(mode="after")
    def _complete(self) -> "MockOptions":
        if bool(self.operation) != (self.file is not None):
            raise ValueError("file and operation go together; write both, or responses")
        if self.operation and self.responses:
            raise ValueError("the answers of the operation stand in the file; leave out responses")
        if not self.operation and not self.responses:
            raise ValueError("there is nothing to answer; write file and operation, or responses")
        answers = self.answers()
        for status in answers:
            if _code(status) is None:
                raise ValueError(f"responses: {status!r} is no status; write 200, 4XX or default")
        if self.status is not None and _key(self.status, answers) is None:
            raise ValueError(f"status: there is no answer {self.status}; there is: {', '.join(answers) or 'none'}")
        return self

    def answers(self) -> Mapping[str, Any]:
        """Return the answers by status, from wherever they are.

        Raises:
            ValueError: there is no such operation.
        """
        said = self.responses if self.file is None else self.file.responses(self.operation)
        return {str(status): answer for status, answer in said.items()}


class Mock(Interceptor[MockOptions]):
    """Answers each call with an example of its operation; nothing further right is called.

    A client chooses with `Prefer` (RFC 7240): `status=404` (or `code=404`) for another answer, `example=NAME` for one
    of several examples; the answer tells with `Preference-Applied` what was kept. `Accept` chooses the content type.
    Where nobody has written an example one is made of the schema: always the same one.
    """

    category = "mediation"
    sides = {"request"}
    writes = {"response.status", "response.headers", "response.body"}

    def __init__(self, options: MockOptions) -> None:
        super().__init__(options)
        self._whole: Any = None if options.file is None else options.file.value
        self._answers = options.answers()
        self._generator = Generator(self._whole)
        self._examples: dict[int, tuple[Any, Any]] = {}
        """What was made, by the identity of the schema, which is kept beside it."""

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Answer with the example that the client prefers.

        Raises:
            BadRequest: it asks for a status or an example that is not there.
            NotAcceptable: it takes none of the content types.
        """
        headers = exchange.request.headers
        wanted = preferences(headers.getall("prefer"))
        applied: list[str] = []
        status, answer = self._chosen(wanted, applied)
        fields, body = self._headers(answer), b""
        content = answer.get("content")
        if isinstance(content, Mapping) and content and status not in _WITHOUT_BODY:
            found = chosen(headers.getall("accept"), list(content))
            if found is None:
                raise NotAcceptable(f"The answer is there as {', '.join(content)}.")
            media, kind = found
            body = _text(self._value(content[media], wanted, applied), kind)
            fields.set("content-type", kind)
            fields.add("vary", "Accept, Prefer")
        elif "example" in wanted:
            raise BadRequest("The answer has no body, so it has no examples.", reason="no-such-example")
        if applied:
            fields.add("preference-applied", ", ".join(applied))
        if self.options.delay:
            await asyncio.sleep(self.options.delay)
        return Response(status, fields, body)

    def _chosen(self, wanted: Mapping[str, str], applied: list[str]) -> tuple[int, Mapping[str, Any]]:
        name = "status" if "status" in wanted else "code"
        status = self.options.status
        if name in wanted:
            asked = wanted[name]
            if not (
                asked.isascii() and asked.isdigit() and len(asked) == 3 and _key(int(asked), self._answers) is not None
            ):
                there = ", ".join(self._answers) or "none"
                raise BadRequest(f"There is no answer of that status; there is: {there}.", reason="no-such-example")
            status = int(asked)
            applied.append(f"{name}={asked}")
        if status is None:
            status = self._usual()
        answer = followed(self._answers.get(_key(status, self._answers) or ""), self._whole)
        return status, answer if isinstance(answer, Mapping) else {}

    def _usual(self) -> int:
        codes = sorted(code for key in self._answers if key != "default" and (code := _code(key)) is not None)
        codes = [code for code in codes if code >= 200]
        if codes and codes[0] <= 299:
            return codes[0]
        return 200 if "default" in self._answers or not codes else codes[0]

    def _headers(self, answer: Mapping[str, Any]) -> Headers:
        found = Headers()
        said = answer.get("headers")
        for name, each in said.items() if isinstance(said, Mapping) else ():
            if name.lower() in _NOT_YOURS or name.lower().startswith("proxy-"):
                continue
            header = followed(each, self._whole)
            header = header if isinstance(header, Mapping) else {"example": header}
            value = header["example"] if "example" in header else self._made(header.get("schema"))
            text = value if isinstance(value, str) else json.dumps(value)
            try:
                found.set(name, text)
            except ValueError:
                continue  # an example that is no header value
        return found

    def _value(self, content: Any, wanted: Mapping[str, str], applied: list[str]) -> Any:
        content = followed(content, self._whole)
        content = content if isinstance(content, Mapping) else {}
        examples = content.get("examples")
        examples = examples if isinstance(examples, Mapping) else {}
        if "example" in wanted:
            name = wanted["example"]
            if name not in examples:
                there = ", ".join(examples) or "none"
                raise BadRequest(f"There is no example of that name; there is: {there}.", reason="no-such-example")
            applied.append(f"example={name}" if name.isascii() and name.replace("-", "").isalnum() else "example")
            return self._example(examples[name])
        if "example" in content:
            return content["example"]
        for each in examples.values():
            return self._example(each)
        return self._made(content.get("schema"))

    def _example(self, value: Any) -> Any:
        value = followed(value, self._whole)
        if isinstance(value, Mapping):
            for word in ("value", "dataValue"):
                if word in value:
                    return value[word]
        return None

    def _made(self, schema: Any) -> Any:
        """Make an example once: always the same one."""
        key = id(schema)
        if key not in self._examples:
            self._examples[key] = schema, self._generator.example(schema)
        return self._examples[key][1]


def _key(status: int, answers: Mapping[str, Any]) -> str | None:
    """Find what is said of a status, if anything."""
    for key in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
        if key in answers and 200 <= status <= 599:
            return key
    return None


def _code(key: str) -> int | None:
    if key == "default":
        return 200
    if len(key) == 3 and key[0] in "12345" and (key[1:].isdigit() or key[1:].upper() == "XX"):
        return int(key[0]) * 100 + (0 if key[1:].upper() == "XX" else int(key[1:]))
    return None


def _text(value: Any, media: str) -> bytes:
    """Write a value as a body: JSON for JSON, and a text as it is for everything else."""
    kind = media.partition(";")[0].strip().lower()
    if isinstance(value, str) and not kind.endswith(("/json", "+json")):
        return value.encode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
