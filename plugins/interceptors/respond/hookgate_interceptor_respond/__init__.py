"""Answer with a fixed response instead of calling a backend."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from hookgate import Exchange, Headers, Interceptor, Options, Response, hookimpl

_WITHOUT_BODY = frozenset({204, 205, 304})
_NOT_YOURS = frozenset({"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding"})


def _headers(headers: dict[str, str]) -> dict[str, str]:
    Headers(headers)
    for name in headers:
        if name.lower() in _NOT_YOURS or name.lower().startswith("proxy-"):
            raise ValueError(f"leave out {name}: it is written by the gateway itself")
        if name.lower() == "content-type":
            raise ValueError("write the type of the body as content_type, beside headers")
    return headers


def _content_type(value: str) -> str:
    Headers({"content-type": value})
    return value


class RespondOptions(Options):
    """Options of `respond`."""

    # `json` is a method of pydantic's own, so the field has another name inside, which documents cannot use.
    model_config = ConfigDict(populate_by_name=False)

    status: int = Field(default=200, ge=200, le=599)
    """Status code, 200 to 599. 204, 205 and 304 have no body (RFC 9110)."""
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    """Headers of the answer, without `Content-Type` and those that frame a message. `Upgrade` is for status 426."""
    body: str | None = None
    """Text to answer with, sent as UTF-8. At most one of `body` and `json`."""
    json_value: Any = Field(default=None, alias="json")
    """Value to answer with, sent as JSON. A bare `null` is written as `body`."""
    content_type: Annotated[str, AfterValidator(_content_type)] | None = None
    """Type of the body; otherwise `text/plain; charset=utf-8` for `body`, and `application/json` for `json`."""

    @model_validator(mode="after")
    def _agree(self) -> "RespondOptions":
        has_body = self.body is not None or self.json_value is not None
        if self.body is not None and self.json_value is not None:
            raise ValueError("body and json are both there; keep one of them")
        if self.status in _WITHOUT_BODY and has_body:
            raise ValueError(f"an answer with status {self.status} has no body; leave out body and json")
        if self.status != 426 and any(name.lower() == "upgrade" for name in self.headers):
            raise ValueError("leave out Upgrade: only an answer with status 426 says which protocol it wants")
        if self.content_type is not None and not has_body:
            raise ValueError("content_type speaks of a body, and there is none; add body or json")
        return self


class Respond(Interceptor[RespondOptions]):
    """Answers each call itself, always alike; nothing further right is called.

    Good for a health page, a redirect (`status: 308`, `headers: {Location: …}`), a mock or an API that is closed.
    """

    category = "mediation"
    sides = {"request"}
    writes = {"response.status", "response.headers", "response.body", "answer"}

    def __init__(self, options: RespondOptions) -> None:
        super().__init__(options)
        self._headers = Headers(options.headers)
        self._body = b""
        if options.body is not None:
            self._body = options.body.encode()
            self._headers.add("content-type", options.content_type or "text/plain; charset=utf-8")
        elif options.json_value is not None:
            self._body = json.dumps(options.json_value, ensure_ascii=False).encode()
            self._headers.add("content-type", options.content_type or "application/json")

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response:
        """Answer with a response of its own for this call: the steps further left may change it."""
        return Response(self.options.status, self._headers.copy(), self._body)
