"""A gateway for the tests of a module."""

import pytest

from hookgate.testing import upstream
from hookgate_people import limits

from .town import serving


@pytest.fixture(autouse=True)
def failures_of_one_address(monkeypatch):
    """Let one address fail as often as tests like, which all come from it."""
    monkeypatch.setattr(limits, "MOST", 1_000_000)


@pytest.fixture(scope="module")
def backend():
    """Whom the gateway calls."""
    with upstream() as served:
        yield served


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend):
    """A gateway whose store lies in a file."""
    folder = tmp_path_factory.mktemp("gate")
    oauth = "operations: {GET: {scopes: [news_read]}, POST: {scopes: [news_write]}, DELETE: {}}"
    keymanager = 'allow_scopes: ["device_.*", some_random_scope]'
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, oauth, keymanager) as made:
        yield made
