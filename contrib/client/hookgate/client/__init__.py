"""Calls over HTTP/1.1: the pool of connections to backends, and over it the client of the house for what is off the
data path.
"""

from hookgate.client.callouts import Client
from hookgate.client.pool import UpstreamPool
from hookgate.client.urls import parsed

__all__ = ["Client", "UpstreamPool", "parsed"]
