"""What is different from other stores: it is shared, and a database may be away."""

import asyncio
import logging
import time

import pytest

from hookgate import ConfigError, Conflict, Row, StateError
from hookgate.testing import build, postgresql, running
from hookgate_state_postgresql import Postgresql

QUOTA = '''
from hookgate import Interceptor, Options, TooManyRequests, hookimpl

class Quota(Interceptor[Options]):
    """Three calls, for all time and over every gateway."""

    @hookimpl
    def startup(self, host):
        self.state = host.state("quota")

    @hookimpl
    async def on_request(self, exchange):
        if await self.state.add("all", most=3) is None:
            raise TooManyRequests("That is enough.")
'''


class House:
    log = logging.getLogger("hookgate.test")


@pytest.fixture
def url():
    with postgresql() as url:
        yield url


def store(url, **options):
    made = build(Postgresql, url=url, **options)
    made.startup(House())
    return made


def document(url):
    return {
        "gateway": {"state": {"postgresql": {"url": url}}},
        "routes": [{"name": "all", "flow": ["quota", {"respond": {"body": "ok"}}]}],
    }


def test_gateways_share_a_quota_that_outlives_them(url, tmp_path):
    (tmp_path / "quota.py").write_text(QUOTA)
    with (
        running(document(url), plugins_dir=tmp_path) as one,
        running(document(url), plugins_dir=tmp_path) as two,
    ):
        answers = [gate.request("GET", "/").status_code for gate in (one, two, one, two, one)]
    with running(document(url), plugins_dir=tmp_path) as later:
        answers.append(later.request("GET", "/").status_code)

    assert answers == [200, 200, 200, 429, 429, 429]


async def test_of_many_writers_each_number_is_counted_once(url):
    stores = [store(url, connections=3) for _ in range(3)]
    try:
        found = await asyncio.gather(
            *(each.increase("quota", "all", 1, None, 25, 10, time.time()) for _ in range(10) for each in stores)
        )
        assert sorted(number for number in found if number is not None) == list(range(1, 26))
        assert found.count(None) == 5
    finally:
        for each in stores:
            await each.shutdown()


async def test_of_two_who_write_over_one_version_one_is_refused(url):
    one, two = store(url), store(url)
    try:
        now = time.time()
        version = await one.write("sessions", "ann", Row(b"1"), 0, 10, now)
        done = await asyncio.gather(
            *(each.write("sessions", "ann", Row(b"2"), version, 10, now) for each in (one, two)), return_exceptions=True
        )
        assert sorted(type(each) for each in done if isinstance(each, Exception)) == [Conflict]
    finally:
        await one.shutdown()
        await two.shutdown()


async def test_a_database_that_is_away_is_named_without_its_password():
    away = store("postgresql://ann:password-of-ann@127.0.0.1:9/state")
    with pytest.raises(StateError, match=r"127\.0\.0\.1/state cannot be used: ConnectionRefusedError") as caught:
        await away.read("quota", "all", time.time())

    assert "password-of-ann" not in str(caught.value)
    assert away.health()["problems"] == [str(caught.value)]
    await away.shutdown()


async def test_it_goes_on_when_connections_were_cut(url):
    kept, other = store(url), store(url)
    now = time.time()
    await kept.write("quota", "all", Row(b"1"), None, 10, now)
    async with other._pool.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    found = None
    for _ in range(10):
        try:
            found = await kept.read("quota", "all", now)
            break
        except StateError:
            continue
    assert found is not None
    assert found.data == b"1"
    assert "problems" not in kept.health()
    await kept.shutdown()
    await other.shutdown()


@pytest.mark.parametrize("written", ["", "sqlite:///x", "127.0.0.1/x"])
def test_a_url_that_is_none_is_refused(written):
    with pytest.raises(ConfigError, match="url"):
        build(Postgresql, url=written)
