import pytest

from hookgate import ConfigError
from hookgate.testing import running

BLOCKS = """
import time
from hookgate import Interceptor, Options, hookimpl

class Blocks(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        time.sleep(0.6)
"""


def document(**more):
    return {"routes": [{"name": "one", "flow": ["blocks", "respond"]}], **more}


@pytest.fixture
def site(tmp_path):
    (tmp_path / "blocks.py").write_text(BLOCKS)
    return tmp_path


def told(gate):
    return [record.getMessage() for record in gate.log if record.name == "hookgate.watchdog"]


def test_a_hook_that_blocks_is_named_with_its_line(site):
    with running(document(watchdog={"patience": 0.2}), plugins_dir=site) as gate:
        assert gate.request("GET", "/").status_code == 200
        (line,) = told(gate)

    assert line.startswith("plugin routes.one/blocks has blocked every call for 0.")
    assert "in on_request" in line
    assert "time.sleep(0.6)" in line


def test_patience_is_a_second_unless_written_and_changes_over_a_reload(site):
    with running(document(), plugins_dir=site) as gate:
        assert gate.gateway.section("watchdog").record.patience == 1
        gate.request("GET", "/")
        assert told(gate) == []
        gate.reload(document(watchdog={"patience": 0.2}))
        gate.request("GET", "/")
        assert len(told(gate)) == 1
        with pytest.raises(ConfigError, match=r"watchdog\.patience: should be greater than or equal to 0\.05"):
            gate.reload(document(watchdog={"patience": 0}))


def test_a_patience_that_no_clock_can_wait_for_is_refused(site):
    with (
        pytest.raises(ConfigError, match="86400"),
        running(document(watchdog={"patience": 1e300}), plugins_dir=site),
    ):
        pass
