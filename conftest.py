"""How every test is run, whoever starts it and however busy the machine is."""

import faulthandler
import gc
import os
import signal
import sys
import threading
from pathlib import Path

import certifi
import psutil
import pytest
from hypothesis import HealthCheck, settings

# Time says something of the machine, and nothing of the code: pytest's `timeout` ends what never ends.
settings.register_profile("hookgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hookgate")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores it in jobs of a script that are put into the background, and what tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What the shell says to gateways, to clients and to terminals is not said to those of the tests.
TOLD = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "force_color", "no_color", "columns", "lines"}
for name in [*os.environ]:
    if name.lower() in TOLD or (name.startswith("HOOKGATE_") and not name.startswith("HOOKGATE_TEST_")):
        del os.environ[name]

GRACE = 60.0
"""Seconds that a test has for its ``finally`` after its time limit."""


def pytest_collection_finish():
    """What is imported and collected stays: otherwise each collection of garbage looks at all of it, for a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """End a test whose time limit did not end it: it waits in a ``finally``, or in a thread that takes no signals."""
    marker, typed = item.get_closest_marker("timeout"), item.config.getoption("timeout")
    limit = float(marker.args[0] if marker else item.config.getini("timeout") if typed is None else typed)
    if not limit:
        return (yield)
    over = threading.Event()
    end = threading.Timer(limit + GRACE, _end, (item.nodeid, over))
    end.daemon = True
    end.start()
    try:
        return (yield)
    finally:
        over.set()
        end.cancel()


def _end(name, over):
    for process in psutil.Process().children(recursive=True):
        process.kill()
    if not over.wait(10):  # what it waits for is no process
        print(f"{name} does not end", file=sys.__stderr__)
        faulthandler.dump_traceback(sys.__stderr__)
        os._exit(1)


@pytest.fixture(scope="session", autouse=True)
def one_authority(tmp_path_factory):
    """Clients of tests trust one authority, not all of them: to read these takes each of ten thousand clients 50 ms."""
    end = "-----END CERTIFICATE-----\n"
    file = tmp_path_factory.mktemp("trust") / "one.pem"
    file.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(file))
        yield


@pytest.fixture(autouse=True)
def nothing_hidden():
    """Forget the secrets of a test when it is over: each of them would be asterisks in what later ones print."""
    before = _held()
    yield
    hiding = sys.modules.get("hookgate.exchange.hiding")
    if hiding is not None and (mine := set(hiding.Values.held) - before):
        hiding.Values.held -= mine  # what holds them are circles, and collecting these takes long
        hiding.Values.renew()


def _held():
    hiding = sys.modules.get("hookgate.exchange.hiding")
    return set(hiding.Values.held) if hiding is not None else set()
