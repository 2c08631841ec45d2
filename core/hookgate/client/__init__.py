"""The client of the house, for what is off the data path, over the gateway's own pool of connections."""

from hookgate.client.callouts import Client
from hookgate.client.urls import parsed

__all__ = ["Client", "parsed"]
