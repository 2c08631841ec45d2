"""How late a node is that forgets what has ended: as a metric."""

import time

import pytest

from hookgate_keymanager.ending import Endings
from hookgate_keymanager.issuing import Issuing
from hookgate_people import People, UserChange

from .town import BY, PASSWORD

NAME = "hookgate_keymanager_revocation_delay_seconds"


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


def told(gate):
    """Return how many endings were told, how many of them within 2.5 s, and the sum of their seconds."""
    found = gate.metric(NAME)
    return tuple(found.get(f"{NAME}_{each}", 0.0) for each in ("count", 'bucket{le="2.5"}', "sum"))


def forgotten(gate, token):
    until = time.monotonic() + 60
    while gate.call(token).status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_ends_on_another_node_is_measured_from_when_it_has_ended(gate, client):
    token = gate.token(client, scope="news_read")["access_token"]
    assert gate.call(token).status_code == 200
    before = told(gate)

    async def ended(store):
        store.clock = lambda: time.time() - 3  # so long ago
        await Issuing(store, Endings(store)).end(token)

    gate.store(ended)
    forgotten(gate, token)
    count, quick, seconds = told(gate)
    assert count == before[0] + 1
    assert quick == before[1]
    assert seconds - before[2] >= 3


def test_what_ends_here_and_users_who_are_disabled_are_counted_too(gate, client):
    gate.store(lambda store: People(store).users.make(BY, "lea", PASSWORD, roles=["employee"]))
    first, second = (gate.token(client, username="lea", scope="news_read")["access_token"] for _ in range(2))
    assert gate.call(second).status_code == 200
    before = told(gate)[0]
    assert gate.ask(client, "/revoke", token=first).status_code == 200
    assert told(gate)[0] == before + 1
    gate.store(lambda store: People(store).users.change(BY, "lea", UserChange(disabled=True)))
    forgotten(gate, second)
    assert told(gate)[0] == before + 2
