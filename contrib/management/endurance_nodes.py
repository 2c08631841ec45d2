"""Gateways on one PostgreSQL, killed, cut off and started again for a minute while many write: see `harried.py`.

Its name keeps this file out of the ordinary run: it takes minutes. It tells how many writes a second
there were.
"""

import sys

import pytest

from .harried import TROUBLES, Harry, nodes

SECONDS = 60
WRITES, WRITERS, CALLS = 200, 1900, 100
"""Writes and calls a second that are asked for, and routes that are written: so many writes wait at most, and where a
node is cut off without a word, all that asked it do."""


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("troubles", [("none",), TROUBLES], ids=["quiet", "harried"])
def test_what_was_acknowledged_is_served_whatever_happens_to_nodes(tmp_path, postgres_url, troubles, count):
    with nodes(tmp_path, postgres_url, count) as found:
        harry = Harry(found, seed=11)
        harry.run(SECONDS, troubles, WRITES, WRITERS, CALLS)
        harry.settled()
    told = harry.record
    took = sorted(told.took)
    sys.stdout.write(
        f"{told.written / SECONDS:.1f} writes and {told.calls / SECONDS:.0f} calls a second; a write takes "
        f"{took[len(took) // 2]:.2f} s, p99 {took[len(took) * 99 // 100]:.2f} s; "
        f"{told.live} proved live, {told.late} late, {told.refused} refused, {told.skipped} never begun\n"
    )
    assert not told.wrong
    assert told.live >= 5
