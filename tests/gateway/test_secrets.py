"""Secrets: providers that start, live on and stop; values that change without a restart; nothing that shows (HC-7)."""

import asyncio
import json
import logging
import re
from base64 import b64encode
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document.catalogue import Catalogue
from hookgate.gateway import rotation
from hookgate.gateway.configuration import load
from hookgate.testing import running, upstream

PROVIDER = """
import asyncio
from hookgate import Options, Secret, SecretProvider, hookimpl

EVENTS = []
VALUES = {"key": "first value"}

class SafeOptions(Options):
    name: str = "safe"
    fails: bool = False
    password: Secret | None = None

class Safe(SecretProvider[SafeOptions]):
    @hookimpl
    async def startup(self, host):
        EVENTS.append(f"{self.options.name} starts")
        self.told = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.host = host
        if self.options.fails:
            raise OSError("the value was hunter2")

    @hookimpl
    def resolve(self, reference):
        assert self.host.clock.now() >= 0
        EVENTS.append(f"{self.options.name} is asked for {reference}")
        if reference not in VALUES:
            raise LookupError(f"the safe holds no {reference}")
        return Secret(VALUES[reference])

    @hookimpl
    async def changed(self):
        EVENTS.append(f"{self.options.name} watches")
        await self.told.wait()
        self.told.clear()
        if VALUES["key"] == "out of order":
            raise OSError("the value was hunter2")

    @hookimpl
    def shutdown(self):
        EVENTS.append(f"{self.options.name} stops")
"""


class Site:
    """The provider above, what it has noted, and a way to have it hold another value."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "safe.py").write_text(PROVIDER)
        self.catalogue = Catalogue(folder)
        known = self.catalogue.get("secret", "safe").startup.__globals__
        self.events, self.values = known["EVENTS"], known["VALUES"]

    def running(self, document):
        """Run a gateway."""
        return running(document, catalogue=self.catalogue)

    def change(self, gate, value):
        """Hold another value and tell of it."""
        self.values["key"] = value
        (provider,) = gate.gateway.live.config.secrets
        provider.loop.call_soon_threadsafe(provider.told.set)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def wait_for(gate, holds):
    """Wait until something holds, which the loop of the gateway brings about."""

    async def wait():
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.005)

    gate.run(wait())


def document(backend="http://127.0.0.1:1", reference="key", text="", **options):
    return {
        "secrets": {"safe": options},
        "routes": [
            {"name": "text", "match": {"path": "/text"}, "flow": [{"respond": {"body": text}}]},
            {"name": "all", "flow": [{"rate-limit": {"limit": 2, "window": 3600}}], "to": {"connection": "crm"}},
        ],
        "connections": {
            "crm": {
                "targets": backend,
                "auth": [{"basic": {"username": "gateway", "password": f"${{safe:{reference}}}"}}],
            }
        },
    }


def basic(password):
    return f"Basic {b64encode(f'gateway:{password}'.encode()).decode()}"


# --- the life of a provider -------------------------------------------------------------------------------------------


def test_a_provider_starts_before_it_is_asked_lives_on_over_reloads_and_stops_at_the_end(site):
    with site.running(document()) as gate:
        assert site.events[:2] == ["safe starts", "safe is asked for key"]
        wait_for(gate, lambda: "safe watches" in site.events)
        del site.events[:]

        gate.reload(document(text="another"))
        assert gate.request("GET", "/text").text == "another"
        assert site.events == ["safe is asked for key"]
    assert site.events == ["safe is asked for key", "safe stops"]


def test_one_with_other_options_takes_its_place_and_one_that_nothing_asks_is_let_go(site):
    with site.running(document(name="a")) as gate:
        wait_for(gate, lambda: "a watches" in site.events)
        del site.events[:]
        gate.reload(document(name="b"))
        wait_for(gate, lambda: len(site.events) == 4)
        assert sorted(site.events) == ["a stops", "b is asked for key", "b starts", "b watches"]

        del site.events[:]
        plain = document(name="b")
        del plain["connections"]["crm"]["auth"]
        gate.reload(plain)
        wait_for(gate, lambda: site.events == ["b stops"])
    assert site.events == ["b stops"]


@pytest.mark.parametrize("fault", [{"routs": []}, {"connections": {"crm": {"targets": "nowhere:x"}}}])
def test_a_document_that_is_refused_stops_what_was_started_for_it_and_nothing_else(site, fault):
    with site.running(document(name="a")) as gate:
        wait_for(gate, lambda: "a watches" in site.events)
        del site.events[:]
        refused = document(name="b")
        refused = {**refused, **fault, "x-uses": None, "plugins": {"p": {"respond": {"body": "${safe:key}"}}}}
        with pytest.raises(ConfigError):
            gate.reload(refused)
        assert site.events == ["b starts", "b is asked for key", "b stops"]
        with pytest.raises(ConfigError):
            gate.reload({**document(name="a"), "routs": []})
        assert site.events[3:] == ["a is asked for key"]
        assert gate.request("GET", "/text").status_code == 200
    assert site.events[4:] == ["a stops"]


def test_a_plugin_that_cannot_start_takes_the_providers_of_its_document_down_with_it(site, tmp_path):
    (tmp_path / "broken.py").write_text(
        """
from hookgate import Interceptor, Options, Secret, hookimpl

class BrokenOptions(Options):
    key: Secret

class Broken(Interceptor[BrokenOptions]):
    @hookimpl
    def startup(self, host):
        raise OSError(f"no such device {self.options.key.reveal()}")

    @hookimpl
    def on_request(self, exchange): ...
"""
    )
    site.catalogue = Catalogue(tmp_path)
    site.events = site.catalogue.get("secret", "safe").startup.__globals__["EVENTS"]
    broken = document(name="b")
    broken["routes"][0]["flow"] = [{"broken": {"key": "${safe:key}"}}]
    with site.running(document(name="a")) as gate:
        with pytest.raises(ConfigError) as caught:
            gate.reload(broken)
        assert site.events[-1] == "b stops"
        assert gate.request("GET", "/text").status_code == 200

    assert "could not be started: OSError: no such device ********" in str(caught.value)
    logged = "\n".join(record.getMessage() for record in gate.log)
    assert "no such device ********" in logged
    assert "first value" not in logged


def test_a_provider_that_cannot_start_is_told_at_the_reference_without_the_text_of_its_failure(site):
    with pytest.raises(ConfigError) as caught, site.running(document(fails=True)):
        pass

    assert str(caught.value).removeprefix("document: ") == (
        "connections.crm.auth[0].basic.password: the secret provider 'safe' could not be started: OSError"
    )
    assert site.events == ["safe starts", "safe stops"]


def test_check_starts_and_stops_providers_as_a_gateway_does(site, tmp_path):
    file = tmp_path / "gateway.yaml"
    log = tmp_path / "events"
    (tmp_path / "safe.py").write_text(
        PROVIDER
        + f"""
class Events(list):
    def append(self, event):
        with open({str(log)!r}, "a") as file:
            file.write(event + ", ")

EVENTS = Events()
"""
    )
    file.write_text(json.dumps(document()))
    environment = {"HOOKGATE_PLUGINS_DIR": str(tmp_path)}
    done = CliRunner().invoke(app, ["check", str(file)], env=environment)
    assert (done.exit_code, done.exception) == (0, None)
    assert log.read_text() == "safe starts, safe is asked for key, safe stops, "

    log.unlink()
    done = CliRunner().invoke(app, ["simulate", str(file), "--json"], env=environment)
    assert (done.exit_code, done.exception) == (0, None)
    assert log.read_text() == "safe starts, safe is asked for key, safe stops, "


# --- values that change -----------------------------------------------------------------------------------------------


def test_a_secret_that_changes_is_used_without_a_restart_and_what_holds_none_lives_on(site, caplog):
    caplog.set_level(logging.INFO, "hookgate")
    with upstream() as backend, site.running(document(backend.url)) as gate:
        assert gate.request("GET", "/").status_code == 200
        site.change(gate, "second value")
        wait_for(gate, lambda: gate.gateway.live.number == 2)
        assert gate.request("GET", "/").status_code == 200
        assert gate.request("GET", "/").status_code == 429  # the rate limit has lived on with its count

        assert [request.header("authorization") for request in backend.requests] == [
            basic("first value"),
            basic("second value"),
        ]
        site.change(gate, "third value")
        wait_for(gate, lambda: gate.gateway.live.number == 3)
    assert "secrets/safe tells of a change, so the document is loaded again" in caplog.messages
    assert site.events.count("safe starts") == 1


def test_a_value_that_cannot_be_used_leaves_the_running_generation_and_the_next_one_is_taken(site):
    with upstream() as backend, site.running(document(backend.url)) as gate:
        site.change(gate, "********")  # what stands for a stored secret
        wait_for(gate, lambda: gate.gateway.problems)
        assert gate.gateway.live.number == 1
        assert gate.request("GET", "/").status_code == 200
        assert "eight asterisks" in httpx.get(f"{gate.management}/-/health").json()["problems"][0]

        site.change(gate, "second value")
        wait_for(gate, lambda: gate.gateway.live.number == 2)
        assert gate.request("GET", "/").status_code == 200

    assert [request.header("authorization") for request in backend.requests] == [
        basic("first value"),
        basic("second value"),
    ]


def test_a_provider_that_fails_in_changed_is_asked_again_and_its_text_is_not_logged(site, monkeypatch):
    monkeypatch.setattr(rotation, "AFTER_FAILURE", 0.01)
    with site.running(document()) as gate:
        site.change(gate, "out of order")
        wait_for(gate, lambda: site.events.count("safe watches") == 2)
        site.change(gate, "second value")
        wait_for(gate, lambda: gate.gateway.live.number == 2)
        logged = [record.getMessage() for record in gate.log]

    assert "secrets/safe failed in changed with OSError" in logged
    assert "hunter2" not in str(logged)


def test_a_file_that_is_written_again_is_read_again(tmp_path):
    (tmp_path / "key").write_text("first value\n")
    written = document()
    written["secrets"] = {"file": {"root": str(tmp_path), "refresh": 0.02}}
    with upstream() as backend:
        crm = {"targets": backend.url, "auth": [{"basic": {"username": "gateway", "password": "${file:key}"}}]}
        with running({**written, "connections": {"crm": crm}}) as gate:
            gate.request("GET", "/")
            (tmp_path / "new").write_text("second value\n")
            (tmp_path / "new").rename(tmp_path / "key")
            wait_for(gate, lambda: gate.gateway.live.number == 2)
            gate.request("GET", "/")

    assert [request.header("authorization") for request in backend.requests] == [
        basic("first value"),
        basic("second value"),
    ]


# --- nothing that shows (HC-7) ----------------------------------------------------------------------------------------

CATALOGUE = Catalogue()
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zs", "Zl", "Zp"]), max_size=40)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
SECRETS, PRINTABLE = (kind.map("qZ7x{}".format) for kind in (SECRETS, PRINTABLE))
"""They begin with what stands nowhere else, as hypothesis likes to take words that stand somewhere in the code."""
TRIES = {
    "deadline": None,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


def forms(secret):
    """Return how a secret would look where somebody shows it."""
    encoded = secret.encode()
    shapes = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    shapes |= {quote(secret), quote(secret, safe=""), b64encode(encoded).decode()}
    return shapes | {b64encode(b"gateway:" + encoded).decode()}


def shown_in(secrets, *outputs):
    """Return which secret shows in which output."""
    return [
        (form, output)
        for secret in secrets
        for form in forms(secret)
        for output in outputs
        if form in output or form in "".join(output.split())
    ]


def holding(password, key, backend="http://127.0.0.1:1"):
    """A good document with two secrets."""
    return {
        "management": {"apps": ["health", "connections"]},
        "gateway": {"flow": [{"message-log": {}}]},
        "routes": [
            {
                "name": "all",
                "flow": [
                    {"auth": {"methods": [{"basic": {"users": {"ann": key}}}, {"api-key": {"keys": {"a": key}}}]}}
                ],
                "to": {"connection": "crm"},
            }
        ],
        "connections": {
            "crm": {
                "targets": backend,
                "headers": [{"set": "X-Secret-Key", "from": {"default": {"value": "plain"}}}],
                "auth": [{"basic": {"username": "gateway", "password": password}}, {"api-key": {"key": key}}],
            }
        },
    }


def misplaced(reference):
    """Documents in which a secret stands where it cannot be, so that it is in what an error would show."""
    good = holding("p", "k")
    crm = good["connections"]["crm"]
    yield {**good, "connections": {"crm": {**crm, "max_tries": reference}}}
    yield {**good, "connections": {"crm": {**crm, "targets": reference}}}
    yield {**good, "connections": {"crm": {**crm, "targets": f"http://{reference}"}}}
    yield {**good, "connections": {"crm": {**crm, "balancer": reference}}}
    yield {**good, "connections": {"crm": {**crm, "auth": [{"basic": {"username": f"{reference}:", "password": "p"}}]}}}
    yield {**good, "connections": {"crm": {**crm, "auth": [{"basic": {"username": "a", "passwort": reference}}]}}}
    yield {**good, "connections": {"crm": {**crm, "headers": [{"set": f"{reference} x", "from": "date"}]}}}
    yield {**good, "routes": [{"name": "a", "to": {"connection": reference}}]}
    yield {**good, "routes": [{"name": "a", "match": {"path": reference}, "flow": [reference]}]}
    yield {**good, "routes": [{"name": "a", "match": {"when": f"{reference} =="}, "flow": ["respond"]}]}
    yield {**good, "gateway": {"listen": [reference], "trusted_proxies": [reference]}}
    yield {**good, "secrets": {"file": {"root": reference, "rot": reference}}}


@settings(max_examples=25, **TRIES)
@given(secret=SECRETS | PRINTABLE)
@example(secret="pass'word \\\" ${env:X} %41")
@example(secret="Hunter2.Example.ORG")
def test_no_error_shows_a_secret_wherever_it_was_misplaced(secret, monkeypatch):
    """Nor does it show a word of it, where it is about that place."""
    monkeypatch.setenv("MISPLACED", secret)
    monkeypatch.setenv("PLAIN", "Zwölfundzwanzig")
    words = re.findall(r"\w{5,}", secret)
    for written in misplaced("${env:MISPLACED}"):
        plain = refusal(misplaced_like(written))
        told = refusal(written)

        assert not shown_in([secret], told)
        assert not [word for word in words if word in told and word not in plain]


def misplaced_like(written):
    """The same document with another value there, so that what its error says anyhow can be told apart."""
    return json.loads(json.dumps(written).replace("MISPLACED", "PLAIN"))


def refusal(written):
    try:
        asyncio.run(load(written, CATALOGUE))
    except ConfigError as error:
        return str(error)
    return ""  # as a name of a host many a value would do


@settings(max_examples=2, **TRIES)
@given(password=SECRETS, key=PRINTABLE)
@example(password="pass'word \\\" ${env:X} %41ß", key="k'ey\\\"%41&=;,")
def test_no_command_shows_a_secret(password, key, tmp_path, monkeypatch):
    monkeypatch.setenv("PASSWORD", password)
    monkeypatch.setenv("KEY", key)
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(holding("${env:PASSWORD}", "${env:KEY}")))
    outputs = []
    for arguments in (
        ["check", str(file)],
        ["routes", str(file), "--json"],
        ["simulate", str(file), "--request", "GET /a?x=1", "--header", f"X-API-Key: {key}"],
        ["simulate", str(file), "--request", "GET /a?x=1", "--header", f"X-API-Key: {key}", "--json"],
        ["schema"],
    ):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "1000"})
        assert (done.exit_code, done.exception) == (0, None)
        outputs.append(done.output)

    assert not shown_in([password, key], *outputs)
    assert "********" in outputs[3]


@settings(max_examples=2, **TRIES)
@given(password=SECRETS, key=PRINTABLE)
@pytest.mark.row("HC-7")
def test_no_page_and_no_log_of_a_running_gateway_shows_a_secret(password, key, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "hookgate")
    monkeypatch.setenv("PASSWORD", password)
    monkeypatch.setenv("KEY", key)
    with upstream() as backend:
        good = holding("${env:PASSWORD}", "${env:KEY}", backend.url)
        with running(good) as gate:
            assert gate.request("GET", "/a", headers={"X-API-Key": key}).status_code == 200
            wrong = gate.request("GET", "/a", headers={"X-API-Key": f"{key}x"})
            crm = {**good["connections"]["crm"], "max_tries": "${env:PASSWORD}"}
            with pytest.raises(ConfigError) as refused:
                gate.reload({**good, "connections": {"crm": crm}})
            pages = [
                httpx.get(f"{gate.management}/-/{page}", trust_env=False).text
                for page in ("health", "connections", "connections/crm", "connections?tag=x")
            ]
            told = [f"{gate.gateway.live.config!r} {gate.gateway.live.config.instances}", str(refused.value)]

    assert wrong.status_code == 401
    assert backend.requests[0].header("x-api-key") == key
    assert not shown_in([password, key], *pages, *told, wrong.text, str(wrong.headers), caplog.text)
