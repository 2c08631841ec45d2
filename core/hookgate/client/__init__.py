"""The client of the house, for what is off the data path, over the gateway's own pool of connections."""

from hookgate.client.callouts import Client

__all__ = ["Client"]
