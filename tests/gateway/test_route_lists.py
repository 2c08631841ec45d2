"""A route with several hosts and paths is one route: one name, one set of steps, each path with its own variables."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(backend, match, lane=True, **route):
    one = {"name": "one", "match": match, "to": {"connection": "crm"}, **route}
    return {"gateway": {"lane": lane}, "routes": [one], "connections": {"crm": {"targets": backend}}}


def refused(match, **route):
    with pytest.raises(ConfigError) as caught, running(document("http://127.0.0.1:1", match, **route)):
        pass
    return [str(problem).removeprefix("document: ") for problem in caught.value.problems]


@BOTH
def test_each_host_and_each_path_is_taken(lane):
    match = {"host": ["a.test", "*.b.test"], "path": ["/x", "/y/*", "*.css"]}
    with upstream() as backend, running(document(backend.url, match, lane)) as gate:
        statuses = {
            (host, path): gate.request("GET", path, headers={"host": host}).status_code
            for host in ("a.test", "c.b.test", "d.test")
            for path in ("/x", "/y/1", "/z.css", "/z")
        }
        names = {exchange.route.name for exchange in gate.wait_for_exchanges(12) if exchange.route is not None}

    assert {key for key, status in statuses.items() if status == 200} == {
        (host, path) for host in ("a.test", "c.b.test") for path in ("/x", "/y/1", "/z.css")
    }
    assert names == {"one"}


@BOTH
def test_variables_are_those_of_the_path_that_was_taken(lane):
    match = {"path": ["/a/{id}", "/b/{x}/{id}"]}
    with upstream() as backend:
        by_name = {"connection": "crm", "path": "/items/{id}", "path_params": "by_name"}
        with running(document(backend.url, match, lane, to=by_name)) as gate:
            assert [gate.request("GET", path).status_code for path in ("/a/1", "/b/2/3")] == [200, 200]

    assert [request.path for request in backend.requests] == ["/items/1", "/items/3"]


def test_a_limit_counts_the_calls_of_all():
    limit = {"rate-limit": {"limit": 2, "window": 3600}}
    with upstream() as backend, running(document(backend.url, {"path": ["/a", "/b"]}, flow=[limit])) as gate:
        assert [gate.request("GET", path).status_code for path in ("/a", "/b", "/a", "/b")] == [200, 200, 429, 429]


def test_one_in_a_list_is_as_one():
    with upstream() as backend, running(document(backend.url, {"host": ["a.test"], "path": ["/x"]})) as gate:
        assert gate.request("GET", "/x", headers={"host": "a.test"}).status_code == 200


@pytest.mark.parametrize(
    ("match", "place", "said"),
    [
        ({"host": []}, "routes[0].match.host", "should have at least 1"),
        ({"path": []}, "routes[0].match.path", "should have at least 1"),
        ({"host": ["a.test", "a b"]}, "routes[0].match.host[1]", "'a b' is not a host"),
        ({"path": ["/a", "b"]}, "routes[0].match.path[1]", "a path begins with '/'"),
        ({"host": ["a.test", 5]}, "routes[0].match.host[1]", "should be a text"),
        ({"path": ["/a", "/a"]}, "routes[0].match", "takes the same calls as the route 'one'"),
        ({"host": ["a.test", "A.test"]}, "routes[0].match", "takes the same calls"),
    ],
)
def test_a_mistake_is_told_where_it_stands(match, place, said):
    assert any(problem.startswith(place + ": ") and said in problem for problem in refused(match)), refused(match)


def test_a_path_that_lacks_what_the_destination_wants_is_refused():
    to = {"connection": "crm", "path": "/x/{id}"}
    (problem,) = refused({"path": ["/a/{id}", "/b"]}, to=to)

    assert problem.startswith(
        "routes[0].to.path: the destination wants 1 path parameters (id) and the route has 0 (none)"
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("~^/a", "a path is no regular expression"),
        ("^/a$", "a path is no regular expression"),
        ("~* \\.php$", "a path is no regular expression"),
        ("/a/(.*)", "a path is no regular expression"),
        ("/a/.*", "a path is no regular expression"),
        ("/a/[0-9]+", "a path is no regular expression"),
        ("= /a", "write '/a'"),
        ("/a/:id", "write {id}"),
        ("/a/:id/b", "write {id}"),
        ("/a/<id>", "write {id}"),
        ("/a/<int:id>", "write {id}"),
        ("/a/{id:[0-9]+}", "write {id}"),
        ("/a/{id:int}", "write {id}"),
        ("/a/{*rest}", "{rest...}"),
        ("/a/**", "write '/a/*'"),
        ("/a/*/b", "'*' stands only for the end"),
        ("a", "write '/a'"),
        ("https://a.test/x", "match.host"),
    ],
)
def test_paths_as_others_write_them_are_refused_with_what_to_write(path, said):
    (problem,) = refused({"path": path})

    assert problem.startswith("routes[0].match.path: ")
    assert said in problem


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"requests": []}, "requests: there is no option 'requests'; did you mean 'request'?"),
        ({"path": "/a"}, "path: which calls a route takes stands in match: {host, path, methods}"),
        ({"timeout": 1}, "timeout: where calls go, and for how long, stands in to: {connection, timeout}"),
        (
            {"flow": [{"rate-limit": {"requests": 1, "limit": 1, "window": 1}}]},
            "how many calls may come is written limit",
        ),
        ({"flow": [{"spike-arrest": {"requests": 1, "limit": 1}}]}, "how many calls may come is written limit"),
    ],
)
def test_words_of_others_are_refused_with_ours(route, said):
    (problem,) = refused({"path": "/a"}, **route)

    assert said in problem


@pytest.mark.parametrize("word", ["url", "urls", "servers", "upstreams"])
def test_so_are_those_of_a_connection(word):
    with pytest.raises(ConfigError, match=r"where calls go is written targets: \[URL\]"):
        running({"connections": {"crm": {word: "http://127.0.0.1:9"}}}).__enter__()


def test_an_empty_list_says_what_is_missing_of_it():
    assert any("at least 1 of them" in problem for problem in refused({"host": []}))


@pytest.mark.parametrize("path", ["/v1/things:batch", "/a~b", "/a(b)", "/a$b", "/x+y", "/.well-known/x", "/a$"])
def test_what_only_looks_so_is_a_path(path):
    with upstream() as backend, running(document(backend.url, {"path": path})) as gate:
        assert gate.request("GET", path).status_code == 200
