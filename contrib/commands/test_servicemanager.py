"""What a service manager is told, and the sockets that it holds open: a stand-in for systemd."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

DOCUMENT = """\
gateway: {listen: ["127.0.0.1:%s"], lame_duck: 0, shutdown_timeout: 20}
management: {listen: ["127.0.0.1:0"]}
routes:
  - {name: hello, match: {path: /hello}, flow: [respond: {body: hello}]}
  - {name: slow, match: {path: /slow}, to: {connection: slow}}
connections: {slow: {targets: "%s"}}
"""


HANDED_OVER = """
import os, sys
os.dup2(%d, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "hookgate", *sys.argv[1:]])
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket as systemd has one, and its name for NOTIFY_SOCKET."""
    name = f"@hookgate-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(name.replace("@", "\0"))
        told.settimeout(60)
        yield told, name


@pytest.fixture
def backend():
    """One that answers only when it is told to; its URL, what is set when it was asked, and what lets it answer."""
    asked, answer = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                asked.set()
                answer.wait(60)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked, answer


@contextmanager
def serving(file, **environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "hookgate", "serve", str(file)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def written(tmp_path, port=0, backend="http://127.0.0.1:9"):
    file = tmp_path / "gateway.yaml"
    file.write_text(DOCUMENT % (port, backend))
    return file


def told(socket_):
    return dict(line.split("=", 1) for line in socket_.recv(4096).decode().splitlines())


def microseconds():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_it_is_told_of_the_start_of_reloads_good_and_bad_and_of_the_end(manager, tmp_path, backend):
    listening, name = manager
    url, asked, answer = backend
    file = written(tmp_path, backend=url)
    with serving(file, NOTIFY_SOCKET=name) as process:
        assert told(listening) == {"READY": "1", "STATUS": "generation 1 is live"}
        gateway = next(line.split()[-1] for line in process.stderr if line.startswith("hookgate serves"))
        assert httpx.get(f"{gateway}/hello").text == "hello"

        for text in (file.read_text() + "nonsense: 1\n", file.read_text().replace("body: hello", "body: hi")):
            before = microseconds()
            file.write_text(text)
            process.send_signal(signal.SIGHUP)
            begun = told(listening)
            assert begun.pop("RELOADING") == "1"
            assert before <= int(begun.pop("MONOTONIC_USEC")) <= microseconds()
            assert begun == {}
            ready = told(listening)
            assert (ready["READY"], "refused for 1 problem" in ready["STATUS"]) == ("1", "nonsense" in text)

        got = []
        call = threading.Thread(target=lambda: got.append(httpx.get(f"{gateway}/slow", timeout=60).text))
        call.start()
        assert asked.wait(60)
        process.send_signal(signal.SIGTERM)
        assert told(listening)["STOPPING"] == "1", "while a call is in flight"
        assert process.poll() is None
        answer.set()
        call.join(60)
        process.stderr.read()
        assert (got, process.wait(60)) == (["slow"], 0)


def test_signs_of_life_are_shown_if_they_are_wanted(manager, tmp_path):
    listening, name = manager
    with serving(written(tmp_path), NOTIFY_SOCKET=name, WATCHDOG_USEC="200000") as process:
        seen = [told(listening) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        while "STOPPING" not in (last := told(listening)):
            assert last == {"WATCHDOG": "1"}
        process.stderr.read()
        assert process.wait(60) == 0
    assert "READY" in seen[0]
    assert seen[1:] == [{"WATCHDOG": "1"}] * 3


def test_a_manager_that_is_gone_harms_nobody_and_watches_nobody_else(tmp_path):
    with serving(
        written(tmp_path), NOTIFY_SOCKET=str(tmp_path / "gone"), WATCHDOG_USEC="1", WATCHDOG_PID="1"
    ) as process:
        gateway = next(line.split()[-1] for line in process.stderr if line.startswith("hookgate serves"))
        assert httpx.get(f"{gateway}/hello").text == "hello"
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 0
    assert "the service manager cannot be told READY=1: No such file or directory" in said
    assert "WATCHDOG" not in said


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_socket_that_is_held_open_outlives_the_gateway(tmp_path, family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        held = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with held:
        port = held.getsockname()[1]
        file = written(tmp_path, port)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        file.write_text(file.read_text().replace(f"127.0.0.1:{port}", address))
        start = [sys.executable, "-c", HANDED_OVER % held.fileno(), "serve", str(file)]
        for _ in range(2):  # the second serves a connection that was made while nothing ran
            with socket.create_connection((host, port)) as early:
                process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True, pass_fds=[held.fileno()])
                try:
                    early.settimeout(60)
                    early.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    assert early.recv(4096).startswith(b"HTTP/1.1 200 OK")
                    process.send_signal(signal.SIGTERM)
                    said = process.communicate(timeout=60)[1]
                    assert process.returncode == 0, said
                finally:
                    process.kill()
                    process.communicate(timeout=60)


def test_sockets_for_another_process_are_left_alone(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        file = written(tmp_path, held.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "hookgate", "serve", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"},
        )
    assert done.returncode == 3
    assert "the port is in use" in done.stderr
