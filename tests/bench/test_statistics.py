"""What turns measurements into tables, and that every committed configuration can be filled in."""

import ast
import json
import shutil
import tomllib

import pytest
import yaml
from typer.testing import CliRunner

from hookgate.commands import app

from . import certificates, load, lookup, page, report, rounds
from .cases import CASES
from .contenders import CONTENDERS
from .rendering import BLANK, CONFIGURATIONS, fill, render
from .summary import bootstrap, middle, paired_ratios
from .upstream import BODY_1K

VALUES = {
    **{
        f"{name}_PORT": 9000 + number for number, name in enumerate(("UPSTREAM", "SINK", "STATUS", "MANAGEMENT", "TLS"))
    },
    **dict.fromkeys(("CERTIFICATE", "KEY", "PEM", "FOLDER", "USER", "GROUP"), "x"),
    "PORT": 8999,
    "BODY_1K": BODY_1K,
}
SAID = """Running 1s test @ http://127.0.0.1:1/1k
  1 threads and 64 connections
RESULT {"requests": 3000, "bytes": 3600000, "microseconds": 1500000, "p50_us": 800, "p99_us": 4200, "max_us": 9000, \
"errors": {"connect": 0, "read": 1, "write": 0, "status": 2, "timeout": 0}}
"""


def measured(rps, errors=0):
    return {
        "rps": rps,
        "requests": int(rps),
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_us": 10.0,
        "own_core_busy": 0.99,
        "rss_before": 2**20,
        "rss_peak": 2**21,
        "upstream_connections": 64,
        "foreign": 0.0,
        "stolen": 0.0,
        "errors": {"status": errors},
    }


def result(**rounds):
    contenders = {name: {"what": "", "failed": None, "rounds": each} for name, each in rounds.items()}
    case = {"what": "calls", "kind": "load", "connections": 64, "contenders": contenders}
    machine = {
        "cpu": "c",
        "cores": 2,
        "memory_gib": 1,
        "kernel": "k",
        "python": "p",
        "used": {"contender": 0, "load": 1},
    }
    return {
        "date": "2026-01-01T00:00:00",
        "commit": "",
        "machine": machine,
        "settings": {"rounds": 8, "seconds": 5},
        "versions": {},
        "absent": {"caddy": "Get it."},
        "cases": {"1k": case},
    }


def test_ratios_are_those_within_a_round():
    assert paired_ratios([10, None, 30], [20, 10, 30]) == [0.5, 1.0]


def test_rounds_of_different_length_are_no_pairs():
    with pytest.raises(ValueError, match="longer"):
        paired_ratios([1.0], [1.0, 2.0])


def test_an_interval_holds_the_median_and_stays_within_the_values():
    values = [0.9, 1.0, 1.1, 1.05, 0.95, 1.02, 0.98, 1.3]

    found = bootstrap(values)

    assert min(values) <= found.low <= found.middle <= found.high <= max(values)
    assert found.middle == pytest.approx(1.01)
    assert found.high < 1.3  # one round that went wild does not carry it away
    assert found == bootstrap(values)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    import random

    draw = random.Random(7)
    samples = [[draw.gauss(1, 0.05) for _ in range(8)] for _ in range(200)]
    intervals = [bootstrap(sample, resamples=300) for sample in samples]

    assert sum(found.low <= 1 <= found.high for found in intervals) / len(intervals) > 0.85


def test_an_interval_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])


def test_who_does_the_work_of_an_api_manager_takes_part_in_its_case_and_in_no_other():
    chosen = [(contender, {}) for contender in CONTENDERS]
    told = {case.name: {each.contender.name for each in rounds.entrants(case, chosen)} for case in CASES}
    managed = {f"{name}-managed" for name in ("nginx", "envoy", "traefik", "hookgate")}

    assert told["managed"] == managed
    assert not managed & told["1k"]
    assert {"nginx", "hookgate"} <= told["1k"]


def test_a_median_leaves_out_what_is_missing():
    assert middle([None, 3, 1]) == 2
    assert middle([None]) is None


def test_what_wrk_says_is_read():
    told = load.parse(SAID)

    assert (told["requests"], told["seconds"], told["rps"]) == (3000, 1.5, 2000)
    assert (told["p50_ms"], told["p99_ms"], told["max_ms"]) == (0.8, 4.2, 9)
    assert sum(told["errors"].values()) == 3


def test_a_contender_that_answers_nothing_has_errors():
    assert sum(load.parse(SAID.replace("3000", "0"))["errors"].values()) == 4


def test_a_wrk_that_fails_is_no_measurement():
    with pytest.raises(load.LoadError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_table_puts_the_fastest_first_and_marks_errors():
    text = report.text(
        result(slow=[measured(10)] * 8, nginx=[measured(40)] * 8, bad=[measured(20, errors=1), *[None] * 7])
    )
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]

    assert [row[0] for row in rows] == ["| nginx", "| bad (errors)", "| slow"]
    assert rows[2][2:4] == ["0.250", "0.250 to 0.250"]
    assert "caddy: absent. Get it." in text


def test_who_fails_and_who_connects_anew_is_said_without_folders_of_this_machine():
    told = result(nginx=[measured(4000)], proxy=[measured(4000) | {"upstream_connections": 3999}], gone=[None])
    told["cases"]["1k"]["contenders"]["gone"]["failed"] = "cannot read /some/where/gone.yaml"
    text = report.text(told)

    assert "proxy does not keep connections to the backend: 3,999 for 4,000 requests." in text
    assert "gone is out: cannot read …/gone.yaml" in text


def test_a_contender_that_was_not_busy_is_said_to_have_been_held_up():
    text = report.text(result(nginx=[measured(40) | {"own_core_busy": 0.5}], other=[measured(30)]))

    assert "Held up by load generator or backend, not by themselves: nginx." in text


def test_the_page_has_a_place_for_what_was_measured():
    assert page.MEASURED.search(page.PAGE.read_text(encoding="utf-8"))


def test_names_of_cases_and_contenders_are_their_own():
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)


def test_a_blank_without_value_is_refused():
    with pytest.raises(KeyError):
        fill("listen @NO_SUCH_PORT@;", VALUES)


@pytest.mark.parametrize("folder", sorted(path.name for path in CONFIGURATIONS.iterdir()))
def test_every_configuration_renders(folder, tmp_path):
    for path in render(folder, tmp_path, VALUES):
        text = path.read_text(encoding="utf-8")

        assert not BLANK.search(text)
        match path.suffix:
            case ".yaml" | ".yml":
                yaml.safe_load(text)
            case ".toml":
                tomllib.loads(text)
            case ".py":
                ast.parse(text)


def test_every_contender_has_a_configuration_and_every_configuration_a_contender():
    used = {contender.configuration for contender in CONTENDERS} | {"upstream"}

    assert used == {path.name for path in CONFIGURATIONS.iterdir()}


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
@pytest.mark.parametrize("name", [contender.name for contender in CONTENDERS if contender.configuration == "hookgate"])
def test_documents_of_hookgate_are_good(name, tmp_path):
    render("hookgate", tmp_path, VALUES | certificates.make(tmp_path) | {"FOLDER": tmp_path})
    done = CliRunner().invoke(app, ["check", str(tmp_path / f"{name}.yaml")])

    assert (done.exit_code, done.exception) == (0, None), done.output


def test_a_document_with_many_routes_is_good(tmp_path):
    (tmp_path / "routes.json").write_text(json.dumps(lookup.document(10, VALUES)))
    done = CliRunner().invoke(app, ["check", str(tmp_path / "routes.json")])

    assert (done.exit_code, done.exception) == (0, None), done.output
