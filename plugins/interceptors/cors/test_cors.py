import pytest

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_cors import Cors

APP = "https://app.example.org"
SHOP = "https://shop.example.org"
HEADERS = "Authorization, Access-Control-Allow-Origin, Content-Type"
BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


class Hiding(Interceptor[Options]):
    """Keeps the origin from the backend."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.headers.remove("origin")


class Inventing(Interceptor[Options]):
    """Tells the backend an origin of its own."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.headers.set("origin", APP)


def unreachable(exchange):
    raise AssertionError("the backend was called")


def preflight(step, origin=APP, **headers):
    asked = {"origin": origin, "access-control-request-method": "PUT", **headers}
    return through(step, method="OPTIONS", headers=asked, upstream=unreachable)


def cors_headers(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_a_preflight_of_a_listed_origin_is_answered_here_with_what_is_allowed():
    answer = preflight(build(Cors, allow_origins=[APP])).response

    assert (answer.status, answer.body.data) == (204, b"")
    assert cors_headers(answer) == {
        "access-control-allow-origin": APP,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        "access-control-allow-headers": "Authorization, Access-Control-Allow-Origin, Content-Type",
        "access-control-max-age": "600",
    }
    assert answer.headers.getall("vary") == ["Origin"]


def test_a_preflight_says_what_the_options_say():
    step = build(
        Cors,
        allow_origins=[APP],
        allow_methods=["GET", "REPORT"],
        allow_headers=["X-Token"],
        expose_headers=["X-Total"],
        allow_credentials=True,
        max_age=5,
    )

    assert cors_headers(preflight(step).response) == {
        "access-control-allow-origin": APP,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, REPORT",
        "access-control-allow-headers": "X-Token",
        "access-control-max-age": "5",
    }


def test_a_preflight_of_another_origin_is_refused_here_without_any_allowance():
    exchange = preflight(build(Cors, allow_origins=[APP]), origin="https://evil.example")

    assert exchange.response.status == 403
    assert exchange.fault.reason == "origin-refused"
    assert cors_headers(exchange.response) == {}
    assert exchange.response.headers.getall("vary") == ["Origin"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {"origin": APP}),
        ("OPTIONS", {"access-control-request-method": "PUT"}),
        ("GET", {"origin": APP, "access-control-request-method": "PUT"}),
    ],
)
def test_what_is_no_preflight_goes_on_to_the_backend(method, headers):
    exchange = through(build(Cors, allow_origins=[APP]), method=method, headers=headers)

    assert exchange.response.body.data == b"ok"


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        (APP, APP, True),
        (APP, "https://app.example.org:8443", False),
        (APP, "http://app.example.org", False),
        (APP, "https://APP.example.org", False),
        (APP, "https://app.example.org.evil.example", False),
        (APP, "https://appxexample.org", False),
        (APP, "null", False),
        (APP, "*", False),
        ("http://localhost:5173", "http://localhost:5173", True),
        ("http://[::1]:5173", "http://[::1]:5173", True),
        ("app+x://view", "app+x://view", True),
        ("https://*.example.org", "https://a.example.org", True),
        ("https://*.example.org", "https://a.b-c.example.org", True),
        ("https://*.example.org", "https://example.org", False),
        ("https://*.example.org", "https://evilexample.org", False),
        ("https://*.example.org", "https://a.examplexorg", False),
        ("https://*.example.org", "http://a.example.org", False),
        ("https://*.example.org", "https://a.example.org:8443", False),
        ("https://*.example.org", "https://a.example.org.evil.example", False),
        ("https://*.example.org", "https://evil.example/.example.org", False),
        ("https://*.example.org:8443", "https://a.example.org:8443", True),
    ],
)
def test_an_origin_is_echoed_only_when_it_is_listed(listed, origin, allowed):
    exchange = through(build(Cors, allow_origins=[listed]), headers={"origin": origin})

    assert exchange.response.status == 200
    assert exchange.response.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert exchange.response.headers["vary"] == "Origin"


def test_a_call_without_origin_gets_no_allowance_but_tells_caches_that_the_answer_varies():
    answer = through(build(Cors, allow_origins=[APP])).response

    assert cors_headers(answer) == {}
    assert answer.headers["vary"] == "Origin"


def test_an_answer_names_the_headers_that_may_be_read():
    step = build(Cors, allow_origins=[APP], expose_headers=["X-Total", "X-Page"], allow_credentials=True)

    assert cors_headers(through(step, headers={"origin": APP}).response) == {
        "access-control-allow-origin": APP,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Total, X-Page",
    }
    assert cors_headers(through(step, headers={"origin": "https://evil.example"}).response) == {}


def test_a_star_stands_for_every_origin_and_is_on_every_answer():
    step = build(Cors, allow_origins=["*"])

    for headers in ({}, {"origin": "https://any.example"}, {"origin": "null"}):
        answer = through(step, headers=headers).response
        assert answer.headers.getall("access-control-allow-origin") == ["*"]
        assert "vary" not in answer.headers
    assert preflight(step).response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["Origin"]),
        (["Accept-Encoding"], ["Accept-Encoding, Origin"]),
        (["Accept", "Accept-Language, Cookie"], ["Accept, Accept-Language, Cookie, Origin"]),
        (["accept, origin"], ["accept, origin"]),
        (["*"], ["*"]),
    ],
)
def test_vary_is_merged_with_what_the_backend_says(before, after):
    answer = Response(200, [("vary", value) for value in before])
    exchange = through(build(Cors, allow_origins=[APP]), headers={"origin": APP}, upstream=answer)

    assert exchange.response.headers.getall("vary") == after


@pytest.mark.parametrize("origin", [APP, "https://evil.example"])
def test_what_the_backend_says_about_cors_is_replaced(origin):
    said = {
        "access-control-allow-origin": "https://evil.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "TRACE",
        "access-control-allow-headers": "X-Evil",
        "access-control-expose-headers": "Set-Cookie",
        "access-control-max-age": "86400",
        "access-control-allow-private-network": "true",
    }
    exchange = through(build(Cors, allow_origins=[APP]), headers={"origin": origin}, upstream=Response(200, said))

    assert cors_headers(exchange.response) == ({"access-control-allow-origin": APP} if origin == APP else {})


def test_an_error_answer_may_be_read_by_a_listed_origin():
    exchange = through(build(Cors, allow_origins=[APP]), build(Refusing), headers={"origin": APP})

    assert exchange.response.status == 403
    assert exchange.response.headers["access-control-allow-origin"] == APP


def test_the_origin_that_counts_is_the_one_the_client_sent():
    step = build(Cors, allow_origins=[APP])
    hidden = through(step, build(Hiding), headers={"origin": APP})
    invented = through(step, build(Inventing))

    assert hidden.response.headers["access-control-allow-origin"] == APP
    assert cors_headers(invented.response) == {}


def test_of_two_steps_the_left_one_decides():
    left = build(Cors, allow_origins=[APP])
    right = build(Cors, allow_origins=["*"])

    assert through(left, right, headers={"origin": APP}).response.headers.getall("access-control-allow-origin") == [APP]
    assert cors_headers(through(left, right, headers={"origin": "https://evil.example"}).response) == {}
    assert (
        through(left, build(Hiding), right, headers={"origin": APP}).response.headers["access-control-allow-origin"]
        == APP
    )


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org/",
        "https://app.example.org/path",
        "HTTPS://app.example.org",
        "https://App.example.org",
        "https://bücher.example",
        "app.example.org",
        "//app.example.org",
        "null",
        "",
        "https://",
        "https://a*.example.org",
        "https://*",
        "https://*.*.example.org",
        "https://user@example.org",
        "https://a.example.org, https://b.example.org",
    ],
)
def test_what_no_browser_sends_as_origin_is_refused_at_load(origin):
    with pytest.raises(ConfigError, match=r"allow_origins\[1\]: .*not an origin"):
        build(Cors, allow_origins=[APP, origin])


@pytest.mark.parametrize(
    ("written", "right"),
    [("https://a.example:443", "https://a.example"), ("http://*.example.org:80", r"http://\*\.example\.org")],
)
def test_a_default_port_is_refused_at_load_with_the_fix(written, right):
    with pytest.raises(ConfigError, match=rf"(?m)write {right}$"):
        build(Cors, allow_origins=[written])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "allow_origins"),
        ({"allow_origins": []}, "allow_origins"),
        ({"allow_origins": ["*", APP]}, "leave out either it or the others"),
        ({"allow_origins": [APP], "allow_methods": ["get"]}, r"allow_methods\[0\]: .*write GET"),
        ({"allow_origins": [APP], "allow_headers": ["X A"]}, r"allow_headers\[0\]"),
        ({"allow_origins": [APP], "expose_headers": ["a,b"]}, r"expose_headers\[0\]"),
        ({"allow_origins": [APP], "max_age": -1}, "max_age"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Cors, **options)


@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
def test_a_star_does_not_go_together_with_credentials(field):
    options = {"allow_origins": [APP], field: ["*"]}

    build(Cors, **options)
    with pytest.raises(ConfigError, match=f"{field}: .*allow_credentials"):
        build(Cors, allow_credentials=True, **options)


@pytest.mark.row("KC-58")
def test_a_gateway_speaks_cors_in_place_of_its_backend():
    with upstream() as backend:
        backend.answer = lambda request: (500, {"access-control-allow-origin": "*", "vary": "Accept"}, "broken")
        document = {
            "routes": [
                {
                    "name": "orders",
                    "match": {"path": "/orders"},
                    "flow": [{"cors": {"allow_origins": [APP]}}],
                    "to": {"connection": "backend"},
                },
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        asking = {"access-control-request-method": "DELETE"}
        with running(document) as gate:
            listed = gate.request("OPTIONS", "/orders", headers={"origin": APP, **asking})
            unlisted = gate.request("OPTIONS", "/orders", headers={"origin": "https://evil.example", **asking})
            asked = list(backend.requests)
            actual = gate.request("GET", "/orders", headers={"origin": APP})
            foreign = gate.request("GET", "/orders", headers={"origin": "https://evil.example"})

    assert asked == []
    assert listed.status_code == 204
    assert listed.headers["access-control-allow-origin"] == APP
    assert "DELETE" in listed.headers["access-control-allow-methods"]
    assert listed.headers["access-control-allow-headers"] == HEADERS
    assert unlisted.status_code == 403
    assert not [name for name in unlisted.headers if name.startswith("access-control-")]
    assert (actual.status_code, actual.headers["access-control-allow-origin"]) == (500, APP)
    assert actual.headers["vary"] == "Accept, Origin"
    assert "access-control-allow-origin" not in foreign.headers


@BOTH
@pytest.mark.row("KC-58")
def test_cors_for_everybody_says_what_is_different_for_an_api(lane):
    apis = {
        "shop": {"allow_origins": f"{SHOP},{APP}", "allow_headers": "X-Shop", "allow_credentials": True},
        "closed": {"enabled": False},
    }
    everybody = {"allow_origins": f"{APP}, https://www.example.org", "apis": apis}
    asking = {"access-control-request-method": "PUT"}

    def described(options):
        names = ("orders", "shop", "closed")
        return {
            "gateway": {"lane": lane, "flow": [{"cors": options}]},
            "apis": [{"name": name, "base_path": f"/{name}", "to": {"connection": "crm"}} for name in names],
            "connections": {"crm": {"targets": backend.url}},
        }

    def asked(path, origin, **headers):
        answer = gate.request("OPTIONS", path, headers={"origin": origin, **headers})
        return answer.status_code, answer.headers.get("access-control-allow-origin"), answer

    with upstream() as backend, running(described(everybody)) as gate:
        preflights = {
            (path, origin): asked(path, origin, **asking) for path in ("/orders", "/shop") for origin in (APP, SHOP)
        }
        unheard = len(backend.requests)
        closed = asked("/closed", APP, **asking)
        actual = gate.request("GET", "/shop", headers={"origin": SHOP})
        gate.reload(described({**everybody, "enabled": False}))
        off = [asked(path, APP, **asking)[:2] for path in ("/orders", "/shop")]
        reached = len(backend.requests)

    assert {key: value[:2] for key, value in preflights.items()} == {
        ("/orders", APP): (204, APP),
        ("/orders", SHOP): (403, None),
        ("/shop", APP): (204, APP),
        ("/shop", SHOP): (204, SHOP),
    }
    everywhere, shop = (preflights[path, APP][2].headers for path in ("/orders", "/shop"))
    assert (everywhere["access-control-allow-headers"], shop["access-control-allow-headers"]) == (HEADERS, "X-Shop")
    assert "access-control-allow-credentials" not in everywhere
    assert shop["access-control-allow-credentials"] == "true"
    assert shop["access-control-allow-methods"] == everywhere["access-control-allow-methods"]
    assert (unheard, closed[:2], off, reached) == (0, (200, None), [(200, None), (200, None)], 4)
    assert actual.headers["access-control-allow-origin"] == SHOP


def test_an_api_that_is_not_there_and_a_star_with_credentials_are_refused_for_an_api_too():
    with pytest.raises(ConfigError, match=r"apis.shop: allow_headers: .*allow_credentials"):
        build(Cors, allow_origins=APP, allow_headers="*", apis={"shop": {"allow_credentials": True}})
    document = {
        "gateway": {"flow": [{"cors": {"allow_origins": APP, "apis": {"shp": {"enabled": False}}}}]},
        "apis": [{"name": "shop", "flow": ["request-id", {"respond": {"body": "ok"}}]}],
    }
    with pytest.raises(ConfigError, match="there is no API 'shp'; there is shop"), running(document):
        pass
