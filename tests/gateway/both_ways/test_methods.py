"""A method that is not read over HTTP/1.1 is read over no other protocol either."""

import pytest

from hookgate.testing import running, upstream

from .http2 import Http2


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_methods_that_are_not_known_are_501_over_http2_too(lane):
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [{"name": "all", "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            for method in ("BREW", "GETT", "X-GET"):
                assert gate.request(method, "/").status_code == 501
                with Http2(gate.url) as client:
                    assert client.call("/", method=method).status == 501, method
            for method in ("GET", "PROPFIND", "PURGE", "QUERY"):
                with Http2(gate.url) as client:
                    assert client.call("/", method=method).status == 200, method
        assert {request.method for request in backend.requests} == {"GET", "PROPFIND", "PURGE", "QUERY"}
