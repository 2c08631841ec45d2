"""What a message has come through, in `Forwarded` and `Via`."""

import pytest

from hookgate import Headers, Request
from hookgate.http.forwarding import add_forwarded, add_via


def forwarded(*before, **request):
    headers = Headers([("Accept", "*/*"), *(("Forwarded", each) for each in before)])
    add_forwarded(headers.raw, Request(**request))
    return headers.getall("forwarded")


@pytest.mark.parametrize(
    ("request_", "written"),
    [
        ({"client": "192.0.2.1", "host": "example.org"}, "for=192.0.2.1;host=example.org;proto=http"),
        (
            {"client": "2001:DB8::1", "host": "example.org:8443", "scheme": "https"},
            'for="[2001:db8::1]";host="example.org:8443";proto=https',
        ),
        ({"client": "fe80::1%eth0", "host": "[::1]:80"}, 'for="[fe80::1]";host="[::1]:80";proto=http'),
        ({"client": "", "host": ""}, "for=unknown;proto=http"),
        ({"client": "192.0.2.1", "host": 'a"b\\c'}, r'for=192.0.2.1;host="a\"b\\c";proto=http'),
        ({"client": "192.0.2.1", "host": "a\r\nX: y"}, "for=192.0.2.1;proto=http"),
        ({"client": "192.0.2.1", "host": "é"}, "for=192.0.2.1;proto=http"),
        ({"client": "192.0.2.1, for=evil", "host": "a;proto=https"}, 'for=unknown;host="a;proto=https";proto=http'),
    ],
)
def test_a_hop_is_written_so_that_no_part_can_pass_for_another(request_, written):
    assert forwarded(**request_) == [written]


def test_what_earlier_hops_said_stays_in_front_in_one_line():
    said = forwarded("for=192.0.2.43, for=198.51.100.17", "for=10.0.0.1", "", client="10.0.0.2")

    assert said == ["for=192.0.2.43, for=198.51.100.17, for=10.0.0.1, for=10.0.0.2;proto=http"]


def test_the_address_is_that_of_the_peer_and_not_of_the_client_that_a_proxy_names():
    request = Request(client="10.0.0.2")
    request.client = "192.0.2.1"
    headers = Headers()
    add_forwarded(headers.raw, request)

    assert headers.get("forwarded") == "for=10.0.0.2;proto=http"


def test_via_grows_by_this_gateway_and_other_headers_stay():
    headers = Headers([("VIA", "1.0 fred"), ("Accept", "*/*"), ("Via", "1.1 example.com")])
    add_via(headers.raw, "edge", "2")

    assert list(headers.items()) == [("accept", "*/*"), ("via", "1.0 fred, 1.1 example.com, 2 edge")]
    add_via(headers.raw, "edge")
    assert headers.get("via") == "1.0 fred, 1.1 example.com, 2 edge, 1.1 edge"
