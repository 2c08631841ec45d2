"""Discovery by DNS, against a small name server of this test on a free loopback port."""

import asyncio
import socketserver
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, TestHost, build, running, upstream
from hookgate_discovery_dns import Dns


class NameServer:
    def __init__(self):
        self.records, self.asked = {}, threading.Condition()
        self.fails = {}
        """What is answered in the place of records, by name and kind: a code, or nothing at all."""
        self.aliases = {}
        """Names by alias, each with how long it lives."""
        self.questions = 0
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data, socket = self.request
                query = dns.message.from_wire(data)
                reply = owner.answer(query)
                if reply is not None:
                    socket.sendto(reply.to_wire(), self.client_address)

        self.server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, query):
        (question,) = query.question
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query)
        with self.asked:
            self.questions += 1
            self.asked.notify_all()
            if name in self.aliases:
                lives, target = self.aliases[name]
                reply.answer.append(dns.rrset.from_text(name, lives, "IN", "CNAME", target))
                name = target
            if (name, kind) in self.fails:
                if self.fails[name, kind] is None:
                    return None
                reply.set_rcode(self.fails[name, kind])
            elif name not in {known for known, _ in self.records}:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            elif values := self.records.get((name, kind)):
                reply.answer.append(dns.rrset.from_text(name, 30, "IN", kind, *values))
        return reply

    def wait_for_questions(self, count):
        with self.asked:
            assert self.asked.wait_for(lambda: self.questions >= count, 60)


@pytest.fixture
def names():
    server = NameServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


async def found(names, **options):
    plugin = build(Dns, nameservers=[names.address], **options)
    plugin.startup(TestHost())
    return [(target.url, target.host_name, target.weight) for target in await plugin.targets()]


async def test_every_address_of_a_name_is_a_target_and_host_is_the_name(names):
    names.records["app.internal.", "A"] = ["127.0.0.2", "127.0.0.1"]
    names.records["app.internal.", "AAAA"] = ["::1"]

    assert await found(names, name="app.internal", port=8080) == [
        ("http://127.0.0.1:8080", "app.internal:8080", 1),
        ("http://127.0.0.2:8080", "app.internal:8080", 1),
        ("http://[::1]:8080", "app.internal:8080", 1),
    ]


async def test_services_of_the_best_priority_come_with_their_ports_and_weights(names):
    names.records["_http._tcp.app.internal.", "SRV"] = [
        "10 5 9001 one.internal.",
        "10 0 9002 two.internal.",
        "20 9 9003 spare.internal.",
    ]

    assert await found(names, name="_http._tcp.app.internal", records="srv", scheme="https") == [
        ("https://one.internal:9001", "one.internal:9001", 5),
        ("https://two.internal:9002", "two.internal:9002", 1),
    ]


@pytest.mark.parametrize("failing", ["A", "AAAA"])
@pytest.mark.parametrize("how", [dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED, None])
async def test_one_kind_of_address_that_fails_does_not_spoil_the_other(names, how, failing):
    names.records["app.internal.", "A"] = ["127.0.0.1"]
    names.records["app.internal.", "AAAA"] = ["::1"]
    names.fails["app.internal.", failing] = how

    good = "[::1]" if failing == "A" else "127.0.0.1"
    assert await found(names, name="app.internal", port=80) == [(f"http://{good}", "app.internal", 1)]


@pytest.mark.parametrize(
    ("how", "stays"), [(dns.rcode.NXDOMAIN, False), (dns.rcode.SERVFAIL, True), (dns.rcode.REFUSED, True)]
)
async def test_addresses_of_a_kind_that_fails_later_stay_unless_they_are_gone(names, how, stays):
    names.records["app.internal.", "A"] = ["127.0.0.1"]
    names.records["app.internal.", "AAAA"] = ["::1"]
    plugin = build(Dns, nameservers=[names.address], name="app.internal", port=80)
    plugin.startup(TestHost())
    assert len(await plugin.targets()) == 2
    names.fails["app.internal.", "AAAA"] = how
    names.records["app.internal.", "A"] = ["127.0.0.2"]

    assert [target.host for target in await plugin.targets()] == ["127.0.0.2"] + ["::1"] * stays


@pytest.mark.parametrize("failing", ["A", "AAAA"])
async def test_where_one_kind_fails_and_there_are_none_of_the_other_the_look_fails(names, failing):
    names.records["app.internal.", "TXT"] = ["the name is there"]
    names.fails["app.internal.", failing] = dns.rcode.SERVFAIL
    with pytest.raises(LookupError, match="NoNameservers"):
        await found(names, name="app.internal", port=80)


async def test_where_both_kinds_fail_the_look_fails(names):
    for kind in ("A", "AAAA"):
        names.fails["app.internal.", kind] = dns.rcode.SERVFAIL
    with pytest.raises(LookupError, match="NoNameservers"):
        await found(names, name="app.internal", port=80)


@pytest.mark.parametrize(("alias", "lives"), [(7, 7), (4000, 30), (1, 5)])
@pytest.mark.parametrize("records", ["address", "srv"])
async def test_an_alias_on_the_way_counts_for_how_long_an_answer_holds(names, alias, lives, records):
    names.aliases["app.internal."] = (alias, "blue.internal.")
    names.records["blue.internal.", "A"] = ["127.0.0.1"]
    names.records["blue.internal.", "SRV"] = ["10 5 9001 one.internal."]
    host = TestHost()
    host.clock = MovableClock()
    port = {"port": 80} if records == "address" else {}
    plugin = build(Dns, nameservers=[names.address], name="app.internal", records=records, **port)
    plugin.startup(host)
    assert len(await plugin.targets()) == 1
    waiting = asyncio.ensure_future(plugin.changed())
    await asyncio.sleep(0)

    assert host.clock.wakes == [lives]
    waiting.cancel()


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["0 0 0 ."], []),
        (["0 0 9000 ."], []),
        (["0 0 0 one.internal."], []),
        (["0 0 0 .", "10 5 9001 one.internal."], [("http://one.internal:9001", "one.internal:9001", 5)]),
        (["0 3 9001 one.internal.", "0 4 9001 One.internal."], [("http://one.internal:9001", "one.internal:9001", 7)]),
    ],
)
async def test_a_service_that_is_not_offered_is_no_target_and_one_that_stands_there_twice_is_one(
    names, records, expected
):
    names.records["_http._tcp.app.internal.", "SRV"] = records

    assert await found(names, name="_http._tcp.app.internal", records="srv") == expected


@pytest.mark.parametrize("how", [dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL])
def test_a_gateway_calls_the_addresses_that_can_be_had(names, how):
    names.records["app.internal.", "A"] = ["127.0.0.1"]
    names.fails["app.internal.", "AAAA"] = how
    with upstream() as backend:
        discovery = {"dns": {"name": "app.internal", "port": backend.port, "nameservers": [names.address]}}
        with running(routed({"discovery": discovery}), clock=MovableClock()) as gate:
            assert gate.request("GET", "/").status_code == 200


def test_a_gateway_has_no_target_where_a_service_is_not_offered(names):
    names.records["_http._tcp.app.internal.", "SRV"] = ["0 0 0 ."]
    discovery = {"dns": {"name": "_http._tcp.app.internal", "records": "srv", "nameservers": [names.address]}}
    with running(routed({"discovery": discovery}), clock=MovableClock()) as gate:
        answer = gate.request("GET", "/")
        assert (answer.status_code, urls(gate)) == (503, [])


def routed(connection):
    return {"routes": [{"name": "all", "to": {"connection": "app"}}], "connections": {"app": connection}}


async def test_a_name_there_is_not_is_a_lookup_error(names):
    with pytest.raises(LookupError, match="NXDOMAIN"):
        await found(names, name="nowhere.internal", port=80)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a"}, "port"),
        ({"name": "a", "records": "srv", "port": 80}, "port"),
        ({"name": "a", "port": 443, "scheme": "https"}, "https needs names"),
        ({"name": "a", "port": 80, "at_least": 10, "at_most": 5}, "at_most"),
        ({"name": "a" * 64, "port": 80}, "no name that DNS knows"),
        ({"name": "a..b", "port": 80}, "no name that DNS knows"),
        ({"name": "a", "port": 80, "nameservers": ["ns.example"]}, "no address of a name server"),
        ({"name": "a", "port": 80, "nameservers": ["10.0.0.1:99999"]}, "no address of a name server"),
        ({"name": "a", "port": 80, "nameservers": ["10.0.0.1:"]}, "no address of a name server"),
        ({"name": "a", "port": 80, "nameservers": ["[::1]:0"]}, "no address of a name server"),
    ],
)
def test_options_that_do_not_go_together_are_refused_at_load(options, said):
    with pytest.raises(ConfigError, match=said):
        build(Dns, **options)


def test_a_gateway_follows_targets_that_come_and_go_and_keeps_those_that_stay(names):
    clock = MovableClock()
    with upstream(lambda request: (200, {}, request.header("host"))) as backend:
        discovery = {"dns": {"name": "app.internal", "port": backend.port, "nameservers": [names.address]}}
        document = {
            "routes": [{"name": "all", "to": {"connection": "app"}}],
            "connections": {"app": {"discovery": discovery}},
        }
        names.records["app.internal.", "A"] = ["127.0.0.1"]
        with running(document, clock=clock) as gate:
            assert gate.request("GET", "/").text == f"app.internal:{backend.port}"
            (kept,) = gate.gateway.connection("app").targets

            names.records["app.internal.", "A"] = ["127.0.0.1", "127.0.0.9"]
            look(gate, clock, names)
            assert urls(gate) == [f"http://127.0.0.{last}:{backend.port}" for last in (1, 9)]
            assert gate.gateway.connection("app").targets[0] is kept

            names.records.clear()
            look(gate, clock, names)
            assert len(urls(gate)) == 2, "a look that fails leaves the targets as they were"


def look(gate, clock, names):
    """Let the records expire and wait until they have been asked for again and the answer was taken in."""
    asked = names.questions
    gate.run(clock.advance(30))
    names.wait_for_questions(asked + 2)
    while not gate.run(sleeping(clock)):
        pass


async def sleeping(clock):
    await asyncio.sleep(0.01)
    return [wake for wake in clock.wakes if wake in (30.0, 5.0)]


def urls(gate):
    return [target["url"] for target in gate.gateway.status()["connections"]["app"]]


def test_a_gateway_starts_without_targets_and_says_so():
    discovery = {"dns": {"name": "app.internal", "port": 80, "nameservers": ["127.0.0.1:9"]}}
    document = {
        "routes": [{"name": "all", "to": {"connection": "app"}}],
        "connections": {"app": {"discovery": discovery}},
    }
    with running(document) as gate:
        assert gate.request("GET", "/").status_code == 503
        assert any("could not be found" in record.getMessage() for record in gate.log)
        assert not any(record.exc_info for record in gate.log), "a server that is away is no fault of the program"


@pytest.mark.parametrize(
    ("server", "at"),
    [
        ("10.0.0.1:5353", ("10.0.0.1", 5353)),
        ("[::1]:5353", ("::1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("10.0.0.1", ("10.0.0.1", 53)),
    ],
)
def test_a_name_server_may_say_its_port(server, at):
    plugin = build(Dns, name="app.internal", port=80, nameservers=[server])
    plugin.startup(TestHost())
    (known,) = plugin._resolver.nameservers

    assert (known.address, known.port) == at
