"""Three gateways on one PostgreSQL, killed, cut off and started again for a minute, while many write: see `harried.py`.

Its name keeps this file out of the ordinary run: it takes minutes. It tells how many writes a second
there were.
"""

import sys

import pytest

from .harried import TROUBLES, Harry, nodes

SECONDS = 60


@pytest.mark.parametrize("troubles", [("none",), TROUBLES], ids=["quiet", "harried"])
def test_what_was_acknowledged_is_served_whatever_happens_to_nodes(tmp_path, postgres_url, troubles):
    with nodes(tmp_path, postgres_url, 3) as found:
        harry = Harry(found, seed=11)
        harry.run(SECONDS, 24, troubles)
        harry.settled()
    told = harry.record
    rate = f"{told.written / SECONDS:.1f} writes and {told.calls / SECONDS:.0f} calls a second"
    sys.stdout.write(f"{rate}; {told.live} proved live, {told.late} late, {told.refused} refused\n")
    assert not told.wrong
    assert told.live >= 5
