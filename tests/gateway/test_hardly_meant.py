"""What `hookgate check` refuses and warns of beyond the record: numbers, names of parameters, routes nobody gets to."""

import os
import subprocess
import sys

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

CRM = {"crm": {"targets": "http://127.0.0.1:1"}}


def check(folder, text, *options, **environment):
    (folder / "gateway.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "hookgate", "check", "gateway.yaml", *options],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )
    return done.returncode, done.stdout + done.stderr


def problems(document):
    with pytest.raises(ConfigError) as refused, running(document):
        pass
    return [str(problem).removeprefix("document: ") for problem in refused.value.problems]


def warnings(document):
    with running(document) as gate:
        return [str(warning).removeprefix("document: ") for warning in gate.gateway.live.config.warnings]


def limited(**options):
    return {"flow": [{"rate-limit": {"limit": 1, "window": 1, **options}}, {"respond": {}}]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"routes": [{"name": "a", **limited(limit=True)}]}, "limit: should be a whole number"),
        ({"routes": [{"name": "a", **limited(limit=False)}]}, "limit: should be a whole number"),
        ({"gateway": {"limits": {"connections": True}}}, "gateway.limits.connections: should be a whole number"),
        ({"gateway": {"limits": {"in_flight": True}}}, "gateway.limits.in_flight: should be a whole number"),
        ({"gateway": {"lane": 1}}, "gateway.lane: should be true or false"),
        ({"gateway": {"lane": 0.0}}, "gateway.lane: should be true or false"),
        ({"gateway": {"proxy_protocol": 1}}, "gateway.proxy_protocol: should be true or false"),
        ({"management": {"enabled": 1}}, "management.enabled: should be true or false"),
        (
            {"gateway": {"expose": {"/a": {"app": "health", "limits": {"request_body": True}}}}},
            "request_body: should be",
        ),
        ({"connections": {"crm": {"targets": [{"url": "http://a", "weight": True}]}}}, "weight: should be"),
        ({"connections": {"crm": {"targets": "http://a", "pool": {"size": True}}}}, "connections.crm.pool"),
        ({"routes": [{"name": "a", "flow": [{"respond": {"status": True}}]}]}, "status: should be a whole number"),
        ({"routes": [{"name": "a", "flow": [{"respond": {"_": {"disabled": 1}}}]}]}, "disabled: should be true or"),
        ({"apis": [{"name": "a", "default_version": 1, "version": "1"}]}, "default_version: should be true or false"),
    ],
)
def test_a_truth_value_is_no_number_and_a_number_no_truth_value(document, said):
    found = problems(document)

    assert any(said in problem for problem in found), found


def test_what_comes_out_of_the_environment_is_text_and_may_be_either(monkeypatch):
    monkeypatch.setenv("LIMIT", "1")
    monkeypatch.setenv("LANE", "false")
    document = {"gateway": {"lane": "${env:LANE}"}, "routes": [{"name": "a", **limited(limit="${env:LIMIT}")}]}
    with running(document) as gate:
        assert [gate.request("GET", "/").status_code for _ in range(2)] == [200, 429]


def routed(path, *flow, **more):
    return {"routes": [{"name": "one", "match": {"path": path}, "flow": list(flow), **more}], "connections": CRM}


TO = {"to": {"connection": "crm"}}
GONE = {"rewrite": {"path": "/x/{nope}"}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (routed("/a/{id}", GONE, **TO), "needs the path parameter {nope}, and the route 'one' has: id"),
        (routed("/a", GONE, **TO), "the route 'one' has: none"),
        (routed(["/a/{nope}", "/b/{id}"], GONE, **TO), "needs the path parameter {nope}, and the route 'one' has: id"),
        (routed("/a/{id}", {"when": {"if": "true", "flow": [GONE]}}, **TO), "needs the path parameter {nope}"),
        (routed("/a/{id}", {"redirect": {"to": "/x/{nope}"}}), "redirect needs the path parameter {nope}"),
        (routed("/a/{id}", {"redirect": {"to": "/x?q={nope}"}}), "redirect needs the path parameter {nope}"),
        ({"gateway": {"request": [GONE]}, **routed("/a", **TO)}, "needs the path parameter {nope}"),
        (
            {"apis": [{"name": "o", "flow": [GONE], "resources": [{"path": "/{nope}"}, {"path": "/a"}], **TO}]}
            | {"connections": CRM},
            "needs the path parameter {nope}",
        ),
    ],
)
def test_a_path_parameter_that_the_route_does_not_have_is_refused_at_load(document, said):
    (problem,) = problems(document)

    assert said in problem


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_path_parameter_that_only_some_routes_have_may_stand_behind_a_condition(lane):
    step = {"when": {"if": "request.params.id != null", "flow": [{"rewrite": {"path": "/x/{id}"}}]}}
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane, "flow": [step]},
            "routes": [
                {"name": "one", "match": {"path": "/a/{id}"}, **TO},
                {"name": "two", "match": {"path": "/b"}, **TO},
            ],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document) as gate:
            statuses = [gate.request("GET", path).status_code for path in ("/a/7", "/b")]

    assert statuses == [200, 200]
    assert [request.path for request in backend.requests] == ["/x/7", "/b"]


@pytest.mark.parametrize("flow", [[], [{"security-headers": {}}], [{"when": {"if": "true", "flow": ["request-id"]}}]])
def test_a_route_that_goes_nowhere_is_a_warning(flow):
    (warning,) = warnings({"routes": [{"name": "one", "flow": flow}]})

    assert "calls of the route 'one' go nowhere: write `to`" in warning
    assert "[goes-nowhere]" in warning


@pytest.mark.parametrize(
    "flow",
    [
        [{"respond": {}}],
        [{"redirect": {"to": "/x"}}],
        [{"redirect": {"https": True}}],
        [{"destination": {"connection": "crm"}}],
        [{"when": {"if": "true", "flow": [{"respond": {}}]}}],
        [{"switch": {"cases": [{"when": "true", "flow": [{"respond": {}}]}]}}],
    ],
)
def test_a_route_that_may_answer_is_none(flow):
    used = [{"name": "other", "match": {"path": "/other"}, **TO}]
    assert warnings({"routes": [{"name": "one", "flow": flow}, *used], "connections": CRM}) == []


def test_steps_of_the_whole_gateway_may_answer():
    assert warnings({"gateway": {"flow": [{"respond": {}}]}, "routes": [{"name": "one"}]}) == []


def test_a_connection_that_nothing_refers_to_is_a_warning(tmp_path):
    text = """\
connections:
  crm: {targets: "http://a"}
  erp: {targets: "http://b"}
  spare: {targets: "http://c"}
routes:
  - {name: one, to: {connection: crm}, flow: [{destination: {to: "null", among: [erp]}}]}
"""
    code, said = check(tmp_path, text)

    assert (code, "gateway.yaml:4:3: connections.spare: nothing calls by the connection spare" in said) == (0, True)
    assert ("connection crm" in said, "connection erp" in said) == (False, False)
    assert check(tmp_path, text, "--strict")[0] == 2


@pytest.mark.parametrize(
    ("match", "to", "more", "warned"),
    [
        ("/a/{id}", "/x/{nope}", {}, "{nope} is filled with the value of {id}"),
        ("/{a}/{b}", "/x/{b}/{a}", {}, "{b} is filled with the value of {a}"),
        ("/{a}/{b}", "/x/{a}", {}, ""),
        ("/{a}/{b}", "/x/{b}/{a}", {"path_params": "by_name"}, ""),
        ("/a/{id}", "/x/{id}/{id}", {}, ""),
    ],
)
def test_names_of_a_destination_that_are_not_those_of_the_route_are_a_warning(match, to, more, warned):
    found = warnings(routed(match, to={"connection": "crm", "path": to, **more}))

    assert len(found) == bool(warned)
    assert not warned or (warned in found[0] and found[0].startswith("routes[0].to.path: "))


@pytest.mark.parametrize(
    ("match", "to", "warned"),
    [
        ("/a/{id}", "/x/:id", "':id' is no variable and is sent as it stands: write {id}"),
        ("/a/{id}", "GET /x/:id/y", "':id' is no variable"),
        ("/a/{id}", "/x/<int:id>", "'<int:id>' is no variable"),
        ("/{a}/{b}", "/x/$2", "'$2' is no variable and is sent as it stands: write {b}"),
        ("/a/{id}", "/x/$id", "'$id' is no variable"),
        ("/a/{id}", "/x/{id}:id", ""),
        ("/a/{id}", "/x/:other/$7/$filter/<b>", ""),
        ("/a", "/x/:id/$1", ""),
    ],
)
def test_a_variable_that_is_written_as_others_do_is_a_warning(match, to, warned):
    found = warnings(routed(match, to={"connection": "crm", "path": to}))
    if to.startswith("GET"):
        found = [each for each in found if "body-dropped" not in each]

    assert len(found) == bool(warned)
    assert not warned or (warned in found[0] and found[0].startswith("routes[0].to.path: "))


def hosted(*pairs):
    routes = [
        {"name": f"r{n}", "match": {**({"host": host} if host else {}), "path": path}, **TO}
        for n, (host, path) in enumerate(pairs)
    ]
    return {"routes": routes, "connections": CRM}


@pytest.mark.parametrize(
    ("pairs", "hidden"),
    [
        ([("a.test", "/*"), (None, "/health")], ["r1"]),
        ([("a.test", "/{rest...}"), (None, "/items/{id}")], ["r1"]),
        ([("a.test", "/*"), (None, "/")], ["r1"]),
        ([("a.test", "/*"), (None, "*.html")], ["r1"]),
        ([("a.test", "/api/*"), (None, "/api/health"), (None, "/other")], ["r1"]),
        ([("a.test", "/*"), ("*.test", "/health"), ("*.other", "/health")], ["r1"]),
        ([("*.test", "/*"), (None, "/health")], ["r1"]),
        ([("a.test", "/*"), (None, "/*"), (None, "/{rest...}")], []),
        ([("a.test", "/health"), (None, "/health")], []),
        ([("a.test", "/*"), ("a.test", "/health")], []),
    ],
)
def test_a_route_that_a_host_hides_is_a_warning(pairs, hidden):
    found = warnings(hosted(*pairs))

    assert [
        f"r{n}" for n in range(len(pairs)) if any(f"never get to the route 'r{n}'" in each for each in found)
    ] == hidden
    assert len(found) == len(hidden)


SECRETS = """\
secrets:
  vault: {address: "${env:VAULT_URL}", token: "${env:VAULT_TOKEN}"}
gateway: {environment: "${env:WHERE}", limits: {in_flight: "${env:MANY}"}}
environments: {test: {HOST: a.test}}
routes:
  - name: one
    match: {host: "${environment:HOST}"}
    flow: [auth: {methods: [jwt: {public_key: "${vault:secret/jwt#key}", algorithms: [RS256]}]}]
    to: {connection: crm}
  - name: two
    match: {path: /two}
    to: {connection: crm, timeout: "${env:PATIENCE}"}
  - {name: three, match: {path: /three}, flow: [request-id], to: {connection: crm}}
connections:
  crm: {targets: "${env:CRM}"}
"""


def test_without_secrets_a_document_is_checked_where_nobody_has_any(tmp_path):
    good = check(tmp_path, SECRETS, "--without-secrets", "--strict")
    with_them = check(tmp_path, SECRETS)

    assert (good[0], "good, its secrets aside" in good[1]) == (0, True), good[1]
    assert (with_them[0], "environment" in with_them[1]) == (2, True)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "connection: crm",
            "connection: crn",
            "gateway.yaml:9:22: routes[0].to.connection: there is no connection 'crn'",
        ),
        ("[auth:", "[auht:", "no interceptor is installed under the name 'auht'"),
        ("${vault:", "${vautl:", "no secret is installed under the name 'vautl'"),
        ("timeout:", "timeuot:", "there is no option 'timeuot'"),
        ("flow: [request-id]", "response: [request-id]", "request-id cannot stand in `response`"),
        ("${env:CRM}", "${CRM}", "'${CRM}' is no reference"),
        ("  vault: {", "  vault: {nope: 1, ", "there is no option 'nope'"),
    ],
)
def test_without_secrets_every_other_mistake_is_told(tmp_path, right, wrong, said):
    assert right in SECRETS
    code, told = check(tmp_path, SECRETS.replace(right, wrong), "--without-secrets")

    assert (code, said in told) == (2, True), told


def timed(to=(), api=None, gateway=(), flow=(), **crm):
    """A route with `to`, or an API, and what its connection says of time."""
    document = {"gateway": dict(gateway), "connections": {"crm": {**CRM["crm"], **crm}}}
    if api is None:
        return {**document, "routes": [{"name": "all", "flow": list(flow), "to": {"connection": "crm", **dict(to)}}]}
    return {**document, "apis": [{"name": "a", "to": {"connection": "crm", **api}}]}


TEN = {"to": {"timeout": 10}}


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        (
            timed(**TEN, timeouts={"connect": 30}),
            "connections.crm.timeouts.connect: 30 s",
            "its routes ends calls after 10",
        ),
        (timed(**TEN, timeouts={"read": 30}), "connections.crm.timeouts.read: 30 s", "say `stream: true` in `to`"),
        (timed(**TEN, timeouts={"request": "1m"}), "connections.crm.timeouts.request: 60 s", "after 10 s"),
        (timed(**TEN, pool={"queue_timeout": 11}), "connections.crm.pool.queue_timeout: 11 s", "after 10 s"),
        (
            timed(timeouts={"connect": 61}),
            "connections.crm.timeouts.connect: 61 s",
            "timeouts.request ends calls after 60",
        ),
        (timed(timeouts={"read": 61}), "connections.crm.timeouts.read: 61 s", "timeouts.request ends calls after 60"),
        (timed(timeouts={"read": 9, "request": 8}), "connections.crm.timeouts.read: 9 s", "timeouts.request"),
        (
            timed({"timeout": 20, "stream": True}, timeouts={"request": 30}),
            "connections.crm.timeouts.request: 30 s",
            "",
        ),
        (timed(**TEN, timeouts={"request": 5}), "routes[0].to.timeout: 10 s", "timeouts.request of the connection crm"),
        (timed(api={"timeout": 10}, timeouts={"connect": 30}), "connections.crm.timeouts.connect: 30 s", "after 10 s"),
        (timed(api={}, timeouts={"connect": 90}), "connections.crm.timeouts.connect: 90 s", "after 60 s"),
        (
            timed(api={"timeout": 10}, timeouts={"request": 5}),
            "apis[0]: the 10 s of to.timeout here or above",
            "timeouts.request of the connection crm",
        ),
        (timed(api={"timeout": 90}), "apis[0].to.timeout: 90 s", "gateway.timeout_cap ends calls of APIs after 60 s"),
    ],
)
def test_a_time_limit_that_never_acts_is_a_warning(document, place, said):
    (found,) = warnings(document)

    assert found.startswith(place)
    assert said in found
    assert found.endswith("[limit-never-acts]")


@pytest.mark.parametrize(
    "document",
    [
        timed(**TEN),  # nobody has written the defaults
        timed({"timeout": 1}, api=None),
        timed(**TEN, timeouts={"connect": 10, "read": 10, "request": 10}),
        timed(timeouts={"read": None, "request": None, "connect": 900}),
        timed({"timeout": 90}, timeouts={"read": 80}),  # in the place of the default 60
        timed({"timeout": 10, "stream": True}, timeouts={"read": 30}),  # behind the head it acts
        timed(**TEN, timeouts={"request": 5}, max_tries=2),
        timed(**TEN, timeouts={"request": 5}, auth=[{"basic": {"username": "a", "password": "b"}}]),
        timed(api={}, timeouts={"request": 5}),  # the cap is no limit that somebody wrote for this API
        timed(api={"timeout": 90}, gateway={"timeout_cap": None}),
        timed(**TEN, timeouts={"read": 30}, flow=[{"callout": {"name": "x", "url": "/", "connection": "crm"}}]),
        {
            **timed(**TEN, timeouts={"read": 30}),
            "apis": [{"name": "a", "base_path": "/a", "to": {"connection": "crm", "timeout": 40}}],
        },
    ],
)
def test_a_time_limit_that_acts_for_somebody_is_none(document):
    assert warnings(document) == []


def test_a_time_limit_that_never_acts_is_told_once_and_where_it_stands(tmp_path):
    text = """\
apis:
  - name: orders
    base_path: /orders
    to: {connection: crm, timeout: 10}
    resources: [{path: /a, operations: {GET: , POST: }}, {path: /b}]
connections:
  crm: {targets: "http://127.0.0.1:1", timeouts: {request: 5, connect: 20}}
"""
    code, said = check(tmp_path, text, "--strict")

    assert (code, said.count("[limit-never-acts]")) == (2, 2), said
    assert "gateway.yaml:7:72: connections.crm.timeouts.connect: 20 s never pass" in said
    assert "gateway.yaml:5:46: apis[0].resources[0].operations.GET" in said
