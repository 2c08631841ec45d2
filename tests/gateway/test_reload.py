"""Generations: what a reload changes, what it leaves alone, and that no call is lost over it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream


def answering(text, **more):
    return {"routes": [{"name": "one", "match": {"path": "/"}, "flow": [{"respond": {"body": text}}]}], **more}


def test_a_new_document_serves_the_next_call_and_a_bad_one_changes_nothing():
    with running(answering("first")) as gate:
        assert gate.request("GET", "/").text == "first"
        assert gate.reload(answering("second")) == 2
        assert gate.request("GET", "/").text == "second"

        with pytest.raises(ConfigError) as refused:
            gate.reload(answering("third", routs=[]))
        health = httpx.get(gate.management + "/-/health").json()

        assert "routs" in str(refused.value)
        assert gate.request("GET", "/").text == "second"
        assert (health["status"], health["generation"]) == ("degraded", 2)
        assert "did you mean 'routes'" in health["problems"][0]

        gate.reload(answering("fourth"))
        assert httpx.get(gate.management + "/-/health").json()["status"] == "ok"


def test_a_warning_is_told_when_it_is_new_and_not_with_every_document():
    def told(gate):
        return [each.getMessage() for each in gate.log if "go nowhere" in each.getMessage()]

    lost = {"name": "lost", "match": {"path": "/lost"}}
    document = answering("first")
    with running({"routes": [*document["routes"], lost]}) as gate:
        assert len(told(gate)) == 1
        gate.reload({"routes": [*answering("second")["routes"], lost]})
        assert len(told(gate)) == 1
        assert len(gate.gateway.status()["warnings"]) == 1, "and it stands where somebody looks"
        gate.reload({"routes": [*document["routes"], lost, {**lost, "name": "more", "match": {"path": "/more"}}]})
        assert [("'more'" in each) for each in told(gate)] == [False, True]
        gate.reload(document)
        gate.reload({"routes": [*document["routes"], lost]})
        assert len(told(gate)) == 3, "it was gone in between"


def limited(text):
    route = {"name": "one", "match": {"path": "/"}}
    return {"routes": [{**route, "flow": [{"rate-limit": {"limit": 2, "window": 3600}}, {"respond": {"body": text}}]}]}


def test_an_unchanged_instance_lives_on_with_its_state():
    with running(limited("a")) as gate:
        before = gate.gateway.live.config.instances
        assert gate.request("GET", "/").status_code == 200
        gate.reload(limited("b"))
        after = gate.gateway.live.config.instances

        assert [gate.request("GET", "/").status_code for _ in range(2)] == [200, 429]
        same = {name for name in before if before[name] is after.get(name)}
        assert any("rate-limit" in name for name in same)
        assert not any("respond" in name for name in same)


@pytest.fixture
def lifecycle(tmp_path):
    """A plugin of this site that writes down its lifecycle."""
    (tmp_path / "noting.py").write_text(
        """
from hookgate import Interceptor, Options, hookimpl

class NotingOptions(Options):
    name: str
    fails: bool = False

EVENTS = []

class Noting(Interceptor[NotingOptions]):
    @hookimpl
    async def startup(self, host):
        EVENTS.append("start " + self.options.name)
        if self.options.fails:
            raise OSError("no such device")

    @hookimpl
    async def shutdown(self):
        EVENTS.append("stop " + self.options.name)

    @hookimpl
    def on_request(self, exchange):
        pass
""",
    )
    return tmp_path


def noting(*names, fails=None):
    entries = [{"noting": {"name": name, "fails": name == fails, "_": {"id": name}}} for name in names]
    return {"routes": [{"name": "one", "flow": [*entries, "respond"]}]}


def test_startup_and_shutdown_run_once_for_each_instance(lifecycle):
    with running(noting("a", "b"), plugins_dir=lifecycle) as gate:
        events = sys.modules[type(gate.gateway.live.config.instances["a"]).__module__].EVENTS
        assert events == ["start a", "start b"]
        gate.reload(noting("b", "c"))
        gate.run(until(lambda: len(events) == 4))
        assert events[2:] == ["start c", "stop a"]

        with pytest.raises(ConfigError, match="no such device"):
            gate.reload(noting("b", "d", "e", fails="e"))
        assert events[4:] == ["start d", "start e", "stop e", "stop d"]
        assert gate.request("GET", "/").status_code == 200
    assert sorted(events[8:]) == ["stop b", "stop c"]


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("how", ["replaced", "edited in place"])
def test_a_changed_file_goes_live_by_itself(tmp_path, how):
    file = tmp_path / "gateway.yaml"
    free = {"gateway": {"listen": ["127.0.0.1:0"]}, "management": {"listen": ["127.0.0.1:0"]}}
    file.write_text(json.dumps(answering("first", **free)))
    with running(file) as gate:
        assert gate.request("GET", "/").text == "first"
        text = json.dumps(answering("second", **free))
        if how == "replaced":
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(file)
        else:
            file.write_text(text)
        gate.run(until(lambda: gate.gateway.live.number == 2))

        assert gate.request("GET", "/").text == "second"


def test_a_thousand_calls_in_flight_while_the_file_is_replaced_twenty_times(tmp_path):
    """No call is lost, and each is served by one generation from its first step to its last: the one live then."""
    batches, each = 20, 50
    patient = {"connect": 120, "read": 300, "request": 300}

    def document(number):
        mark = {"set": {"x-generation": str(number)}}
        return json.dumps(
            {
                "gateway": {"listen": ["127.0.0.1:0"], "drain": 300},
                "management": {"listen": ["127.0.0.1:0"]},
                "routes": [
                    {
                        "name": "all",
                        "flow": [{"headers": {"request": mark, "response": mark}}],
                        "to": {"connection": "backend", "timeout": 300},
                    },
                ],
                "connections": {"backend": {"targets": backend.url, "timeouts": patient}},
            },
        )

    async def hold(request):
        while len(backend.requests) < batches * each or not replaced:
            await asyncio.sleep(0.1)
        return 200, {"x-seen": request.header("x-generation")}, request.body

    replaced = []
    with upstream(hold) as backend:
        file = tmp_path / "gateway.json"
        file.write_text(document(1))
        with running(file) as gate:
            url = urlsplit(gate.url)

            async def call(number):
                reader, writer = await asyncio.open_connection(url.hostname, url.port)
                body = str(number).encode()
                head = f"POST /{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = (await reader.read()).decode()
                writer.close()
                head, _, text = answer.partition("\r\n\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
                return head.split()[1], text, headers.get("x-generation"), headers.get("x-seen")

            async def main():
                calls = []
                for batch in range(batches):
                    calls += [asyncio.create_task(call(batch * each + n)) for n in range(each)]
                    await until(lambda n=(batch + 1) * each: len(backend.requests) == n)
                    (tmp_path / "next").write_text(document(batch + 2))
                    (tmp_path / "next").replace(file)
                    await until(lambda n=batch + 2: gate.gateway.live.number == n)
                in_flight = gate.gateway.status()["in_flight"]
                replaced.append(True)
                return in_flight, await asyncio.gather(*calls)

            in_flight, answers = asyncio.run(main())

    assert in_flight == 1000
    generations = [str(number // each + 1) for number in range(1000)]
    assert answers == [("200", str(n), generation, generation) for n, generation in enumerate(generations)]


def command(*arguments, **environment):
    return [sys.executable, "-m", "hookgate", *map(str, arguments)]


def test_a_process_reloads_on_sighup_and_on_command_and_stops_on_sigterm(tmp_path):
    file = tmp_path / "gateway.json"
    text = answering(
        "first", gateway={"listen": ["127.0.0.1:0"], "lame_duck": 0}, management={"listen": ["127.0.0.1:0"]}
    )
    file.write_text(json.dumps(text))
    environment = {**os.environ, "HOOKGATE_LOG_LEVEL": "info"}
    process = subprocess.Popen(command("serve", file), stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "serves" in line).split()[-1]
        management = next(line for line in lines if "management on" in line).split()[-1].removesuffix("/-/health")
        assert httpx.get(url).text == "first"

        process.send_signal(signal.SIGHUP)
        assert next(line for line in lines if "generation 2 is live" in line)

        done = subprocess.run(command("reload", "--management", management), capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (0, "generation 3 is live")

        file.write_text("routes: [")
        refused = subprocess.run(command("reload", "--management", management), capture_output=True, text=True)
        assert refused.returncode == 2
        assert str(file) in refused.stderr
        assert httpx.get(url).text == "first"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_page_of_another_site_cannot_reload():
    with running(answering("first")) as gate:
        refused = httpx.post(gate.management + "/-/reload", headers={"Origin": "https://evil.example"})
        rebound = httpx.get(gate.management + "/-/health", headers={"Host": "evil.example"})

    assert (refused.status_code, rebound.status_code) == (403, 421)
