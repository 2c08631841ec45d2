"""Identify the calling application by its client id."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, Self
from urllib.parse import unquote, unquote_plus

from pydantic import Field, model_validator

from hookgate import (
    Application,
    Exchange,
    Forbidden,
    Headers,
    Host,
    Identity,
    Interceptor,
    Options,
    Unauthorized,
    hookimpl,
)
from hookgate_apis.sections import Applications

METHOD = "client-id"
_CHALLENGE = {"WWW-Authenticate": 'ClientId realm="hookgate"'}
_NOT_FOR_THIS = frozenset({"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"})


class ClientIdOptions(Options):
    """Options of `client-id`."""

    location: Literal["header", "query", "both", "identity"] = "header"
    """Where the id is: in a header, in the query, in either of them, or in the identity that a step further left found
    (`identity.application`: the client a token of OAuth 2.0 was issued to)."""
    name: str = Field(default="client_id", min_length=1, max_length=200)
    """Name of the header and of the parameter. The usual one has an underscore, and some proxies drop such headers
    unless told otherwise; behind one of them choose another, such as `X-Client-Id`."""
    optional: bool = False
    """Whether calls without an id pass, as those of nobody known. One with an id that is not known never does."""
    hide: bool = True
    """Whether an id that was accepted is taken out of the request, so that the backend does not see it."""

    @model_validator(mode="after")
    def _carriable(self) -> Self:
        if self.location in ("header", "both"):
            Headers({self.name: ""})
            if self.name.lower() in _NOT_FOR_THIS:
                raise ValueError(f"name: {self.name} has a meaning of its own; choose a header for the id alone")
        return self


class ClientId(Interceptor[ClientIdOptions]):
    """Finds the application that a client id belongs to, and the plan by which it calls the API (FL-34, FL-46).

    It answers 401 to a call without an id (`missing-client-id`), with one that no application has (`unknown-client-id`)
    or with several different ones (`ambiguous-client-id`), and 403 to an application that has no plan for the API
    (`no-plan`). On a plain route, which belongs to no API, any application passes, without a plan.

    Afterwards `exchange.application` and `exchange.plan` are set, and `identity.application` is the name of the
    application. Where nobody was identified before, the application itself is the caller: `identity.subject` is its
    name. The flow of the plan is entered right of this step.

    A client id is a name and no proof: whoever reads one can use it. Where that matters, have `auth` further left check
    a token, and take the id from there with `location: identity`.
    """

    category = "security"
    sides = {"request"}
    writes = {"application", "identity", "request.headers", "request.path"}

    def __init__(self, options: ClientIdOptions) -> None:
        super().__init__(options)
        if options.location == "identity":
            self.reads = {"identity"}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the house, which knows the applications of the live document."""
        self._house = host

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Identify the application.

        Raises:
            Unauthorized: there is no id, there are several, or nobody has it.
            Forbidden: its application has no plan for this API.
        """
        given = dict.fromkeys(self._given(exchange))
        if not given:
            if self.options.optional:
                return
            raise self._refusal("This API is for known applications, and the call has no client id.", "missing")
        if len(given) > 1:
            raise self._refusal("The call has several client ids; send one.", "ambiguous")
        application = self._application(next(iter(given)))
        if application is None:
            raise self._refusal("The client id is not known.", "unknown")
        plan = ""
        if exchange.api is not None:
            plan = application.plans.get(exchange.api.name, "")
            if not plan:
                raise Forbidden("This application may not call this API: it has no plan for it.", reason="no-plan")
        self._note(exchange, application, plan)
        if self.options.hide:
            self._take_out(exchange)

    def _application(self, client_id: str) -> Application | None:
        try:
            return self._house.section("applications", Applications).find(client_id)
        except LookupError:  # the document knows no applications
            return None

    def _given(self, exchange: Exchange) -> Iterator[str]:
        """Walk over the ids that a call has, without empty ones."""
        where, name = self.options.location, self.options.name
        if where == "identity":
            if exchange.identity is not None and exchange.identity.application:
                yield exchange.identity.application
            return
        if where != "query":
            yield from filter(None, exchange.request.headers.getall(name))
        if where != "header":
            for parameter in exchange.request.query.split("&"):
                if _named(parameter, name) and (value := unquote(parameter.partition("=")[2])):
                    yield value

    @staticmethod
    def _note(exchange: Exchange, application: Application, plan: str) -> None:
        exchange.application, exchange.plan = application, plan
        if exchange.identity is None:
            exchange.identity = Identity(application.name, METHOD, application=application.name)
        else:
            exchange.identity = replace(exchange.identity, application=application.name)

    def _take_out(self, exchange: Exchange) -> None:
        request, where, name = exchange.request, self.options.location, self.options.name
        if where in ("header", "both"):
            request.headers.remove(name)
        if where in ("query", "both") and request.query:
            # What else is there stays as it was encoded.
            request.query = "&".join(each for each in request.query.split("&") if not _named(each, name))

    @staticmethod
    def _refusal(detail: str, what: str) -> Unauthorized:
        return Unauthorized(detail, reason=f"{what}-client-id", headers=_CHALLENGE)


def _named(parameter: str, name: str) -> bool:
    return unquote_plus(parameter.partition("=")[0]) == name
