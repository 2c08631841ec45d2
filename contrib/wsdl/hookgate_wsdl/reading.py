"""What a WSDL 1.1 file says of a service: its SOAP ports, where they are, and their operations.

A file is data of strangers. One with a DOCTYPE is refused, so there are no entities; nothing is fetched, be it a DTD, a
schema or another file; and it has bounds in size and depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hookgate import ConfigError, Problem

LARGEST = 8 * 1024 * 1024
"""Bytes of a file."""
MOST = 10_000
"""Operations of a service."""
_ADDRESS = re.compile(
    r"(https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)(/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)?(?:\?(.*))?",
    re.IGNORECASE,
)
"""An address whose path means the same in a document: without braces and asterisks, which are patterns there."""
Element = Any
"""An element of lxml, which keeps the name of its class to itself."""
WSDL = "http://schemas.xmlsoap.org/wsdl/"
SOAP = {"http://schemas.xmlsoap.org/wsdl/soap/": "1.1", "http://schemas.xmlsoap.org/wsdl/soap12/": "1.2"}
"""Version of SOAP by the namespace of what a binding says of it."""
WSDL_2 = "http://www.w3.org/ns/wsdl"


@dataclass(frozen=True, slots=True)
class Operation:
    """What may be called."""

    name: str
    action: str = ""
    """What SOAP 1.1 says in ``SOAPAction``, and SOAP 1.2 in ``action`` of its content type."""


@dataclass(frozen=True, slots=True)
class Port:
    """An address, and what is spoken there."""

    name: str
    version: str
    """Of SOAP: ``1.1`` or ``1.2``."""
    origin: str
    """Scheme and host, with its port if one is written."""
    path: str
    query: str
    operations: tuple[Operation, ...]


@dataclass(slots=True)
class Service:
    """A service as it was read."""

    name: str
    documentation: str
    ports: list[Port]
    warnings: list[str] = field(default_factory=list)
    """What was left out."""


def parsed(data: bytes, file: str, service: str = "") -> Service:
    """Read a file; of several services the one that is named.

    Raises:
        ConfigError: it is not well-formed, no WSDL 1.1, or has no port that could be called; each mistake with its
            line.
    """
    return _Reader(data, file).service(service)


class _Reader:
    def __init__(self, data: bytes, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._root = self._parsed(data)

    def _parsed(self, data: bytes) -> Element:
        if len(data) > LARGEST:
            self._fail(f"the file has more than {LARGEST} bytes", 0)
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            said = error.msg if isinstance(error, etree.XMLSyntaxError) and error.msg else str(error)
            self._fail(f"is not well-formed XML: {said}", getattr(error, "lineno", None) or 0)
        if root.getroottree().docinfo.internalDTD is not None:
            self._fail("has a DOCTYPE, which WSDL has no use for; take it out", 1)
        if root.tag != _wsdl("definitions"):
            second = root.tag == f"{{{WSDL_2}}}description"
            what = "is WSDL 2.0, and only 1.1 is read here" if second else "is no WSDL 1.1: its root is no definitions"
            self._fail(what, _line(root))
        return root

    def service(self, wanted: str) -> Service:
        """Return a service.

        Raises:
            ConfigError: there is none that could be called.
        """
        found = {str(each.get("name", "")): each for each in self._root.findall(_wsdl("service"))}
        if not found:
            self._fail("has no service; where it is imported from another file, give that one", _line(self._root))
        if wanted and wanted not in found:
            self._fail(f"has no service {wanted!r}; it has {', '.join(found)}", _line(self._root))
        if not wanted and len(found) > 1:
            self._fail(f"has several services, {', '.join(found)}: say which with --service", _line(self._root))
        name = wanted or next(iter(found))
        element = found[name]
        ports = [port for each in element.findall(_wsdl("port")) if (port := self._port(each)) is not None]
        if not ports and not self._problems:
            self._refuse(f"the service {name} has no port with a SOAP address", element)
        if self._problems:
            raise ConfigError(self._problems)
        return Service(name, self._documentation(element), ports, self._warnings)

    def _port(self, element: Element) -> Port | None:
        name = str(element.get("name", ""))
        address = next((each for each in element if _of(each) in SOAP and _local(each) == "address"), None)
        if address is None:
            self._warn(f"the port {name} has no SOAP address and is left out", element)
            return None
        location = str(address.get("location", "")).strip()
        url = _ADDRESS.fullmatch(location)
        if url is None:
            shown = re.sub(r"//[^/]*@", "//…@", location)[:200]
            self._refuse(f"the address of the port {name} is {shown!r}, and no http(s) URL", address)
            return None
        binding = self._binding(element, name)
        if binding is None:
            return None
        version, spoken = SOAP[_of(address)], self._spoken(binding)
        if spoken != version:
            spoken = spoken or "none"
            self._refuse(f"the port {name} has an address of SOAP {version} and a binding of {spoken}", address)
            return None
        operations = tuple(self._operations(binding))
        origin, path, query = url[1].lower(), url[2] or "/", url[3] or ""
        return Port(name, version, origin, path, query, operations)

    def _binding(self, port: Element, name: str) -> Element | None:
        wanted = str(port.get("binding", ""))
        prefix, _, local = wanted.rpartition(":")
        space = port.nsmap.get(prefix or None)
        here = self._root.get("targetNamespace")
        for each in self._root.findall(_wsdl("binding")):
            if each.get("name") == local and space == here:
                return each
        what = "nothing is fetched from other files, so give one file with both" if space != here else "it is not there"
        self._refuse(f"the port {name} has the binding {wanted!r}: {what}", port)
        return None

    def _spoken(self, binding: Element) -> str:
        return next((SOAP[_of(each)] for each in binding if _of(each) in SOAP and _local(each) == "binding"), "")

    def _operations(self, binding: Element) -> Iterator[Operation]:
        for number, each in enumerate(binding.findall(_wsdl("operation"))):
            if number >= MOST:
                self._refuse(f"the binding has more than {MOST} operations", each)
                return
            said = next((inner for inner in each if _of(inner) in SOAP and _local(inner) == "operation"), None)
            yield Operation(str(each.get("name", "")), "" if said is None else str(said.get("soapAction", "")))

    def _documentation(self, service: Element) -> str:
        for each in (service, self._root):
            found = each.find(_wsdl("documentation"))
            if found is not None:
                return " ".join("".join(str(part) for part in found.itertext()).split())
        return ""

    def _warn(self, message: str, element: Element) -> None:
        self._warnings.append(f"{self._file}:{_line(element)}: {message}")

    def _refuse(self, message: str, element: Element) -> None:
        self._problems.append(Problem((), message, self._file, _line(element), 1))

    def _fail(self, message: str, line: int) -> None:
        raise ConfigError([Problem((), message, self._file, line, 1)])


def _wsdl(name: str) -> str:
    return f"{{{WSDL}}}{name}"


def _of(element: Element) -> str:
    """Return the namespace of an element."""
    return str(etree.QName(element).namespace or "")


def _local(element: Element) -> str:
    return str(etree.QName(element).localname)


def _line(element: Element) -> int:
    line = element.sourceline
    return line if isinstance(line, int) else 0
