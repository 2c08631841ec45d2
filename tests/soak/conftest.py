"""How long the soak lasts, and the processes that it needs."""

from __future__ import annotations

import pytest

from .backend import Backend
from .process import Gateway


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--minutes 3``."""
    parser.addoption("--minutes", type=float, default=3.0, help="how long the mixed traffic lasts")


@pytest.fixture
def minutes(request: pytest.FixtureRequest) -> float:
    """How long the mixed traffic lasts."""
    found: float = request.config.getoption("--minutes")
    return found


@pytest.fixture
def backend():
    """A backend, good and bad, in a thread."""
    with Backend() as found:
        yield found


@pytest.fixture
def gateway(tmp_path, backend):
    """A gateway in a process of its own, in front of it."""
    with Gateway(tmp_path, backend.url) as found:
        yield found
