import asyncio
import json
import re
import time
from importlib.metadata import entry_points

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from hookgate import ConfigError
from hookgate.contract import families
from hookgate.contract.duration import UNITS, seconds
from hookgate.contract.families import Family
from hookgate.testing import running, upstream

FOUND = [found for found in vars(families).values() if isinstance(found, Family)]


def answer(*, timeout):
    connection = {"targets": None, "timeouts": {"read": timeout}}
    return {"connections": {"slow": connection}, "routes": [{"name": "all", "to": {"connection": "slow"}}]}


async def never(request):
    await asyncio.Event().wait()


@pytest.mark.parametrize("written", [0.2, "0.2", "200ms", "0.2s"])
def test_a_time_is_a_number_of_seconds_or_has_a_unit(written):
    with upstream(never) as backend:
        document = answer(timeout=written)
        document["connections"]["slow"]["targets"] = backend.url
        with running(document) as gate:
            began = time.monotonic()
            status = gate.request("GET", "/").status_code
            took = time.monotonic() - began

    assert status == 504
    assert 0.2 <= took < 30


NONSENSE = ["10 sec", "soon", "1m30", "-1s", "s", "1w", "\uff11s", "1e400", "", "1" * 200 + "s", True]


@pytest.mark.parametrize("written", NONSENSE)
def test_what_is_no_time_is_refused(written):
    document = json.dumps(answer(timeout=written) | {"routes": []}).replace("null", '"http://127.0.0.1:9"')

    with pytest.raises(ConfigError, match=r"connections\.slow\.timeouts\.read: "), running(document):
        pass


def test_bounds_hold_for_times_with_units():
    document = "routes: []\nconnections: {a: {targets: 'http://127.0.0.1:9', retry: {delay: 2m}}}\n"

    with (
        pytest.raises(ConfigError, match=r"connections\.a\.retry\.delay: should be less than"),
        running(document),
    ):
        pass


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(UNITS))), min_size=1, max_size=5))
def test_parts_add_up(parts):
    written = "".join(f"{number}{unit}" for number, unit in parts)

    assert seconds(written) == pytest.approx(sum(number * UNITS[unit] for number, unit in parts))


def records():
    """Every record of options that is installed, with what is inside it."""
    waiting = [
        point.load().options_type
        for family in FOUND
        for point in entry_points(group=family.group)
        if point.dist and point.dist.name.startswith("hookgate")
    ]
    seen = set()
    while waiting:
        record = waiting.pop()
        if record in seen or not (isinstance(record, type) and issubclass(record, BaseModel)):
            continue
        seen.add(record)
        for field in record.model_fields.values():
            waiting += parts(field.annotation)
    return sorted(seen, key=lambda record: (record.__module__, record.__qualname__))


def parts(annotation):
    inside = [each for part in getattr(annotation, "__args__", ()) for each in parts(part)]
    return [annotation, *inside]


@pytest.mark.parametrize("record", records(), ids=lambda record: f"{record.__module__}.{record.__name__}")
def test_units_may_stand_wherever_an_option_is_told_in_seconds(record):
    schema = record.model_json_schema(by_alias=False)
    for name, shown in schema.get("properties", {}).items():
        if re.match(r"(Seconds|Longest time)\b", shown.get("description", "")):
            assert "ms|s|m|h|d" in json.dumps(shown), f"{name} takes no units: make it a hookgate.Duration"
