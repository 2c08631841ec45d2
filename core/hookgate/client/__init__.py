"""httpx, in one place: a pool for connections that call backends through it, and a small client for everything else.

Nothing else in the house imports httpx; the modules of this package take it from here, so that its successor is a
change of one line. The pool works below ``httpx.AsyncClient``: no redirects, no cookies, no decoding, no headers but
those of the attempt. HTTP/1.1, and HTTP/2 and proxies where a connection asks for them.
"""

import httpx

from hookgate.client.callouts import Client, blocking_client
from hookgate.client.pool import HttpxPool

__all__ = ["Client", "HttpxPool", "blocking_client", "httpx"]
