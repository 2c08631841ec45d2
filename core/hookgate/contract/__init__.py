"""Who may act: every hook by family, the base classes, and what a plugin may ask of the house."""

from hookgate.contract.hooks import HookError, hooks_of
from hookgate.contract.hookspecs import FlowSpec
from hookgate.contract.metadata import Described
from hookgate.contract.plugin import OptionsT
from hookgate.contract.section import Detour, Readdress

__all__ = ["Described", "Detour", "FlowSpec", "HookError", "OptionsT", "Readdress", "hooks_of"]
