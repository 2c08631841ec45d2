"""Which route a call takes, through a running gateway; the tables of every case are beside the router."""

import socket

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream


def saying(name, path, **match):
    return {"name": name, "match": {"path": path, **match}, "flow": [{"respond": {"body": name}}]}


@pytest.mark.row("KC-50", "KC-52")
def test_exact_paths_come_before_prefixes_before_extensions_before_templates():
    document = {
        "routes": [
            saying("template", "/{one}/{two}"),
            saying("extension", "*.html"),
            saying("prefix", "/a/*"),
            saying("longer prefix", "/a/b/*"),
            saying("exact", "/a/b"),
            saying("rest", "/{rest...}"),
        ],
    }
    expected = {
        "/a/b": "exact",
        "/a/b/": "exact",
        "/a/b?x=1": "exact",
        "/a": "prefix",
        "/a/x": "prefix",
        "/a/x.html": "prefix",
        "/ab": "rest",
        "/a/b/c": "longer prefix",
        "/x/page.html": "extension",
        "/x/page.htm": "template",
        "/x/y": "template",
        "/x/y/z": "rest",
        "/": "rest",
    }
    with running(document) as gate:
        assert {path: gate.request("GET", path).text for path in expected} == expected


@pytest.mark.row("KC-51", "FL-18", "FL-19", "FL-20", "FL-21")
@pytest.mark.parametrize(
    ("path", "mode", "called"),
    [
        ("/{param1}/{param2}/{param3}", "positional", "/1/2/3"),
        ("/{param3}/{param2}/{param1}", "positional", "/1/2/3"),
        ("/{param1}/{param2}/{param1}", "positional", "/1/2/1"),
        ("/{param3}/{param2}/{param3}", "positional", "/1/2/1"),
        ("/{x}/{y}/{z}", "positional", "/1/2/3"),
        ("/{x}/{x}/{y}", "positional", "/1/1/2"),
        ("/{param3}/{param2}/{param1}", "by_name", "/3/2/1"),
    ],
)
def test_path_parameters_reach_the_backend(path, mode, called):
    route = {
        "name": "one",
        "match": {"path": "/in/{param1}/{param2}/{param3}"},
        "flow": [{"headers": {"request": {"set_from": {"X-Second": "request.params.param2"}}}}],
        "to": {"connection": "backend", "path": path, "path_params": mode},
    }
    with upstream() as backend:
        with running({"routes": [route], "connections": {"backend": {"targets": backend.url}}}) as gate:
            gate.request("GET", "/in/1/2/3")

    assert (backend.requests[0].path, backend.requests[0].header("x-second")) == (called, "2")


def test_conditions_hosts_and_methods_choose_between_routes_of_one_path():
    document = {
        "routes": [
            saying("test", "/x", when="request.headers['x-env'] == 'test'"),
            saying("host", "/x", host="api.example.org"),
            saying("any host below", "/x", host="*.example.org"),
            saying("post", "/x", methods=["POST"]),
            saying("get", "/x", methods=["GET"]),
        ],
    }
    with running(document) as gate:

        def said(method="GET", **headers):
            return gate.request(method, "/x", headers=headers).text

        assert said() == "get"
        assert said("POST") == "post"
        assert said(**{"x-env": "test"}) == "test"
        assert said(host="API.example.org:8080") == "host"
        assert said(host="deep.www.example.org") == "any host below"


@pytest.mark.row("FL-10")
def test_a_step_on_the_wrong_side_is_refused_with_the_sides_it_may_stand_on():
    with pytest.raises(ConfigError, match=r"routes\[0\].response\[0\]: ip-filter cannot stand in `response`.*`flow`"):
        with running({"routes": [{"name": "one", "response": [{"ip-filter": {"allow": ["10.0.0.0/8"]}}]}]}):
            pass


@pytest.mark.row("AC-33")
def test_a_host_that_does_not_answer_the_connection_is_given_up_in_time_and_counts_as_not_reached():
    with socket.socket() as full, upstream() as live:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        silent = f"http://127.0.0.1:{full.getsockname()[1]}"
        connection = {"targets": [silent, live.url], "max_tries": 2, "timeouts": {"connect": 5}}
        connection["balancer"] = "weighted-round-robin"
        document = {"routes": [{"name": "one", "to": {"connection": "c"}}], "connections": {"c": connection}}
        with running(document) as gate:
            assert gate.request("GET", "/").status_code == 200
            (exchange,) = gate.wait_for_exchanges(1)
        for filler in fillers:
            filler.close()

    first, second = [attempt.outcome for attempt in exchange.attempts]
    assert (first.kind, second.kind) == ("connect-failed", "ok")
    assert 4.9 < first.seconds < 50
