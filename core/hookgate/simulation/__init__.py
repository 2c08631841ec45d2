"""One call through the real flow of a document, without a network.

The gateway is the one that serves, edge included; only what would leave the process is replaced: transports answer from
mocks, the house's HTTP client refuses, and the clock stands still. Every hook is recorded as it runs.
"""

from hookgate.simulation.mocks import Mock, mocks_in
from hookgate.simulation.run import Call, Simulation, simulate
from hookgate.simulation.trace import Change, HookRun

__all__ = ["Call", "Change", "HookRun", "Mock", "Simulation", "mocks_in", "simulate"]
