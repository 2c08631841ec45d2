import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate.exchange.errors import BadRequest, MethodNotAllowed, NotFound
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Request
from hookgate.flow.router import Route, Router, conflicts


def call(path="/", method="GET", host="api.example.org", scheme="http"):
    return Exchange(Request(method, path, host=host, scheme=scheme))


def found(router, *args, **kwargs):
    """The name of the route a call finds, or the status of the fault."""
    exchange = call(*args, **kwargs)
    try:
        route = router.find(exchange)
    except (NotFound, MethodNotAllowed) as fault:
        assert exchange.route is None
        assert exchange.params == {}
        return fault.status
    assert exchange.route is route
    return route.name


def by_path(*paths):
    return Router([Route(path, path) for path in paths])


def yes(_):
    return True


def no(_):
    return False


MAPPINGS = by_path("/*", "/a/b", "/a/*", "/a/b/c/*", "*.html", "/pages/index.html", "/")


@pytest.mark.parametrize(
    ("path", "route"),
    [  # KC-50, with `/*` as the prefix of length 0
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("/a/b///", "/a/b"),
        ("/", "/"),
        ("//", "/"),
        ("/a", "/a/*"),
        ("/a/", "/a/*"),
        ("/a/x", "/a/*"),
        ("/a/b/c", "/a/b/c/*"),
        ("/a/b/c/d/e", "/a/b/c/*"),
        ("/a/b/cd", "/a/*"),
        ("/ab", "/*"),
        ("/A/b", "/*"),
        ("/pages/index.html", "/pages/index.html"),
        ("/a/index.html", "/a/*"),
        ("/other.html", "/*"),
        ("/b", "/*"),
        ("/x/../a/b", "/a/b"),
    ],
)
def test_a_url_mapping_is_chosen_exact_first_then_the_longest_prefix(path, route):
    assert found(MAPPINGS, path) == route


EXTENSIONS = by_path("*.html", "*.min.html", "*.gz", "/a/*", "/{page}.html", "/{page}")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/index.html", "*.html"),
        ("/deep/down/index.html", "*.html"),
        ("/index.min.html", "*.min.html"),
        ("/a.tar.gz", "*.gz"),
        ("/.html", "*.html"),
        ("/a/index.html", "/a/*"),
        ("/index.htm", "/{page}"),
        ("/indexhtml", "/{page}"),
        ("/index.html/x", 404),
        ("/index.html/", 404),
    ],
)
def test_extensions_come_after_prefixes_and_before_templates_the_longest_first(path, route):
    assert found(EXTENSIONS, path) == route


TEMPLATES = by_path(
    "/{rest...}",
    "/orders/{rest...}",
    "/orders/{id}/lines/{rest...}",
    "/{a}/{b}/{c}",
    "/orders/{id}/{c}",
    "/{a}/7/lines",
    "/orders/{id}",
    "/orders/{id}.json",
    "/orders/v{version}",
    "/orders/open",
    "/orders/{id}/",
)


@pytest.mark.parametrize(
    ("path", "route", "params"),
    [
        ("/orders/open", "/orders/open", {}),
        ("/orders/7", "/orders/{id}", {"id": "7"}),
        ("/orders/7.json", "/orders/{id}.json", {"id": "7"}),
        ("/orders/v2", "/orders/v{version}", {"version": "2"}),
        ("/orders/v2.json", "/orders/{id}.json", {"id": "v2"}),
        ("/orders/v", "/orders/{id}", {"id": "v"}),
        ("/orders/7/", "/orders/{id}/", {"id": "7"}),
        ("/orders/7/lines", "/{a}/7/lines", {"a": "orders"}),
        ("/orders/8/lines", "/orders/{id}/{c}", {"id": "8", "c": "lines"}),
        ("/x/y/z", "/{a}/{b}/{c}", {"a": "x", "b": "y", "c": "z"}),
        ("/orders/8/lines/1/2", "/orders/{id}/lines/{rest...}", {"id": "8", "rest": "1/2"}),
        ("/orders", "/orders/{rest...}", {"rest": ""}),
        ("/orders/", "/orders/{rest...}", {"rest": ""}),
        ("/orders//", "/orders/{rest...}", {"rest": "/"}),
        ("/orders/a/b/c/d", "/orders/{rest...}", {"rest": "a/b/c/d"}),
        ("/ordersx", "/{rest...}", {"rest": "ordersx"}),
        ("/", "/{rest...}", {"rest": ""}),
        ("//x", "/{rest...}", {"rest": "/x"}),
        ("/orders/a%2Fb", "/orders/{id}", {"id": "a%2Fb"}),
        ("/orders/caf%c3%a9%7E", "/orders/{id}", {"id": "caf%C3%A9~"}),
    ],
)
def test_a_template_with_more_literals_wins_and_catch_alls_come_last(path, route, params):
    exchange = call(path)

    assert TEMPLATES.find(exchange).name == route
    assert exchange.params == params
    assert list(exchange.params) == list(params)


def test_parameters_stand_in_the_order_of_the_template():
    exchange = call("/x/v2/a-b/r/s")

    Router([Route("r", "/{z}/v{y}/{b}-{a}/{rest...}")]).find(exchange)

    assert list(exchange.params.items()) == [("z", "x"), ("y", "2"), ("b", "a"), ("a", "b"), ("rest", "r/s")]


def test_url_mappings_come_before_templates_even_the_shortest_prefix():
    router = by_path("/a/{b}", "/*")

    assert found(router, "/a/b") == "/*"


def test_a_literal_segment_counts_more_than_any_number_of_literal_characters():
    assert found(by_path("/quarterly-{x}.json/{y}", "/{x}/b"), "/quarterly-1.json/b") == "/{x}/b"


def test_paths_that_tie_are_tried_as_they_were_declared():
    assert found(by_path("/{x}/ab", "/cd/{x}"), "/cd/ab") == "/{x}/ab"
    assert found(by_path("/cd/{x}", "/{x}/ab"), "/cd/ab") == "/cd/{x}"


def test_routes_of_one_path_are_tried_as_they_were_declared_whatever_their_variables_are_called():
    exchange = call("/7")

    assert Router([Route("first", "/{x}"), Route("second", "/{y}")]).find(exchange).name == "first"
    assert exchange.params == {"x": "7"}


HOSTS = Router(
    [
        Route("any", "/{rest...}"),
        Route("any-health", "/health"),
        Route("wild", "/x", host="*.example.org"),
        Route("wild-8443", "/x", host="*.example.org:8443"),
        Route("longer-wild", "/x", host="*.eu.example.org"),
        Route("exact", "/x", host="API.example.org"),
        Route("exact-8443", "/x", host="api.example.org:8443"),
        Route("exact-443", "/tls", host="api.example.org:443"),
        Route("six", "/x", host="[2001:DB8::1]"),
        Route("six-8443", "/x", host="[2001:db8::1]:8443"),
    ]
)


@pytest.mark.parametrize(
    ("host", "route"),
    [
        ("api.example.org", "exact"),
        ("Api.Example.ORG", "exact"),
        ("api.example.org.", "exact"),
        ("api.example.org:8080", "exact"),
        ("api.example.org.:8443", "exact-8443"),
        ("api.example.org:8443", "exact-8443"),
        ("www.example.org", "wild"),
        ("www.example.org:8443", "wild-8443"),
        ("a.b.example.org", "wild"),
        ("a.eu.example.org", "longer-wild"),
        ("a.b.eu.example.org:8443", "longer-wild"),
        ("eu.example.org", "wild"),
        ("example.org", "any"),
        (".example.org", "any"),
        ("wwwexample.org", "any"),
        ("api.example.com", "any"),
        ("", "any"),
        ("[2001:db8::1]", "six"),
        ("[2001:db8::1]:80", "six"),
        ("[2001:db8::1]:8443", "six-8443"),
        ("[2001:db8::2]", "any"),
        ("a." * 4000 + "example.org", "any"),
    ],
)
def test_the_most_specific_host_wins(host, route):
    assert found(HOSTS, "/x", host=host) == route


def test_a_host_without_the_path_falls_through_to_the_less_specific_one():
    assert found(HOSTS, "/health", host="api.example.org") == "any-health"
    assert found(Router([Route("r", "/x", host="a.b.c"), Route("w", "/y", host="*.c")]), "/y", host="a.b.c") == "w"


def test_a_host_comes_before_the_path():
    router = Router([Route("exact", "/x"), Route("catch-all", "/{rest...}", host="*.example.org")])

    assert found(router, "/x") == "catch-all"


def test_a_pattern_with_a_port_takes_a_request_that_leaves_out_the_port_of_its_scheme():
    assert found(HOSTS, "/tls", scheme="https") == "exact-443"
    assert found(HOSTS, "/tls", scheme="http") == "any"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "*.",
        "a.*.org",
        "*example.org",
        "**.org",
        "http://a.org",
        "a.org/x",
        "a.org:",
        "a.org:x",
        "a..org",
        "a.org.",
        "*.[::1]",
        "é.org",
        "a b",
    ],
)
def test_what_is_not_a_host_is_refused_with_what_would_be(host):
    with pytest.raises(ValueError, match=r"is not a host: write 'api\.example\.org' or '\*\.example\.org'"):
        Route("r", "/", host=host)


def test_a_method_that_a_path_does_not_take_falls_through():
    router = Router([Route("get", "/a", methods={"GET"}), Route("rest", "/{rest...}", methods={"POST"})])

    assert found(router, "/a") == "get"
    assert found(router, "/a", "POST") == "rest"


def test_when_no_method_is_left_the_answer_is_405_with_what_all_matching_routes_take():
    router = Router(
        [
            Route("a", "/a", methods={"POST", "GET"}),
            Route("b", "/{x}", methods={"PATCH"}),
            Route("c", "/a", methods={"DELETE"}, when=no),
            Route("d", "/{rest...}", methods={"PUT"}, host="*.example.org"),
            Route("e", "/b", methods={"TRACE"}),
        ]
    )

    with pytest.raises(MethodNotAllowed) as caught:
        router.find(call("/a", "OPTIONS"))

    assert caught.value.headers == (("Allow", "GET, HEAD, PATCH, POST, PUT"),)
    assert caught.value.reason == "method-not-allowed"


def test_a_path_that_no_route_has_is_404_for_every_method():
    with pytest.raises(NotFound) as caught:
        by_path("/a").find(call("/b"))

    assert caught.value.reason == "no-route"
    assert found(Router([]), "/", "POST") == 404


def test_a_route_whose_condition_fails_is_404_and_not_405():
    router = Router([Route("a", "/a", methods={"POST"}, when=no), Route("b", "/a", when=no)])

    assert found(router, "/a", "GET") == 404


def test_methods_are_case_sensitive():
    assert found(Router([Route("a", "/a", methods={"GET"})]), "/a", "get") == 405


def test_a_route_without_methods_takes_any():
    assert found(by_path("/a"), "/a", "BREW") == "/a"


def test_an_empty_list_of_methods_is_refused():
    with pytest.raises(ValueError, match="leave it out for any method"):
        Route("a", "/a", methods=[])


def test_head_takes_a_route_that_lists_get():
    assert found(Router([Route("get", "/a", methods={"GET"}), Route("any", "/{x}")]), "/a", "HEAD") == "get"


def test_head_takes_a_route_of_the_same_path_that_lists_it_first():
    router = Router([Route("get", "/a", methods={"GET"}), Route("any", "/a"), Route("head", "/a", methods={"HEAD"})])

    assert found(router, "/a", "HEAD") == "head"
    assert found(router, "/a", "GET") == "get"


def test_head_falls_back_to_get_when_the_condition_of_the_route_that_lists_it_fails():
    router = Router([Route("head", "/a", methods={"HEAD"}, when=no), Route("get", "/a", methods={"GET"})])

    assert found(router, "/a", "HEAD") == "get"


def test_head_is_not_taken_to_a_less_specific_path_because_that_lists_it():
    router = Router([Route("get", "/a", methods={"GET"}), Route("head", "/{x}", methods={"HEAD"})])

    assert found(router, "/a", "HEAD") == "get"


def test_a_route_with_a_condition_comes_before_the_same_path_without():
    routes = [Route("plain", "/a/{x}"), Route("qly", "/a/{y}", when=lambda e: e.request.headers.get("x-env") == "qly")]
    exchange = call("/a/1")
    exchange.request.headers.add("x-env", "qly")

    assert Router(routes).find(exchange).name == "qly"
    assert exchange.params == {"y": "1"}
    assert found(Router(routes), "/a/1") == "plain"


def test_a_condition_does_not_lift_a_route_over_a_more_specific_path():
    router = Router([Route("template", "/a/{x}", when=yes), Route("exact", "/a/b")])

    assert found(router, "/a/b") == "exact"


def test_a_condition_that_raises_counts_as_not_fulfilled_and_is_logged(caplog):
    def broken(_):
        raise ZeroDivisionError("1/0")

    caplog.set_level(logging.DEBUG, "hookgate.router")

    assert found(Router([Route("broken", "/a", when=broken), Route("plain", "/a")]), "/a") == "plain"
    assert "1/0" in caplog.text


def test_a_condition_sees_an_exchange_without_route_and_params():
    seen = []
    Router([Route("a", "/{x}", when=lambda e: seen.append((e.route, e.params)) or True)]).find(call("/1"))

    assert seen == [(None, {})]


@pytest.mark.parametrize("path", ["/public/../admin", "/public/%2e%2e/admin", "/public/%2E%2E/%61dmin", "/./admin/"])
def test_no_spelling_of_a_path_walks_around_its_route(path):
    assert found(by_path("/admin", "/public/{rest...}", "/{rest...}"), path) == "/admin"


@pytest.mark.parametrize("path", ["/public/..;/admin", "/admin\\", "/admin%00", "/a%", "*", "/admin#x"])
def test_a_path_that_cannot_be_read_one_way_is_refused(path):
    with pytest.raises(BadRequest):
        by_path("/*").find(call(path))


def test_the_request_stays_as_it_is():
    exchange = call("/x/../%61")

    by_path("/a").find(exchange)

    assert exchange.request.path == "/x/../%61"


def test_a_template_is_matched_whatever_the_spelling_of_its_escapes():
    assert found(by_path("/%7euser/caf%c3%a9/{x}"), "/~user/caf%C3%A9/1") == "/%7euser/caf%c3%a9/{x}"


def test_a_route_carries_what_the_gateway_gives_it_and_equals_only_itself():
    route = Route("orders", "/orders/{id}/{rest...}", methods=["GET"], settings="s")

    assert route.parameters == ("id", "rest")
    assert route.methods == frozenset({"GET"})
    assert route != Route("orders", "/orders/{id}/{rest...}", methods=["GET"])
    assert repr(route) == "<Route orders: GET /orders/{id}/{rest...}>"
    assert not hasattr(route, "__dict__")


def pairs(*routes):
    return [(one.name, other.name) for one, other in conflicts(routes)]


def test_routes_that_only_their_order_tells_apart_are_conflicts():
    assert pairs(Route("a", "/x"), Route("b", "/x/")) == [("a", "b")]
    assert pairs(Route("a", "/{x}"), Route("b", "/{y}")) == [("a", "b")]
    assert pairs(Route("a", "/x", methods={"GET"}), Route("b", "/x", methods={"POST", "GET"})) == [("a", "b")]
    assert pairs(Route("a", "/x", methods={"GET"}), Route("b", "/x")) == [("a", "b")]
    assert pairs(Route("a", "/x"), Route("b", "/x", methods={"GET"})) == [("a", "b")]
    assert pairs(Route("a", "/x", host="A.org"), Route("b", "/x", host="a.org")) == [("a", "b")]


def test_routes_that_differ_in_host_path_method_or_have_a_condition_are_no_conflicts():
    assert pairs(Route("a", "/x", host="a.org"), Route("b", "/x"), Route("c", "/x", host="*.org")) == []
    assert pairs(Route("a", "/x", host="a.org"), Route("b", "/x", host="a.org:80")) == []
    assert pairs(Route("a", "/x"), Route("b", "/{x}"), Route("c", "/x/*"), Route("d", "/{x}/"), Route("e", "/X")) == []
    assert pairs(Route("a", "/x", methods={"GET"}), Route("b", "/x", methods={"HEAD"})) == []
    assert pairs(Route("a", "/x", when=yes), Route("b", "/x"), Route("c", "/x", when=yes)) == []


def test_every_route_that_a_later_one_runs_into_is_named_once():
    get = Route("get", "/x", methods={"GET"})
    post = Route("post", "/x", methods={"POST"})

    assert pairs(get, post, Route("both", "/x", methods={"GET", "POST"})) == [("get", "both"), ("post", "both")]
    assert pairs(get, post, Route("any", "/x"), Route("again", "/x", methods={"GET"})) == [
        ("get", "any"),
        ("post", "any"),
        ("get", "again"),
        ("any", "again"),
    ]
    assert pairs(*(Route(name, "/x") for name in "abc")) == [("a", "b"), ("a", "c")]
    both = {"GET", "POST"}
    assert pairs(Route("a", "/x", methods=both), Route("b", "/x", methods=both)) == [("a", "b")]


# The reference: all routes in the documented order, scanned with regular expressions.

SEGMENTS = st.sampled_from(["a", "b", "a.b", "", "{}", "{}", "{}", "a{}", "{}.b", "{}a{}", "a{}.b"])
VALUES = st.sampled_from(["a", "b", "a.b", "ab", "a.a.b", "bab", ""])
FORMS = st.sampled_from(["exact", "prefix", "extension", "template", "template", "template", "catch-all"])


@st.composite
def templates(draw):
    form = draw(FORMS)
    if form == "extension":
        return draw(st.sampled_from(["*.b", "*.a.b"]))
    segments = draw(st.lists(SEGMENTS, min_size=form not in {"prefix", "catch-all"}, max_size=3))
    if form in {"exact", "prefix"}:
        segments = [segment.replace("{}", "b") for segment in segments]
    segments += {"prefix": ["*"], "catch-all": ["{...}"]}.get(form, [])
    names = iter("klmnopqrstuvwxyz")
    return re.sub(r"\{", lambda _: "{" + next(names), "/" + "/".join(segments))


@st.composite
def routes(draw):
    return Route(
        "r",
        draw(templates()),
        host=draw(st.sampled_from([None, None, None, None, "h.x.org", "*.x.org", "*.org", "h.x.org:81", "*.x.org:81"])),
        methods=draw(st.none() | st.sets(st.sampled_from(["GET", "HEAD", "POST"]), min_size=1)),
        when=draw(st.sampled_from([None, None, None, yes, no])),
    )


@st.composite
def calls(draw, table):
    """A method, a host, and a path that is often one of a route in the table."""
    path = (
        draw(st.sampled_from(table)).path if draw(st.booleans()) else "/" + "/".join(draw(st.lists(VALUES, max_size=3)))
    )
    path = re.sub(r"/?\*|/\{\w+\.\.\.\}", lambda _: draw(st.sampled_from(["", "/", "/a", "/a/b", "/a.b"])), path)
    path = re.sub(r"\{\w+\}", lambda _: draw(VALUES), path)
    host = draw(st.sampled_from(["h.x.org", "h.x.org:81", "i.x.org", "i.x.org:81", "h.org", "org", ""]))
    return draw(st.sampled_from(["GET", "HEAD", "POST", "PUT"])), host, path if path.startswith("/") else "/" + path


def as_regex(path):
    if path.startswith("*"):
        return ".*" + re.escape(path[1:])
    if path.endswith("/*"):
        return re.escape(path[:-2]) + "(?:/.*)?"
    if "{" not in path:
        return re.escape(path.rstrip("/")) + "/*"
    path, rest = re.subn(r"/\{\w+\.\.\.\}$", "", path)
    pieces = re.split(r"(?<=\})|(?=\{)", path)
    return "".join("([^/]+?)" if piece[:1] == "{" else re.escape(piece) for piece in pieces) + "(?:/(.*))?" * rest


def host_matches(pattern, host):
    name, _, port = pattern.partition(":")
    asked, _, asked_port = host.partition(":")
    return (not port or port == (asked_port or "80")) and (
        asked.endswith(name[1:]) if name.startswith("*") else asked == name
    )


def host_rank(pattern):
    if pattern is None:
        return (2,)
    name, _, port = pattern.partition(":")
    return (1, -len(name), not port) if name.startswith("*") else (0, not port)


def same_path(path):
    blank = re.sub(r"\{\w+", "{", path)
    return blank if "{" in blank or "*" in blank else blank.rstrip("/")


def path_rank(path):
    if path.startswith("*"):
        return 2, -len(path)
    if path.endswith("*"):
        return 1, -len(path)
    if "{" not in path:
        return (0,)
    path, rest = re.subn(r"/\{\w+\.\.\.\}$", "", path)
    segments = path.split("/")[1:]
    return 3 + rest, -sum("{" not in segment for segment in segments), -len(re.sub(r"\{\w+\}|/", "", path))


def expected(routes, method, host, path):
    first = {}
    for index, route in enumerate(routes):
        first.setdefault((route.host, same_path(route.path)), index)

    def order(route):
        lists_head = method == "HEAD" and route.methods is not None and "HEAD" in route.methods
        declared = first[route.host, same_path(route.path)]
        return host_rank(route.host), path_rank(route.path), declared, not lists_head, route.when is None

    allowed = set()
    for route in sorted(routes, key=order):
        match = re.fullmatch(as_regex(route.path), path)
        if match is None or not (route.host is None or host_matches(route.host, host)) or route.when is no:
            continue
        methods = None if route.methods is None else route.methods | ({"HEAD"} if "GET" in route.methods else set())
        if methods is None or method in methods:
            return route, [value or "" for value in match.groups()]
        allowed |= methods
    return ", ".join(sorted(allowed)), None


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_lookup_finds_what_scanning_all_routes_in_the_documented_order_finds(data):
    table = data.draw(st.lists(routes(), min_size=1, max_size=12))
    router = Router(table)
    for method, host, path in data.draw(st.lists(calls(table), min_size=1, max_size=8)):
        exchange = call(path, method, host)
        route, values = expected(table, method, host, path)
        if values is not None:
            assert router.find(exchange) is route
            assert list(exchange.params.values()) == values
        else:
            with pytest.raises(MethodNotAllowed if route else NotFound) as caught:
                router.find(exchange)
            assert dict(caught.value.headers).get("Allow", "") == route
