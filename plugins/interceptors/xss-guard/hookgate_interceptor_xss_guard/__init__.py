"""Stop calls that carry script for a browser, and answers that do."""

from collections.abc import Iterable
from urllib.parse import unquote_plus

from hookgate import BadGateway, BadRequest, Exchange, Fault, Headers, Interceptor, Request, Response, hookimpl
from hookgate.workshop import CannotUnpack, unpacked
from hookgate_interceptor_xss_guard.forms import forms
from hookgate_interceptor_xss_guard.options import XssGuardOptions
from hookgate_interceptor_xss_guard.patterns import Patterns
from hookgate_interceptor_xss_guard.places import FORM, is_run, kind_of, pairs, parts, readable

__all__ = ["XssGuard", "XssGuardOptions"]

SUSPECTED = "xss-suspected"
UNREADABLE = "xss-unreadable"


class XssGuard(Interceptor[XssGuardOptions]):
    """Stops a call whose path, query, headers or body holds what a browser would run as script, and such an answer
    (FL-48).

    Each place has a set of regular expressions. They run on RE2, in time by the length of the text, whoever wrote them
    and whatever is sent. A text is tried as it is, and as it reads when percent signs, entities of HTML and escapes of
    JSON and script are undone, up to three times over. Names of parameters and fields are looked at as values are.

    A match ends the flow: 400 to a request, 502 in the place of an answer, with the reason `xss-suspected`. The trace
    gets two lines, of which the first says what was found where, and the second that the flow ends. Neither they nor
    the answer hold what was sent.

    A body is kept whole for it, up to `limits.buffered_body`, and unpacked if it is gzip or deflate. One that cannot be
    looked at is refused, too (`xss-unreadable`), unless `unreadable` says otherwise. Answers that the gateway makes of
    a fault are its own, and are not looked at; neither are messages of a WebSocket.

    No expression knows every way to write a script. The guard is one more lock, and takes nothing from the duty of a
    page to escape what it shows.
    """

    category = "security"
    writes = {"request.headers"}

    def __init__(self, options: XssGuardOptions) -> None:
        super().__init__(options)
        self.reads = {"request.body", "response.body"} if options.body.look else set()
        self._path, self._query = options.path.compiled(), options.query.compiled()
        self._headers, self._body = options.headers.compiled(), options.body.compiled()
        self._skip = [tuple(each.split(".")) for each in options.body.skip]

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Look at the request, and ask for an answer that can be looked at.

        Raises:
            BadRequest: it holds script (`xss-suspected`), or a body that cannot be looked at (`xss-unreadable`).
        """
        request = exchange.request
        self._stop_at(exchange, self._path, "the path", [request.path.encode("latin-1", "replace")], BadRequest)
        if self._query and request.query:
            skip = self.options.query.skip
            for name, value in pairs(request.query):
                self._stop_at(exchange, self._query, "the name of a query parameter", [name], BadRequest, plus=True)
                plain = unquote_plus(name.decode("latin-1"))
                if plain not in skip:
                    place = f"the query parameter {_shown(plain)}"
                    self._stop_at(exchange, self._query, place, [value], BadRequest, plus=True)
        self._look_at_headers(exchange, request.headers, BadRequest)
        if self._body:
            self._look_at_body(exchange, request, BadRequest)
            request.headers.set("accept-encoding", "identity")

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Look at the answer, unless it is the gateway's own to a fault.

        Raises:
            BadGateway: it holds script (`xss-suspected`), or a body that cannot be looked at (`xss-unreadable`).
        """
        response = exchange.response
        if response is None or exchange.fault is not None:
            return
        self._look_at_headers(exchange, response.headers, BadGateway)
        if not self._body or exchange.request.method == "HEAD" or response.status == 304:
            return
        kinds = [kind_of(each) for each in response.headers.getall("content-type")]
        if self.options.pages == "refuse" or not (len(kinds) == 1 and is_run(kinds[0])):
            self._look_at_body(exchange, response, BadGateway)

    def _look_at_headers(self, exchange: Exchange, headers: Headers, fault: type[Fault]) -> None:
        if not self._headers:
            return
        skip = self.options.headers.skip
        for name, value in headers.items():
            if name not in skip:
                texts = [value.encode("latin-1")]
                self._stop_at(exchange, self._headers, f"the header {name[:100]}", texts, fault)

    def _look_at_body(self, exchange: Exchange, message: Request | Response, fault: type[Fault]) -> None:
        data, headers, limit = message.body.data, message.headers, self.options.body.max_size
        if not data:
            return None
        content_type = headers.get("content-type", "")
        encoding = ", ".join(headers.getall("content-encoding")).strip().lower()
        try:
            if len(headers.getall("content-type")) > 1:
                raise CannotUnpack("it says more than one content type")
            if not readable(content_type):
                raise CannotUnpack("its charset is not known here")
            plain = unpacked(data, encoding, limit)
        except CannotUnpack as why:
            return self._unreadable(exchange, f"{why}", fault)
        if len(plain) > limit:
            return self._unreadable(exchange, f"it is longer than {limit} bytes", fault)
        kind = kind_of(content_type)
        texts = parts(plain, kind, self._skip)
        return self._stop_at(exchange, self._body, "the body", texts, fault, plus=kind == FORM)

    def _unreadable(self, exchange: Exchange, why: str, fault: type[Fault]) -> None:
        exchange.note(f"{self.entry.id}: the body cannot be looked at: {why}")
        if self.options.unreadable == "refuse":
            exchange.note(f"{self.entry.id}: the flow ends here: {UNREADABLE}")
            raise fault(f"The body cannot be looked at: {why}.", reason=UNREADABLE)

    def _stop_at(
        self,
        exchange: Exchange,
        patterns: Patterns,
        place: str,
        texts: Iterable[bytes],
        fault: type[Fault],
        *,
        plus: bool = False,
    ) -> None:
        if not patterns:
            return
        for text in texts:
            found = patterns.fitting(forms(text, plus=plus))
            if found is not None:
                exchange.note(f"{self.entry.id}: {place} holds what looks like script: {found}")
                exchange.note(f"{self.entry.id}: the flow ends here: {SUSPECTED}")
                raise fault(f"What stands in {place} looks like script.", reason=SUSPECTED)


def _shown(name: str) -> str:
    """Return the name of a parameter as it may be told: no expression has fitted it."""
    return name[:100] if name.isprintable() else ascii(name[:100])
