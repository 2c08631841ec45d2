"""The acceptance tests of outbound clients (HC-1 to HC-20) over both ways in: what each row's last column says."""

import asyncio
import concurrent.futures as futures
import re

import httpx
import pytest

from hookgate import ConfigError
from hookgate.gateway.overview import connection_facts
from hookgate.testing import MovableClock, running, upstream
from hookgate.testing.clock import settle

from .authority import Authority, needs_openssl
from .test_connections_attacked import BOTH, at_rest, document, until
from .test_connections_reloaded import closed, named
from .tlsbackend import tls_backend

UP_AND_DOWN = {"path": "/health", "interval": 30, "timeout": 5, "unhealthy_after": 1, "backoff": 1}


def healths(gate):
    return [target["health"] for target in gate.gateway.status()["connections"]["crm"]]


def statuses(gate, count):
    return [gate.request("GET", "/").status_code for _ in range(count)]


def next_check(gate, clock):
    """Move on by one interval, and wait until the checks that are due then are over."""
    checked(gate, clock)
    gate.run(clock.advance(30))
    checked(gate, clock)


def checked(gate, clock, interval=30):
    """Wait until no check is under way: nobody waits for less than the interval."""

    async def wakes():
        await settle()
        return clock.wakes

    until(lambda: set(gate.run(wakes())) == {interval})


@pytest.mark.row("HC-1")
@BOTH
def test_one_definition_serves_many_and_goes_only_when_nobody_uses_it(lane):
    with upstream() as backend:
        described = document(backend, lane=lane, base_path="/base")
        described["routes"] = [
            {"name": n, "match": {"path": f"/{n}/{{rest...}}"}, "to": {"connection": "crm"}} for n in "ab"
        ]
        with running(described) as gate:
            assert gate.request("GET", "/a/users/1").status_code == 200
            assert gate.request("GET", "/b/users/1").status_code == 200
            with pytest.raises(ConfigError) as refused:
                gate.reload({**described, "connections": {}})
            assert gate.request("GET", "/a/x").status_code == 200

    assert [request.path for request in backend.requests[:2]] == ["/base/a/users/1", "/base/b/users/1"]
    assert [str(p).split(": ")[1] for p in refused.value.problems] == [f"routes[{n}].to.connection" for n in (0, 1)]
    twice = "connections:\n  crm: {targets: 'http://a'}\n  crm: {targets: 'http://b'}\n"
    with pytest.raises(ConfigError, match="crm"), running(twice):
        pass


@pytest.mark.row("HC-2")
@BOTH
def test_twenty_calls_of_two_routes_share_one_connection_and_a_change_cuts_none(lane):
    going = asyncio.Event()

    async def answer(request):
        if request.path == "/a/slow":
            await going.wait()
        return 200, {"set-cookie": "of=ann"}, "ok"

    with upstream(answer) as backend:
        described = document(backend, lane=lane)
        described["routes"] = [
            {"name": n, "match": {"path": f"/{n}/{{rest...}}"}, "to": {"connection": "crm"}} for n in "ab"
        ]
        with running(described) as gate, futures.ThreadPoolExecutor(1) as threads:
            for number in range(20):
                assert httpx.get(f"{gate.url}/{'ab'[number % 2]}/").status_code == 200
            assert backend.connections == 1
            assert all(request.header("cookie") is None for request in backend.requests)
            call = threads.submit(gate.request, "GET", "/a/slow")
            backend.wait_for(lambda b: b.requests[-1].path == "/a/slow")
            described["connections"]["crm"]["timeouts"] = {"read": 17}
            gate.reload(described)
            assert gate.request("GET", "/b/").status_code == 200
            assert backend.connections == 2
            going._loop.call_soon_threadsafe(going.set)
            assert call.result().status_code == 200


@pytest.mark.row("HC-3")
def test_a_url_of_its_own_where_a_connection_is_named_is_refused_at_load():
    with upstream() as backend:
        described = document(backend)
        described["routes"][0]["flow"] = [{"callout": {"name": "x", "connection": "crm", "url": "http://other/x"}}]
        with (
            pytest.raises(ConfigError, match=r"flow\[0\]\.callout: with a connection, url is a path"),
            running(described),
        ):
            pass


@pytest.mark.row("HC-4", "HC-5")
@BOTH
def test_a_check_that_answers_500_shows_within_an_interval_and_the_one_target_is_still_called(lane):
    said, clock = {"/health": 200}, MovableClock()
    with upstream(lambda request: (said.get(request.path, 200), {}, "data")) as backend:
        described = document(backend, lane=lane, monitor={"http": UP_AND_DOWN})
        with running(described, clock=clock) as gate:
            until(lambda: healths(gate) == ["healthy"])
            said["/health"] = 500
            next_check(gate, clock)
            until(lambda: healths(gate) == ["unhealthy"])
            assert gate.request("GET", "/").text == "data"
            said["/health"] = 200
            next_check(gate, clock)
            until(lambda: healths(gate) == ["healthy"])


@pytest.mark.row("HC-4")
@BOTH
@pytest.mark.parametrize(("well", "ill"), [(200, 400), (399, 500), (204, 404), (302, 503)])
def test_unless_said_otherwise_a_check_comes_every_30_seconds_and_the_first_that_fails_shows(lane, well, ill):
    said, clock = {"/": well}, MovableClock()
    with upstream(lambda request: (said["/"], {}, "")) as backend:
        with running(document(backend, lane=lane, monitor="http"), clock=clock) as gate:
            checked(gate, clock)
            assert healths(gate) == ["healthy"]
            said["/"] = ill
            gate.run(clock.advance(29))
            checks = len(backend.requests)
            assert healths(gate) == ["healthy"]
            gate.run(clock.advance(1))
            until(lambda: healths(gate) == ["unhealthy"])
            assert len(backend.requests) == checks + 1
            said["/"] = well
            checked(gate, clock, 60)  # checks of what fails come half as often
            gate.run(clock.advance(60))
            until(lambda: healths(gate) == ["healthy"])


@pytest.mark.row("HC-6", "HC-17")
@BOTH
def test_a_failed_check_sends_the_next_call_to_the_backup_and_a_good_one_back(lane):
    said, clock = {"/health": 200}, MovableClock()
    with upstream(lambda request: (said.get(request.path, 200), {}, "main")) as main, upstream(named("b1")) as backup:
        described = document(main, lane=lane, backups=[backup.url], monitor={"http": UP_AND_DOWN})
        with running(described, clock=clock) as gate:
            until(lambda: healths(gate) == ["healthy", "healthy"])
            assert gate.request("GET", "/").text == "main"
            said["/health"] = 500
            next_check(gate, clock)
            until(lambda: healths(gate) == ["unhealthy", "healthy"])
            assert gate.request("GET", "/").text == "b1"
            said["/health"] = 200
            next_check(gate, clock)
            until(lambda: healths(gate) == ["healthy", "healthy"])
            assert gate.request("GET", "/").text == "main"


@pytest.mark.row("HC-14", "HC-16")
@BOTH
def test_backups_are_taken_in_order_by_the_calls_that_follow(lane):
    with closed() as main, closed() as first, upstream() as second:
        with running(document(main, lane=lane, backups=[first, second.url])) as gate:
            assert statuses(gate, 2) == [502, 502]
            assert second.requests == []
            assert statuses(gate, 1) == [200]
    with closed() as main, upstream() as first:
        with running(document(main, lane=lane, backups=[first.url], max_tries=2)) as gate:
            assert statuses(gate, 1) == [200]


@pytest.mark.row("HC-15")
@BOTH
def test_ten_answers_of_503_and_a_read_timeout_leave_the_backup_alone(lane):
    async def answer(request):
        if request.path == "/silent":
            await asyncio.get_running_loop().create_future()
        return 503, {}, "busy"

    with upstream(answer) as main, upstream() as backup:
        described = document(main, lane=lane, backups=[backup.url], timeouts={"read": 0.1})
        with running(described) as gate:
            assert statuses(gate, 10) == [503] * 10
            assert gate.request("GET", "/silent").status_code == 504
            assert statuses(gate, 1) == [503]
    assert backup.requests == []


@BOTH
def test_without_checks_main_is_tried_again_after_a_while_and_the_last_backup_is_followed_by_main(lane):
    clock = MovableClock()
    with closed() as main, closed() as backup:
        with running(document(main, lane=lane, backups=[backup]), clock=clock) as gate:
            assert statuses(gate, 3) == [502] * 3
            assert [exchange.target.url for exchange in gate.wait_for_exchanges(3)] == [main, backup, main]
    with upstream(named("b1")) as backup, closed() as gone:
        port = int(gone.rpartition(":")[2])
        with running(document(gone, lane=lane, backups=[backup.url]), clock=clock) as gate:
            assert statuses(gate, 2) == [502, 200]
            gate.run(clock.advance(59))
            assert gate.request("GET", "/").text == "b1"
            gate.run(clock.advance(2))
            assert statuses(gate, 2) == [502, 200]  # one call has tried
            assert str(port) in gate.finished[-2].target.url


@pytest.mark.row("KC-69")
@BOTH
@pytest.mark.parametrize(
    ("credential", "method"),
    [
        (
            {"basic": {"username": "Aladdin", "password": "open sesame"}},
            {"basic": {"users": {"Aladdin": "open sesame"}}},
        ),
        ({"bearer": {"token": "t0"}}, {"bearer": {"tokens": {"gate": "t0"}}}),
        ({"api-key": {"key": "k0"}}, {"api-key": {"keys": {"gate": "k0"}}}),
        (
            {"oauth1": {"consumer_key": "c", "consumer_secret": "s", "token": "t", "token_secret": "ts"}},
            {
                "oauth1": {
                    "consumers": {"c": {"secret": "s"}},
                    "tokens": {"t": {"secret": "ts", "consumer": "c", "subject": "g"}},
                }
            },
        ),
        (
            {"hawk": {"id": "gate", "key": "k0", "hash_payload": True}},
            {"hawk": {"credentials": {"gate": {"key": "k0"}}, "payload": "required"}},
        ),
        ({"digest": {"username": "gate", "password": "p"}}, {"digest": {"users": {"gate": "p"}}}),
        (
            {"jwt": {"secret": "thirty-two bytes long, at the least", "subject": "gate"}},
            {"jwt": {"secret": "thirty-two bytes long, at the least"}},
        ),
        (
            {"signature": {"algorithm": "hmac-sha256", "key": "k0 of eight or more", "key_id": "gate"}},
            {"signature": {"keys": {"gate": {"algorithm": "hmac-sha256", "secret": "k0 of eight or more"}}}},
        ),
        (
            {
                "signature": {
                    "standard": "rfc9421",
                    "algorithm": "hmac-sha256",
                    "key": "k0 of eight or more",
                    "key_id": "gate",
                }
            },
            {
                "signature": {
                    "standard": "rfc9421",
                    "keys": {"gate": {"algorithm": "hmac-sha256", "secret": "k0 of eight or more"}},
                }
            },
        ),
    ],
    ids=lambda each: next(iter(each)),
)
def test_what_one_gateway_signs_another_one_recognises(credential, method, lane):
    """The known answers of each scheme are tested beside it; here both ends run, with a query, forms and JSON."""
    with upstream() as backend:
        inner = document(backend, lane=lane)
        inner["routes"][0]["flow"] = [{"auth": {"methods": [method]}}]
        with running(inner) as second, running(document(second, lane=lane, auth=[credential])) as first:
            answers = [
                first.request(
                    "GET", "/photos?file=vacation.jpg&size=original", headers={"authorization": "Bearer forged"}
                ),
                first.request("POST", "/a%20b", data={"a b": "c&d", "e": "ü"}),
                first.request("PUT", "/", json={"hello": "world"}),
                first.request("POST", "/up", content=iter([b"half ", b"and half"])),
            ]
            refused = [
                second.request("GET", "/", headers={"authorization": line}).status_code for line in ("Bearer x", "")
            ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert refused == [401, 401]
    assert backend.bodies[2:] == [b'{"hello":"world"}', b"half and half"]


@pytest.mark.row("HC-11")
@BOTH
@pytest.mark.parametrize("action", ["set", "add"])
def test_what_a_call_of_the_house_says_itself_stands_against_the_headers_of_the_connection(lane, action):
    """A call of a client goes on with the connection's word, whatever the client wrote."""
    fixed = [
        {action: "Authorization", "from": {"default": {"value": "Bearer t0"}}},
        {action: "X-Kind", "from": {"default": {"value": "of the connection"}}},
    ]
    steps = [
        {"callout": {"name": "a", "url": "/own", "connection": "crm", "headers": {"authorization": "'Bearer own'"}}},
        {"callout": {"name": "b", "url": "/none", "connection": "crm"}},
    ]
    with upstream() as backend:
        described = document(backend, lane=lane, headers=fixed)
        described["routes"][0]["flow"] = steps
        with running(described) as gate:
            gate.request("GET", "/client", headers={"authorization": "Bearer of-the-client"})
        monitored = document(backend, lane=lane, headers=fixed)
        monitored["connections"]["crm"] |= {
            "targets": [backend.url],
            "monitor": {"http": {"path": "/check", "headers": {"authorization": "Bearer check"}}},
        }
        with running(monitored, clock=MovableClock()):
            backend.wait_for(lambda backend: len(backend.requests) == 4)

    seen = {each.path: (each.all("authorization"), each.all("x-kind")) for each in backend.requests}
    kind = ["of the connection"]
    assert seen["/own"] == (["Bearer own"], kind)
    assert seen["/none"] == (["Bearer t0"], kind)
    assert seen["/check"] == (["Bearer check"], kind)
    ours = ["Bearer t0"] if action == "set" else ["Bearer of-the-client", "Bearer t0"]
    assert seen["/client"] == (ours, kind)


@pytest.mark.row("HC-10", "HC-11", "AC-16")
@BOTH
def test_fixed_lines_are_exactly_those_of_the_document(lane):
    basic = {"username": "Aladdin", "password": "open sesame"}
    fixed = [{"set": "Authorization", "from": {"default": {"value": "Bearer t0"}}}]
    with upstream() as backend, running(document(backend, lane=lane, auth=[{"basic": basic}])) as gate:
        gate.request("GET", "/", auth=("caller", "of the gateway"))
        gate.reload(document(backend, lane=lane, auth=[{"basic": {**basic, "prefix": "Custom"}}]))
        gate.request("GET", "/")
        gate.reload(document(backend, lane=lane, headers=fixed))
        gate.request("GET", "/")
        gate.request("POST", "/", content=b"b")

    encoded = "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert [request.all("authorization") for request in backend.requests] == [
        [f"Basic {encoded}"],
        [f"Custom {encoded}"],
        ["Bearer t0"],
        ["Bearer t0"],
    ]


@pytest.mark.row("HC-9", "AC-17")
@BOTH
def test_fifty_first_calls_fetch_one_token_and_one_more_when_it_expires(lane):
    issued, clock = [], MovableClock()

    async def slowly(request):
        issued.append(f"t{len(issued)}")
        await asyncio.sleep(0.1)
        return 200, {"content-type": "application/json"}, f'{{"access_token": "{issued[-1]}", "expires_in": 3600}}'

    with upstream(slowly) as server, upstream() as backend:
        oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "s3cret"}
        described = document(backend, lane=lane, auth=[{"oauth2": {**oauth, "prefix": "Token"}}])
        with running(described, clock=clock) as gate:
            with futures.ThreadPoolExecutor(50) as threads:
                calls = [threads.submit(gate.request, "GET", "/") for _ in range(50)]
                assert {call.result().status_code for call in calls} == {200}
            assert issued == ["t0"]
            assert {request.header("authorization") for request in backend.requests} == {"Token t0"}
            gate.run(clock.advance(3600 - 29))
            assert statuses(gate, 2) == [200, 200]
            assert issued == ["t0", "t1"]
    assert backend.requests[-1].all("authorization") == ["Token t1"]


@BOTH
@pytest.mark.parametrize("ends", [1, 2])
def test_a_token_endpoint_that_is_down_is_auth_error_and_nothing_is_sent(ends, lane):
    with closed() as server, upstream() as a, upstream() as b:
        oauth = {"token_endpoint": f"{server}/token", "client_id": "c", "client_secret": "s3cret"}
        described = document(*(a, b)[:ends], lane=lane, auth=[{"oauth2": oauth}], max_tries=3)
        with running(described) as gate:
            answers = [gate.request("GET", "/") for _ in range(3)]
            at_rest(gate)
            attempts = [len(exchange.attempts) for exchange in gate.wait_for_exchanges(3)]

    assert [(each.status_code, each.json()["reason"]) for each in answers] == [(503, "auth-error")] * 3
    assert (a.connections, b.connections, attempts) == (0, 0, [1, 1, 1])
    assert "s3cret" not in "".join(each.text for each in answers)
    assert not re.search("s3cret", " ".join(record.getMessage() for record in gate.log))


@needs_openssl
@pytest.mark.row("HC-13")
@BOTH
def test_a_backend_that_wants_a_client_certificate_gets_it(lane, tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    server, client = authority.issue("server", "IP:127.0.0.1"), authority.issue("gateway")
    pair = {"certificate": str(client["certificate"]), "key": str(client["key"])}
    trusting = {"tls": {"ca_file": str(authority.certificate), "versions": ["1.2"]}}
    with tls_backend(server, clients=authority.certificate) as backend:
        shown = document(backend, lane=lane, auth=[{"mutual-tls": pair}], **trusting)
        with running(shown) as gate:
            assert gate.request("GET", "/").json()["client"] == "gateway"
            gate.reload(document(backend, lane=lane, **trusting))
            refused = gate.request("GET", "/")
            facts = connection_facts(gate.gateway.connection("crm"))
    assert (refused.status_code, refused.json()["reason"]) == (502, "tls-failed")
    assert (facts["counts"]["connect-failed"], facts["network_issues"], facts["southbound_errors"]) == (1, 1, 0)


@BOTH
@pytest.mark.parametrize(
    ("kind", "body"), [("application/json", b'{"a": [1, 2.50]}'), ("text/plain", b"no such thing")]
)
def test_a_404_of_the_backend_is_the_clients_with_the_same_body(kind, body, lane):
    with upstream(lambda request: (404, {"content-type": kind, "x-a": "b"}, body)) as backend:
        with running(document(backend, lane=lane)) as gate:
            answer = gate.request("GET", "/")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (404, body, kind)
    assert answer.headers["x-a"] == "b"


@pytest.mark.row("HC-20")
@BOTH
def test_three_timeouts_and_two_answers_of_502_are_counted_apart(lane):
    async def answer(request):
        if request.path == "/slow":
            await asyncio.get_running_loop().create_future()
        return 502, {}, "bad"

    with upstream(answer) as backend:
        described = document(backend, lane=lane, timeouts={"read": 0.1})
        with running(described) as gate:
            for path in ("/slow", "/bad", "/slow", "/bad", "/slow"):
                gate.request("GET", path)
            gate.wait_for_exchanges(5)
            facts = connection_facts(gate.gateway.connection("crm"))
    assert (facts["network_issues"], facts["southbound_errors"], facts["northbound_errors"]) == (3, 2, 5)
