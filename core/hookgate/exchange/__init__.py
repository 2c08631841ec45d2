"""What travels with one call: the exchange, its messages and bodies, and what can go wrong."""

from hookgate.exchange.bodies import Arrived
from hookgate.exchange.errors import Path, near
from hookgate.exchange.hiding import printable
from hookgate.exchange.messages import TOKEN, RawHeader

__all__ = ["TOKEN", "Arrived", "Path", "RawHeader", "near", "printable"]
