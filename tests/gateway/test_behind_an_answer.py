"""What a backend sends behind an answer is nobody's: the answer passes, and the connection closes (RFC 9112, 6.3)."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from hookgate.testing import running

BOTH = pytest.mark.parametrize("lane", [True, False])
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "httpx"])
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


@contextmanager
def saying(*answers):
    """A backend that sends the n-th of these to the n-th request of a connection, the last one again and again."""
    connections = []

    def serve(accepted):
        said = iter(answers)
        with accepted, suppress(OSError):
            while accepted.recv(65536):
                answer = next(said, answers[-1])
                accepted.sendall(answer)

    def accept():
        with suppress(OSError):
            while True:
                connections.append(listener.accept()[0])
                threading.Thread(target=serve, args=(connections[-1],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    for each in connections:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def document(url, lane, transport):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": url, "transport": transport}},
    }


@BOTH
@TRANSPORTS
@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n" + STOLEN, 204, ""),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n" + STOLEN, 304, ""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n%b" % (len(STOLEN), STOLEN), 204, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + STOLEN, 200, "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + STOLEN, 200, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + STOLEN, 200, "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", 200, "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n\r\n", 204, ""),
    ],
)
def test_it_is_never_the_answer_to_another_call(lane, transport, answer, status, text):
    with saying(answer) as (url, connections), running(document(url, lane, transport)) as gate:
        answers = [gate.request("GET", "/") for _ in range(4)]

        assert [(each.status_code, each.text) for each in answers] == [(status, text)] * 4
        assert len(connections) == 4, "a connection with something left on it is not used again"


@BOTH
def test_the_body_of_a_head_request_is_not_the_answer_to_the_next_call(lane):
    with saying(STOLEN + STOLEN) as (url, _), running(document(url, lane, "http")) as gate:
        answers = [gate.request("HEAD", "/") for _ in range(3)]

    assert [(each.status_code, each.headers["content-length"]) for each in answers] == [(200, "6")] * 3


@BOTH
def test_a_204_that_announces_a_body_loses_its_length_and_its_connection(lane):
    head = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-Kept: yes\r\n\r\n"
    with saying(head) as (url, connections), running(document(url, lane, "http")) as gate:
        answers = [gate.request("DELETE", "/") for _ in range(3)]

    assert [each.status_code for each in answers] == [204] * 3
    assert all("content-length" not in each.headers and each.headers["x-kept"] == "yes" for each in answers)
    assert len(connections) == 3


@BOTH
@pytest.mark.parametrize("stray", [b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_empty_line_before_the_next_answer_is_passed_over(lane, stray, method):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with saying(answer, stray + answer) as (url, connections), running(document(url, lane, "http")) as gate:
        assert [gate.request(method, "/").text for _ in range(3)] == ["ok"] * 3
        assert len(connections) == 1


@BOTH
def test_an_empty_line_before_the_first_answer_is_no_answer(lane):
    with saying(b"\r\n" + STOLEN) as (url, _), running(document(url, lane, "http")) as gate:
        answer = gate.request("GET", "/")

    assert (answer.status_code, answer.json()["reason"]) == (502, "upstream-protocol")


@BOTH
@pytest.mark.parametrize("name", ["X-A ", "X-A\t", "x-a \t ", "Set-Cookie "])
def test_spaces_behind_the_name_of_a_field_are_taken_out(lane, name):
    answer = f"HTTP/1.1 200 OK\r\n{name}: b c\r\nX-B: a : d\r\nContent-Length: 2\r\n\r\nok".encode()
    with saying(answer) as (url, connections), running(document(url, lane, "http")) as gate:
        answers = [gate.request("GET", "/") for _ in range(2)]

    for each in answers:
        assert (each.text, each.headers[name.strip()], each.headers["x-b"]) == ("ok", "b c", "a : d")
    assert len(connections) == 1


@BOTH
@pytest.mark.parametrize(
    "field", ["Content-Length : 2", "Transfer-Encoding : chunked", "Connection : close", "X A : b"]
)
def test_spaces_that_could_be_read_in_two_ways_are_refused(lane, field):
    answer = f"HTTP/1.1 200 OK\r\n{field}\r\n\r\nok".encode()
    with saying(answer) as (url, _), running(document(url, lane, "http")) as gate:
        refused = gate.request("GET", "/")

    assert (refused.status_code, refused.json()["reason"]) == (502, "upstream-protocol")
