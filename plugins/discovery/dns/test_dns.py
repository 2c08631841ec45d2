"""Discovery by DNS, against a small name server of this test on a free loopback port."""

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
        self.questions = 0
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data, socket = self.request
                query = dns.message.from_wire(data)
                socket.sendto(owner.answer(query).to_wire(), self.client_address)

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
            if name not in {known for known, _ in self.records}:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            elif values := self.records.get((name, kind)):
                reply.answer.append(dns.rrset.from_text(name, 30, "IN", kind, *values))
        return reply

    def wait_for_questions(self, count):
        with self.asked:
            assert self.asked.wait_for(lambda: self.questions >= count, 30)


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
    import asyncio

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


@pytest.mark.parametrize(
    ("server", "at"), [("10.0.0.1:5353", ("10.0.0.1", 5353)), ("[::1]:5353", ("::1", 5353)), ("::1", None)]
)
def test_a_name_server_may_say_its_port(server, at):
    plugin = build(Dns, name="app.internal", port=80, nameservers=[server])
    plugin.startup(TestHost())
    (known,) = plugin._resolver.nameservers

    assert known == server if at is None else (known.address, known.port) == at
