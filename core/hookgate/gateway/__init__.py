"""Generations: what a document comes to, and what serves calls from it."""

from hookgate.gateway.bringup import bring_up
from hookgate.gateway.configuration import Configuration, load
from hookgate.gateway.gateway import Gateway

__all__ = ["Configuration", "Gateway", "bring_up", "load"]
