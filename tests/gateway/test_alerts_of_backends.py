"""What an alert of TLS says of a call: refused before it was read, or read, and nobody knows how far it went.

Nothing that may have been done is done twice, and only who cannot have read a request counts as not available.
"""

import pytest

from hookgate.testing import running, upstream

from .alertingbackend import AlertingBackend
from .authority import Authority, needs_openssl
from .test_refused_in_tls import document

pytestmark = needs_openssl

TRANSPORTS = pytest.mark.parametrize("transport", ["http", "httpx"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REVOKED, REQUIRED, BAD_RECORD, INTERNAL = 44, 116, 20, 80
TWICE = {"max_tries": 2, "retry": {"on": ["connect-failed", "broken"]}}
"""Bodies are kept, and `broken` is tried again where that does no harm."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "IP:127.0.0.1")


@pytest.fixture
def site(authority, server, tmp_path):
    """Start a gateway in front of a backend that answers so, and of a backup."""

    class Site:
        def __init__(self, answer, transport="http", *, lane=True, **connection):
            self.main = AlertingBackend(server, tmp_path, answer)
            self.document = lambda: document(
                authority, self.main, self.backup, lane=lane, transport=transport, **connection
            )

        def __enter__(self):
            self._backup = upstream()
            self.backup = self._backup.__enter__()
            self._gate = running(self.document())
            self.gate = self._gate.__enter__()
            return self

        def __exit__(self, *about):
            self._gate.__exit__(*about)
            self._backup.__exit__(*about)
            self.main.close()

        def call(self, method="GET", **headers):
            body = b"end" if method == "POST" else None
            answer = self.gate.request(method, "/", content=body, headers=headers)
            return answer.status_code, "" if answer.status_code == 200 else answer.json()["reason"]

        def kinds(self, calls):
            exchange = self.gate.wait_for_exchanges(calls)[-1]
            return [attempt.outcome.kind for attempt in exchange.attempts]

    return Site


def second(alert):
    """Answer the first request of the first connection; alert at its second."""
    connections = []

    def answer(number, request):
        if number == 0:
            connections.append(None)
            return b""
        return alert if number == 2 and len(connections) == 1 else OK

    return answer


@pytest.mark.parametrize("lane", [True, False])
@TRANSPORTS
@pytest.mark.parametrize("alert", [REVOKED, BAD_RECORD])
def test_a_call_that_does_no_harm_twice_is_sent_again_when_its_kept_connection_ends_by_an_alert(
    site, lane, transport, alert
):
    with site(second(alert), transport, lane=lane) as running:
        assert [running.call()[0] for _ in range(2)] == [200, 200]
        assert running.kinds(2) == ["ok"]
        assert (len(running.main.requests), running.main.connections) == (3, 2)


@TRANSPORTS
@pytest.mark.parametrize("alert", [REVOKED, REQUIRED, INTERNAL])
def test_any_other_call_ends_there_and_is_sent_nowhere_else(site, transport, alert):
    with site(second(alert), transport, **TWICE) as running:
        assert running.call()[0] == 200
        assert running.call("POST") == (502, "tls-failed")
        assert running.kinds(2) == ["broken"]
        assert [request[:4] for request in running.main.requests] == [b"GET ", b"POST"]
        assert running.backup.requests == []


@TRANSPORTS
@pytest.mark.parametrize(("headers", "sent"), [({}, 1), ({"idempotency-key": "a"}, 2)])
def test_where_the_document_says_so_what_broke_is_sent_again_if_it_does_no_harm(site, transport, headers, sent):
    with site(second(REVOKED), transport, **TWICE) as running:
        assert running.call()[0] == 200
        assert running.call("POST", **headers)[0] == (200 if sent == 2 else 502)
        posts = [request for request in running.main.requests if request.startswith(b"POST")]
        assert len(posts) + len(running.backup.requests) == sent


@TRANSPORTS
def test_a_backend_that_refuses_us_before_it_has_read_anything_is_not_available(site, transport):
    with site(lambda number, _: REQUIRED if number == 0 else OK, transport, **TWICE) as running:
        assert running.call("POST")[0] == 200
        assert running.kinds(1) == ["connect-failed", "ok"]
        assert running.backup.bodies == [b"end"]


@TRANSPORTS
@pytest.mark.parametrize(
    "said",
    [INTERNAL, BAD_RECORD, [b"HTTP/1.1 2", REQUIRED], [b"HTTP/1.1 102 Wait\r\n\r\n", REQUIRED]],
    ids=["internal", "bad record", "behind half a head", "behind 102"],
)
def test_an_alert_that_may_come_behind_a_request_is_no_refusal_on_a_new_connection_either(site, transport, said):
    with site(lambda number, _: said if number else b"", transport, **TWICE) as running:
        assert running.call("POST")[0] == 502
        assert running.kinds(1) == ["broken"]
        assert (len(running.main.requests), running.backup.requests) == (1, [])


@TRANSPORTS
def test_an_answer_that_is_no_tls_is_no_refusal(site, transport):
    """It has read the request: a step behind it that answers in the clear, or octets that were lost."""

    def answer(number, _):
        return "clear" if number else b""

    with site(answer, transport, **TWICE) as running:
        assert running.call("POST")[0] == 502
        assert running.kinds(1) == ["broken"]
        assert (len(running.main.requests), running.backup.requests) == (1, [])


@TRANSPORTS
@pytest.mark.parametrize(("method", "tried"), [("POST", ["connect-failed"]), ("GET", ["connect-failed", "ok"])])
def test_a_backend_that_took_a_call_and_refuses_us_from_then_on_gets_no_other_to_do_it_again(
    site, transport, method, tried
):
    """It is not available, so later calls go elsewhere; but this one it may have done."""
    taken = []

    def answer(number, request):
        if number == 0:
            return REQUIRED if taken else b""
        taken.append(request)
        return None

    with site(answer, transport, **TWICE) as running:
        assert running.call(method)[0] == (200 if method == "GET" else 502)
        assert running.kinds(1) == tried
        assert running.call("POST")[0] == 200
        assert len(running.backup.requests) == len(tried)
