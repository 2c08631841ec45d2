"""`hookgate flow`: flows as they come down, what a change does to them, and breaks taken back."""

import json

import pytest
from typer.testing import CliRunner

from hookgate.commands import app
from hookgate.testing import running, upstream

HEAD = """\
gateway: {flow: [request-id]}
connections:
  crm: {targets: "%s"}
"""
TREE = """\
apis:
  - name: orders
    version: "1.0"
    base_path: /orders
    to: {connection: crm}
    flow:
      - headers: {request: {add: {x-in: A}}}        # everybody
      - headers: {request: {add: {x-in: B}}, _: {id: b}}
    response:
      - security-headers
    resources:
      - path: /items
        flow: [cors: {allow_origins: ["https://a.example"]}]
        overrides: {b: {request: {add: {x-in: B5}}}}
        operations:
          GET:
          PUT:
            # the reason is lost in history
            inherit: {request: false}
            request:
              - headers: {request: {add: {x-in: N}}}  # first of all
              - from: b
              - from: headers
      - path: /rest
routes:
  - name: plain
    match: {path: /plain}
    flow: [respond]
"""
DOCUMENT = HEAD % "http://127.0.0.1:9" + TREE


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(DOCUMENT)
    return file


def flow(*arguments, code=0, **environment):
    done = CliRunner().invoke(app, ["flow", *map(str, arguments)], env={"COLUMNS": "1000", **environment})
    assert done.exit_code == code, done.output
    return done.output


def shown(file, scope):
    (row,) = json.loads(flow("show", file, scope, "--json"))
    return row


# --- show -------------------------------------------------------------------------------------------------------------


@pytest.mark.row("FL-26")
def test_every_step_says_what_it_was_inherited_from(file):
    row = shown(file, "orders 1.0 /items GET")

    assert (row["scope"], row["kind"]) == ("orders 1.0 /items GET", "operation")
    assert row["request"]["entries"] == [
        {"id": "headers", "step": "headers", "inherited_from": "orders 1.0", "values_from": []},
        {"id": "b", "step": "headers", "inherited_from": "orders 1.0", "values_from": ["orders 1.0 /items"]},
        {"id": "/items cors", "step": "cors", "inherited_from": "orders 1.0 /items", "values_from": []},
    ]
    assert [entry["id"] for entry in row["response"]["entries"]] == ["headers", "b", "security-headers", "/items cors"]
    api = shown(file, "orders 1.0 /items")["request"]["entries"]
    assert [entry["inherited_from"] for entry in api] == ["orders 1.0", "orders 1.0", None]


def test_what_runs_is_shown_in_the_order_it_runs(file):
    row = shown(file, "orders 1.0 /items GET")
    b5 = "apis.orders 1.0 /items/headers"
    assert row["request"]["runs"] == ["gateway/request-id", "apis.orders 1.0/headers", b5, "apis.orders 1.0/cors"]
    assert row["response"]["runs"][:2] == ["apis.orders 1.0/cors", "apis.orders 1.0/security-headers"]
    assert row["response"]["runs"][-1] == "gateway/request-id"


def test_an_api_a_route_or_everything_is_shown(file):
    assert len(json.loads(flow("show", file, "orders", "--json"))) == 5
    assert len(json.loads(flow("show", file, "orders 1.0", "--json"))) == 5
    assert len(json.loads(flow("show", file, "--json"))) == 6
    assert [e["inherited_from"] for e in shown(file, "plain")["request"]["entries"]] == ["gateway", None]
    assert "did you mean" in flow("show", file, "ordres", code=2)
    assert flow("show", "plain", HOOKGATE_CONFIG=str(file)) == flow("show", file, "plain")


def test_people_see_origins_breaks_and_the_order(file):
    lines = flow("show", file, "orders").splitlines()
    at = lines.index("orders 1.0 /items PUT")
    assert lines[at + 1] == "  → request, broken at 0: what its parent gets or moves does not get here"
    assert lines[at + 2] == "     0 /items PUT headers"
    assert lines[at + 3].split(maxsplit=1) == [
        "1",
        "b                   from orders 1.0  with values of orders 1.0 /items",
    ]
    assert lines[at + 5].startswith("    runs: gateway/request-id, ")
    assert lines[at + 6] == "  ← response"


BREAKS = {
    "(a) the parent's in another order": ([{"from": "b"}, {"from": "a"}, "own"], 0),
    "(b) an own one moved before them": (["own", {"from": "a"}, {"from": "b"}, "new"], 0),
    "(c) an own one moved amidst them": ([{"from": "a"}, "own", {"from": "b"}, "new"], 1),
    "(d) a new one before them": (["new", {"from": "a"}, {"from": "b"}, "own"], 0),
    "(e) a new one amidst them": ([{"from": "a"}, "new", {"from": "b"}, "own"], 1),
    "one left out": ([{"from": "a"}, "own"], 1),
    "own ones in another order": ([{"from": "a"}, {"from": "b"}, "new", "own"], None),
    "a new one after them": ([{"from": "a"}, {"from": "b"}, "own", "new"], None),
}


def mark(name, value=""):
    return {"headers": {"request": {"add": {"x-in": value or name}}, "_": {"id": name}}}


def document(url, flow, child, **more):
    return {
        "apis": [
            {
                "name": "orders",
                "base_path": "/orders",
                "to": {"connection": "crm"},
                "flow": flow,
                "resources": [{"path": "/child", **child}, {"path": "/sibling"}],
                **more,
            }
        ],
        "connections": {"crm": {"targets": url}},
    }


@pytest.mark.row("FL-28", "FL-29")
@pytest.mark.parametrize(("listed", "index"), BREAKS.values(), ids=BREAKS)
def test_breaks_are_told_with_the_first_offending_index(listed, index, tmp_path):
    file = tmp_path / "gateway.json"
    child = {"inherit": False, "flow": [mark(entry) if isinstance(entry, str) else entry for entry in listed]}
    file.write_text(json.dumps(document("http://127.0.0.1:9", [mark("a"), mark("b")], child)))
    for direction in ("request", "response"):
        found = shown(file, "orders /child")[direction]
        assert (found["inherits"], found["broken"], found["first_offending"]) == (False, index is not None, index)


@pytest.mark.row("FL-29")
def test_values_break_nothing(file):
    found = shown(file, "orders 1.0 /items")["request"]
    assert (found["broken"], found["first_offending"]) == (False, None)


# --- diff -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def changed(file, tmp_path):
    """Write the document with changes, and give what `flow diff` says of them."""

    def run(*changes, **options):
        text = DOCUMENT
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        new = tmp_path / "new.yaml"
        new.write_text(text)
        if options.get("json"):
            rows = [row for row in json.loads(flow("diff", file, new, "--json")) if row["kind"] == "scope"]
            return {(row["scope"], row["direction"]): row for row in rows}
        return flow("diff", file, new)

    return run


CACHE = ("    response:\n", "    request: [body-limit: {request: 10}]\n    response:\n")


def test_a_preview_tells_which_children_are_broken_and_miss_a_change_of_their_parent(changed):
    found = changed(CACHE, json=True)
    request = {scope: row for (scope, direction), row in found.items() if direction == "request"}
    assert request["orders 1.0"]["added"] == request["orders 1.0 /rest"]["added"] == ["body-limit"]
    assert request["orders 1.0 /items PUT"]["added"] == []
    assert request["orders 1.0 /items PUT"]["missed"]["added"] == ["body-limit"]
    assert {direction for _, direction in found} == {"request"}

    assert changed(CACHE).splitlines() == [
        "orders 1.0 → request, and 3 scopes below",
        "  + body-limit",
        "orders 1.0 /items PUT → request",
        "  ! broken, so this change of orders 1.0 /items does not get here: + body-limit",
    ]


def test_a_preview_tells_which_values_children_keep(changed):
    told = changed(("add: {x-in: B}", "add: {x-in: B2}"))
    assert "orders 1.0 → request, and 1 scope below\n  ~ b: request\n" in told
    assert (
        "orders 1.0 /items → request\n  ! b keeps its own request: the change of orders 1.0 does not get here" in told
    )
    assert "B2" not in told
    assert "PUT" not in told


def test_new_and_mended_breaks_are_told(changed, file):
    cors = '[cors: {allow_origins: ["https://a.example"]}]'
    own_list = "[{from: b}, {from: headers}, " + cors[1:]
    told = changed((f"\n        flow: {cors}\n", f"\n        inherit: false\n        flow: {own_list}\n"))
    assert "orders 1.0 /items → request" in told
    assert "  order: b, headers, /items cors\n" in told
    assert "  ! this breaks the flow at 0: changes of orders 1.0 get here no more\n" in told
    mended = changed(
        ("            inherit: {request: false}\n", ""),
        ("              - from: b\n              - from: headers\n", ""),
    )
    assert "the flow is not broken any more: it is again as in orders 1.0 /items" in mended
    assert flow("diff", file, file) == "no flow, route or connection changes\n"


def test_scopes_that_come_and_go_are_told(changed):
    told = changed(("      - path: /rest\n", "      - path: /other\n"))
    assert "orders 1.0 /rest (gone) → request" in told
    assert "orders 1.0 /other (new) → request" in told


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Compare two documents that are given as data."""
    monkeypatch.setenv("FLOW_SECRET", "hunter2-of-a-flow")

    def run(old, new, *options):
        for name, document in (("old", old), ("new", new)):
            (tmp_path / f"{name}.json").write_text(json.dumps(document))
        return flow("diff", tmp_path / "old.json", tmp_path / "new.json", *options)

    return run


OLD = {
    "gateway": {"flow": ["request-id"]},
    "routes": [
        {
            "name": "one",
            "match": {"path": "/one"},
            "flow": [
                {"rate-limit": {"limit": 5, "window": 60}},
                {"headers": {"request": {"set": {"X": "first-secret"}}}},
            ],
            "to": {"connection": "crm"},
        },
        {"name": "two", "match": {"path": "/two"}, "flow": ["respond"]},
    ],
    "connections": {
        "crm": {
            "targets": ["http://127.0.0.1:1"],
            "auth": [{"basic": {"username": "a", "password": "first-secret"}}],
            "monitor": {"http": {"path": "/a"}},
        },
        "old": {"targets": "http://127.0.0.1:1"},
    },
}
NEW = {
    "gateway": {"flow": ["request-id", {"headers": {"response": {"remove": ["X"]}}}]},
    "routes": [
        {
            "name": "one",
            "match": {"path": "/uno"},
            "flow": [
                {"headers": {"request": {"set": {"X": "other-secret"}}}},
                {"rate-limit": {"limit": 6, "window": 60}},
                {"when": {"if": "request.method == 'GET'", "flow": [{"respond": {"status": 404}}]}},
            ],
            "to": {"connection": "crm", "path": "/x"},
            "x-note": "new",
        },
        {"name": "three", "match": {"path": "/three"}, "flow": ["respond"]},
    ],
    "connections": {
        "crm": {
            "targets": [{"url": "http://127.0.0.1:1", "weight": 5}],
            "auth": [{"basic": {"username": "a", "password": "${env:FLOW_SECRET}"}}],
            "monitor": {"http": {"path": "/b"}},
            "balancer": "random",
        },
        "new": {"targets": "http://127.0.0.1:1"},
    },
}


def test_routes_and_connections_that_change_are_told_without_values(compare):
    told = compare(OLD, NEW)

    assert told.splitlines() == [
        "gateway",
        "  flow:",
        "    + headers",
        "route one",
        "  flow:",
        "    + when",
        "    order: headers, rate-limit, when",
        "    ~ headers: request.set.X",
        "    ~ rate-limit: limit",
        "  ~ match.path",
        "  ~ to.path",
        "  ~ x-note",
        "route three (new)",
        "  flow:",
        "    + respond",
        "route two (gone)",
        "  flow:",
        "    - respond",
        "connection crm",
        "  ~ targets[0].weight",
        "  ~ balancer",
        "  ~ monitor[0].http.path",
        "  ~ auth[0].basic.password",
        "connection new (new)",
        "connection old (gone)",
    ]
    assert "secret" not in compare(OLD, NEW, "--json")
    rows = {(row["kind"], row["name"]): row for row in json.loads(compare(OLD, NEW, "--json"))}
    assert rows["route", "one"]["steps"]["flow"]["values"] == {"headers": ["request.set.X"], "rate-limit": ["limit"]}
    assert rows["connection", "new"]["state"] == "new"


def test_what_is_written_otherwise_and_means_the_same_is_no_change(compare):
    """Defaults, units, lists of one."""
    same = json.loads(json.dumps(OLD))
    same["routes"][0]["match"]["methods"] = None
    same["routes"][0]["flow"][0]["rate-limit"]["window"] = 60.0
    same["routes"][1]["flow"] = [{"respond": {}}]
    same["routes"].reverse()
    assert compare(OLD, same) == "no flow, route or connection changes\n"


def test_steps_inside_of_steps_are_compared_too(compare):
    new = json.loads(json.dumps(NEW))
    new["routes"][0]["flow"][2]["when"]["flow"][0]["respond"]["status"] = 410
    assert compare(NEW, new).splitlines() == ["route one", "  flow:", "    ~ when: flow[0].respond.status"]


# --- restore ----------------------------------------------------------------------------------------------------------

RESTORED = DOCUMENT.replace("            inherit: {request: false}\n", "").replace(
    "              - from: b\n              - from: headers\n", ""
)


def test_a_preview_shows_the_difference_and_changes_nothing(file):
    told = flow("restore", file, "--scope", "orders 1.0 /items PUT", "--preview")
    assert told.splitlines()[:3] == [
        "orders 1.0 /items PUT → request",
        "  + /items cors",
        "  order: headers, b, /items cors, /items PUT headers",
    ]
    assert "-            inherit: {request: false}" in told
    assert file.read_text() == DOCUMENT


def test_a_restored_document_is_the_old_one_but_for_the_lists(file):
    file.chmod(0o640)
    assert flow("restore", file, "--scope", "orders 1.0 /items PUT").endswith(f"{file}: restored\n")
    assert file.read_text() == RESTORED
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["gateway.yaml"]

    again = flow("restore", file, "--scope", "orders 1.0 /items PUT")
    assert again == "orders 1.0 /items PUT: nothing to restore: its flow is not broken\n"
    assert file.read_text() == RESTORED


def test_a_link_stays_a_link(file, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    flow("restore", link, "--scope", "orders 1.0 /items PUT")
    assert link.is_symlink()
    assert file.read_text() == RESTORED


@pytest.mark.row("FL-30", "FL-31")
def test_a_restored_child_runs_its_parents_current_steps_and_its_own(tmp_path):
    file = tmp_path / "gateway.json"
    child = {"inherit": False, "flow": [mark("n"), {"from": "b"}, {"from": "a"}, mark("m")]}
    with upstream() as backend:

        def called(gate, path):
            gate.request("GET", path)
            return backend.requests[-1].all("x-in")

        now = document(backend.url, [mark("a"), mark("b"), mark("c")], child)
        file.write_text(json.dumps(document(backend.url, [mark("a"), mark("b")], child)))
        with running(json.loads(file.read_text())) as gate:
            assert called(gate, "/orders/child") == ["n", "b", "a", "m"]
            file.write_text(json.dumps(now))
            gate.reload(now)
            assert called(gate, "/orders/child") == ["n", "b", "a", "m"]
            assert called(gate, "/orders/sibling") == ["a", "b", "c"]
            flow("restore", file, "--scope", "orders /child")
            gate.reload(json.loads(file.read_text()))
            assert called(gate, "/orders/child") == ["a", "b", "c", "n", "m"]


@pytest.mark.row("FL-25")
def test_a_step_added_below_changes_nothing_above(file):
    before = json.loads(flow("show", file, "--json"))
    file.write_text(DOCUMENT.replace("          GET:\n", "          GET: {flow: [body-limit: {request: 10}]}\n"))
    after = {row["scope"]: row for row in json.loads(flow("show", file, "--json"))}
    unlike = [row["scope"] for row in before if after[row["scope"]] != row]
    assert unlike == ["orders 1.0 /items GET"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--scope", "orders 1.0 /itms PUT"], 2, "did you mean 'orders 1.0 /items PUT'?"),
        (["--scope", "orders 1.0 /items PUT", "--direction", "both"], 2, "is request or response"),
        (["--scope", "orders 1.0"], 0, "nothing to restore"),
        (["--scope", "orders 1.0 /items PUT", "--direction", "response"], 0, "nothing to restore"),
    ],
)
def test_what_cannot_be_restored_is_said(arguments, code, words, file):
    assert words in flow("restore", file, *arguments, code=code)
    assert file.read_text() == DOCUMENT


def test_a_text_that_cannot_be_changed_alone_is_left_alone(tmp_path):
    file = tmp_path / "gateway.toml"
    text = """\
connections.crm.targets = "http://127.0.0.1:9"
[[apis]]
name = "orders"
to.connection = "crm"
flow = ["security-headers"]
resources = [{path = "/a", inherit = false, flow = [{from = "security-headers"}]}]
"""
    file.write_text(text)
    told = flow("restore", file, "--scope", "orders /a", code=1)
    assert "TOML is not edited by this command; by hand: take every `from` out" in told
    assert file.read_text() == text
