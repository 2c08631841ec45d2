"""Databases, houses and clocks of tests."""

import pytest

from hookgate.testing import MovableClock, postgresql

from .limited import MINUTE, SUBSCRIPTIONS, _days


@pytest.fixture(scope="session")
def url():
    """A database."""
    with postgresql() as url:
        yield url


@pytest.fixture(params=["lane", "edge", "edge and database"])
def house(request):
    """What the document says of the gateway. Each test has a day of its own, so that none counts with another."""
    gateway = {"lane": request.param.startswith("lane"), "trusted_proxies": ["127.0.0.0/8"]}
    if "database" in request.param:
        gateway["counters"] = {"postgresql": {"url": request.getfixturevalue("url"), "patience": 10}}
    return gateway


@pytest.fixture
def clock():
    """A clock of a day of its own."""
    return MovableClock(MINUTE + 86_400 * next(_days))


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    """A folder with a step that looks subscriptions up."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "subscriptions.py").write_text(SUBSCRIPTIONS)
    return folder
