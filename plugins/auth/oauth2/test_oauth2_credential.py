import asyncio
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate.testing import MovableClock, running, upstream

CLIENT = {"client_id": "gateway", "client_secret": "s3cret of: the gateway"}
ANNA = {"username": "anna", "password": "Änna's passwörd"}


def document(backend, server, *, options=None, **more):
    credential = {"token_endpoint": server.url, **(CLIENT if options is None else options), **more}
    return {
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": [{"url": backend.url}], "auth": [{"oauth2": credential}]}},
    }


def shown(backend):
    """The Authorization lines of each call that the backend had."""
    return [request.all("authorization") for request in backend.requests]


def idle(gate):
    """Whether no plugin has anything under way."""
    return not any(host.tasks for host in gate.gateway.hosting._hosts.values())


async def until(condition):
    """Let the loop run until something holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


# --- which grant, and how the client shows who it is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "form"),
    [
        (CLIENT, {"grant_type": "client_credentials"}),
        (ANNA, {"grant_type": "password", **ANNA}),
        ({**ANNA, **CLIENT}, {"grant_type": "password", **ANNA}),
        ({**ANNA, "client_id": "app"}, {"grant_type": "password", **ANNA, "client_id": "app"}),
        ({**ANNA, **CLIENT, "grant": "client_credentials"}, {"grant_type": "client_credentials"}),
        ({**CLIENT, "scope": "orders items"}, {"grant_type": "client_credentials", "scope": "orders items"}),
        ({**CLIENT, "scope": ["orders"]}, {"grant_type": "client_credentials", "scope": "orders"}),
        (
            {**CLIENT, "client_authentication": "client_secret_post"},
            {"grant_type": "client_credentials", **CLIENT},
        ),
        (
            {
                **CLIENT,
                "audience": "crm",
                "resource": ["https://a.example/", "urn:b"],
                "parameters": {"tenant": "x y&z"},
            },
            {
                "grant_type": "client_credentials",
                "audience": "crm",
                "resource": ["https://a.example/", "urn:b"],
                "tenant": "x y&z",
            },
        ),
    ],
)
def test_the_grant_follows_from_what_is_there(server, options, form):
    with upstream(server.backend) as backend:
        with running(document(backend, server, options=options)) as gate:
            assert gate.request("GET", "/").status_code == 200

    assert server.forms() == [form]
    assert shown(backend) == [[f"Bearer {server.known.issued[0]}"]]
    line = server.requests[0].header("authorization")
    if "client_secret" in options and "client_authentication" not in options:
        assert b64decode(line.removeprefix("Basic ")) == b"gateway:s3cret+of%3A+the+gateway"
    else:
        assert line is None


def test_the_prefix_and_the_header_can_be_others(server):
    with upstream() as backend:
        with running(document(backend, server, prefix="Token", header="X-Access")) as gate:
            gate.request("GET", "/", headers={"authorization": "Bearer of-the-caller", "x-access": "forged"})

    assert backend.requests[0].all("x-access") == [f"Token {server.known.issued[0]}"]


@pytest.mark.row("AC-17")
def test_a_prefix_stands_before_the_token(server):
    with upstream() as backend:
        with running(document(backend, server, prefix="Token")) as gate:
            gate.request("GET", "/", headers={"authorization": "Bearer of-the-caller"})

    assert shown(backend) == [[f"Token {server.known.issued[0]}"]]


# --- one token for all ------------------------------------------------------------------------------------------------


@pytest.mark.row("HC-9")
def test_fifty_first_calls_get_one_token_and_one_more_when_it_has_expired(server):
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server), clock=clock) as gate, ThreadPoolExecutor(50) as callers:

            def fifty():
                with server.held():
                    calls = [callers.submit(gate.request, "GET", "/") for _ in range(50)]
                    gate.run(until(lambda: gate.gateway.status()["in_flight"] == 50))
                return {call.result().status_code for call in calls}

            assert fifty() == {200}
            assert len(server.requests) == 1
            gate.run(clock.advance(3600 - 29))
            assert fifty() == {200}
            assert len(server.requests) == 2

    first, second = server.known.issued
    lines = shown(backend)
    assert lines[:50] == [[f"Bearer {first}"]] * 50
    assert lines[50:] == [[f"Bearer {second}"]] * 50


@pytest.mark.parametrize(
    ("expires_in", "used"),
    [(3600, 3570), (31, 1), (30, 15), (10, 5), ('"100"', 70), (None, 300), ("true", 300), ("[]", 300), (0, 0)],
)
def test_a_token_is_used_until_half_a_minute_before_it_expires(server, expires_in, used):
    numbers = iter(range(100))

    def issue(request):
        life = "" if expires_in is None else f', "expires_in": {expires_in}'
        return 200, {}, f'{{"access_token": "t{next(numbers)}", "token_type": "bearer"{life}}}'

    server.socket.answer = issue
    clock = MovableClock()
    with upstream() as backend:
        with running(document(backend, server), clock=clock) as gate:
            gate.request("GET", "/")
            if used:
                gate.run(clock.advance(used * 0.85))  # the background does nothing yet
                gate.request("GET", "/")
                assert len(server.requests) == 1
                gate.run(clock.advance(used * 0.15))
            gate.request("GET", "/")

    assert shown(backend)[-1] == ["Bearer t1"]
    assert shown(backend)[:-1] == [["Bearer t0"]] * (2 if used else 1)


def test_a_token_is_renewed_in_the_background_while_calls_go_on_with_the_old_one(server):
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server), clock=clock) as gate:
            gate.request("GET", "/")
            gate.run(clock.advance(3570 - 20))
            with server.held():
                for _ in range(3):
                    assert gate.request("GET", "/").status_code == 200
                server.socket.wait_for(lambda socket: len(socket.requests) == 2)
            gate.run(until(lambda: idle(gate)))
            gate.request("GET", "/")

    first, second = server.known.issued
    assert shown(backend) == [[f"Bearer {first}"]] * 4 + [[f"Bearer {second}"]]


def test_a_failed_renewal_in_the_background_disturbs_nobody(server):
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server), clock=clock) as gate:
            gate.request("GET", "/")
            gate.run(clock.advance(3570 - 20))
            server.say = 500, {}, "no"
            for expected in (2, 2, 2):
                assert gate.request("GET", "/").status_code == 200
                gate.run(until(lambda: idle(gate)))
                assert len(server.requests) == expected
            server.say = None
            gate.run(clock.advance(2))
            assert gate.request("GET", "/").status_code == 200
            gate.run(until(lambda: len(server.known.issued) == 2))


def test_a_reload_that_leaves_the_entry_alone_keeps_the_token(server):
    with upstream(server.backend) as backend:
        before = document(backend, server)
        after = document(backend, server)
        after["routes"][0]["name"] = "everything"
        with running(before) as gate:
            gate.request("GET", "/")
            gate.reload(after)
            gate.request("GET", "/")
            assert len(server.requests) == 1
            gate.reload(document(backend, server, prefix="Token"))
            gate.request("GET", "/")
            assert len(server.requests) == 2


# --- refresh tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotate", [True, False])
def test_a_refresh_token_is_used_and_replaced(server, rotate):
    server.known.rotate = rotate
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server, options=ANNA, client_id="app"), clock=clock) as gate:
            for _ in range(3):
                assert gate.request("GET", "/").status_code == 200
                gate.run(clock.advance(3600))

    forms = server.forms()
    assert [form["grant_type"] for form in forms] == ["password", "refresh_token", "refresh_token"]
    assert (forms[1]["refresh_token"] != forms[2]["refresh_token"]) is rotate
    assert all("password" not in form for form in forms[1:])


def test_a_refresh_token_that_is_not_taken_any_more_makes_the_grant_begin_anew(server):
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server, options=ANNA, client_id="app"), clock=clock) as gate:
            gate.request("GET", "/")
            server.known.refresh_tokens.clear()
            gate.run(clock.advance(3600))
            assert gate.request("GET", "/").status_code == 200

    assert [form["grant_type"] for form in server.forms()] == ["password", "refresh_token", "password"]


def test_a_refresh_token_is_kept_while_the_server_is_ill(server):
    clock = MovableClock()
    with upstream(server.backend) as backend:
        with running(document(backend, server, options=ANNA, client_id="app"), clock=clock) as gate:
            gate.request("GET", "/")
            gate.run(clock.advance(3600))
            server.say = 503, {}, ""
            assert gate.request("GET", "/").status_code == 503
            server.say = None
            gate.run(clock.advance(1))
            assert gate.request("GET", "/").status_code == 200

    assert [form["grant_type"] for form in server.forms()] == ["password", "refresh_token", "refresh_token"]


def test_a_refresh_token_may_be_all_there_is(server):
    server.known.refresh_tokens["the-first"] = ("anna", ["orders", "items"])
    clock = MovableClock()
    options = {**CLIENT, "refresh_token": "the-first", "scope": "orders"}
    with upstream(server.backend) as backend:
        with running(document(backend, server, options=options), clock=clock) as gate:
            for _ in range(2):
                assert gate.request("GET", "/").status_code == 200
                gate.run(clock.advance(3600))
            server.known.refresh_tokens = {"the-first": ("anna", ["orders"])}  # the server was set up anew
            assert gate.request("GET", "/").status_code == 200
            server.known.refresh_tokens = {}
            gate.run(clock.advance(3600))
            assert gate.request("GET", "/").json()["reason"] == "auth-error"

    used = [form["refresh_token"] for form in server.forms()]
    assert all(form["grant_type"] == "refresh_token" and form["scope"] == "orders" for form in server.forms())
    assert (used[0], used[3]) == ("the-first", "the-first")
    assert used[1] not in {"the-first", used[2]}


# --- a backend that does not take the token ---------------------------------------------------------------------------


def test_a_token_that_the_backend_refuses_is_replaced_and_the_call_sent_once_more(server):
    with upstream(server.backend) as backend:
        with running(document(backend, server)) as gate:
            gate.request("GET", "/")
            server.revoke()
            assert gate.request("GET", "/").status_code == 200
            assert gate.request("GET", "/").status_code == 200

    first, second = server.known.issued
    assert shown(backend) == [[f"Bearer {token}"] for token in (first, first, second, second)]


def test_a_body_that_was_streamed_is_not_sent_again(server):
    with upstream(server.backend) as backend:
        with running(document(backend, server)) as gate:
            gate.request("GET", "/")
            server.revoke()
            answer = gate.request("POST", "/", content=iter([b"a" * 50_000, b"b" * 500_000]))

    assert answer.status_code == 401
    assert len(server.requests) == 1
    assert [request.method for request in backend.requests] == ["GET", "POST"]


def test_many_refused_calls_replace_the_token_once(server):
    refused, all_here = [], asyncio.Event()

    async def answer(request):
        answer = server.backend(request)
        if answer[0] == 401:  # only when all calls are here with the old token
            refused.append(request)
            if len(refused) == 8:
                all_here.set()
            await all_here.wait()
        return answer

    with upstream(answer) as backend:
        with running(document(backend, server)) as gate, ThreadPoolExecutor(8) as callers:
            gate.request("GET", "/")
            server.revoke()
            calls = [callers.submit(gate.request, "GET", "/") for _ in range(8)]
            assert {call.result().status_code for call in calls} == {200}

    assert len(refused) == 8
    assert len(server.requests) == 2


def test_a_backend_that_takes_no_token_does_not_load_the_token_server(server):
    clock = MovableClock()
    with upstream(lambda request: (401, {}, "never")) as backend:
        with running(document(backend, server), clock=clock) as gate:
            for _ in range(4):
                answer = gate.request("GET", "/")
                assert (answer.status_code, answer.text) == (401, "never")
            assert len(server.requests) == 2
            assert len(backend.requests) == 5
            gate.run(clock.advance(10))
            gate.request("GET", "/")
            assert len(server.requests) == 3


# --- a server that gives no token -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        (400, {}, '{"error": "invalid_grant"}'),
        (401, {}, '{"error": "invalid_client"}'),
        (500, {}, "oops"),
        (302, {"location": "/login"}, ""),
        (200, {}, "<html>"),
        (200, {}, "[]"),
        (200, {}, "[" * 60_000),
        (200, {}, "{}"),
        (200, {}, '{"access_token": 5}'),
        (200, {}, '{"access_token": ""}'),
        (200, {}, '{"access_token": "a b"}'),
        (200, {}, '{"access_token": "a\\r\\nX-Evil: 1"}'),
        (200, {}, '{"access_token": "a", "token_type": "mac"}'),
        (200, {}, '{"access_token": "a", "token_type": 5}'),
        (200, {}, '{"access_token": "a", "expires_in": NaN}'),
        (200, {}, '{"access_token": "a", "padding": "' + "x" * 66_000 + '"}'),
    ],
)
def test_without_a_token_nothing_is_sent(server, answer):
    server.say = answer
    with upstream() as backend:
        with running(document(backend, server)) as gate:
            refused = gate.request("GET", "/", headers={"authorization": "Bearer of-the-caller"})

    assert (refused.status_code, refused.json()["reason"]) == (503, "auth-error")
    assert refused.headers["retry-after"] == "1"
    assert backend.requests == []
    assert "gateway" not in refused.json()["detail"].lower().replace("the gateway", "")


def test_a_server_that_is_not_there_is_no_target_that_is_not_there(server):
    with upstream() as backend, upstream() as other:
        settings = document(backend, server)
        settings["connections"]["backend"].update(max_tries=2, targets=[{"url": backend.url}, {"url": other.url}])
        settings["connections"]["backend"]["auth"][0]["oauth2"]["token_endpoint"] = "http://127.0.0.1:1/token"
        with running(settings) as gate:
            refused = gate.request("GET", "/")
            assert len(gate.wait_for_exchanges(1)[0].attempts) == 1

    assert (refused.status_code, refused.json()["reason"]) == (503, "auth-error")
    assert backend.requests + other.requests == []


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_told(server):
    with upstream() as backend:
        with running(document(backend, server, timeout=0.05)) as gate, server.held():
            refused = gate.request("GET", "/")

    assert (refused.status_code, refused.json()["reason"]) == (503, "auth-error")


def test_everybody_who_waits_hears_of_the_failure(server):
    server.say = 500, {}, ""
    with upstream() as backend:
        with running(document(backend, server)) as gate, ThreadPoolExecutor(5) as callers:
            with server.held():
                calls = [callers.submit(gate.request, "GET", "/") for _ in range(5)]
                gate.run(until(lambda: gate.gateway.status()["in_flight"] == 5))
            assert {call.result().json()["reason"] for call in calls} == {"auth-error"}

    assert len(server.requests) == 1


def test_a_server_that_fails_is_left_alone_for_longer_and_longer(server):
    clock = MovableClock()
    server.say = 500, {}, ""
    with upstream(server.backend) as backend:
        with running(document(backend, server), clock=clock) as gate:
            for failures, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60], 1):
                for _ in range(3):
                    assert gate.request("GET", "/").json()["reason"] == "auth-error"
                assert len(server.requests) == failures
                gate.run(clock.advance(pause - 0.5))
                assert gate.request("GET", "/").json()["reason"] == "auth-error"
                assert len(server.requests) == failures
                gate.run(clock.advance(0.5))
            server.say = None
            assert gate.request("GET", "/").status_code == 200
            gate.run(clock.advance(3600))
            server.say = 429, {"retry-after": "20"}, ""
            gate.request("GET", "/")
            gate.run(clock.advance(19))
            gate.request("GET", "/")
            assert len(server.requests) == 10
            gate.run(clock.advance(1))
            server.say = None
            assert gate.request("GET", "/").status_code == 200


def test_the_log_tells_what_the_server_said_and_no_secret(server):
    secret = CLIENT["client_secret"]
    server.say = (
        401,
        {},
        f'{{"error": "invalid_client", "error_description": "no {secret}, \\n {ANNA["password"]}!"}}',
    )
    with upstream() as backend:
        with running(document(backend, server, options={**CLIENT, **ANNA})) as gate:
            body = gate.request("GET", "/").text

    (line,) = [record.getMessage() for record in gate.log if "no token" in record.getMessage()]
    assert f"{server.url} answered 401: invalid_client: no ********" in line
    assert "\n" not in line
    assert not any(word in text for word in (secret, ANNA["password"]) for text in (line, body))
