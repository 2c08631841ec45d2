"""Writes with an ``Idempotency-Key`` are done once, however often they are sent."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from .served import serving

CRM = {"targets": "http://127.0.0.1:9"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}") as served:
        yield served


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def newest(gate):
    return gate.call("GET", "/generations?limit=1").json()["generations"][0]["generation"]


def test_the_same_write_is_done_once_and_answered_again(gate, name):
    sent = {"name": name, "body": CRM}
    first = gate.call("POST", "/objects/connections?wait=live", sent, Idempotency_Key=name)
    second = gate.call("POST", "/objects/connections?wait=live", sent, Idempotency_Key=name)

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert (second.headers["ETag"], second.headers["Location"]) == ('"1"', first.headers["Location"])
    assert newest(gate) == first.json()["generation"]


def test_a_key_with_another_write_is_refused(gate, name):
    assert gate.call("PUT", f"/objects/connections/{name}", CRM, Idempotency_Key=name).status_code == 201
    for answer in (
        gate.call("PUT", f"/objects/connections/{name}", {"targets": "http://127.0.0.1:1"}, Idempotency_Key=name),
        gate.call("PUT", f"/objects/connections/{name}x", CRM, Idempotency_Key=name),
        gate.call("DELETE", f"/objects/connections/{name}", Idempotency_Key=name),
        gate.call("PUT", f"/objects/connections/{name}?comment=x", CRM, Idempotency_Key=name),
    ):
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:hookgate:problem:idempotency-key")
    other = gate.call("PUT", f"/objects/connections/{name}", CRM, token="token-of-bob", Idempotency_Key=name)
    assert other.status_code == 200  # somebody else's key is another one


def test_a_write_that_was_refused_or_rehearsed_may_be_sent_again(gate, name):
    def put(body, query=""):
        return gate.call("PUT", f"/objects/connections/{name}{query}", body, Idempotency_Key=name)

    assert put({"targets": 5}).status_code == 422
    assert put(CRM, "?dry_run=true").status_code == 200
    assert put(CRM).status_code == 201
    assert put(CRM).status_code == 201


def test_many_at_once_are_one_write(gate, name):
    def post(_):
        return gate.call("POST", "/objects/connections", {"name": name, "body": CRM}, Idempotency_Key=name)

    before = newest(gate)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {a.json()["type"] for a in answers if a.status_code == 409} <= {"urn:hookgate:problem:under-way"}
    assert post(0).status_code == 201
    assert newest(gate) == before + 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_what_is_no_key_is_refused(gate, name, key):
    answer = gate.call("PUT", f"/objects/connections/{name}", CRM, Idempotency_Key=key)
    assert answer.status_code == 400


def test_nobody_reads_answers_of_others(gate, name):
    gate.call("PUT", f"/objects/connections/{name}", CRM, Idempotency_Key=name)
    assert gate.call("PUT", f"/objects/connections/{name}", CRM, token="", Idempotency_Key=name).status_code == 401
    told = gate.call("PUT", f"/objects/connections/{name}", CRM, token="token-of-eve", Idempotency_Key=name)
    assert told.status_code == 403
