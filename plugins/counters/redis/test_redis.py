"""Counters in Valkey or Redis: exact over all gateways, whole or not at all, and closed while the server is away."""

import asyncio
import math
import random
import secrets
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hookgate import ConfigError, Decision, Limit, ServiceUnavailable
from hookgate.testing import LocalCounters, MovableClock, TestHost, build, close_server, running, valkey
from hookgate_counters_redis import Redis

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC).timestamp()
DAYS = [f"{year}-{day}" for year in (1999, 2000, 2023, 2024, 2100) for day in ("01-01", "02-28", "03-01", "12-31")]


@pytest.fixture(scope="module")
def url():
    try:
        return valkey()
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def prefix():
    return secrets.token_hex(8)


@asynccontextmanager
async def started(url, prefix, clock=None, **options):
    store = build(Redis, url=url, prefix=prefix, patience=10, **options)
    store.startup(TestHost(clock=clock or MovableClock()))
    try:
        yield store
    finally:
        await store.shutdown()


async def take(store, *wants):
    found = store.take(list(wants))
    return found if isinstance(found, Decision) else await found


def here(store, want):
    """What a look tells that does not ask the server; nothing where it would."""
    found = store.take([want])
    if isinstance(found, Decision):
        return found
    found.close()
    return None


def document(url, prefix, limit, **options):
    return {
        "gateway": {"counters": {"redis": {"url": url, "prefix": prefix, **options}}},
        "routes": [
            {"name": "all", "match": {"path": "/all"}, "flow": [{"rate-limit": limit}, {"respond": {"body": "ok"}}]},
            {"name": "free", "match": {"path": "/free"}, "flow": [{"respond": {"body": "ok"}}]},
        ],
    }


@pytest.mark.parametrize("window", ["month", 86400 * 1000])
def test_a_limit_over_two_gateways_lets_exactly_so_many_through_and_outlives_them(url, prefix, window):
    written = document(url, prefix, {"limit": 37, "window": window}, patience=10)
    with running(written) as one, running(written) as two, ThreadPoolExecutor(8) as pool:
        gates = [one, two] * 40
        found = list(pool.map(lambda gate: gate.request("GET", "/all").status_code, gates))
    with running(written) as later:
        found.append(later.request("GET", "/all").status_code)

    assert (found.count(200), found.count(429)) == (37, 44)
    assert found[-1] == 429


@pytest.mark.parametrize("lease", [1, 2])
async def test_it_decides_as_the_counters_in_memory_do(url, prefix, lease):
    """With a lease of 2 too, while each limit is asked for less than twice a second."""
    clock, chance = MovableClock(), random.Random(11)
    local = LocalCounters(clock)
    limits = [
        ("a", Limit(5, 10)),
        ("b", Limit(3, 7.5, burst=9)),
        ("c", Limit(4, "minute")),
        ("a", Limit(6, "hour")),
        ("d", Limit(1, "month")),
        ("e", Limit(2, "week")),
    ]
    async with started(url, prefix, clock, lease=lease) as store:
        for _ in range(150):
            store._time = clock.wall()
            wants = [
                (key, chance.choice((0, 1, 1, 2, 7)), limit)
                for key, limit in chance.sample(limits, chance.choice((1, 1, 2, 3)))
            ]
            mine, its = await take(store, *wants), local.take(wants)
            assert mine[:3] == its[:3], wants
            assert mine.key == its.key
            assert mine.reset == pytest.approx(its.reset, abs=0.01)
            assert mine.retry_after == pytest.approx(its.retry_after, abs=0.01)
            await clock.advance(chance.choice((1.1, 3, 40) if lease > 1 else (0, 0.5, 3, 40)))


@pytest.mark.parametrize("window", ["second", "minute", "hour", "day", "week", "month"])
async def test_calendar_windows_end_when_those_of_other_counters_do(url, prefix, window):
    async with started(url, prefix) as store:
        for day in DAYS:
            for hours in (0, 0.5, 12, 23.9999):
                store._time = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + hours * 3600
                want = (f"{day} {hours}", 1, Limit(2, window))
                right = LocalCounters(MovableClock(store._time)).take([want])
                assert (await take(store, want)).reset == pytest.approx(right.reset, abs=1e-3)


async def test_without_a_word_it_goes_by_the_clock_of_the_server(url, prefix):
    """Ours stands, and is decades behind."""
    clock = MovableClock(0.0)
    async with started(url, prefix, clock) as store, started(url, prefix, MovableClock(NOON)) as other:
        key, limit = "k", Limit(1, 0.001)
        while not (await take(store, (key, 1, limit))).allowed:
            pass
        while not (await take(other, (key, 1, limit))).allowed:  # ends only if time passes
            pass
        want = ("month", 1, Limit(2, "month"))
        before = LocalCounters(MovableClock(time.time())).take([want]).reset
        ends = [(await take(each, want)).reset for each in (store, other)]
        after = LocalCounters(MovableClock(time.time())).take([want]).reset
    if after <= before:  # or a month has just begun
        assert [after - 5 < each < before + 5 for each in ends] == [True, True], (after, ends, before)


async def test_of_several_limits_all_are_taken_or_none_also_where_one_stands_twice(url, prefix):
    wide, narrow = Limit(10, 1e9), Limit(1, 1e9)
    async with started(url, prefix) as store:
        first = await take(store, ("w", 1, wide), ("w", 1, wide), ("n", 1, narrow))
        second = await take(store, ("w", 1, wide), ("w", 1, wide), ("n", 1, narrow))
        left = await take(store, ("w", 0, wide))

    assert (first.allowed, second.allowed, second.key) == (True, False, "n")
    assert left.remaining == 8


async def test_what_is_whole_again_goes_by_itself_and_what_is_only_looked_at_is_not_kept(url, prefix):
    async with started(url, prefix) as store:
        await take(store, ("counted", 1, Limit(1, 100)), ("looked at", 0, Limit(1, 100)))
        await take(store, ("long", 1, Limit(1, 1e300)))
        client = store._server._client
        lives = [await client.pttl(key) async for key in client.scan_iter(match=f"*{prefix}*")]

    assert len(lives) == 2
    assert 90_000 < min(lives) <= 101_000
    assert max(lives) > 1e11


async def test_more_callers_than_connections_wait_for_one(url, prefix):
    limit = Limit(50, 1e9)
    async with started(url, prefix, connections=2) as store:
        found = await asyncio.gather(*(take(store, ("k", 1, limit)) for _ in range(200)))
    assert sum(each.allowed for each in found) == 50


@pytest.mark.parametrize("window", ["month", 1e9])
async def test_with_leases_hot_limits_ask_the_server_less_and_never_let_more_through(url, prefix, window):
    limit, lease = Limit(200, window), 16
    async with started(url, prefix, lease=lease) as one, started(url, prefix, lease=lease) as two:
        asked = []
        for store in (one, two):
            run = store._server.run

            async def counted(*words, run=run):
                asked.append(1)
                return await run(*words)

            store._server.run = counted
        found = [await take(store, ("k", 1, limit)) for store in [one, two] * 120]
        told = [each.remaining for each in found[::2] if each.allowed]

    allowed = sum(each.allowed for each in found)
    assert 200 - 2 * (lease - 1) <= allowed <= 200
    assert len(asked) < 0.6 * len(found)
    assert told == sorted(told, reverse=True)


async def test_a_lease_that_another_limit_refuses_is_given_back(url, prefix):
    hot, narrow = Limit(1000, 1e9), Limit(1, 1e9)
    async with started(url, prefix, lease=10) as store:
        while here(store, ("hot", 0, hot)) is None:
            await take(store, ("hot", 1, hot))
        before = here(store, ("hot", 0, hot))
        await take(store, ("narrow", 1, narrow))
        refused = await take(store, ("hot", 1, hot), ("narrow", 1, narrow))
        after = here(store, ("hot", 0, hot))

    assert (refused.allowed, refused.key) == (False, "narrow")
    assert after.remaining == before.remaining


async def test_a_lease_ends_with_its_window_and_a_limit_that_cools_down_gets_none(url, prefix):
    clock = MovableClock(NOON)
    limit = Limit(1000, "minute")
    async with started(url, prefix, clock, lease=10) as store:
        store._time = NOON
        while here(store, ("k", 0, limit)) is None:
            await take(store, ("k", 1, limit))
        await clock.advance(60)
        store._time = NOON + 60
        first = await take(store, ("k", 1, limit))
        await clock.advance(2)
        second = await take(store, ("k", 1, limit))
        looked = here(store, ("k", 0, limit))

    assert (first.remaining, second.remaining) == (999, 998)
    assert looked is None


async def test_many_callers_at_once_ask_for_one_lease(url, prefix):
    """Also where all of them have found nothing before the first of them asks."""
    limit = Limit(10_000, 1e9)
    async with started(url, prefix, lease=100) as store, started(url, prefix) as other:
        for _ in range(30):
            found = [store.take([("k", 1, limit)]) for _ in range(20)]
            asking = [each for each in found if not isinstance(each, Decision)]
            for each in asking[:2]:  # a lease comes while others have still to ask
                await each
            await asyncio.gather(*asking[2:])
        left = (await take(other, ("k", 0, limit))).remaining
    assert 10_000 - 600 - 100 < left <= 10_000 - 600


def test_while_the_server_is_away_nobody_who_is_limited_gets_in(prefix):
    away = "redis://ann:password-of-ann@127.0.0.1:9/0"
    with running(document(away, prefix, {"limit": 5, "window": "hour"})) as gate:
        refused, free = gate.request("GET", "/all"), gate.request("GET", "/free")
        again = gate.request("GET", "/all")
        said = " ".join(record.getMessage() for record in gate.log)
        status = str(gate.gateway.status())

    assert (refused.status_code, again.status_code, free.status_code) == (503, 503, 200)
    assert refused.json()["reason"] == "counters-away"
    assert "counters redis do not answer" in refused.json()["detail"]
    assert "127.0.0.1" not in refused.text
    assert "the server 127.0.0.1:9 cannot be used" in said
    assert "the server 127.0.0.1:9 cannot be used" in status
    assert "password-of-ann" not in said + status


@asynccontextmanager
async def before(url, context=None):
    """A port in front of the server, whose wires hang while the event is not set; with TLS where there is a context."""
    whole, tasks = asyncio.Event(), set()
    whole.set()

    async def pumped(reader, writer):
        while data := await reader.read(65536):
            await whole.wait()
            writer.write(data)

    async def accept(reader, writer):
        tasks.add(asyncio.current_task())
        parts = urlsplit(url)
        if parts.scheme == "unix":
            theirs, to_them = await asyncio.open_unix_connection(parts.path)
        else:
            theirs, to_them = await asyncio.open_connection(parts.hostname, parts.port or 6379)
        both = {asyncio.ensure_future(pumped(reader, to_them)), asyncio.ensure_future(pumped(theirs, writer))}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for each in (writer, to_them):
                each.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], whole
    finally:
        await close_server(server, tasks)


async def test_a_server_that_hangs_costs_one_call_the_patience_and_is_asked_again(url, prefix, monkeypatch):
    monkeypatch.setattr("hookgate_counters_redis.PAUSE", 1e9)
    limit = Limit(1000, 1e9)
    async with before(url) as (port, whole):
        store = build(Redis, url=f"redis://127.0.0.1:{port}", prefix=prefix, patience=10)
        store.startup(TestHost(clock=MovableClock()))
        assert (await take(store, ("k", 1, limit))).allowed
        whole.clear()
        store._server._patience = 0.05
        with pytest.raises(ServiceUnavailable, match="counters redis do not answer"):
            await take(store, ("k", 1, limit))
        assert "no answer in time" in store.health()["problems"][0]
        with pytest.raises(ServiceUnavailable):  # at once, for nobody asks in the pause
            store.take([("k", 1, limit)]).send(None)
        whole.set()
        store._paused_until, store._server._patience = -math.inf, 10
        found = await take(store, ("k", 1, limit))
        assert found.allowed
        assert "problems" not in store.health()
        await store.shutdown()


async def test_a_server_that_was_started_anew_knows_the_script_again(url, prefix):
    async with started(url, prefix) as store:
        store._server._digest = "0" * 40  # as if it had forgotten
        found = [await take(store, ("k", 1, Limit(2, 1e9))) for _ in range(3)]
    assert [each.allowed for each in found] == [True, True, False]


async def test_a_value_that_somebody_else_wrote_is_none(url, prefix):
    async with started(url, prefix) as store:
        limit = Limit(2, 1e9)
        await take(store, ("k", 1, limit))
        client = store._server._client
        [key] = [each async for each in client.scan_iter(match=f"*{prefix}*")]
        await client.set(key, "what is this")
        assert (await take(store, ("k", 1, limit))).remaining == 1
        await client.delete(key)
        await client.lpush(key, "a list")
        with pytest.raises(ServiceUnavailable):
            await take(store, ("k", 1, limit))
        assert "WRONGTYPE" in store.health()["problems"][0]
        await client.delete(key)


async def test_over_tls_the_certificate_of_the_server_is_checked(url, prefix, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "valkey")]), datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1)).add_extension(here, False)
    own, pem = tmp_path / "own.pem", serialization.Encoding.PEM
    own.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    async with before(url, context=context) as (port, _):
        address = f"rediss://127.0.0.1:{port}"
        async with started(address, prefix, ca_file=own) as store:
            assert (await take(store, ("k", 1, Limit(2, 1e9)))).remaining == 1
        async with started(address, prefix) as store:
            with pytest.raises(ServiceUnavailable):
                await take(store, ("k", 1, Limit(2, 1e9)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": ""}, "url: it is empty"),
        ({"url": "http://secret-word@h"}, "url: is no URL of a server: write redis://"),
        ({"url": "redis://ann:secret-word@h:x"}, "url: is no URL of a server: write redis://"),
        ({"url": "redis:///0"}, "url: names no host"),
        ({"url": "redis://:secret-word@h/zero"}, "url: has no number of a database"),
        ({"url": "redis://:secret-word@h?ssl_cert_reqs=none"}, "url: has a query"),
        ({"url": "unix://"}, "url: names no socket"),
        ({"url": "redis://h", "lease": 0}, "lease: "),
        ({"url": "redis://h", "patience": 11}, "patience: "),
        ({"url": "redis://h", "prefix": "{a}"}, "prefix: "),
        ({"url": "rediss://h", "ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be used"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options, message):
    with pytest.raises(ConfigError) as raised, running({"gateway": {"counters": {"redis": options}}}):
        pass
    assert message in str(raised.value)
    assert "secret-word" not in str(raised.value)


@pytest.mark.parametrize("address", ["redis://:secret-word@h", "valkeys://ann:secret-word@h:1/2"])
def test_a_password_is_in_no_message(address):
    store = build(Redis, url=address)
    assert "secret-word" not in f"{store.options!r} {store._server.place} {vars(store)}"
    assert store._server.place in {"h:6379", "h:1"}
