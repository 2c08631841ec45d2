"""schemathesis over the whole API with each kind of token: `./run tox -e endurance -- contrib/management/endurance.py`.

Its name keeps this file out of the ordinary run; `test_fuzzed.py` has a short one.
"""

import pytest

from .fuzzed import for_nobody, for_routes_only, fuzzed, prepared, written_by
from .served import DOCUMENT, serving

ALL = ("--phases", "coverage,fuzzing,stateful", "-n", "20", "--max-time")
MINUTES = {"ann": 10, "bob": 5, "nobody": 2}


@pytest.mark.parametrize("who", MINUTES)
def test_whatever_is_sent_is_answered_as_described(tmp_path, who):
    document = DOCUMENT.replace("[api_api-connection]", "[api_route]")
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", document) as gate:
        api, before = prepared(gate), gate.call("GET", "/generations?limit=1").json()
        described = {"ann": api, "bob": for_routes_only(api), "nobody": for_nobody(api)}[who]
        fuzzed(gate, tmp_path, described, "" if who == "nobody" else f"token-of-{who}", *ALL, str(60 * MINUTES[who]))
        assert written_by(gate, "bob") <= {"routes"}
        if who == "nobody":
            assert gate.call("GET", "/generations?limit=1").json() == before
        log = "".join(gate.lines)
        assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:10000]
