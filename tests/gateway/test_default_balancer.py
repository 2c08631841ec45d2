"""Which balancer serves where a document names none: least-busy, and round robin for lists that give weights (AC-5)."""

import asyncio
import threading

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False])


def document(targets, lane=True, **connection):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": targets, **connection}},
    }


def balancer(gate):
    found = gate.gateway.connection("crm").balancer
    return None if found is None else found.entry.name


@BOTH
def test_a_target_that_is_busy_gets_fewer_calls_than_one_that_is_not(lane):
    """Two calls that do not end on one of the two: every call after them goes to the other."""

    go = threading.Event()

    async def answer(request):
        while request.path == "/stuck" and not go.is_set():
            await asyncio.sleep(0.01)
        return 200, {}, "ok"

    async def scenario():
        with upstream(answer) as a, upstream(answer) as b:
            async with running(document([a.url, b.url], lane)) as gate:
                assert balancer(gate) == "least-busy"
                stuck = [asyncio.ensure_future(gate.call("GET", "/stuck")) for _ in range(2)]
                while len(a.requests) + len(b.requests) < 2:
                    await asyncio.sleep(0.01)
                assert [len(each.requests) for each in (a, b)] == [1, 1], "the second call went to the idle one"
                go.set()
                await asyncio.gather(*stuck)

    asyncio.run(scenario())


@BOTH
@pytest.mark.parametrize("weights", [(5, 1, 1), (5, None, None), (1, 1, 1)])
def test_a_list_that_gives_weights_is_called_in_turns_by_weight(lane, weights):
    with upstream() as a, upstream() as b, upstream() as c:
        names = {a.url: "A", b.url: "B", c.url: "C"}
        targets = [
            {"url": url, **({} if weight is None else {"weight": weight})}
            for url, weight in zip(names, weights, strict=True)
        ]
        with running(document(targets, lane)) as gate:
            assert balancer(gate) == "weighted-round-robin"
            for _ in range(7):
                assert gate.request("GET", "/").status_code == 200
            sequence = "".join(names[exchange.target.url] for exchange in gate.wait_for_exchanges(7))

    assert sequence == ("AABACAA" if weights[0] == 5 else "ABCABCA")


@pytest.mark.parametrize(
    ("targets", "connection", "name"),
    [
        ("http://127.0.0.1:1", {}, None),
        (["http://127.0.0.1:1"], {}, None),
        (["http://127.0.0.1:1", {"url": "http://127.0.0.1:2"}], {}, "least-busy"),
        ([{"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2", "active": False}], {}, "least-busy"),
        (["http://127.0.0.1:1", {"url": "http://127.0.0.1:2", "weight": 0}], {}, "weighted-round-robin"),
        ([{"url": f"http://127.0.0.1:{n}", "weight": n} for n in (1, 2)], {"balancer": "least-busy"}, "least-busy"),
        ([f"http://127.0.0.1:{n}" for n in (1, 2)], {"balancer": "weighted-round-robin"}, "weighted-round-robin"),
        ("http://127.0.0.1:1", {"backups": ["http://127.0.0.1:2"]}, "failover"),
        (None, {"discovery": {"dns": {"name": "x.internal", "port": 1, "nameservers": ["127.0.0.1:9"]}}}, "least-busy"),
    ],
)
def test_what_is_written_decides(targets, connection, name):
    described = document(targets, **connection)
    if targets is None:
        del described["connections"]["crm"]["targets"]
    with running(described) as gate:
        assert balancer(gate) == name
