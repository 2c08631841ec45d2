"""Faults as XML, JSON and SOAP."""

from __future__ import annotations

import json
import re
from xml.sax.saxutils import escape

from hookgate_interceptor_faults.finding import Found

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no document may have, escaped or not (XML 1.0, 2.2)."""


def as_json(fault: Found) -> bytes:
    """Write it as JSON."""
    kind = {"type": fault.style.kind} if fault.style.kind else {}
    body = {"code": fault.code, **kind, "message": fault.message, "description": fault.description}
    return json.dumps({"fault": body}).encode()


def as_xml(fault: Found) -> bytes:
    """Write it as XML."""
    return _xml(fault).encode("utf-8")


def as_soap_11(fault: Found) -> bytes:
    """Write it as a fault of SOAP 1.1 (section 4.4)."""
    whose = "Client" if fault.status < 500 else "Server"
    return _envelope(
        SOAP_11,
        f"<faultcode>soapenv:{whose}</faultcode><faultstring>{_text(fault.message)}</faultstring>"
        f"<detail>{_xml(fault)}</detail>",
    )


def as_soap_12(fault: Found) -> bytes:
    """Write it as a fault of SOAP 1.2 (part 1, 5.4)."""
    whose = "Sender" if fault.status < 500 else "Receiver"
    return _envelope(
        SOAP_12,
        f"<soapenv:Code><soapenv:Value>soapenv:{whose}</soapenv:Value></soapenv:Code>"
        f'<soapenv:Reason><soapenv:Text xml:lang="en">{_text(fault.message)}</soapenv:Text></soapenv:Reason>'
        f"<soapenv:Detail>{_xml(fault)}</soapenv:Detail>",
    )


def _envelope(namespace: str, inner: str) -> bytes:
    return (
        f'<soapenv:Envelope xmlns:soapenv="{namespace}"><soapenv:Body><soapenv:Fault>{inner}</soapenv:Fault>'
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _xml(fault: Found) -> str:
    prefix, namespace, kind = fault.style
    parts = {"code": str(fault.code), "type": kind, "message": fault.message, "description": fault.description}
    inner = "".join(f"<{prefix}:{name}>{_text(text)}</{prefix}:{name}>" for name, text in parts.items() if text)
    return f'<{prefix}:fault xmlns:{prefix}="{namespace}">{inner}</{prefix}:fault>'


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text))
