"""Databases for the tests of contributions."""

from contextlib import ExitStack

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from contrib.prepared import kept, prepare
from hookgate.testing import postgresql
from hookgate_people import hashing
from hookgate_storage import Keys, open_store
from hookgate_storage.sealing import new_key


@pytest.fixture(scope="session", autouse=True)
def _template():
    """Let go of the database that others are copies of."""
    yield
    kept.close()


@pytest.fixture(autouse=True)
def cheap_passwords(request, monkeypatch):
    """Hashes that take no time, but where time is what the test is about."""
    hashing._nobody.cache_clear()
    if not request.node.get_closest_marker("passwords_as_they_are"):
        monkeypatch.setattr(hashing, "_argon", PasswordHash((Argon2Hasher(time_cost=1, memory_cost=32),)))


@pytest.fixture
def postgres_url():
    """The URL of a database on a real PostgreSQL that is empty, and goes with the test."""
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The URL of a database that is empty, of each kind that a store may lie in."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgres_url")


def pytest_generate_tests(metafunc):
    """Run what is marked with `stores` over every kind of database, and what shares its gateway over SQLite."""
    if "store_in" in metafunc.fixturenames:
        kinds = ["sqlite", "postgresql"] if metafunc.definition.get_closest_marker("stores") else ["sqlite"]
        metafunc.parametrize("store_in", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def store_in(request):
    """Make databases for the gateways of a module, beside their files where it is one; gives the URL for a folder."""
    with ExitStack() as opened:
        if request.param == "sqlite":
            yield lambda folder: f"sqlite:///{folder / 'store.db'}"
        else:
            yield lambda folder: opened.enter_context(postgresql())


@pytest.fixture
async def stored(database_url):
    """A store with tables and nothing in them, in each kind of database."""
    await prepare(database_url)
    store = await open_store(database_url, Keys.written(new_key()))
    yield store
    await store.close()
