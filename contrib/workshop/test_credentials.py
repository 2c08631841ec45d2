"""The lines of credentials towards a backend: what the caller sent goes, what others wrote stays, in its order (X7)."""

import pytest

from hookgate import Exchange, Headers, Outbound, Request, Target
from hookgate.workshop import add_credentials, challenge_of, drop_received


def sent(received, outbound):
    """A call that came with these lines of `X-Token`, and an attempt that goes out with those."""
    exchange = Exchange(Request(headers=Headers([("X-Token", value) for value in received])))
    headers = Headers([("Host", "a"), *(("x-token", value) for value in outbound), ("Accept", "*/*")])
    return exchange, Outbound(Target("http", "a", 80), "GET", "/", "", headers)


@pytest.mark.parametrize(
    ("received", "outbound", "left"),
    [
        ([], [], []),
        (["of the caller"], ["of the caller"], []),
        (["of the caller", "again"], ["again", "written", "of the caller", "behind"], ["written", "behind"]),
        (["of the caller"], ["written"], ["written"]),
        ([], ["written", "behind"], ["written", "behind"]),
    ],
)
def test_what_the_caller_sent_goes_and_what_others_wrote_stays(received, outbound, left):
    exchange, attempt = sent(received, outbound)
    drop_received(exchange, attempt, "X-Token")
    assert attempt.headers.getall("x-token") == left
    assert exchange.request.headers.getall("x-token") == received

    exchange, attempt = sent(received, outbound)
    add_credentials(exchange, attempt, "X-Token", "ours")
    assert attempt.headers.getall("x-token") == [*left, "ours"]
    assert (attempt.headers["host"], attempt.headers["accept"]) == ("a", "*/*")


def test_a_realm_is_quoted_in_a_challenge():
    assert challenge_of("Basic", 'the "inner" \\ part') == r'Basic realm="the \"inner\" \\ part"'
