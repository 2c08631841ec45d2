"""A gateway that is killed amid 500 writes at a time: what was acknowledged is there, and nothing is half.

Its name keeps this file out of the ordinary run; `contrib/storage/test_store.py` has a short one.
"""

import asyncio
import json
import sys

from .caller import Caller
from .served import serving

WRITERS, ENOUGH = 500, 2000


def pair(name, number):
    """Return a write of two objects that say the same."""
    connection = {"targets": f"http://127.0.0.1:{number}"}
    changes = [{"kind": "connections", "name": f"{name}-{side}", "body": connection} for side in ("a", "b")]
    return json.dumps({"changes": changes}).encode()


async def write_until_killed(gate):
    """Have all write; kill the gateway when it has acknowledged enough. Return what it has, with its generation."""
    acknowledged, tried = {}, {}

    async def write(name):
        caller, number = Caller(gate.management), 0
        try:
            while True:
                number = tried[name] = number + 1
                status, body = await caller.call("POST", "/-/api/apply", pair(name, number))
                assert status in {200, 201}, body
                acknowledged[name] = number, json.loads(body)["generation"]
                if sum(each for each, _ in acknowledged.values()) >= ENOUGH:
                    gate.process.kill()
        except (OSError, EOFError):
            pass  # it was killed
        finally:
            caller.close()

    await asyncio.gather(*(write(f"w{number}") for number in range(WRITERS)))
    return acknowledged, tried


def test_a_gateway_killed_amid_500_writes_has_lost_nothing_that_it_acknowledged(tmp_path, database_url):
    with serving(tmp_path, database_url) as gate:
        assert gate.call("GET", "/schema").status_code == 200
        acknowledged, tried = asyncio.run(write_until_killed(gate))
        gate.process.wait(60)
    sys.stdout.write(f"{sum(each for each, _ in acknowledged.values())} writes by {len(tried)} were acknowledged\n")
    assert sum(each for each, _ in acknowledged.values()) >= ENOUGH
    with serving(tmp_path, database_url, ready=False) as gate:
        held, after = {}, ""
        while after is not None:
            page = gate.call("GET", f"/objects/connections?limit=1000&after={after}").json()
            held |= {each["name"]: each for each in page["objects"] if each["from"] == "store"}
            after = page.get("next")
        for name, (number, generation) in acknowledged.items():
            mine = held[f"{name}-a"]
            assert mine["version"] in (number, number + 1)
            assert mine["generation"] >= generation
        for name in tried:
            sides = [held.get(f"{name}-{side}") for side in ("a", "b")]
            told = [each and (each["version"], each["generation"], each["body"]["targets"]) for each in sides]
            assert told[0] == told[1]  # none is half
            if told[0]:
                assert told[0][0] <= tried[name]
                assert told[0][2].endswith(f":{told[0][0]}")
        newest = gate.call("GET", "/generations?limit=1").json()["generations"][0]["generation"]
        assert newest == sum(each["version"] for name, each in held.items() if name.endswith("-a"))  # without gaps
        answer = gate.call("PUT", "/objects/connections/after?wait=live", {"targets": "http://127.0.0.1:9"})
        assert answer.json()["live"]
