"""One corpus, live and simulated: the same engine, so the same trace, the same answer, the same requests sent.

What is not compared, and nothing else:

* clock, ids and durations: ``time``, ``at``, ``started``, ``seconds``, ``microseconds``, the request id, the number
  of the ``generation``, and why the call was traced (``reason``; live, the answer names the trace, too);
* what the server writes around an answer when it leaves: ``Date``, ``Connection``, ``Transfer-Encoding``, and
  ``Content-Length`` in the trace's response (the lane writes it as it sends, the edge before). In what the client got,
  ``Content-Length`` is compared, and in what backends got both, but not where in the head they stand;
* the ``loose`` things of a case (see ``corpus.py``), of which there are two;
* what only a simulation knows (``sent``, ``calls``, ``visits``, bodies).
"""

import asyncio
import gzip
import json
import socket
from contextlib import contextmanager, suppress

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hookgate.document.document import parse
from hookgate.exchange.outbound import Outbound, Target
from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset
from hookgate_simulation.mocks import Mock, Script
from hookgate_simulation.testing import simulate
from hookgate_trace.masking import masked_head

from .corpus import BIG, CASES, DOCUMENT, Case
from .corpussteps import PLUGINS

TOKEN = "only-for-tests"
AROUND = {"date", "connection", "transfer-encoding"}
"""What the server writes around an answer."""


class Place:
    """A gateway on sockets with its backends, and the same document to be simulated."""

    def __init__(self, gate, urls, plugins):
        self.gate, self.urls, self.plugins = gate, urls, plugins
        self.script = Script(())
        self.received = []
        """What reached a backend: its address, and the request."""
        self.document = {}

    def put(self, document):
        """Put a document live."""
        self.document = document
        self.gate.reload(document)

    def answer(self, url, request):
        """Do on a socket what a mock says."""
        self.received.append((url, request))
        for connection in ("", "any"):  # as a call by URL, else as one of a connection
            target = Target("http", "127.0.0.1", int(url.rpartition(":")[2]))
            taken = self.script.take(
                Outbound(request.method, target, request.path, request.query, connection=connection)
            )
            if taken is not None:
                return _behaviour(taken[1])
        raise AssertionError(f"no mock is for {request}")

    def take(self, case):
        """Take a call through both; return the live trace, its answer, what was sent, and the simulation."""
        mocks = json.loads(filled(json.dumps(case.mocks), self.urls))
        self.script = Script([Mock.model_validate(mock) for mock in mocks])
        self.received.clear()
        over = len(self.gate.finished)
        headers = {"host": "api.example", "accept-encoding": "identity", "x-request-id": "corpus", **case.headers}
        request = self.gate.client.build_request(
            case.method,
            case.path,
            headers={**headers, "x-hookgate-trace": TOKEN},
            content=iter([case.body]) if case.streamed else case.body or None,
        )
        answer = None
        with suppress(httpx.RemoteProtocolError, httpx.ReadError):
            answer = self.gate.client.send(request)
        fields = [(name.decode().lower(), value.decode()) for name, value in request.headers.raw]
        fields.sort(key=lambda field: field[0] != "host")  # the client writes Host first
        rehearsed = simulate(
            self.document,
            case.method,
            request.url.raw_path.decode(),
            headers=[field for field in fields if field[0] != "x-hookgate-trace"],
            body=case.body,
            mocks=mocks,
            plugins_dir=self.plugins,
        )
        return self._finished(over).trace.as_dict(), answer, list(self.received), rehearsed

    def _finished(self, over):
        """Wait for the end of the call itself; visits end before it."""
        count = over + 1
        while True:
            for exchange in self.gate.wait_for_exchanges(count)[over:]:
                if exchange.depth == 0:
                    return exchange
            count += 1


def _behaviour(mock):
    if mock.fault == "timeout":
        return asyncio.Event().wait()
    if mock.response is None:
        return Reset()
    response = mock.response
    body = (response.body or "").encode()
    if response.broken_after is not None:
        head = f"HTTP/1.1 {response.status} OK\r\ncontent-length: {len(body)}\r\n\r\n"
        return Reset(head.encode() + body[: response.broken_after])
    if response.chunked:
        return response.status, response.headers, [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    return response.status, response.headers, body


def filled(text, urls):
    for name, url in urls.items():
        text = text.replace(name, url)
    return text


@contextmanager
def place(lane, folder):
    folder.mkdir(exist_ok=True)
    (folder / "steps.py").write_text(PLUGINS)
    with socket.socket() as closed:  # bound and not listening, so that nobody else gets the port and all is refused
        closed.bind(("127.0.0.1", 0))
        with upstream() as second, upstream() as first:
            urls = {"BACKEND2": second.url, "BACKEND": first.url, "TOKEN": TOKEN}
            urls["DEAD"] = f"http://127.0.0.1:{closed.getsockname()[1]}"
            document = dict(parse(filled(DOCUMENT, urls).encode(), "corpus.yaml"))
            document["gateway"] = {**document["gateway"], "lane": lane}
            with running(document, plugins_dir=folder) as gate:
                found = Place(gate, urls, folder)
                found.document = document
                for backend in (first, second):
                    backend.answer = lambda request, url=backend.url: found.answer(url, request)
                yield found


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "edge"])
def both(request, tmp_path_factory):
    with place(request.param, tmp_path_factory.mktemp("corpus")) as found:
        yield found


def without(mapping, *names):
    return {name: value for name, value in mapping.items() if name not in names}


def comparable(trace):
    """What has to be the same of a live trace and a simulated one."""
    told = json.loads(json.dumps(trace).replace(json.dumps(trace["id"])[1:-1], "ID") if trace["id"] else "{}")
    told = without(told, "id", "generation", "reason", "time", "seconds", "calls", "visits")
    told["request"] = without(told["request"], "body_bytes")
    told["fault"] = told["fault"] and without(told["fault"], "detail")
    told["hooks"] = [without(run, "at", "microseconds") for run in told["hooks"]]
    told["notes"] = [note["text"] for note in told["notes"]]
    told["callouts"] = [without(each, "at", "started", "seconds") for each in told["callouts"]]
    told["attempts"] = [without(each, "at", "seconds", "head_seconds", "sent") for each in told["attempts"]]
    response = without(told["response"], "body", "body_bytes", "truncated")
    unlike = {*AROUND, "content-length", "x-hookgate-trace-id"}
    told["response"] = {**response, "headers": [field for field in response["headers"] if field[0] not in unlike]}
    return told


def differences(one, other, where=""):
    """Say where two plain values differ, so that a failure is short."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            each
            for key in sorted(one.keys() | other.keys())
            for each in differences(one.get(key, "absent"), other.get(key, "absent"), f"{where}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [each for at, (a, b) in pairs for each in differences(a, b, f"{where}[{at}]")]
    return [] if one == other else [f"{where}: {one!r} is not {other!r}"[:600]]


def _framing_last(fields):
    """Where the server has put ``Content-Length`` means nothing."""
    return sorted(fields, key=lambda field: field[0] in ("content-length", "transfer-encoding"))


def _sent(fields, loose, hidden=()):
    """Fields of a request as they have to be the same: masked, the id of a visit left out, framing last."""
    unlike = {"content-length", "transfer-encoding"} if loose == "framing" else ()
    fields = [
        (name, "ID" if name == "x-request-id" and value != "corpus" else value)
        for name, value in fields
        if name not in unlike
    ]
    return _framing_last(masked_head(fields, hidden))


def check(found, case):
    live, answer, received, rehearsed = found.take(case)

    simulated, real = comparable(rehearsed.as_dict()), comparable(live)
    if case.loose == "bytes":
        simulated["response"]["bytes"] = real["response"]["bytes"]
    unlike = differences(simulated, real)
    assert not unlike, "simulated and live differ:\n" + "\n".join(unlike)
    if answer is not None:
        assert rehearsed.status == answer.status_code
        unlike = {*AROUND, "x-hookgate-trace-id", *(["content-length"] if case.loose == "framing" else [])}
        got = [(name, value) for name, value in answer.headers.multi_items() if name not in unlike]
        shown = [tuple(field) for field in rehearsed.response["headers"] if field[0] not in unlike]
        assert _framing_last(shown) == _framing_last(masked_head(got))
        compressed = answer.headers.get("content-encoding") == "gzip"
        assert (gzip.decompress(rehearsed.content) if compressed else rehearsed.content) == answer.content
    whole = [each for each in (*rehearsed.sent, *rehearsed.calls) if each["whole"]]
    sent = sorted(whole, key=lambda each: each["url"])
    reached = sorted(received, key=lambda each: each[0] + each[1].path)
    assert len(sent) == len(reached)
    for each, (url, request) in zip(sent, reached, strict=True):
        assert each["method"] == request.method
        assert each["body_bytes"] == len(request.body)
        hidden = {name for name, value in each["headers"] if value == "********"}
        assert _sent(map(tuple, each["headers"]), case.loose) == _sent(request.headers, case.loose, hidden)
        if "token=" not in request.query and "pin=" not in request.query:
            assert each["url"] == url + request.path + (f"?{request.query}" if request.query else "")


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_the_same_live_and_simulated(name, both):
    check(both, CASES[name])


def test_the_corpus_is_a_corpus():
    assert len(CASES) >= 40
    assert len(set(map(str, CASES.values()))) == len(CASES)


# --- flows by chance ------------------------------------------------------------------------------------------------

OUT = ["mark", "late", "read", "shout", "break-out", "rescue", "instead"]
"""Steps that can stand on the way out."""
LEAVES = [*OUT, "upper", "refuse", "break-in", "early", "tell"]
CONDITIONS = ["request.method == 'POST'", "request.query.a == '1'", "request.headers['x-in'] == 'm'"]


@st.composite
def steps(draw, leaves=LEAVES, depth=0):
    """A step, perhaps with a condition, or a branch."""
    if depth < 2 and draw(st.integers(0, 4)) == 0:
        inside = st.lists(steps(leaves, depth + 1), max_size=2)
        return {
            "when": {
                "if": draw(st.sampled_from(CONDITIONS)),
                "flow": draw(inside),
                "otherwise": {"flow": draw(inside)},
            }
        }
    name = draw(st.sampled_from(leaves))
    condition = draw(st.none() | st.sampled_from(CONDITIONS))
    return name if condition is None else {name: {"_": {"when": condition}}}


FLOWS = st.fixed_dictionaries(
    {
        "flow": st.lists(steps(), max_size=4),
        "request": st.lists(st.sampled_from(["mark", "upper", "refuse", "early"]), max_size=2),
        "response": st.lists(steps(OUT), max_size=2),
    }
)
ANSWERS = {
    "long": {"response": {"status": 200, "headers": {"content-type": "text/plain"}, "body": BIG}},
    "failed": {"response": {"status": 500, "body": BIG, "chunked": True}},
    "nothing": {"response": {"status": 204}},
    "broken": {"fault": "broken"},
}
BODIES = {"none": b"", "short": b"body", "long": b"body" * 60_000}


@given(
    flow=FLOWS,
    outer=st.lists(st.sampled_from(["mark", "late", "rescue", "read"]), max_size=2),
    answer=st.sampled_from(list(ANSWERS)),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    query=st.sampled_from(["", "?a=1"]),
    body=st.sampled_from(list(BODIES)),
)
@settings(
    phases=[Phase.generate],  # a failure says in a line what differs, and making it smaller takes minutes
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)
def test_a_flow_by_chance_is_the_same_live_and_simulated(both, flow, outer, answer, method, query, body):
    document = {
        "gateway": {"lane": both.document["gateway"]["lane"], "flow": outer},
        "trace": {"token": TOKEN},
        "routes": [{"name": "all", **flow, "to": {"connection": "b"}}],
        "connections": {"b": {"targets": both.urls["BACKEND"], "pool": {"keep_alive": 0}}},
    }
    before = both.document
    both.put(document)
    try:
        content = BODIES[body] if method == "POST" else b""
        check(both, Case(method, f"/x{query}", body=content, mocks=(ANSWERS[answer],), loose="framing"))
    finally:
        both.put(before)
