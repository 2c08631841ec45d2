import pytest

from hookgate import ConfigError, Exchange, Interceptor, Options, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_rewrite import Rewrite


class Params(Interceptor[Options]):
    """Stands in for a route with path parameters."""

    def __init__(self, **params):
        super().__init__(Options())
        self.params = params

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.params.update(self.params)


def path_after(path, **options):
    exchange = through(build(Rewrite, **options), path=path)
    assert exchange.response.status == 200
    return exchange.request.path


def query_after(query, **changes):
    return through(build(Rewrite, query=changes), query=query).request.query


@pytest.mark.parametrize(
    ("template", "params", "path"),
    [
        ("/fixed", {}, "/fixed"),
        ("/v2/{id}/x-{id}", {"id": "1"}, "/v2/1/x-1"),
        ("/v2/{rest}", {"rest": "a%20b/c%2Fd"}, "/v2/a%20b/c%2Fd"),
        ("/v2/{rest}", {"rest": ""}, "/v2/"),
    ],
)
def test_a_template_takes_the_parameters_as_received(template, params, path):
    exchange = through(Params(**params), build(Rewrite, path=template), path="/old", query="a=1")

    assert (exchange.request.path, exchange.request.query) == (path, "a=1")


def test_a_parameter_that_the_route_does_not_have_is_an_error_of_the_gateway(caplog):
    exchange = through(Params(id="1"), build(Rewrite, path="/{idd}"))

    assert exchange.response.status == 500
    assert "path: the route has no path parameter {idd}; it has: id" in caplog.text


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("/api/a", "/a"),
        ("/api", "/"),
        ("/api/", "/"),
        ("/apis/a", "/apis/a"),
        ("/x/api", "/x/api"),
        ("/api/a%2F", "/a%2F"),
    ],
)
def test_a_prefix_is_stripped_by_whole_segments(path, after):
    assert path_after(path, strip_prefix="/api") == after


def test_a_prefix_is_added():
    assert path_after("/a%20b", add_prefix="/v2/x") == "/v2/x/a%20b"


@pytest.mark.parametrize(
    ("replace", "path", "after"),
    [
        ([{"pattern": "a", "with": "b"}], "/a/a%20", "/b/b%20"),
        ([{"pattern": "^/(\\w+)/(\\d+)$", "with": "/\\2/\\1"}], "/a/1", "/1/a"),
        ([{"pattern": "(?P<id>[0-9]+)$", "with": "id=\\g<id>"}], "/a/1", "/a/id=1"),
        ([{"pattern": "a", "with": "b"}, {"pattern": "b", "with": "c"}], "/a", "/c"),
        ([{"pattern": "x", "with": "b"}], "/a", "/a"),
    ],
)
def test_replacements_come_one_after_the_other(replace, path, after):
    assert path_after(path, replace=replace) == after


def test_strip_comes_first_then_replace_then_add():
    options = {"add_prefix": "/v2", "replace": [{"pattern": "^/a$", "with": "/b"}], "strip_prefix": "/api"}

    assert path_after("/api/a", **options) == "/v2/b"


@pytest.mark.parametrize(
    ("replacement", "path"),
    [
        ("", "/x"),
        ("x", "/x"),
        ("/../x", "/x"),
        ("/.%2e/x", "/x"),
        ("/%2E%2e", "/x"),
        ("/..;/x", "/x"),
        ("/a%3fb%", "/x"),
        ("/a%2", "/x"),
        ("/a%00", "/x"),
        ("/a b", "/x"),
        ("/a\r\nb", "/x"),
        ("/a?b", "/x"),
        ("/a#b", "/x"),
        ("/a\\\\b", "/x"),
        ("/café", "/x"),
    ],
)
def test_a_new_path_that_is_none_is_answered_400_and_not_forwarded(replacement, path):
    called = []
    exchange = through(
        build(Rewrite, replace=[{"pattern": "^/x$", "with": replacement}]), path=path, upstream=called.append
    )

    assert (exchange.response.status, exchange.fault.reason) == (400, "malformed-path")
    assert not called


@pytest.mark.parametrize("value", ["..", ".", "%2e%2e", "..;a", "a/../b"])
def test_a_parameter_makes_no_dot_segment(value):
    assert through(Params(a=value), build(Rewrite, path="/v2/{a}")).response.status == 400


@pytest.mark.parametrize("path", ["/.well-known/x", "/a..b", "/a./b.", "/...", "//a", "/a%2F..b", "/a;b=c/@:!$'()*,~"])
def test_paths_that_only_look_odd_are_forwarded(path):
    exchange = through(build(Rewrite, add_prefix="/v2"), path=path)

    assert (exchange.response.status, exchange.request.path) == (200, "/v2" + path)


@pytest.mark.parametrize(
    ("query", "changes", "after"),
    [
        ("a=1&b=%20+x&a=2", {"remove": ["a"]}, "b=%20+x"),
        ("%61=1&b", {"remove": ["a"]}, "b"),
        ("a=1&b=2&a=3&c", {"set": {"a": "x y&z"}}, "a=x+y%26z&b=2&c"),
        ("b=2", {"set": {"a": "1"}}, "b=2&a=1"),
        ("a=1", {"add": {"a": "é"}}, "a=1&a=%C3%A9"),
        ("", {"add": {"a b": ""}}, "a+b="),
        ("a=1&b=1", {"add": {"a": "3"}, "set": {"a": "2"}, "remove": ["a", "b"]}, "a=2&a=3"),
        ("a=1", {"remove": ["a"]}, ""),
        ("a=b=c&d", {"remove": ["x"]}, "a=b=c&d"),
    ],
)
def test_the_query_is_changed_and_the_rest_of_it_kept_to_the_byte(query, changes, after):
    assert query_after(query, **changes) == after


def test_a_query_that_is_not_spoken_of_stays_to_the_byte():
    exchange = through(build(Rewrite, add_prefix="/a"), query="&&a=%zz&")

    assert exchange.request.query == "&&a=%zz&"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to do"),
        ({"query": {}}, "nothing to do"),
        ({"path": "/a", "add_prefix": "/b"}, "path is the whole new path"),
        ({"path": "a"}, "path: .*write '/a'"),
        ({"path": "/{a"}, "path: .*a brace that belongs to none"),
        ({"path": "/{rest...}"}, "path: .*a brace that belongs to none"),
        ({"path": "/a?b=c"}, "path: .*is not a path as it travels"),
        ({"path": "/a/../b"}, "path: .*is not a path as it travels"),
        ({"strip_prefix": "/"}, "strip_prefix: .*no slash at its end"),
        ({"strip_prefix": "/a/"}, "strip_prefix: .*no slash at its end"),
        ({"add_prefix": "a"}, "add_prefix: .*is not a path as it travels"),
        ({"add_prefix": "/a b"}, "add_prefix: .*is not a path as it travels"),
        ({"replace": [{"pattern": "(", "with": ""}]}, r"replace\[0\]\.pattern: .*is not a regular expression"),
        ({"replace": [{"pattern": "a", "with": "\\1"}]}, r"replace\[0\]: .*with: invalid group reference 1"),
        ({"replace": [{"pattern": "a", "with": "\\g<b>"}]}, r"replace\[0\]: .*with: .*unknown group name 'b'"),
        ({"replace": [{"pattern": "a"}]}, r"replace\[0\]\.with: "),
        ({"replace": [{"pattern": "a", "replacement": "b"}]}, r"replace\[0\]\.replacement: "),
        ({"query": {"set": {"": "1"}}}, "query"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Rewrite, **options)


def test_the_backend_of_a_gateway_sees_the_new_path_and_query():
    changes = {"path": "/internal/{rest}", "query": {"set": {"tenant": "a b"}, "remove": ["debug"]}}
    with upstream() as backend:
        document = {
            "routes": [
                {
                    "name": "all",
                    "match": {"path": "/shop/{rest...}"},
                    "flow": [{"rewrite": changes}],
                    "to": {"connection": "backend"},
                }
            ],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            answer = gate.request("GET", f"{gate.url}/shop/a%20b/c%2Fd?debug=1&q=%7B")

    assert answer.status_code == 200
    assert [(request.path, request.query) for request in backend.requests] == [
        ("/internal/a%20b/c%2Fd", "q=%7B&tenant=a+b"),
    ]
