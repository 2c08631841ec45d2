"""What happens in a call fails closed, and the log names the culprit: over the lane and over the edge."""

import time
from pathlib import Path

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

PLUGINS = Path(__file__).parent / "culprits"
BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(backend, *flows, lane, **gateway):
    """Routes ``/0``, ``/1`` and so on, one for each flow."""
    routes = [
        {"name": f"r{n}", "match": {"path": f"/{n}"}, "flow": flow, "to": {"connection": "backend"}}
        for n, flow in enumerate(flows)
    ]
    return {
        "gateway": {"lane": lane, "observers": ["witness"], "flow": [{"noting": {"_": {"id": "left"}}}], **gateway},
        "routes": routes,
        "connections": {"backend": {"targets": backend.url}},
    }


def each_served(flows, *, lane, calls=1, **gateway):
    """Serve calls through each of some flows; give for each the answers, the exchanges and what the log says."""
    with (
        upstream(echo) as backend,
        running(document(backend, *flows, lane=lane, **gateway), plugins_dir=PLUGINS) as gate,
    ):
        for n in range(len(flows)):
            seen = len(gate.log)
            answers = [gate.request("GET", f"/{n}") for _ in range(calls)]
            exchanges = gate.wait_for_exchanges((n + 1) * calls)[n * calls :]
            yield answers, exchanges, [record.getMessage() for record in gate.log[seen:] if record.levelno >= 30]


def served(flow, **more):
    (result,) = each_served([flow], **more)
    return result


def echo(request):
    return 200, {"content-type": "text/plain"}, b"from the backend " + request.body


def blamed(log):
    return [line for line in log if line.startswith("plugin ")]


def is_refused(answers, exchanges, log, culprit, hook):
    """See that a call ended in 500 that tells nothing, with the culprit in the log, and all heard of its end once."""
    assert [answer.status_code for answer in answers] == [500] * len(answers), log
    for answer in answers:
        assert answer.json()["reason"] == "plugin-error"
        assert "detail" not in answer.json()
    assert any(f"plugin {culprit} failed in {hook}:" in line for line in log), log
    for exchange in exchanges:
        assert exchange.variables["done"].count("left") == 1
        assert exchange.variables["observed"] == ["started", "finished"]


# --- what a hook leaves ----------------------------------------------------------------------------------------------

IN_ANY_HOOK = [
    "exchange.request = None",
    "exchange.request = 'x'",
    "exchange.request.body = 'x'",
    "exchange.request.body = None",
    "exchange.request.headers = {'a': 'b'}",
    "exchange.request.path = None",
    "exchange.request.method = 7",
    "exchange.request.client = None",
    "exchange.identity = 'ann'",
    "exchange.identity = True",
    "sys.exit(3)",
    "sys.exit()",
    "raise_(OSError('kaput'))",
]
ON_THE_WAY_OUT = [
    "exchange.response = None",
    "exchange.response = 'x'",
    "exchange.response = Response(101)",
    "exchange.response.status = '404'",
    "exchange.response.status = 99",
    "exchange.response.status = 100",
    "exchange.response.status = None",
    "exchange.response.status = 1000",
    "exchange.response.body = b''",
    "exchange.response.body = 'x'",
    "exchange.response.body = None",
    "exchange.response.headers = {'a': 'b'}",
    "exchange.response.headers = None",
]


@BOTH
@pytest.mark.parametrize("name", ["spoil", "later"], ids=["def", "async"])
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_what_a_hook_leaves_that_cannot_be_used_is_its_failure(lane, name, hook):
    deeds = IN_ANY_HOOK + (ON_THE_WAY_OUT if hook == "on_response" else [])
    flows = [
        [{name: {"_": {"id": f"culprit-{n}"}, "hook": hook, "does": does}}, "noting"] for n, does in enumerate(deeds)
    ]

    for n, result in enumerate(each_served(flows, lane=lane, calls=2)):
        is_refused(*result, f"culprit-{n}", hook)


@BOTH
def test_what_is_left_in_choose_is_named_too(lane):
    flows = [[{"fork": {"_": {"id": f"culprit-{n}"}, "does": does, "flow": []}}] for n, does in enumerate(IN_ANY_HOOK)]

    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", "choose")


REFUSING = {"spoil": {"hook": "on_request", "does": "raise_(Forbidden('no'))"}}


@BOTH
def test_what_is_left_in_on_fault_is_named_too(lane):
    deeds = [*IN_ANY_HOOK, "exchange.fault = None", "exchange.fault = OSError('kaput')"]
    flows = [
        [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": "on_fault", "does": does}}, REFUSING]
        for n, does in enumerate(deeds)
    ]

    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", "on_fault")


@BOTH
def test_what_is_left_in_on_done_is_named_and_the_rest_ends_as_usual(lane):
    flows = [
        [
            {"noting": {"_": {"id": f"middle-{n}"}}},
            {"spoil": {"_": {"id": f"culprit-{n}"}, "hook": "on_done", "does": does}},
        ]
        for n, does in enumerate([*IN_ANY_HOOK[:8], *IN_ANY_HOOK[10:], *ON_THE_WAY_OUT])
    ]
    for n, (answers, exchanges, log) in enumerate(each_served(flows, lane=lane, calls=2)):
        assert [answer.text for answer in answers] == ["from the backend "] * 2
        assert len([line for line in log if f"plugin culprit-{n} failed in on_done:" in line]) == 2, log
        for exchange in exchanges:
            assert exchange.variables["done"] == [f"middle-{n}", "left"]
            assert exchange.variables["observed"] == ["started", "finished"]
            assert exchange.request.method == "GET"


RESULTS = ["'x'", "0", "False", "''", "b''", "404", "(404, 'x')", "Response", "Response(101)"]


@BOTH
@pytest.mark.parametrize("hook", ["on_request", "on_response", "on_fault"])
def test_a_result_that_is_no_response_is_the_failure_of_its_step(lane, hook):
    flows = [
        [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": hook, "gives": gives}}, *([REFUSING] * (hook == "on_fault"))]
        for n, gives in enumerate(RESULTS)
    ]
    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", hook)


@BOTH
def test_a_choice_that_names_no_branch_is_the_failure_of_its_step(lane):
    choices = ["True", "0", "b'yes'", "['yes']", "'other'", "later()"]
    flows = [[{"fork": {"_": {"id": f"culprit-{n}"}, "gives": gives, "flow": []}}] for n, gives in enumerate(choices)]

    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", "choose")


FAULTS = [
    "Forbidden('no', headers={'Retry-After': 5})",
    "Forbidden('no', headers={'x-a': '1\\r\\nx-b: 2'})",
    "Forbidden({'not': {1, 2}})",
    "Odd('no')",
    "Early('no')",
]


@BOTH
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_a_fault_that_cannot_be_told_is_the_failure_of_who_raised_it(lane, hook):
    flows = [
        [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": hook, "does": f"raise_({fault})"}}]
        for n, fault in enumerate(FAULTS)
    ]
    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", hook)


@BOTH
def test_a_step_that_let_the_call_pass_and_left_nonsense_hears_of_the_end(lane):
    """It may have taken a place, which it gives back in ``on_done``; the fault is not offered to itself."""
    flow = [{"noting": {"_": {"id": "inner"}, "spoils": True}}]
    _, (exchange,), log = served(flow, lane=lane)

    assert "plugin inner failed in on_request:" in "\n".join(log)
    assert exchange.variables["done"] == ["inner", "left"]
    assert exchange.variables["trace"] == [">left", ">inner", "!left", "<left"]


@BOTH
def test_what_a_hook_does_well_is_no_failure(lane):
    does = [
        (
            "on_request",
            "exchange.request = Request('POST', '/b', body=Body(b'other'), headers=exchange.request.headers)",
        ),
        ("on_request", "setattr(exchange.request, 'query', 'a=1')"),
        ("on_request", "exchange.identity = Identity('ann')"),
        ("on_response", "exchange.response.status = HTTPStatus.ACCEPTED"),
        ("on_response", "exchange.response.body.set(exchange.response.body.data + b'!')"),
        ("on_response", "exchange.response = Response(202, body=exchange.response.body.data)"),
    ]
    flow = [{"spoil": {"hook": hook, "does": doing, "reads": True}} for hook, doing in does]
    (answer,), (exchange,), log = served(flow, lane=lane)

    assert (answer.status_code, answer.text) == (202, "from the backend other!")
    assert exchange.identity.subject == "ann"
    assert not blamed(log)


@BOTH
def test_sys_exit_in_an_observer_is_its_failure_and_ends_nothing(lane):
    (first, second), _, log = served([], lane=lane, calls=2, observers=["witness", {"quitter": {"_": {"id": "quits"}}}])

    assert (first.status_code, second.status_code) == (200, 200)
    assert sum("observer quits failed in" in line for line in log) == 4


# --- who is calling --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("wait", [False, True], ids=["def", "async"])
@pytest.mark.parametrize("require", ["any", "all"])
def test_only_an_identity_lets_anybody_in(lane, wait, require):
    first = {"claims": {"gives": "None" if require == "any" else "Identity('one')"}}
    last = {"claims": {"gives": "Identity('last')"}}
    flows = [
        [{"auth": {"require": require, "methods": [first, {"claims": claims}, last]}}]
        for n, gives in enumerate(["False", "''", "0", "True", "'ann'", "b'ann'", "{'subject': 'ann'}", "Identity"])
        for claims in [{"_": {"id": f"culprit-{n}"}, "gives": gives, "wait": wait}]
    ]
    for n, (answers, exchanges, log) in enumerate(each_served(flows, lane=lane)):
        is_refused(answers, exchanges, log, f"culprit-{n}", "identify")
        assert exchanges[0].identity is None


@BOTH
@pytest.mark.parametrize("gives", ["Identity('ann')", "None"])
def test_an_identity_is_an_admission_and_none_is_none(lane, gives):
    flow = [{"auth": {"methods": [{"claims": {"gives": gives, "wait": lane}}]}}]
    (answer,), (exchange,), _ = served(flow, lane=lane)

    assert answer.status_code == (401 if gives == "None" else 200)
    assert (exchange.identity is None) == (gives == "None")


@BOTH
@pytest.mark.parametrize("does", ["sys.exit()", "raise_(ValueError('s3cret'))"])
def test_a_method_that_fails_is_named_and_not_the_step_that_asked_it(lane, does):
    flow = [{"auth": {"methods": [{"claims": {"_": {"id": "the-culprit"}, "does": does}}]}}]

    answers, exchanges, log = served(flow, lane=lane)
    is_refused(answers, exchanges, log, "the-culprit", "identify")
    assert "s3cret" not in answers[0].text


@BOTH
def test_a_challenge_that_cannot_be_sent_is_the_failure_of_its_method(lane):
    flows = [
        [{"auth": {"methods": [{"claims": {"_": {"id": f"culprit-{n}"}, "challenge": challenge}}]}}]
        for n, challenge in enumerate(["'a\\r\\nx: y'", "True", "b'Basic'", "sys.exit()", "1/0"])
    ]
    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", "challenge")


# --- hooks that seldom wait, and bodies that do ----------------------------------------------------------------------


@BOTH
def test_a_def_hook_may_return_what_is_waited_for(lane):
    flow = [
        {"spoil": {"hook": "on_request", "gives": "later()"}},
        {"spoil": {"hook": "on_response", "gives": "later()"}},
    ]
    (answer,), (exchange,), log = served(flow, lane=lane)

    assert (answer.status_code, answer.text) == (200, "from the backend ")
    assert exchange.variables["done"] == ["left"]
    assert not blamed(log)


@BOTH
def test_an_answer_that_is_waited_for_is_an_answer(lane):
    coming = [{"spoil": {"hook": "on_request", "gives": "later(Response(203, body='here'))"}}]
    claiming = [
        {"spoil": {"hook": "on_fault", "gives": "later(Response(203, body='here'))"}},
        {"spoil": {"hook": "on_request", "gives": "later(does=lambda: raise_(Forbidden('no')))"}},
    ]
    for flow in (coming, claiming):
        (answer,), _, _ = served(flow, lane=lane)
        assert (answer.status_code, answer.text) == (203, "here")


@BOTH
@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_what_a_def_hook_returned_is_bounded_and_checked_like_an_async_hook(lane, hook):
    flows = [
        [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": hook, "gives": gives}}]
        for n, gives in enumerate(
            ["later('x')", "never()", "later(later())", "later(does=sys.exit)", "later(does=lambda: 1 / 0)"]
        )
    ]
    for n, result in enumerate(each_served(flows, lane=lane, hook_timeout=0.1)):
        is_refused(*result, f"culprit-{n}", hook)


@BOTH
def test_limits_are_kept_by_counters_that_others_share(lane):
    """``rate-limit`` and ``spike-arrest`` are ``def`` hooks that wait only where counting has to be waited for."""
    flow = [{"rate-limit": {"limit": 2, "window": 60}}, {"spike-arrest": {"limit": 1000}}]
    answers, exchanges, log = served(flow, lane=lane, calls=3, counters={"shared": {}})

    assert [answer.status_code for answer in answers] == [200, 200, 429], log
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert all(exchange.variables["done"] == ["left"] for exchange in exchanges)


STREAMS = {
    "sleeping": "ticks(0.01)",
    "bounded by itself": "bounded_ticks()",
    "from a queue": "queued()",
    "at once": "ticks(None)",
    "bytearrays": "arrays()",
}


@BOTH
def test_a_body_that_waits_comes_from_a_def_hook(lane):
    flows = [
        flow
        for source in STREAMS.values()
        for flow in (
            [{"spoil": {"hook": "on_request", "gives": f"Response(200, body=Body({source}))"}}],
            [{"spoil": {"hook": "on_response", "does": f"exchange.response = Response(200, body=Body({source}))"}}],
            [{"spoil": {"hook": "on_request", "does": f"exchange.request.body = Body({source})"}}],
        )
    ]
    for n, (answers, exchanges, log) in enumerate(each_served(flows, lane=lane, calls=2)):
        before = "from the backend " if n % 3 == 2 else ""
        assert [answer.text for answer in answers] == [before + "onetwothree"] * 2, log
        assert all(exchange.variables["done"] == ["left"] for exchange in exchanges)


@BOTH
def test_a_client_that_leaves_ends_a_body_that_waits(lane):
    flow = [{"spoil": {"hook": "on_request", "gives": "Response(200, body=Body(endless(exchange)))"}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        with gate.client.stream("GET", "/0") as answer:
            assert next(answer.iter_raw()).startswith(b"tick")
        (exchange,) = gate.wait_for_exchanges(1)
        deadline = time.monotonic() + 60
        while "closed" not in exchange.variables and time.monotonic() < deadline:
            time.sleep(0.01)

        assert exchange.outcome == "aborted"
        assert exchange.variables["closed"] == ["CancelledError"]
        assert exchange.variables["done"] == ["left"]
        assert gate.request("GET", "/0", headers={"x-plain": "1"}).status_code == 200


@BOTH
def test_a_client_that_leaves_while_a_def_hook_waits_ends_the_wait(lane):
    flow = [{"spoil": {"hook": "on_request", "gives": "noted_wait(exchange)"}}]
    with upstream(echo) as backend, running(document(backend, flow, lane=lane), plugins_dir=PLUGINS) as gate:
        with pytest.raises(Exception, match="timed out"):
            gate.request("GET", "/0", timeout=0.3)
        (exchange,) = gate.wait_for_exchanges(1)

        assert exchange.variables["waited"] == ["CancelledError"]
        assert exchange.variables["done"] == ["left"]
        assert exchange.outcome == "aborted"


# --- streams that fail -----------------------------------------------------------------------------------------------

FAILING = {
    "raises": "failing()",
    "a str": "yielding('two')",
    "None": "yielding(None)",
    "a number": "yielding(7)",
    "sys.exit": "failing(SystemExit)",
    "nothing for ever": "yielding(b'', endless=True)",
    "a wait for ever": "failing(None)",
}


@BOTH
@pytest.mark.parametrize("hook", ["on_request", "on_response", "on_fault"])
def test_a_stream_that_fails_after_the_head_breaks_off_and_names_its_step(lane, hook):
    flows = []
    for n, source in enumerate(FAILING.values()):
        given = f"Response(200, body=Body({source}))"
        what = {"does": f"exchange.response = {given}"} if hook == "on_response" else {"gives": given}
        flows.append(
            [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": hook, **what}}, *[REFUSING] * (hook == "on_fault")]
        )
    with upstream(echo) as backend:
        serving = running(document(backend, *flows, lane=lane, hook_timeout=0.2), plugins_dir=PLUGINS)
        with serving as gate:
            for n in range(len(flows)):
                with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
                    gate.request("GET", f"/{n}", timeout=5)
                exchange = gate.wait_for_exchanges(n + 1)[-1]
                log = [record.getMessage() for record in gate.log]

                assert any(f"plugin culprit-{n} failed in {hook}: in the stream of a body" in line for line in log), log
                assert exchange.outcome == "broken"
                assert exchange.fault.reason == "plugin-error"
                assert exchange.variables["done"] == ["left"]
                assert exchange.variables["observed"] == ["started", "finished"]


@BOTH
def test_a_stream_that_fails_before_the_head_is_a_plugin_error_of_its_step(lane):
    reading = {"spoil": {"hook": "on_response", "does": "exchange.response.body.data", "reads": True}}
    flows = []
    for n, source in enumerate(FAILING.values()):
        answering = {"_": {"id": f"culprit-{2 * n}"}, "gives": f"Response(200, body=Body({source}))"}
        sending = {"_": {"id": f"culprit-{2 * n + 1}"}, "does": f"exchange.request.body = Body({source})"}
        flows += [
            [reading, {"spoil": {"hook": "on_request", **answering}}],
            [{"spoil": {"hook": "on_request", **sending}}],
        ]

    for n, result in enumerate(each_served(flows, lane=lane, hook_timeout=0.2)):
        is_refused(*result, f"culprit-{n}", "on_request")


@BOTH
def test_a_stream_of_a_transport_that_fails_is_named(lane):
    for n, source in enumerate(source for name, source in FAILING.items() if "for ever" not in name):
        served_ = document(Nowhere, [], lane=lane)
        carrier = {"carrier": {"_": {"id": f"culprit-{n}"}, "body": source}}
        served_["connections"]["backend"]["transport"] = carrier
        with running(served_, plugins_dir=PLUGINS) as gate:
            with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
                gate.request("GET", "/0")
            (exchange,) = gate.wait_for_exchanges(1)
            log = [record.getMessage() for record in gate.log]

        assert any(f"plugin culprit-{n} failed in send: in the stream of a body" in line for line in log), log
        assert exchange.outcome == "broken"
        assert exchange.variables["done"] == ["left"]


class Nowhere:
    url = "http://127.0.0.1:9"


@BOTH
def test_a_body_of_no_bytes_and_no_stream_is_refused_where_it_is_made(lane):
    flows = [
        [{"spoil": {"_": {"id": f"culprit-{n}"}, "hook": "on_request", "does": f"Body({source})"}}]
        for n, source in enumerate(["5", "None", "'x'", "[b'a']", "(x for x in [b'a'])"])
    ]
    for n, result in enumerate(each_served(flows, lane=lane)):
        is_refused(*result, f"culprit-{n}", "on_request")


def test_a_section_of_the_house_that_takes_too_long_is_a_mistake_with_its_name():
    with pytest.raises(ConfigError) as refused, running({"gateway": {"hook_timeout": 1e-6}, "routes": []}):
        pass

    assert "gateway: cannot be used: hookgate.gateway.record.DataPath does not come to an end" in str(refused.value)
