"""Backends register themselves as targets of a connection, and leave again."""

from hookgate_registration.discovery import Registered
from hookgate_registration.section import Registration
from hookgate_registration.step import RegisterHost

__all__ = ["RegisterHost", "Registered", "Registration"]
