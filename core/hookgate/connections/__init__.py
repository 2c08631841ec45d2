"""The ways to backends."""

from hookgate.connections.section import TargetConfig

__all__ = ["TargetConfig"]
