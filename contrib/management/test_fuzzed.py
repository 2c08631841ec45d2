"""schemathesis over some of the API with each kind of token; `endurance.py` has all of it."""

import pytest

from .fuzzed import for_nobody, for_routes_only, fuzzed, prepared, some, written_by
from .served import DOCUMENT, serving

SOME = "/(objects/routes|apply|rollback|users|plan)"
FEW = ("--phases", "fuzzing", "-n", "2", "--seed", "7")


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    document = DOCUMENT.replace("[api_api-connection]", "[api_route]")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", document) as served:
        served.api = some(prepared(served), SOME)
        yield served


def test_whatever_an_administrator_sends_is_answered_as_described(gate, tmp_path):
    fuzzed(gate, tmp_path, gate.api, "token-of-ann", *FEW)


def test_whoever_may_change_routes_changes_nothing_else(gate, tmp_path):
    fuzzed(gate, tmp_path, for_routes_only(gate.api), "token-of-bob", *FEW)
    assert written_by(gate, "bob") <= {"routes"}


def test_nobody_gets_nothing(gate, tmp_path):
    before = gate.call("GET", "/generations?limit=1").json()
    fuzzed(gate, tmp_path, for_nobody(gate.api), "", *FEW)
    assert gate.call("GET", "/generations?limit=1").json() == before
