"""Who a call comes from, as trusted proxies tell: whatever asks for an address fails closed."""

import pytest

from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
PROXY = "127.0.0.1"
READ = {
    "203.0.113.7": "203.0.113.7",
    "203.0.113.7:5555": "203.0.113.7",
    '"203.0.113.7:5555"': "203.0.113.7",
    "2001:db8::7": "2001:db8::7",
    "[2001:db8::7]": "2001:db8::7",
    "[2001:db8::7]:80": "2001:db8::7",
    '"[2001:db8:0::7]:80"': "2001:db8::7",
    "::ffff:203.0.113.7": "203.0.113.7",
    "[::ffff:203.0.113.7]:80": "203.0.113.7",
    "unknown, 203.0.113.7": "203.0.113.7",
    "203.0.113.7, 127.0.0.9": "203.0.113.7",
    "203.0.113.7, ::ffff:127.0.0.9": "203.0.113.7",
    "203.0.113.7:1, 127.0.0.9:2": "203.0.113.7",
}
UNREADABLE = [
    "unknown",
    "_hidden",
    "",
    "203.0.113.7,",
    "203.0.113.7, , 127.0.0.9",
    "203.0.113.7, unknown",
    "203.0.113.7, unknown, 127.0.0.9",
    "203.0.113.7:",
    "203.0.113.7:http",
    "203.0.113.7:123456",
    "203.0.113.07",
    "203.0.113",
    "[2001:db8::7",
    "2001:db8::7]",
    "[2001:db8::7]80",
    '"203.0.113.7',
    "fe80::1%eth0",
    "unix:",
    "client.example",
    "2" * 2000,
]


def document(backend, lane, *flow, **more):
    return {
        "gateway": {"lane": lane, "trusted_proxies": ["127.0.0.0/8"], **more},
        "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


def forwarded(entries):
    """Write what stands in ``X-Forwarded-For`` as ``Forwarded`` does (RFC 7239)."""
    nodes = (each.strip() for each in entries.split(","))
    return ", ".join(f"proto=http;For={node}" if node.startswith('"') else f'for="{node}"' for node in nodes)


@BOTH
@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
def test_ports_brackets_and_quotes_of_an_entry_are_read(lane, name):
    with upstream() as backend, running(document(backend, lane)) as gate:
        for entries in READ:
            value = entries if name == "x-forwarded-for" else forwarded(entries)
            assert gate.request("GET", "/", headers={name: value}).status_code == 200
        found = [exchange.request.client for exchange in gate.wait_for_exchanges(len(READ))]

    assert dict(zip(READ, found, strict=True)) == READ


@BOTH
@pytest.mark.parametrize("kind", [{"allow": ["127.0.0.0/8", "203.0.113.7"]}, {"block": ["198.51.100.0/24"]}])
@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
def test_an_entry_that_cannot_be_read_never_passes_for_the_proxy(lane, kind, name):
    with upstream() as backend, running(document(backend, lane, {"ip-filter": kind})) as gate:
        for entries in UNREADABLE:
            value = entries if name == "x-forwarded-for" else forwarded(entries)
            answer = gate.request("GET", "/", headers={name: value})
            assert (answer.status_code, answer.json()["reason"]) == (403, "address-refused"), entries
        assert gate.request("GET", "/").status_code == 200, "the proxy itself"

    assert len(backend.requests) == 1


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        'for="203.0.113.7',
        "for=203.0.113.7 for=203.0.113.7",
        "for=203.0.113.7;for=203.0.113.8",
        "for",
        "proto=https",
        "=203.0.113.7",
        ";for=203.0.113.7",
        "for=203.0.113.7,",
    ],
)
def test_a_forwarded_that_breaks_its_grammar_names_nobody(lane, value):
    flow = {"ip-filter": {"block": ["198.51.100.0/24"]}}
    with upstream() as backend, running(document(backend, lane, flow)) as gate:
        assert gate.request("GET", "/", headers={"forwarded": value}).status_code == 403


@BOTH
@pytest.mark.parametrize("step", ["rate-limit", "spike-arrest"])
@pytest.mark.parametrize("by", ["request.client", "request.remoteAddr", "{request.client, route.name}"])
def test_a_limit_by_client_refuses_whom_it_cannot_tell_apart(lane, step, by):
    options = {"limit": 1, "by": by, **({"window": 600} if step == "rate-limit" else {"interval": 600})}
    with upstream() as backend, running(document(backend, lane, {step: options})) as gate:

        def status(client):
            return gate.request("GET", "/", headers={"x-forwarded-for": client}).status_code

        assert [status("203.0.113.7:1"), status("203.0.113.7:2")] == [200, 429], "a port makes nobody new"
        assert [status("unknown"), status("203.0.113.8:")] == [403, 403]
        assert [status("203.0.113.8"), status("::ffff:203.0.113.8")] == [200, 429]


@BOTH
def test_several_lines_are_one_list_and_x_forwarded_for_comes_first(lane):
    told = [
        ([("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        ([("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=198.51.100.1")], "203.0.113.7"),
        ([("forwarded", "for=198.51.100.1"), ("forwarded", "for=203.0.113.7;proto=https")], "203.0.113.7"),
        ([("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "unknown")], "unknown"),
    ]
    with upstream() as backend, running(document(backend, lane)) as gate:
        for headers, _ in told:
            gate.request("GET", "/", headers=headers)
        requests = [exchange.request for exchange in gate.wait_for_exchanges(len(told))]

    assert [request.client for request in requests] == [client for _, client in told]
    assert [request.scheme for request in requests] == ["http", "http", "https", "http"]


@BOTH
def test_a_scheme_that_was_told_twice_is_not_believed(lane):
    with upstream() as backend, running(document(backend, lane)) as gate:
        gate.request("GET", "/", headers=[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")])
        gate.request("GET", "/", headers={"x-forwarded-proto": "https"})
        found = [exchange.request.scheme for exchange in gate.wait_for_exchanges(2)]

    assert found == ["http", "https"]


@BOTH
def test_a_trusted_network_of_ipv4_may_be_written_as_ipv6(lane):
    with upstream() as backend:
        trusting = document(backend, lane, trusted_proxies=["::ffff:127.0.0.0/104"])
        with running(trusting) as gate:
            gate.request("GET", "/", headers={"x-forwarded-for": "203.0.113.7"})
            assert gate.wait_for_exchanges(1)[0].request.client == "203.0.113.7"


@BOTH
def test_of_strangers_nothing_is_believed_and_nothing_goes_on(lane):
    lies = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Prefix": "/admin",
        "X-Forwarded-Server": "inside",
        "X-Forwarded-Client-Cert": "CN=root",
        "Forwarded": "for=203.0.113.7",
        "X-Real-Ip": "203.0.113.7",
    }
    with upstream() as backend, running(document(backend, lane, trusted_proxies=["10.0.0.0/8"])) as gate:
        for name, value in lies.items():
            gate.request("GET", "/", headers={name: value})
        clients = {exchange.request.client for exchange in gate.wait_for_exchanges(len(lies))}

    assert clients == {PROXY}
    for request, (name, lie) in zip(backend.requests, lies.items(), strict=True):
        assert all(lie != value for _, value in request.headers), name


@BOTH
@pytest.mark.parametrize(("prefix", "neighbour"), [(None, 429), (64, 429), (128, 200), (48, 429)])
def test_neighbours_in_a_network_of_ipv6_are_one_client_to_a_limit(lane, prefix, neighbour):
    options = {"limit": 1, "window": 600, "by": "{request.client, 1}"}
    if prefix is not None:
        options["ipv6_prefix"] = prefix
    with upstream() as backend, running(document(backend, lane, {"rate-limit": options})) as gate:

        def status(client):
            return gate.request("GET", "/", headers={"x-forwarded-for": client}).status_code

        assert status("2001:db8:0:1::1") == 200
        assert status("[2001:db8:0:1::2]:80") == neighbour
        assert status("2001:db8:0:2::1") == (429 if prefix == 48 else 200)
        assert [status("203.0.113.1"), status("203.0.113.2")] == [200, 200], "IPv4 goes by addresses"
