"""WSDL 1.1 made into a document of the gateway: a SOAP API that is passed through (KC-67)."""

from hookgate_wsdl.importing import Imported, Wishes, imported
from hookgate_wsdl.reading import Port, Service, parsed

__all__ = ["Imported", "Port", "Service", "Wishes", "imported", "parsed"]
