"""pytest fixtures, there for whoever has hookgate and pytest installed (entry-point group ``pytest11``).

``running_gateway`` runs gateways and ``running_backend`` is a programmable backend; both end with the test::

    def test_it(running_gateway, running_backend):
        connections = {"app": {"targets": running_backend.url}}
        gate = running_gateway({"routes": [{"name": "all", "to": {"connection": "app"}}], "connections": connections})
        assert gate.request("GET", "/").text == "ok"

pytest imports this module when it starts, so what costs time is imported by the fixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hookgate.testing import Gate, Upstream


@pytest.fixture
def running_gateway() -> Iterator[Callable[..., Gate]]:
    """Run gateways: call it with what :func:`hookgate.testing.running` takes; they stop when the test is over."""
    from hookgate.testing import running

    with ExitStack() as stack:

        def run(document: Any, **options: Any) -> Gate:
            return stack.enter_context(running(document, **options))

        yield run


@pytest.fixture
def running_backend() -> Iterator[Upstream]:
    """A programmable backend, as :func:`hookgate.testing.upstream` gives it."""
    from hookgate.testing import upstream

    with upstream() as backend:
        yield backend
