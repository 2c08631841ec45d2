"""One call through the real flow of a document, without a network.

The gateway is the one that serves, edge included; only what would leave the process is replaced: transports and the
house's HTTP client answer from mocks or from a recording, and the clock stands still. Every hook is recorded as
it runs, by what traces live calls.
"""

from hookgate_simulation.mocks import Mock, mocks_in
from hookgate_simulation.recordings import recorded
from hookgate_simulation.result import Simulation
from hookgate_simulation.run import Call, simulate

__all__ = ["Call", "Mock", "Simulation", "mocks_in", "recorded", "simulate"]
