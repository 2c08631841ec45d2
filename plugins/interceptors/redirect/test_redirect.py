import pytest

from hookgate import ConfigError, Exchange, Interceptor, Options, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_redirect import Redirect


class Params(Interceptor[Options]):
    """Stands in for a route with path parameters."""

    def __init__(self, **params):
        super().__init__(Options())
        self.params = params

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.params.update(self.params)


def location(to, query="", keep_query=True, **params):
    response = through(Params(**params), build(Redirect, to=to, keep_query=keep_query), query=query).response
    return response.headers.get("location"), response.status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_answer_has_the_status_and_the_place_and_the_backend_is_not_called(status):
    called = []
    exchange = through(build(Redirect, to="/new", status=status), upstream=called.append)

    assert (exchange.response.status, exchange.response.headers["location"]) == (status, "/new")
    assert exchange.response.body.data == b""
    assert not called


@pytest.mark.parametrize(
    ("to", "query", "place"),
    [
        ("/new", "", "/new"),
        ("/new", "a=1&b=%20", "/new?a=1&b=%20"),
        ("/new?x=1", "a=1", "/new?x=1&a=1"),
        ("/new?x=1", "", "/new?x=1"),
        ("/new?", "a=1", "/new?a=1"),
        ("/new#part", "a=1", "/new?a=1#part"),
        ("https://www.example.org", "a=1", "https://www.example.org?a=1"),
        ("/new", "a=caf\xe9\r\n", "/new?a=caf%E9%0D%0A"),
        ("/new", "a[]=1&b=x+y;c=~%2F", "/new?a[]=1&b=x+y;c=~%2F"),
    ],
)
def test_the_query_goes_along_before_the_fragment(to, query, place):
    assert location(to, query) == (place, 308)


def test_the_query_can_be_left_behind():
    assert location("/new?x=1#part", "a=1", keep_query=False) == ("/new?x=1#part", 308)


@pytest.mark.parametrize(
    ("to", "params", "place"),
    [
        ("/v2/{a}/{b}", {"a": "x%20y", "b": "2"}, "/v2/x%20y/2"),
        ("/{rest}", {"rest": "x/y"}, "/x/y"),
        ("https://www.example.org:8443/{rest}", {"rest": ""}, "https://www.example.org:8443/"),
        ("https://www.example.org/{rest}", {"rest": "/evil.example"}, "https://www.example.org//evil.example"),
        ("/find?q={a}&x=1", {"a": "x&y=z;u+v%26#"}, "/find?q=x%26y%3Dz%3Bu%2Bv%26%23&x=1"),
        ("/page#{a}", {"a": "top"}, "/page#top"),
    ],
)
def test_path_parameters_go_in_as_received(to, params, place):
    assert location(to, **params) == (place, 308)


@pytest.mark.parametrize(
    ("to", "params"),
    [
        ("/{rest}", {"rest": "/evil.example"}),
        ("/{rest}/x", {"rest": "/evil.example"}),
        ("/{a}/evil.example", {"a": ""}),
        ("/{a}", {"a": "\\evil.example"}),
        ("/{a}", {"a": "x\r\nSet-Cookie: a=b"}),
        ("/{a}", {"a": "caf\xe9"}),
    ],
)
def test_no_parameter_leads_to_another_host_or_another_header(to, params):
    assert location(to, **params) == (None, 400)


def test_a_parameter_that_the_route_does_not_have_is_an_error_of_the_gateway(caplog):
    assert location("/{idd}", id="1") == (None, 500)
    assert "to: the route has no path parameter {idd}; it has: id" in caplog.text


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("www.example.org", "https://www.example.org/a%20b?c=1"),
        ("WWW.example.org:8080", "https://www.example.org/a%20b?c=1"),
        ("[2001:db8::1]:80", "https://[2001:db8::1]/a%20b?c=1"),
    ],
)
def test_http_is_redirected_to_https_on_the_same_host(host, place):
    exchange = through(build(Redirect, https=True), host=host, path="/a%20b", query="c=1")

    assert (exchange.response.status, exchange.response.headers["location"]) == (308, place)


def test_https_passes_and_is_not_redirected_again():
    assert through(build(Redirect, https=True, hosts=["a.example"]), scheme="https").response.status == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example/", "a@evil.example", "a:b", "-", "a..b", "a b", "évil", "a\\b", "[x]", "a:80:80", "a?b"]
)
def test_a_host_that_is_none_is_refused(host):
    exchange = through(build(Redirect, https=True), host=host)

    assert exchange.response.status == 400
    assert exchange.fault.reason == "host-refused"
    assert "location" not in exchange.response.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("www.example.org", 308),
        ("WWW.EXAMPLE.ORG:80", 308),
        ("www.example.org.", 308),
        ("a.b.example.net", 308),
        ("example.net", 400),
        ("evilexample.net", 400),
        ("example.org", 400),
        ("www.example.org.evil.example", 400),
    ],
)
def test_only_named_hosts_are_redirected_to(host, status):
    step = build(Redirect, https=True, hosts=["WWW.example.org", "*.example.net"])

    assert through(step, host=host).response.status == status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "write either to, or https: true"),
        ({"to": "/a", "https": True}, "write either to, or https: true"),
        ({"to": "/a", "hosts": ["a.example"]}, "hosts goes with https: true only"),
        ({"to": "/a", "status": 304}, "status: "),
        ({"to": "a"}, "to: .*is neither"),
        ({"to": "//evil.example"}, "to: .*is neither"),
        ({"to": "javascript:alert(1)"}, "to: .*is neither"),
        ({"to": "https://{host}/a"}, "to: .*is neither"),
        ({"to": "https://www.example.org{rest}"}, "to: .*is neither"),
        ({"to": "https://www.example.org@evil.example/"}, "to: .*is neither"),
        ({"to": "/\\evil.example"}, "to: .*a character that a URL does not have"),
        ({"to": "/a b"}, "to: .*a character that a URL does not have"),
        ({"to": "/café"}, "to: .*a character that a URL does not have"),
        ({"to": "/{rest...}"}, "to: .*a brace that belongs to none"),
        ({"to": "/{a"}, "to: .*a brace that belongs to none"),
        ({"https": True, "hosts": ["a.example:443"]}, r"hosts\[0\]: .*is not a host"),
        ({"https": True, "hosts": ["*"]}, r"hosts\[0\]: .*is not a host"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Redirect, **options)


def test_a_gateway_redirects_with_the_parameters_of_the_route():
    with upstream() as backend:
        document = {
            "routes": [
                {
                    "name": "old",
                    "match": {"path": "/old/{rest...}"},
                    "flow": [{"redirect": {"to": "/new/{rest}", "status": 301}}],
                    "to": {"connection": "backend"},
                },
                {
                    "name": "root",
                    "match": {"path": "/{rest...}"},
                    "flow": [{"redirect": {"to": "/{rest}"}}],
                    "to": {"connection": "backend"},
                },
            ],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            moved = gate.request("GET", "/old/a%20b/c", params={"d": "1"})
            open_redirect = gate.request("GET", f"{gate.url}//evil.example")

    assert (moved.status_code, moved.headers["location"]) == (301, "/new/a%20b/c?d=1")
    assert (open_redirect.status_code, "location" in open_redirect.headers) == (400, False)
    assert not backend.requests


def test_a_gateway_redirects_to_https_behind_a_proxy_that_says_what_came():
    with upstream() as backend:
        document = {
            "gateway": {"flow": [{"redirect": {"https": True}}], "trusted_proxies": ["127.0.0.0/8"]},
            "routes": [{"name": "all", "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            plain = gate.request("GET", "/a?b=1", headers={"host": "api.example.org"})
            secure = gate.request("GET", "/a", headers={"x-forwarded-proto": "https"})

    assert (plain.status_code, plain.headers["location"]) == (308, "https://api.example.org/a?b=1")
    assert secure.status_code == 200
