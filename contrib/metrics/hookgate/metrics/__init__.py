"""The metrics of plugins: one registry for a gateway, which knows whose each of them is."""

from hookgate.metrics.registry import Registry

__all__ = ["Registry"]
