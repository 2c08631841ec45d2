import asyncio

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_interceptor_internal_call import InternalCall

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def document(orders, users, step, lane=True, shown="'none'"):
    """The API `orders` asks the API `users`, and tells its backend what it heard."""
    tell = {"X-Heard": shown}
    return {
        "gateway": {"lane": lane},
        "apis": [
            {
                "name": "orders",
                "base_path": "/orders",
                "to": {"connection": "orders"},
                "request": [{"internal-call": step}],
            },
            {"name": "users", "base_path": "/users", "to": {"connection": "users"}},
        ],
        "connections": {
            "orders": {
                "targets": orders.url,
                "headers": [{"set": name, "from": {"expression": {"value": value}}} for name, value in tell.items()],
            },
            "users": {"targets": users.url},
        },
    }


def heard(lane, step, answer, shown, method="GET", path="/orders/1", **request):
    """Make one call; return the answer, what the backend of `orders` was told, and what that of `users` received."""
    with upstream() as orders, upstream(answer) as users:
        with running(document(orders, users, step, lane, shown)) as gate:
            response = gate.request(method, path, **request)
    return response, [each.header("x-heard") for each in orders.requests], users.requests


@BOTH
@pytest.mark.row("FL-53")
def test_another_api_is_called_and_its_answer_is_in_a_variable(lane):
    def answer(request):
        return 200, {"content-type": "application/json", "x-a": "b"}, '{"name": "Ann", "tags": [1, 2]}'

    step = {"name": "user", "path": "/users/{request.query.id}?full=1", "headers": {"X-Asked-By": "route.name"}}
    shown = "str(#user.status) + #user.body.name + str(#user.body.tags[1]) + #user.headers['x-a'] + str(#user.error)"
    response, told, users = heard(lane, step, answer, shown, path="/orders/1?id=a%2Fb")

    assert (response.status_code, told) == (200, ["200Ann2b"])
    (seen,) = users
    assert (seen.method, seen.path, seen.query, seen.body) == ("GET", "/a%2Fb", "full=1", b"")
    assert seen.header("x-asked-by") == "orders /{rest...}"


@BOTH
def test_what_goes_along_is_what_the_options_say(lane):
    step = {
        "name": "user",
        "path": "/users/x",
        "method": "*",
        "preserve_query": True,
        "preserve_headers": True,
        "preserve_body": True,
        "headers": {"X-Mine": "'1'", "X-Gone": "null"},
    }
    sent = {"x-a": "b", "x-gone": "x", "cookie": "a=b", "authorization": "Basic YTpi", "content-type": "text/x-own"}
    request = {"method": "PUT", "path": "/orders/1?q=1", "headers": sent, "content": iter([b"bo", b"dy"])}
    response, _, users = heard(lane, step, lambda request: (200, {}, "plain"), "#user.body", **request)

    assert response.status_code == 200
    (seen,) = users
    assert (seen.method, seen.query, seen.body) == ("PUT", "q=1", b"body")
    assert (seen.header("x-a"), seen.header("x-mine"), seen.header("x-gone")) == ("b", "1", None)
    assert (seen.header("cookie"), seen.header("authorization")) == (None, None)
    assert (seen.header("content-type"), seen.header("content-length")) == ("text/x-own", "4")
    assert seen.header("transfer-encoding") is None


def test_secrets_go_along_where_they_are_named():
    step = {"name": "user", "path": "/users/x", "preserve_headers": ["Cookie", "X-None"]}
    _, _, users = heard(True, step, lambda request: (200, {}, ""), "'a'", headers={"cookie": "a=b", "x-a": "b"})

    assert (users[0].header("cookie"), users[0].header("x-a")) == ("a=b", None)


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        ("#{'id': request.query.id, 'n': 1}", b'{"id": "7", "n": 1}', "application/json"),
        ("'text of ' + request.method", b"text of GET", "text/plain; charset=utf-8"),
        ("null", b"", None),
    ],
)
def test_a_body_of_its_own(body, sent, kind):
    step = {"name": "user", "path": "/users/x", "method": "POST", "body": body}
    _, _, users = heard(True, step, lambda request: (200, {}, ""), "'a'", path="/orders/1?id=7")

    assert (users[0].method, users[0].body, users[0].header("content-type")) == ("POST", sent, kind)


@BOTH
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {"x-a": "b"}, "no"), "unexpected-status"),
        ((200, {"content-type": "application/json"}, "{"), "callout-not-json"),
        ((200, {}, "x" * 101), "callout-too-large"),
    ],
)
def test_a_call_that_fails_is_a_fault_or_noted(lane, answer, reason):
    for on_failure in ("fault", "continue"):
        step = {"name": "user", "path": "/users/x", "on_failure": on_failure, "limit": 100}
        shown = "#user.error + ' ' + str(#user.status) + str(#user.body)"
        response, told, _ = heard(lane, step, lambda request: answer, shown)
        if on_failure == "fault":
            assert (response.status_code, response.json()["reason"], told) == (502, reason, [])
        else:
            assert (response.status_code, told) == (200, [f"{reason} {answer[0]}"])


def test_expected_statuses_may_be_other_ones():
    step = {"name": "user", "path": "/users/x", "expect": [404, "3xx"]}
    for status, expected in ((404, 200), (302, 200), (200, 502)):
        response, *_ = heard(True, step, lambda request, status=status: (status, {}, ""), "'a'")
        assert response.status_code == expected


@BOTH
def test_an_api_that_calls_itself_ends(lane):
    with upstream() as orders, upstream() as users:
        step = {"name": "again", "path": "/orders/x", "expect": ["2xx"]}
        with running(document(orders, users, step, lane)) as gate:
            response = gate.request("GET", "/orders/x")
            exchanges = gate.wait_for_exchanges(9)

    assert response.status_code == 502
    assert (exchanges[0].fault.reason, len(exchanges)) == ("loop-detected", 9)
    assert orders.requests == []


def test_a_time_limit_ends_a_visit_and_what_it_had_begun():
    async def never(request):
        await asyncio.Event().wait()

    step = {"name": "user", "path": "/users/x", "timeout": 0.2}
    response, told, _ = heard(True, step, never, "'a'")

    assert (response.status_code, response.json()["reason"], told) == (504, "callout-timeout", [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "/a"}, "name: is required"),
        ({"name": "a-b", "path": "/a"}, "name: "),
        ({"name": "a", "path": "users"}, "path: a path on this gateway begins"),
        ({"name": "a", "path": "//evil.example"}, "path: a path on this gateway begins"),
        ({"name": "a", "path": "{vars.x}"}, "path: a path on this gateway begins"),
        ({"name": "a", "path": "/a", "expect": ["9xx"]}, "expect.*is no status"),
        ({"name": "a", "path": "/a", "body": "'x'", "preserve_body": True}, "keep one of them"),
        ({"name": "a", "path": "/a", "headers": {"Transfer-Encoding": "'x'"}}, "leave out Transfer-Encoding"),
        ({"name": "a", "path": "/a", "headers": {"X A": "'x'"}}, "header name"),
        ({"name": "a", "path": "/a", "host": "a\r\nb"}, "control character"),
        ({"name": "a", "path": "/a", "method": "G T"}, "is no method"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(InternalCall, **options)
