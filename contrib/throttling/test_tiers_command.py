"""`hookgate tiers`: who may choose which tier, and what other tiers would do to calls that were traced."""

import json

import pytest
from typer.testing import CliRunner

from hookgate import MachineError
from hookgate.commands import app
from hookgate.testing import MovableClock, running

TIERS = {
    "Bronze": {"limit": 3, "window": "month"},
    "Gold": {"limit": 100, "window": "month", "deny": "intern, guest"},
    "Partners": {"limit": 7, "window": "month", "allow": ["partner"], "levels": ["subscription"]},
    "Silver": {"enabled": False},
}
TOKENS = {
    name: {"token": f"token-of-{name}", "application": app}
    for name, app in (("ann", "App1"), ("bob", "App1"), ("eve", "App2"))
}


def hookgate(*arguments, **said):
    return CliRunner().invoke(app, ["tiers", *map(str, arguments)], env={"COLUMNS": "300"}, **said)


def write(folder, name, **said):
    path = folder / name
    path.write_text(json.dumps({"tiers": TIERS, **said}))
    return path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), ["Bronze", "Gold", "Unlimited", "Partners"]),
        (("--role", "intern"), ["Bronze", "Unlimited"]),
        (("--role", "intern", "--role", "partner"), ["Bronze", "Unlimited", "Partners"]),
        (("--role", "partner"), ["Bronze", "Gold", "Unlimited", "Partners"]),
        (("--role", "partner", "--level", "application"), ["Bronze", "Gold", "Unlimited"]),
    ],
)
def test_it_shows_the_tiers_that_somebody_may_choose(tmp_path, arguments, names):
    path = write(tmp_path, "gateway.json")
    told = hookgate("list", path, *arguments, "--json")
    drawn = hookgate("list", path, *arguments)

    assert sorted(json.loads(told.stdout)) == sorted(names), told.output
    assert sorted(line.split()[0] for line in drawn.stdout.splitlines()[1:]) == sorted(names)


def test_a_level_that_is_none_is_refused(tmp_path):
    done = hookgate("list", write(tmp_path, "gateway.json"), "--level", "applicaton")
    assert (done.exit_code, "did you mean 'application'" in done.output) == (2, True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A gateway that has traced eight calls: five of one application, two of them by another user, and three."""
    folder = tmp_path_factory.mktemp("traces")
    levels = {
        "application": {"by": "identity.application", "tier": "'Gold'"},
        "subscription": {"by": "request.headers['x-key']", "tier": "'Unlimited'"},
        "backend": {"limit": 7, "window": "month"},
    }
    document = {
        "gateway": {"observers": [{"trace": {"path": str(folder / "traces.db")}}]},
        "management": {"apps": ["health", "trace"]},
        "trace": {"sample": 1},
        "tiers": TIERS,
        "routes": [
            {
                "name": "orders",
                "match": {"path": "/orders"},
                "flow": [{"auth": {"methods": [{"bearer": {"tokens": TOKENS}}]}}, {"throttle": levels}, "respond"],
            },
            {"name": "free", "match": {"path": "/free"}, "flow": ["respond"]},
        ],
    }
    with running(document, clock=MovableClock()) as gate:
        for name in ("ann", "bob", "ann", "eve", "eve", "bob", "ann", "eve"):
            headers = {"authorization": f"Bearer token-of-{name}", "x-key": f"secret key of {name}"}
            gate.request("GET", "/orders", headers=headers)
        gate.request("GET", "/free")
        gate.request("GET", "/orders")
        gate.wait_for_exchanges(10)
        yield gate


def tried(gate, *arguments):
    done = hookgate("try", *arguments, "--management", gate.management, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def of(report, level):
    return {
        (each["who"], each["tier"]): (each["calls"], each["refused"])
        for each in report["limits"]
        if each["level"] == level
    }


def test_the_tiers_that_were_there_refuse_what_they_refused(recorded, tmp_path):
    report = tried(recorded, write(tmp_path, "same.json"))

    assert (report["traces"], report["without_limits"]) == (10, 2)
    assert (report["refused_before"], report["refused_now"]) == (1, 1)
    assert of(report, "application") == {("App1", "Gold"): (5, 0), ("App2", "Gold"): (3, 0)}
    assert of(report, "backend") == {("route orders", ""): (8, 1)}
    assert of(report, "subscription") == {}


def test_other_tiers_say_who_would_have_been_refused(recorded, tmp_path):
    smaller = {**TIERS, "Gold": {"limit": 4, "window": "month"}, "Unlimited": {"limit": 2, "window": "month"}}
    report = tried(recorded, write(tmp_path, "smaller.json", tiers=smaller))
    moved = tried(recorded, write(tmp_path, "same.json"), "--move", "Gold=Bronze")

    assert report["refused_now"] == 2
    assert sorted(of(report, "subscription").values()) == [(2, 0), (3, 1), (3, 1)]
    assert of(moved, "application") == {("App1", "Bronze"): (5, 2), ("App2", "Bronze"): (3, 0)}
    assert moved["refused_now"] == 2


def test_a_file_and_the_standard_input_say_the_same_and_no_trace_tells_a_key(recorded, tmp_path):
    same = write(tmp_path, "same.json")
    exported = CliRunner().invoke(app, ["trace", "--json", "--full", "--management", recorded.management])
    assert exported.exit_code == 0, exported.output
    file = tmp_path / "traces.json"
    file.write_text(exported.stdout)
    expected = tried(recorded, same)

    assert json.loads(hookgate("try", same, file, "--json").stdout) == expected
    assert json.loads(hookgate("try", same, "-", "--json", input=exported.stdout).stdout) == expected
    drawn = hookgate("try", same, file)
    assert "10 calls: 1 were refused, 1 would be. 2 of them met no limit." in drawn.stdout
    facts = json.dumps([each["trace"]["facts"] for each in json.loads(exported.stdout)["traces"]])
    assert "App1" in facts
    assert "secret key" not in facts + drawn.output


@pytest.mark.parametrize(
    ("written", "arguments", "message"),
    [
        ("[1]", (), "has no whole traces"),
        ('{"a": 1}', (), "line 1: what begins here has no whole traces"),
        ("no json", (), "Expecting value"),
        ("[" * 100_000, (), "it is nested too deeply"),
        ("[]", ("--move", "Gold"), "write --move Gold=Silver"),
        ("[]", ("--move", "Gold=Silver"), "has no tier Silver"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_reason(tmp_path, written, arguments, message):
    file = tmp_path / "traces.json"
    file.write_text(written)
    done = hookgate("try", write(tmp_path, "gateway.json"), file, *arguments)

    assert done.exit_code == 2, done.output
    assert message in " ".join(done.output.replace("│", " ").split())


def test_a_file_that_is_not_there_is_no_fault_of_the_document(tmp_path):
    done = hookgate("try", write(tmp_path, "gateway.json"), tmp_path / "nowhere.json")
    assert isinstance(done.exception, MachineError)
    assert "nowhere.json cannot be read: No such file" in str(done.exception)


def test_traces_with_tiers_that_the_document_lacks_are_refused(recorded, tmp_path):
    path = write(tmp_path, "other.json", tiers={"Gold": {"enabled": False}})
    done = hookgate("try", path, "--management", recorded.management)
    assert done.exit_code == 2
    assert "has no tier Gold; write it there" in " ".join(done.output.replace("│", " ").split())


def test_no_traces_are_no_calls(tmp_path):
    file = tmp_path / "none.json"
    file.write_text("")
    assert "0 calls: 0 were refused, 0 would be." in hookgate("try", write(tmp_path, "g.json"), file).stdout


def trace(second, *levels):
    noted = [{"limit": None, "window": None, "who": "a", "counter": name, **each} for name, each in levels]
    return {"time": 1_700_000_000.0 + second, "hooks": [], "fault": None, "facts": {"throttle": noted}}


def counted(tmp_path, tiers, *traces):
    file = tmp_path / "traces.json"
    file.write_text("\n".join(map(json.dumps, traces)))
    done = hookgate("try", write(tmp_path, "gateway.json", tiers=tiers), file, "--json")
    assert done.exit_code == 0, done.output
    return [
        (each["level"], each["calls"], each["refused"], each["first"]) for each in json.loads(done.stdout)["limits"]
    ]


def test_a_burst_that_the_new_tier_has_is_tried_by_the_times_of_the_calls(tmp_path):
    tiers = {"Gold": {"limit": 50, "window": "day", "burst": {"limit": 2, "window": "second"}}}
    calls = [
        trace(second, ("s", {"level": "subscription", "tier": "Gold"})) for second in (0.3, 0.1, 0.2, 1.1, 1.2, 1.3)
    ]

    assert counted(tmp_path, tiers, *calls) == [
        ("burst", 6, 2, 1_700_000_000.3),
        ("subscription", 6, 0, None),
    ]


@pytest.mark.parametrize(("limit", "level"), [("unlimited", "resource"), (1, "api")])
def test_a_tier_of_the_api_that_counts_takes_the_place_of_that_of_the_resource(tmp_path, limit, level):
    tiers = {"Gold": {"limit": limit, "window": "day"}, "Bronze": {"limit": 1, "window": "day"}}
    met = ("a", {"level": "api", "tier": "Gold"}), ("r", {"level": "resource", "tier": "Bronze"})

    assert counted(tmp_path, tiers, trace(0, *met), trace(1, *met)) == [(level, 2, 1, 1_700_000_001.0)]
