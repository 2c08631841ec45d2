import os

import pytest

from hookgate import ConfigError
from hookgate.testing import build, running, upstream
from hookgate_interceptor_script import Script

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that scripts may be in."""
    allowed = tmp_path / "scripts"
    allowed.mkdir()
    monkeypatch.setenv("HOOKGATE_SCRIPTS", str(allowed))
    return allowed


def document(backend, *files, lane=True, left=()):
    return {
        "gateway": {"lane": lane},
        "routes": [
            {
                "name": "all",
                "flow": [*left, *({"script": {"file": file, "values": {"word": "hello"}}} for file in files)],
                "to": {"connection": "crm"},
            }
        ],
        "connections": {"crm": {"targets": backend.url}},
    }


@BOTH
@pytest.mark.row("FL-55")
def test_functions_see_the_call_and_what_other_steps_have_left(lane, folder):
    (folder / "first.py").write_text(
        "def on_request(exchange):\n"
        "    exchange.variables['who'] = exchange.request.headers['x-who']\n"
        "def on_response(exchange):\n"
        "    exchange.response.headers.set('x-seen', exchange.variables['length'])\n"
    )
    (folder / "second.py").write_text(
        "import asyncio\n"
        "async def on_request(exchange):\n"
        "    await asyncio.sleep(0)\n"
        "    body = await exchange.request.body.read()\n"
        "    exchange.variables['length'] = str(len(body))\n"
        "    exchange.request.headers.set('x-word', values['word'] + ' ' + exchange.variables['who'])\n"
    )
    with upstream() as backend, running(document(backend, "first.py", "second.py", lane=lane)) as gate:
        answer = gate.request("POST", "/", content=b"12345", headers={"x-who": "ann"})

    assert (answer.status_code, answer.headers["x-seen"]) == (200, "5")
    assert (backend.requests[0].header("x-word"), backend.requests[0].body) == ("hello ann", b"12345")


@BOTH
def test_a_script_answers_refuses_and_deals_with_faults(lane, folder):
    (folder / "faults.py").write_text(
        "from hookgate import Response\n"
        "def on_fault(exchange):\n"
        "    return Response.text('sorry: ' + exchange.fault.reason, exchange.fault.status)\n"
    )
    (folder / "ways.py").write_text(
        "from hookgate import Forbidden, Response\n"
        "def on_request(exchange):\n"
        "    if exchange.request.path == '/answer':\n"
        "        return Response.text('of a script', 203)\n"
        "    if exchange.request.path == '/refuse':\n"
        "        raise Forbidden('no', reason='script-says-no')\n"
        "    if exchange.request.path == '/break':\n"
        "        raise KeyError('a-secret-word')\n"
        "def on_response(exchange):\n"
        "    if exchange.request.path == '/late':\n"
        "        raise Forbidden('no', reason='too-late')\n"
    )
    with upstream() as backend, running(document(backend, "faults.py", "ways.py", lane=lane)) as gate:
        answers = {path: gate.request("GET", path) for path in ("/answer", "/refuse", "/break", "/late", "/pass")}

    assert (answers["/answer"].status_code, answers["/answer"].text) == (203, "of a script")
    assert (answers["/refuse"].status_code, answers["/refuse"].text) == (403, "sorry: script-says-no")
    assert (answers["/late"].status_code, answers["/late"].text) == (403, "sorry: too-late")
    assert (answers["/break"].status_code, answers["/break"].text) == (500, "sorry: plugin-error")
    assert answers["/pass"].status_code == 200
    assert [request.path for request in backend.requests] == ["/late", "/pass"]


@BOTH
@pytest.mark.row("KC-53")
def test_a_failing_way_in_or_out_runs_the_fault_sequence_of_its_api_or_the_default_one(lane, folder):
    for name in ("default", "own"):
        (folder / f"{name}.py").write_text(
            "from hookgate import Response\n"
            "def on_fault(exchange):\n"
            "    response = Response.text(f'{values[\"by\"]}: {exchange.fault.reason}', exchange.fault.status)\n"
            "    response.headers.set('x-fault', values['by'])\n"
            "    return response\n"
        )
    (folder / "in.py").write_text(
        "def on_request(exchange):\n    if exchange.request.path.endswith('/in'):\n        raise KeyError('secret')\n"
    )
    (folder / "out.py").write_text(
        "from hookgate import Forbidden\n"
        "def on_response(exchange):\n"
        "    if exchange.request.path.endswith('/out'):\n"
        "        raise KeyError('secret')\n"
        "    if exchange.request.path.endswith('/no'):\n"
        "        raise Forbidden('no', reason='out-says-no')\n"
    )

    def script(name):
        return {"script": {"file": f"{name}.py", "values": {"by": name}}}

    def api(name, connection, *faults):
        ways = {"request": [script("in")], "response": [script("out")]}
        return {"name": name, "base_path": f"/{name}", "flow": list(faults), **ways, "to": {"connection": connection}}

    def described(backend, *defaults):
        return {
            "gateway": {"lane": lane, "flow": list(defaults)},
            "apis": [api("plain", "crm"), api("custom", "crm", script("own")), api("dead", "gone", script("own"))],
            "connections": {"crm": {"targets": backend.url}, "gone": {"targets": "http://127.0.0.1:1"}},
        }

    def ask(gate, path, method="GET"):
        answer = gate.request(method, path)
        return answer.status_code, answer.headers.get("x-fault"), answer.headers.get("x-real"), answer.text

    with upstream(lambda request: (200, {"x-real": "yes"}, "real")) as backend:
        with running(described(backend, script("default"))) as gate:
            paths = ("/plain/ok", "/plain/in", "/plain/out", "/plain/no", "/custom/in", "/custom/out", "/dead/ok")
            answers = {path: ask(gate, path) for path in paths}
            head = ask(gate, "/custom/out", "HEAD")
            gate.reload(described(backend))
            without = gate.request("GET", "/plain/out")

    assert answers == {
        "/plain/ok": (200, None, "yes", "real"),
        "/plain/in": (500, "default", None, "default: plugin-error"),
        "/plain/out": (500, "default", None, "default: plugin-error"),
        "/plain/no": (403, "default", None, "default: out-says-no"),
        "/custom/in": (500, "own", None, "own: plugin-error"),
        "/custom/out": (500, "own", None, "own: plugin-error"),
        "/dead/ok": (502, "own", None, "own: connect-refused"),
    }
    assert head == (500, "own", None, "")
    assert [request.path for request in backend.requests] == ["/ok", "/out", "/no", "/out", "/out", "/out"]
    assert (without.status_code, without.json()["reason"]) == (500, "plugin-error")


def test_a_script_that_changed_is_taken_at_the_next_reload_and_another_one_lives_on(folder):
    counting = (
        "calls = 0\n"
        "def on_response(exchange):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    exchange.response.headers.add('x-calls', f'{version} {calls}')\n"
    )
    (folder / "one.py").write_text("version = 'one'\n" + counting)
    (folder / "two.py").write_text("version = 'two'\n" + counting)
    with upstream() as backend, running(document(backend, "one.py", "two.py")) as gate:
        first = gate.request("GET", "/").headers.get_list("x-calls")
        (folder / "one.py").write_text("version = 'new'\n" + counting)
        before = gate.request("GET", "/").headers.get_list("x-calls")
        gate.reload()
        after = gate.request("GET", "/").headers.get_list("x-calls")
        (folder / "one.py").write_text("def on_request(:\n")
        with pytest.raises(ConfigError, match=r"one\.py:1:"):
            gate.reload()
        still = gate.request("GET", "/").headers.get_list("x-calls")

    assert first == ["two 1", "one 1"]
    assert before == ["two 2", "one 2"]
    assert after == ["two 3", "new 1"]
    assert still == ["two 4", "new 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def on_request(exchange):\n  return (\n", r"bad\.py:2:\d+: '\(' was never closed"),
        ("x = 1\n", "none of the functions on_request, on_response, on_fault"),
        ("\ndef on_request():\n    pass\n", r"bad\.py:2: on_request takes one argument"),
        ("def on_request(a, b):\n    pass\n", "takes one argument"),
        ("def on_request(a, *, b):\n    pass\n", "takes one argument"),
        ("x = '\0'\ndef on_request(a): pass\n", r"bad\.py.*null"),
    ],
)
def test_a_file_that_is_no_script_is_refused_at_load_with_its_line(text, message, folder):
    (folder / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        build(Script, file="bad.py")


def test_a_script_that_fails_when_it_is_started_is_refused_with_its_line(folder):
    (folder / "bad.py").write_text("def on_request(exchange):\n    pass\n\n1 / 0\n")
    with upstream() as backend, pytest.raises(ConfigError, match=r"bad\.py:4: ZeroDivisionError"):
        with running(document(backend, "bad.py")):
            pass


def test_without_the_setting_of_the_process_no_script_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("HOOKGATE_SCRIPTS", raising=False)
    (tmp_path / "good.py").write_text("def on_request(exchange):\n    pass\n")
    with pytest.raises(ConfigError, match=r"scripts are not allowed here.*HOOKGATE_SCRIPTS="):
        build(Script, file=str(tmp_path / "good.py"))


def test_only_files_of_the_folder_run(folder, tmp_path):
    good = "def on_request(exchange):\n    pass\n"
    (tmp_path / "outside.py").write_text(good)
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    (folder / "inside.py").write_text(good)
    (folder / "inner.py").symlink_to(folder / "inside.py")
    (folder / "text.txt").write_text(good)
    (folder / "folder.py").mkdir()

    build(Script, file="inside.py")
    build(Script, file="inner.py")
    build(Script, file=str(folder / "inside.py"))
    for name in ("../outside.py", str(tmp_path / "outside.py"), "link.py", "text.txt", "folder.py", "", "a\0.py"):
        with pytest.raises(ConfigError):
            build(Script, file=name)
    with pytest.raises(ConfigError, match="No such file"):
        build(Script, file="absent.py")


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_a_file_that_anyone_may_write_does_not_run(folder):
    file = folder / "open.py"
    file.write_text("def on_request(exchange):\n    pass\n")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by anyone"):
        build(Script, file="open.py")
