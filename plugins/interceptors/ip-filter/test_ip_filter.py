from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError
from hookgate.testing import build, running, through, upstream
from hookgate.workshop import Addresses
from hookgate_interceptor_ip_filter import IpFilter

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def let_in(client, **options):
    return through(build(IpFilter, **options), client=client).response.status == 200


LISTED = [
    ("192.0.2.1", "192.0.2.1", True),
    ("192.0.2.1", "192.0.2.2", False),
    ("192.0.2.5-192.0.2.9", "192.0.2.4", False),
    ("192.0.2.5-192.0.2.9", "192.0.2.5", True),
    ("192.0.2.5 - 192.0.2.9", "192.0.2.9", True),
    ("192.0.2.5-192.0.2.9", "192.0.2.10", False),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("10.0.0.0/8", "11.0.0.0", False),
    ("10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("::ffff:10.0.0.0/104", "10.1.2.3", True),
    ("::ffff:192.0.2.5-::ffff:192.0.2.9", "192.0.2.7", True),
    ("::ffff:192.0.2.5", "::ffff:c000:205", True),
    ("::/0", "10.1.2.3", False),
    ("::/0", "::ffff:10.1.2.3", False),
    ("::/0", "2001:db8::1", True),
    ("0.0.0.0/0", "10.1.2.3", True),
    ("0.0.0.0/0", "2001:db8::1", False),
    ("0.0.0.10", "::a", False),
    ("2001:db8::/32", "2001:db8:ffff::1", True),
    ("2001:db8::/32", "2001:db9::1", False),
    ("2001:db8::1-2001:db8::ffff", "2001:db8::1:0", False),
    ("fe80::/10", "fe80::1%eth0", True),
]


@pytest.mark.parametrize(("listed", "client", "inside"), LISTED)
def test_who_is_listed_is_let_in_or_kept_out(listed, client, inside):
    assert let_in(client, allow=[listed]) is inside
    assert let_in(client, block=[listed]) is not inside


@BOTH
@pytest.mark.row("FL-43")
def test_filters_are_chained_and_each_of_them_can_refuse(lane):
    flow = [{"ip-filter": {"allow": ["192.168.0.0/27"]}}, {"ip-filter": {"block": ["192.168.0.10"]}}]
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane, "trusted_proxies": ["127.0.0.0/8"]},
            "routes": [{"name": "all", "flow": flow, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:

            def status(client):
                return gate.request("GET", "/", headers={"x-forwarded-for": client}).status_code

            found = {last: status(f"192.168.0.{last}") for last in (0, 9, 10, 11, 31, 32)}
            direct = gate.request("GET", "/")
            passed = [exchange.passed for exchange in gate.wait_for_exchanges(7)]

    assert found == {0: 200, 9: 200, 10: 403, 11: 200, 31: 200, 32: 403}
    assert direct.json()["reason"] == "address-refused"
    assert (len(passed[2]), len(passed[5])) == (1, 0), "the second filter refused .10, the first one .32"
    assert len(backend.requests) == 4


def test_lists_grow_together_where_they_overlap_or_touch():
    listed = Addresses(["10.0.0.5-10.0.0.9", "10.0.0.0/30", "10.0.0.4", "10.0.0.7-10.0.0.20", "10.0.0.30"])

    inside = [last for last in range(40) if listed.holds(f"10.0.0.{last}")]

    assert inside == [*range(21), 30]
    assert listed._firsts == {4: [0x0A000000, 0x0A00001E], 6: []}


@given(
    ranges=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)).map(sorted), min_size=1, max_size=6),
    networks=st.lists(st.tuples(st.integers(0, 15), st.integers(28, 32)), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_any_set_of_ranges_holds_what_its_ranges_hold(ranges, networks):
    written = [f"10.0.0.{low}-10.0.0.{high}" for low, high in ranges]
    nets = [ip_network((int(ip_address("10.0.0.0")) + 4 * at, bits), strict=False) for at, bits in networks]
    listed = Addresses([*written, *map(str, nets)])

    for last in range(66):
        address = ip_address(f"10.0.0.{last}")
        expected = any(low <= last <= high for low, high in ranges) or any(address in net for net in nets)
        assert listed.holds(str(address)) is expected
        assert listed.holds(f"::ffff:{address}") is expected


@pytest.mark.parametrize("kind", ["allow", "block"])
def test_a_client_without_a_readable_address_is_refused(kind):
    assert not let_in("unknown", **{kind: ["10.0.0.0/8"]})
    assert not let_in("", **{kind: ["0.0.0.0/0", "::/0"]})


def test_steps_judge_for_themselves_and_each_time_alike():
    inner, outer = build(IpFilter, allow=["10.0.0.0/8"]), build(IpFilter, block=["10.0.0.0/8"])

    for _ in range(2):
        assert through(inner, client="192.0.2.1").response.status == 403
        assert through(outer, client="192.0.2.1").response.status == 200
        assert through(inner, client="10.1.2.3").response.status == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"write either allow or block"),
        ({"allow": ["10.0.0.1"], "block": ["10.0.0.2"]}, r"place the step twice"),
        ({"allow": []}, r"allow.*at least 1"),
        ({"block": []}, r"block.*at least 1"),
        ({"allow": ["10.0.0.1", "nonsense"]}, r"allow\[1\]: 'nonsense' is no IP address; write"),
        ({"allow": ["10.0.0.0/99"]}, r"allow\[0\]: '10.0.0.0/99' is no network"),
        ({"allow": ["10.0.0.1/8"]}, r"allow\[0\]: .*the network is 10.0.0.0/8"),
        ({"block": ["10.0.0.9-10.0.0.1"]}, r"block\[0\]: .*write 10.0.0.1-10.0.0.9"),
        ({"block": ["10.0.0.9-2001:db8::1"]}, r"block\[0\]: .*both IPv4 or both IPv6"),
        ({"block": ["fe80::1%eth0"]}, r"block\[0\]: .*no IP address"),
        ({"block": ["10.0.0.1-"]}, r"block\[0\]: '' is no IP address"),
    ],
)
def test_a_wrong_list_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(IpFilter, **options)
