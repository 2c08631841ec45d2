"""Gateways that tests of a module share, both ways of serving."""

import pytest

from hookgate.testing import running, upstream

from .places import Answers, Served, document


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "edge"])
def served(request):
    """A gateway and its backend."""
    with upstream(Answers()) as backend, running(document(backend, lane=request.param)) as gate:
        yield Served(gate, backend)
