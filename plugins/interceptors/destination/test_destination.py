import asyncio
from random import Random

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_destination import Destination

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(first, second, steps, lane=True, to=None, base_path="/"):
    route = {"name": "orders", "match": {"path": "/orders/{id}"}, "flow": steps}
    if to is not None:
        route["to"] = to
    return {
        "gateway": {"lane": lane},
        "routes": [route],
        "connections": {"old": {"targets": first.url}, "new": {"targets": second.url, "base_path": base_path}},
    }


@BOTH
@pytest.mark.row("FL-52")
def test_a_call_goes_to_another_connection_and_keeps_all_that_the_client_sent(lane):
    steps = [{"destination": {"connection": "new", "_": {"when": "request.headers['x-env'] == 'test'"}}}]
    with upstream() as first, upstream() as second:
        with running(document(first, second, steps, lane, {"connection": "old"})) as gate:
            gate.request("POST", "/orders/7?a=b", content=b"body", headers={"x-env": "test", "x-a": "1"})
            gate.request("GET", "/orders/8")
            other, usual = gate.wait_for_exchanges(2)

    (moved,), (stayed,) = second.requests, first.requests
    assert (moved.method, moved.path, moved.query, moved.body) == ("POST", "/orders/7", "a=b", b"body")
    assert (moved.header("x-a"), moved.header("host")) == ("1", f"127.0.0.1:{second.port}")
    assert stayed.path == "/orders/8"
    assert (other.connection.name, usual.connection.name) == ("new", "old")


@BOTH
@pytest.mark.row("FL-52")
def test_a_url_or_host_of_a_connection_is_called_and_no_other(lane):
    steps = [{"destination": {"to": "request.headers['x-to']", "among": ["new"]}}]
    with upstream() as first, upstream() as second, upstream() as stranger:
        with running(document(first, second, steps, lane, {"connection": "old"}, "/api")) as gate:

            def call(to):
                answer = gate.request("GET", "/orders/7?a=b", headers={} if to is None else {"x-to": to})
                return answer.status_code, answer.json()["reason"] if answer.status_code >= 400 else ""

            good = [call(to) for to in ("new", second.url, f"127.0.0.1:{second.port}", f"{second.url}/api/v2/x", None)]
            bad = [
                call(to)
                for to in (
                    stranger.url,
                    first.url,  # of a connection that is not in `among`
                    "old",
                    f"https://127.0.0.1:{second.port}",
                    f"{second.url}/other",  # not below base_path
                    f"{second.url}/api/../other",
                    f"{second.url}/api/%2e%2e/other",
                    f"{second.url}?a=b",
                    f"http://user@127.0.0.1:{second.port}",
                    f"127.0.0.1:{second.port}/x",
                    "http://[::1",
                    "http://127.0.0.1:99999",
                )
            ]

    assert good == [(200, "")] * 5
    assert bad == [(502, "config-error")] * len(bad)
    assert [request.path for request in second.requests] == ["/api/orders/7"] * 3 + ["/api/v2/x"]
    assert {request.query for request in second.requests} == {"a=b"}
    assert [request.path for request in first.requests] == ["/orders/7"]
    assert stranger.requests == []
    assert not [line for line in gate.log if str(stranger.port) in line.getMessage()]


@BOTH
@pytest.mark.row("FL-52")
def test_each_plan_may_have_a_backend_of_its_own(lane, tmp_path):
    (tmp_path / "knows.py").write_text(
        "from hookgate import Interceptor, Options, hookimpl\n"
        "class Knows(Interceptor[Options]):\n"
        "    writes = {'application'}\n"
        "    @hookimpl\n"
        "    def on_request(self, exchange):\n"
        "        exchange.plan = exchange.request.headers.get('x-plan', '')\n"
    )
    with upstream() as first, upstream() as second:
        described = {
            "gateway": {"lane": lane},
            "apis": [{"name": "orders", "base_path": "/orders", "to": {"connection": "old"}, "flow": ["knows"]}],
            "plans": {"gold": {"flow": [{"destination": {"connection": "new"}}]}, "free": {}},
            "connections": {"old": {"targets": first.url}, "new": {"targets": second.url}},
        }
        with running(described, plugins_dir=tmp_path) as gate:
            for plan in ("gold", "free", ""):
                assert gate.request("GET", f"/orders/{plan}x", headers={"x-plan": plan}).status_code == 200

    assert [request.path for request in second.requests] == ["/goldx"]
    assert [request.path for request in first.requests] == ["/freex", "/x"]


@BOTH
@pytest.mark.row("FL-15")
def test_the_time_limit_of_the_route_holds_where_the_call_goes(lane):
    async def never(request):
        await asyncio.Event().wait()

    steps = [{"destination": {"connection": "new"}}]
    with upstream() as first, upstream(never) as second:
        with running(document(first, second, steps, lane, {"connection": "old", "timeout": 0.2})) as gate:
            answer = gate.request("GET", "/orders/7")

    assert (answer.status_code, answer.json()["reason"]) == (502, "destination-timeout")


@pytest.mark.parametrize(
    ("options", "to", "expected"),
    [
        ({"path": "/a/{request.params.id}"}, {}, "/a/7"),
        ({"path": "/a"}, {"path": "/never/{id}"}, "/a"),
        ({"prefix": "/v2"}, {}, "/v2/orders/7"),
        ({"prefix": "/v2"}, {"path": "/items/{id}"}, "/v2/items/7"),
        ({"prefix": "/v2", "path": "/a"}, {}, "/v2/a"),
        ({"prefix": "/{request.query.tenant}"}, {}, "/b%2F..%3Fc/orders/7"),
    ],
)
def test_path_and_prefix(options, to, expected):
    with upstream() as first, upstream() as second:
        with running(document(first, second, [{"destination": options}], to={"connection": "old", **to})) as gate:
            assert gate.request("GET", "/orders/7?tenant=b%2F..%3Fc").status_code == 200

    assert [request.path for request in first.requests] == [expected]


def test_of_two_steps_the_right_one_decides_and_prefixes_add_up():
    steps = [{"destination": {"connection": "old", "prefix": "/a"}}, {"destination": {"connection": "new"}}]
    steps.append({"destination": {"prefix": "/b"}})
    with upstream() as first, upstream() as second:
        with running(document(first, second, steps)) as gate:
            assert gate.request("GET", "/orders/7").status_code == 200

    assert [request.path for request in second.requests] == ["/b/a/orders/7"]
    assert first.requests == []


def test_a_step_in_a_branch_moves_a_call_too_and_a_route_without_a_destination_gets_one():
    steps = [{"when": {"if": "request.query.go", "flow": [{"destination": {"connection": "new"}}]}}]
    with upstream() as first, upstream() as second:
        with running(document(first, second, steps)) as gate:
            moved, nowhere = gate.request("GET", "/orders/7?go=1"), gate.request("GET", "/orders/7")

    assert (moved.status_code, nowhere.status_code) == (200, 503)
    assert nowhere.json()["reason"] == "no-destination"


def test_a_path_without_any_connection_is_an_error_of_the_configuration():
    with upstream() as first, upstream() as second:
        with running(document(first, second, [{"destination": {"path": "/x"}}])) as gate:
            answer = gate.request("GET", "/orders/7")

    assert (answer.status_code, answer.json()["reason"]) == (502, "config-error")


def test_a_connection_that_is_not_there_is_refused_at_load_with_its_place():
    with upstream() as first, upstream() as second:
        for options, place in (
            ({"connection": "newer"}, r"flow\[0\].destination.connection: there is no connection 'newer'; did you"),
            ({"to": "vars.x", "among": ["old", "gone"]}, r"destination.among\[1\]: there is no connection 'gone'"),
        ):
            with pytest.raises(ConfigError, match=place):
                with running(document(first, second, [{"destination": options}])):
                    pass


@pytest.mark.parametrize(
    ("query", "reason"), [("", "value-missing"), ("id=", "value-missing"), ("id=..", "malformed-path")]
)
def test_a_value_that_makes_no_path_is_refused(query, reason):
    exchange = through(build(Destination, path="/a/{request.query.id}"), query=query)

    assert (exchange.response.status, exchange.fault.reason) == (400, reason)
    assert exchange.to is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to do"),
        ({"connection": "a", "to": "vars.x", "among": ["a"]}, "keep one of them"),
        ({"to": "vars.x"}, "to and among go together"),
        ({"among": ["a"], "connection": "a"}, "to and among go together"),
        ({"to": "vars.x", "among": []}, "among: should have at least 1"),
        ({"path": "a"}, "path: a path begins with one '/'"),
        ({"path": "//a"}, "path: a path begins with one '/'"),
        ({"path": "/a?b=c"}, "has no query"),
        ({"path": "/{request.}"}, "path: column"),
        ({"prefix": "/a/"}, "prefix: a prefix has no slash at its end"),
        ({"prefix": "/a b"}, "percent-encode"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Destination, **options)


def test_a_destination_that_is_no_step_costs_a_route_nothing():
    """The call goes to the connection itself, with nothing asked in between."""
    with upstream() as first, upstream() as second:
        with running(document(first, second, [], to={"connection": "old"})) as gate:
            (route,) = gate.gateway.live.config.routes
            assert route.route.passage.destination.func == gate.gateway.connection("old").send


def shares(old, new, **more):
    split = [{"connection": "old", "weight": old}, {"connection": "new", "weight": new}]
    return [{"destination": {"split": split, **more}}]


@BOTH
def test_connections_share_the_calls_by_weight(lane, monkeypatch):
    monkeypatch.setattr(Destination, "generator", Random(7))
    with upstream() as first, upstream() as second:
        with running(document(first, second, shares(3, 1), lane)) as gate:
            for number in range(200):
                assert gate.request("GET", f"/orders/{number}").status_code == 200
            assert (len(first.requests) + len(second.requests), 30 < len(second.requests) < 70) == (200, True)
            for weights, idle in (((1, 0), second), ((0, 1), first)):
                gate.reload(document(first, second, shares(*weights), lane))
                before = len(idle.requests)
                for number in range(20):
                    gate.request("GET", f"/orders/{number}")
                assert len(idle.requests) == before


def test_calls_with_the_same_key_go_the_same_way_and_stay_there_as_the_share_of_the_new_grows():
    def ways(*weights):
        step = build(Destination, **shares(*weights, by="request.headers['x-user']")[0]["destination"])
        return {user: step._drawn(f"user-{user}") for user in range(1000)}

    few, more = ways(90, 10), ways(50, 50)
    assert few == ways(90, 10)
    assert 60 < sum(way == "new" for way in few.values()) < 140
    assert 420 < sum(way == "new" for way in more.values()) < 580
    assert all(more[user] == "new" for user, way in few.items() if way == "new")


@BOTH
def test_a_client_stays_with_the_version_it_got(lane):
    with upstream() as first, upstream() as second:
        with running(document(first, second, shares(1, 1, by="request.headers['x-user']"), lane)) as gate:
            for number in range(40):
                gate.request("GET", f"/orders/{number}", headers={"x-user": f"u{number % 8}"})
    seen = [{request.header("x-user") for request in each.requests} for each in (first, second)]

    assert seen[0] | seen[1] == {f"u{number}" for number in range(8)}
    assert not seen[0] & seen[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"connection": "old", **shares(1, 1)[0]["destination"]}, "keep one of them"),
        (shares(0, 0)[0]["destination"], "all weights are 0"),
        (shares(-1, 1)[0]["destination"], "greater than or equal to 0"),
        ({"split": []}, "split"),
        ({"connection": "old", "by": "request.client"}, "by goes with split"),
    ],
)
def test_shares_that_make_no_sense_are_refused_at_load(options, said):
    with pytest.raises(ConfigError, match=said):
        build(Destination, **options)


def test_a_share_of_a_connection_there_is_not_is_refused_at_load():
    with upstream() as first, upstream() as second:
        steps = shares(1, 1)
        steps[0]["destination"]["split"][1]["connection"] = "newer"
        with pytest.raises(ConfigError, match="newer"), running(document(first, second, steps)):
            pass
