"""Remove or blot out values in headers, queries and bodies, in traces and logs too."""

import re

from hookgate import BadGateway, BadRequest, Exchange, Fault, Headers, Interceptor, Request, Response, hookimpl
from hookgate.workshop import CannotUnpack, unpacked
from hookgate_interceptor_mask.options import MaskOptions, RequestPlaces, ResponsePlaces
from hookgate_interceptor_mask.places import (
    Blot,
    Unreadable,
    blotting,
    in_json,
    in_pairs,
    in_text,
    path,
    removing,
)

__all__ = ["Mask", "MaskOptions"]

UNPACKED = 8 * 1024 * 1024
"""Bytes of a body that was packed, at most."""
_FORM = "application/x-www-form-urlencoded"
_TEXT = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml)|application/x-ndjson|" + re.escape(_FORM))
_WEAK = re.compile(r'(?:^|,)[ \t]*W/("[^"]*")')
_OF_OTHER_BYTES = ("content-md5", "digest", "content-digest", "repr-digest")


class Mask(Interceptor[MaskOptions]):
    """Masks values, so that neither the other side, nor a trace, nor a log has them (FL-22).

    Traces show none of the places, not even as they were before this step, and neither do `access-log` and, further
    right than this step, `message-log`. The message is changed, too, for all steps further on and for the other side,
    unless `message` is false. What is not masked stays as it is, to the byte.

    `ETag` of what may be masked becomes a weak one, with `If-Match` to fit, so that GET, HEAD and 304 say the same.

    A body is kept whole for it, up to `limits.buffered_body`, and unpacked if it is gzip or deflate. The backend is
    asked for an answer that is whole and not packed. A body that says it is JSON, a form or text and cannot be taken
    apart is not let through unmasked: the answer is 400 or, of the backend's, 502, with the reason `unmaskable`. Bodies
    of other kinds, such as pictures, pass; forms in several parts (`multipart/form-data`) are refused where `form`
    names fields.
    """

    category = "transformation"
    writes = {"request.headers", "request.path", "request.body", "response.headers", "response.body"}

    def __init__(self, options: MaskOptions) -> None:
        super().__init__(options)
        request, response = options.request, options.response
        self.reads = set()
        if options.message:
            self.reads |= {"request.body"} if request.of_body else set()
            self.reads |= {"response.body"} if response.of_body else set()
        self._blot = removing if options.how == "remove" else blotting(options.keep_last)
        self._query = frozenset(name.lower() for name in request.query)
        self._hidden_in_request = (*_hidden("request", request), *(f"request.query.{name}" for name in request.query))
        self._hidden_in_response = _hidden("response", response)
        self._request_body = _Body(options, request, frozenset(name.lower() for name in request.form))
        self._response_body = _Body(options, response, frozenset())

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Mask the request, and ask for an answer that can be masked.

        Raises:
            BadRequest: a body cannot be taken apart (`unmaskable`).
        """
        # Those of the answer, too: a log further right is there before this step on the way out.
        exchange.hide(*self._hidden_in_request, *self._hidden_in_response)
        options, request = self.options, exchange.request
        if not options.message:
            return
        if options.response.of_body:
            headers = request.headers
            if ours := [tag for line in headers.getall("if-match") for tag in _WEAK.findall(line)]:
                headers.set("if-match", ", ".join([*headers.getall("if-match"), *ours]))
            request.headers.remove("range", "if-range")
            request.headers.set("accept-encoding", "identity")
        self._mask_head(request.headers, options.request.headers)
        if self._query and request.query:
            request.query = in_pairs(request.query, self._query, self._blot)
        if options.request.of_body:
            self._mask_body(request, self._request_body, BadRequest)

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Mask the answer, whoever gave it.

        Raises:
            BadGateway: its body cannot be taken apart (`unmaskable`).
        """
        if not set(self._hidden_in_response) <= set(exchange.hidden):
            exchange.hide(*self._hidden_in_response)
        response = exchange.response
        if not self.options.message or response is None:
            return
        self._mask_head(response.headers, self.options.response.headers)
        if self.options.response.of_body:
            self._tell_of_masked(response, exchange.request.method)
            self._mask_body(response, self._response_body, BadGateway)

    def _tell_of_masked(self, response: Response, method: str) -> None:
        """Have the answers to GET and HEAD, and 304, say the same, whatever the body turns out to be."""
        headers = response.headers
        kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        told = headers.get("content-length") if method == "HEAD" else None
        without = method == "HEAD" or response.status == 304
        if (without and told == "0") or not (without or response.body.data) or not _may_be_masked(kind):
            return
        headers.remove("accept-ranges")
        tag = headers.get("etag")
        if tag is not None and not tag.startswith("W/"):
            headers.set("etag", f"W/{tag}")
        if without:  # a digest would tell who guesses what is masked
            headers.remove("content-length", *_OF_OTHER_BYTES)

    def _mask_head(self, headers: Headers, names: tuple[str, ...]) -> None:
        for name in names:
            values = headers.getall(name)
            headers.remove(name)
            for value in values:
                put = self._blot(value)
                if put is not None:
                    headers.add(name, put)

    def _mask_body(self, message: Request | Response, places: "_Body", fault: type[Fault]) -> None:
        body, headers = message.body, message.headers
        if not body.data:
            return
        encoding = ", ".join(headers.getall("content-encoding")).strip().lower()
        try:
            if len(headers.getall("content-type")) > 1:
                raise Unreadable("it says more than one content type")
            plain = unpacked(body.data, encoding, UNPACKED)
            masked = places.masked(plain, self._blot, headers.get("content-type") or "")
        except (CannotUnpack, Unreadable) as why:
            detail = f"The body cannot be masked: {why}."
            raise fault(detail, reason="unmaskable") from None
        if masked != plain:
            body.set(masked)
            headers.remove("content-encoding", *_OF_OTHER_BYTES)


class _Body:
    """What is masked in the bodies of one side."""

    def __init__(self, options: MaskOptions, places: ResponsePlaces, form: frozenset[str]) -> None:
        self._paths = [path(text) for text in places.json_paths]
        self._patterns = [re.compile(text) for text in places.text]
        self._form = form
        self._limit = options.text_limit

    def masked(self, data: bytes, blot: Blot, content_type: str) -> bytes:
        """Return the masked body.

        Raises:
            Unreadable: the places cannot be found for sure.
        """
        kind = content_type.partition(";")[0].strip().lower()
        is_text = _TEXT.fullmatch(kind) is not None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            if is_text:
                raise Unreadable("it is not UTF-8") from None
            text = None
        if self._form and kind == "multipart/form-data":
            raise Unreadable("it is a form in several parts")
        if text is None:
            return data
        before = text
        if self._paths and _is_json(kind, text):
            text = in_json(text, self._paths, blot)
        if self._form and kind == _FORM:
            text = in_pairs(text, self._form, blot)
        if self._patterns:
            if len(data) > self._limit:
                raise Unreadable(f"it is {len(data)} bytes long, and expressions are tried on {self._limit}")
            text = in_text(text, self._patterns, blot)
        return data if text == before else text.encode()


def _may_be_masked(kind: str) -> bool:
    return kind in ("", "application/octet-stream") or _TEXT.fullmatch(kind) is not None


def _is_json(kind: str, text: str) -> bool:
    """Whether a body is JSON, or looks so and says nothing else."""
    said = kind == "application/json" or kind.endswith("+json")
    return said or (kind in ("", "text/plain", "application/octet-stream") and text.lstrip()[:1] in ("{", "["))


def _hidden(side: str, places: ResponsePlaces) -> tuple[str, ...]:
    """The places of a side as traces and logs know them."""
    members = [f"{side}.body.{'.'.join(path(text))}" for text in places.json_paths]
    whole = places.text or (isinstance(places, RequestPlaces) and places.form)
    return (*(f"{side}.headers.{name}" for name in places.headers), *members, *((f"{side}.body",) if whole else ()))
