"""Write faults with the codes of an API manager, in XML, JSON or SOAP."""

from typing import Literal

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from hookgate import Faulted, Headers, Interceptor, Options, Response, hookimpl
from hookgate_interceptor_faults.finding import found
from hookgate_interceptor_faults.writing import as_json, as_soap_11, as_soap_12, as_xml

XML, TEXT_XML, JSON, SOAP = "application/xml", "text/xml", "application/json", "application/soap+xml"
WRITERS = {XML: as_xml, TEXT_XML: as_xml, JSON: as_json}


class FaultsOptions(Options):
    """Options of `faults`."""

    default: Literal["xml", "json"] = "xml"
    """What is written for a client whose `Accept` leaves it open, or asks for neither."""
    no_resource: Literal[403, 404] = 403
    """How a path or a method is answered that no API has: 403, as the table has it, or 404, which makes an unknown path
    404 and an unknown method 405."""


class Faults(Interceptor[FaultsOptions]):
    """Writes every fault of its flow with a code, a message and a description, in the style of the fourth seed's table:
    `900910`, "The access token does not allow you to access the requested resource".

    A fault that brings a code has that one, as those of `throttle` do; others have the code that their reason or their
    status stands for, and one that the table knows nothing of has its status as code. A SOAP call (`SOAPAction`, or
    `application/soap+xml`) gets a SOAP fault of its version, every other one XML or JSON by its `Accept`. Headers of
    the fault stay: `WWW-Authenticate`, `Retry-After`, `Allow`. Faults of security, of limits, and all others have a
    namespace each.

    Place it in `gateway.flow` to have the faults of unknown paths, too. Where it does not stand, faults are problem
    details (RFC 9457); so are those of heads that the gateway cannot read.
    """

    category = "mediation"
    writes = {"response.headers"}

    @hookimpl
    def on_fault(self, exchange: Faulted) -> Response:
        """Write the fault."""
        fault, request = exchange.fault, exchange.request
        written = found(fault, request, self.options.no_resource)
        soap = _soap(request.headers)
        if soap is not None:
            kind = soap
            body = as_soap_11(written) if soap == TEXT_XML else as_soap_12(written)
        else:
            kind = self._asked_for(request.headers)
            body = WRITERS[kind](written)
        response = Response(written.status, {"content-type": f"{kind}; charset=utf-8"}, body)
        for name, value in fault.headers:
            response.headers.add(name, value)
        if soap is None:
            response.headers.add("Vary", "Accept")
        return response

    def _asked_for(self, headers: Headers) -> str:
        offered = [JSON, XML, TEXT_XML] if self.options.default == "json" else [XML, TEXT_XML, JSON]
        accepted = parse_accept_header(", ".join(headers.getall("accept")), MIMEAccept)
        return accepted.best_match(offered, offered[0]) or offered[0]


def _soap(headers: Headers) -> str | None:
    """Return the content type of SOAP calls, which tells the version; none for other calls."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == SOAP or (kind == TEXT_XML and "soapaction" in headers):
        return kind
    return None
