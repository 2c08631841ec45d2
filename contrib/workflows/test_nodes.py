"""Node types that need nothing from elsewhere, through custom routes: each does what its page says."""

import json
import socketserver
import threading
import time
from importlib.metadata import entry_points

import pytest

from hookgate.testing import upstream

from .served import document, refused, serving, setter, workflow

RESPONSE = "*response*"
# what the row names; those that come with other distributions are tried there
ROW = (
    *(
        "start",
        "end",
        "http_call",
        "rest_call",
        "json_call",
    ),
    *(
        "async_json_call",
        "xml_call",
        "tcp_call",
        "cleanup_cache",
        "context_setter",
    ),
    *(
        "multi_context_setter",
        "sync_response",
        "callback_response",
        "boolean_expression",
        "switch",
    ),
    *(
        "or_outputs",
        "sync_outputs",
        "timer",
        "context_timer",
        "stop_timer",
    ),
    *(
        "generate_ott",
        "generate_random_string",
        "set_request_status",
        "set_task_status",
        "macro",
    ),
    *(
        "trigger_subworkflows",
        "search_transactions",
        "create_csv",
        "goto",
        "note",
    ),
    *("send_sms",),
)


def node(name, **params):
    return {"original_name": name, "params": params}


def graph(transitions, **cells):
    base = {"start": node("start"), "end": node("end")}
    return {"cells": base | cells, "transitions": [each.split(" > ") for each in transitions]}


def told(value):
    return setter(RESPONSE, {"body": value})


def caught(cell, *outputs):
    """A cell whose outputs are told by name, and its failure as well."""
    ways = ["start.ok > cell"]
    cells = {"cell": cell}
    for output in (*outputs, "error"):
        cells[f"at {output}"] = told(f"{{{{ {{'at': '{output}', 'why': tasks.cell.error, 'made': context.made}} }}}}")
        ways += [f"cell.{output} > at {output}", f"at {output}.ok > end"]
    return graph(ways, **cells)


ITEMS = "{{ request.body.list }}"
CHILD = graph(
    [
        "start.ok > which",
        "which.bad > fail",
        "which.late > wait",
        "wait.ok > seen",
        "which.default > seen",
        "seen.ok > end",
        "fail.ok > other",
    ],
    which=node("switch", expressions={"bad": "request == 'bad'", "late": "request == 'late'"}),
    fail=setter("x", "{{ none.y.z }}"),
    wait=node("timer", timeout="100 ms", discard_idle_limit=True),
    seen=setter("seen", "{{ [request, parent_instance_context.mine] }}"),
    other=node("end"),
)
ENDS = graph(
    ["start.ok > which", "which.true > yes", "which.false > no"],
    which=node("boolean_expression", expression="request.body.n > 1"),
    yes=node("end"),
    no=node("end"),
)
del ENDS["cells"]["end"]
WORKFLOWS = {
    "child": CHILD,
    "ends": ENDS,
    "macro": graph(
        ["start.ok > call", "call.yes > yes", "call.no > no", "yes.ok > end", "no.ok > end"],
        call=node("macro", workflow="ends", label="of {{ request.body.n }}"),
        yes=told("more"),
        no=told("less"),
    ),
    "waits": workflow(("mine", setter("mine", 7)), ("call", node("macro", workflow="child", request="late")))
    | {"transitions": [["start.ok", "mine"], ["mine.ok", "call"], ["call.end", "end"]]},
    "all": caught(
        node("trigger_subworkflows", workflow="child", items=ITEMS, parallel_factor=2, output_context_key="made"), "ok"
    ),
    "turns": caught(
        node("trigger_subworkflows", workflow="child", items=ITEMS, sequential=True, output_context_key="made"), "ok"
    ),
    "none": caught(
        node("trigger_subworkflows", workflow="child", items=ITEMS, skip_if_empty=True, output_context_key="made"), "ok"
    ),
    "deep": graph(["start.ok > call", "call.end > end"], call=node("macro", workflow="deep")),
    "xml": caught(
        node(
            "xml_call",
            connection="shop",
            url="/{{ request.body.path }}",
            body={"order": {"@id": "{{ request.body.id }}", "item": ["{{ request.body.id }}", 2]}},
            output_context_key="made",
        ),
        "ok",
    ),
    "line": caught(
        node("tcp_call", host="127.0.0.1", port="PORT", message="{{ request.body }}", append="\n", read_until="\n")
        | {"outputs": ["ok", "error"]},
        "ok",
    ),
    "whole": caught(
        node("tcp_call", host="127.0.0.1", port="PORT", message="{{ request.body }}", limit=50, encoding="base64"), "ok"
    ),
    "sms": caught(
        node("send_sms", connection="shop", url="/sms", to="{{ request.body.to }}", text="{{ request.body.text }}"),
        "ok",
    ),
    "make": graph(
        ["start.ok > a", "a.ok > b", "b.ok > end"],
        a=node("generate_ott", output_context_key="token", value={"who": "{{ request.body }}"}),
        b=told("{{ context.token }}"),
    ),
    "take": caught(node("check_ott", token="{{ request.body }}", output_context_key="made"), "ok", "refused"),
    "read": graph(
        ["start.ok > a", "a.ok > end"],
        a=node("rest_call", connection="shop", url="/x", cache_key="k", output_context_key=RESPONSE),
    ),
    "forget": workflow(("a", node("cleanup_cache", cache_key="k"))),
    "search": caught(
        node(
            "search_transactions",
            output_context_key="made",
            where={"workflow": "{{ request.body }}"},
            everybody=True,
            limit=1,
        ),
        "found",
        "none",
    ),
    "until": caught(node("context_timer", context_key="at"), "ok"),
    "remind": graph(
        [
            "start.ok > timer",
            "start.ok > stop",
            "timer.ok > remind",
            "remind.ok > end",
            "stop.ok > told",
            "told.ok > end",
        ],
        timer=node("timer", timeout="{{ request.body }}"),
        stop=node("stop_timer", target_id="timer"),
        remind=setter("reminded", 1),
        told=told("{{ 'reminded' in context }}"),
    ),
    "stopped": graph(
        [
            *("start.ok > timer", "start.ok > pause", "pause.ok > stop", "timer.ok > bad", "bad.ok > end"),
            *("timer.stopped > told", "told.ok > sync", "stop.ok > sync", "sync.ok > end"),
        ],
        timer=node("timer", timeout="15 s"),
        pause=node("timer", timeout="20 ms"),
        stop=node("stop_timer", target_id="timer"),
        sync=node("sync_outputs"),
        bad=told("bad"),
        told=told("stopped"),
    ),
}
WORKFLOWS["until"]["cells"]["at"] = setter("at", "{{ request.body }}")
WORKFLOWS["until"]["transitions"] = [["start.ok", "at"], ["at.ok", "cell"], *WORKFLOWS["until"]["transitions"][1:]]
PAGES = {
    "/good": (200, {"content-type": "text/xml"}, '<r a="1"><i>x</i><i>y</i><e/><t>a &lt;<b/></t></r>'),
    "/bomb": (200, {}, '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r>&b;</r>'),
    "/deep": (200, {}, "<a>" * 200 + "</a>" * 200),
    "/text": (200, {}, "plain"),
    "/fault": (500, {}, "<fault>no</fault>"),
}


def answer(request):
    return PAGES.get(request.path, (200, {"content-type": "application/json"}, "{}"))


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        first = self.rfile.readline(100)
        if first == b"hang\n":
            self.rfile.read()
        elif first == b"half\n":
            self.wfile.write(b"ha")
        else:
            self.wfile.write(b"<" + first.rstrip() + b">\nmore")


@pytest.fixture(scope="module")
def backend():
    with upstream() as made:
        made.answer = answer
        yield made


@pytest.fixture(scope="module")
def line():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def farm(tmp_path_factory, backend, line):
    folder = tmp_path_factory.mktemp("farm")
    workflows = json.loads(json.dumps(WORKFLOWS).replace('"PORT"', str(line)))
    workflows["line"]["cells"]["cell"]["params"] |= {"output_context_key": "made", "timeout": "2s"}
    workflows["whole"]["cells"]["cell"]["params"] |= {"output_context_key": "made"}
    routes = [
        {"route": f"/{name}", "method": "post", "workflow": name, "sync": name != "waits", "public": True}
        for name in workflows
    ]
    made = document(workflows, routes, connections={"shop": {"targets": backend.url}})
    with serving(folder, f"sqlite:///{folder / 'store.db'}", made) as served:
        yield served


@pytest.fixture(autouse=True)
def unseen(backend):
    backend.requests.clear()


def post(farm, name, body=None):
    return farm.public(f"/{name}", "POST", json=body)


def test_the_names_of_the_row_are_node_types():
    known = entry_points(group="hookgate.nodes")

    for name in ROW:
        (found,) = known.select(name=name)
        assert found.load().family == "node", name
    assert known["rest_call"].load() is known["json_call"].load() is known["http_call"].load()


def test_a_macro_goes_on_at_the_end_that_its_workflow_has_reached(farm):
    assert (post(farm, "macro", {"n": 2}).text, post(farm, "macro", {"n": 1}).text) == ("more", "less")


def test_a_macro_waits_with_its_workflow(farm):
    number = post(farm, "waits").json()["id"]

    seen = farm.closed(number)
    assert seen["status"] == "CLOSED_IN_SUCCESS", seen
    (child,) = [task["input"]["instance"] for task in seen["tasks"] if task["cell"] == "call"]
    assert farm.transaction(child).json()["context"] == {"seen": ["late", 7]}
    assert farm.transaction(child).json()["parent"] == number


def test_a_workflow_is_run_for_each_item(farm):
    found = post(farm, "all", {"list": ["a", "b", "c"]}).json()
    assert [(each["label"], each["context"]["seen"][0]) for each in found["made"]] == [
        ("0", "a"),
        ("1", "b"),
        ("2", "c"),
    ]

    found = post(farm, "all", {"list": ["a", "bad", "c"]}).json()
    assert (found["at"], "1 of 3 failed, the first at item 1" in found["why"]) == ("error", True)
    assert [each["status"] for each in found["made"]] == ["CLOSED_IN_SUCCESS", "CLOSED_IN_ERRORS", "CLOSED_IN_SUCCESS"]

    found = post(farm, "turns", {"list": ["a", "bad", "c"]}).json()
    assert [each["end"] for each in found["made"]] == ["end", ""]


def test_no_items_are_a_failure_unless_they_are_right(farm):
    assert post(farm, "none", {"list": []}).json() == {"at": "ok", "why": "", "made": []}
    assert "skip_if_empty" in post(farm, "all", {"list": []}).json()["why"]
    assert "no list" in post(farm, "all", {"list": "abc"}).json()["why"]


def test_workflows_that_run_each_other_without_an_end_fail(farm):
    assert post(farm, "deep").json()["reason"] == "workflow-failed"


def test_xml_is_written_and_read_and_a_dtd_is_refused(farm, backend):
    found = post(farm, "xml", {"path": "good", "id": '<"&'}).json()
    assert found["made"]["body"] == {"r": {"@a": "1", "i": ["x", "y"], "e": None, "t": {"b": None, "#text": "a <"}}}
    assert backend.requests[0].body.endswith(b"<order id='&lt;\"&amp;'><item>&lt;\"&amp;</item><item>2</item></order>")
    for path, why in (("bomb", "DTD"), ("deep", "deep"), ("text", "line 1, column 1"), ("fault", "status 500")):
        found = post(farm, "xml", {"path": path, "id": "1"}).json()
        assert (found["at"], why in found["why"]) == ("error", True), found
    assert found["made"]["body"] == {"fault": "no"}
    assert "no XML" not in found["why"]
    assert "character" in post(farm, "xml", {"path": "good", "id": "\x01"}).json()["why"]


def test_a_line_is_sent_by_tcp(farm):
    found = post(farm, "line", "abc").json()
    assert found["made"] == "<abc>", found
    assert "within 2 s" in post(farm, "line", "hang").json()["why"]
    assert "closed before" in post(farm, "line", "half").json()["why"]
    assert post(farm, "whole", "YWJj").json()["made"] == "PGFiYz4KbW9yZQ=="
    assert "no Base64" in post(farm, "whole", "abc").json()["why"]
    assert "more than 50" in post(farm, "whole", "YWJj" * 15).json()["why"]


def test_short_messages_go_to_all_or_to_nobody(farm, backend):
    assert post(farm, "sms", {"to": ["+43 1 2345678", "+4312345679"], "text": "hi"}).json()["at"] == "ok"
    assert [json.loads(each.body) for each in backend.requests] == [
        {"to": "+4312345678", "from": "", "text": "hi"},
        {"to": "+4312345679", "from": "", "text": "hi"},
    ]
    assert len({each.header("idempotency-key") for each in backend.requests}) == 2
    backend.requests.clear()

    for to, text in ((["+4312345678", "12"], "hi"), ([], "hi"), ("+4312345678", ""), ("+4312345678", "x" * 1601)):
        assert post(farm, "sms", {"to": to, "text": text}).json()["at"] == "error"
    assert not backend.requests


def test_a_token_is_good_for_once(farm):
    token = post(farm, "make", "ann").text

    assert post(farm, "take", token).json()["made"] == {"who": "ann"}
    assert post(farm, "take", token).json()["at"] == "refused"
    assert post(farm, "take", "").json()["at"] == "refused"
    assert post(farm, "make", "ann").text != token


def test_what_is_kept_is_forgotten(farm, backend):
    for name in ("read", "read", "forget", "read"):
        post(farm, name)
    assert len(backend.requests) == 2


def test_transactions_are_found(farm):
    number = post(farm, "make", "eve") and post(farm, "search", "make").json()["made"][0]["id"]
    assert farm.transaction(number).json()["workflow"] == "make"
    assert post(farm, "search", "nobody").json() == {"at": "none", "why": "", "made": []}


def test_a_timer_of_the_context_ends_at_once_where_its_time_is_over(farm):
    for at in ("2001-01-01T00:00:00Z", 5, "0 s"):
        assert post(farm, "until", at).json()["at"] == "ok"
    for at in ("2001-01-01T00:00:00", "soon", -1, True, [1], 1e300):
        assert post(farm, "until", at).json()["at"] == "error", at
    assert post(farm, "until", time.time() + 60).json()["reason"] == "workflow-waits"


def test_a_timer_that_is_stopped_goes_another_way(farm):
    assert post(farm, "stopped").text == "stopped"
    for duration in ("15 s", "1 h"):
        assert post(farm, "remind", duration).text == "false"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"a": node("macro", workflow="chidl")}, "there is no workflow 'chidl'; did you mean 'child'?"),
        ({"a": node("macro", workflow="child")}, "the workflow 'child' has no end 'ok'"),
        ({"a": node("stop_timer", target_id="b")}, "there is no cell 'b'"),
        ({"a": node("xml_call", url="{{ request.body }}")}, "names its host itself"),
        ({"a": node("tcp_call", host="{{ x }}", port=1, message="x")}, "host"),
        ({"a": node("trigger_subworkflow", workflow="child", items=[1])}, "did you mean 'trigger_subworkflows'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, cells, says):
    told = refused(tmp_path, document({"child": CHILD, "w": workflow(*cells.items())}, []))

    assert says in told, told
    assert "workflows.w" in told
