"""Nodes without a way to the database: they follow another gateway by HTTP, and are counted by `?wait=live`."""

import json
import os
import socket
import time
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contrib.prepared import prepare
from hookgate import ConfigError
from hookgate.gateway import Gateway
from hookgate.testing import running, upstream
from hookgate_authoring.conformance import conformance
from hookgate_management import following
from hookgate_management.far import RemoteStore, RemoteStoreOptions
from hookgate_management.following import LONGEST_WAIT
from hookgate_storage import Change, Keys, Object, digest, open_store
from hookgate_storage.sealing import new_key

from .served import DOCUMENT, serving, written_in

TOKEN = "token-of-far"
SECRET = "the-secret-that-travels"
FAR = """\
gateway: {listen: ["127.0.0.1:0"], lame_duck: 0}
management: {listen: ["127.0.0.1:0"], apps: [health, management: {callers: {ann: {token: token-of-ann}}}]}
routes:
  - {name: mine, match: {path: /mine}, flow: [{respond: {body: mine}}]}
"""
BY_VARIABLE = {"name": "r", "match": {"path": "/r"}, "flow": [{"respond": {"body": "${variable:BODY}"}}]}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def own_address():
    """Return an address of this machine that others could have; nothing where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        found = asked.getsockname()[0]
        return "" if ip_address(found).is_loopback else found


def near_document(port, host="127.0.0.1"):
    listen = f'management:\n  listen: ["{host}:{port}"]'
    far = f"far: {{token: {TOKEN}, permissions: [follow]}}\n          eve:"
    return DOCUMENT.replace('management:\n  listen: ["127.0.0.1:0"]', listen).replace("eve:", far)


@contextmanager
def far_node(folder, port, token=TOKEN, **options):
    said = {"url": f"http://127.0.0.1:{port}", "token": token, "node": "island", "pause": "100ms", "wait": 2, **options}
    environ = {**os.environ, "HOOKGATE_SOURCE": "remote-store", "HOOKGATE_SOURCE_OPTIONS": json.dumps(said)}
    with serving(folder, "", FAR, ready=False, environ={**environ, "PYTHONUNBUFFERED": "1"}) as served:
        yield served


def storage(served):
    return served.health()["plugins"]["sections.storage"]


def until(true, seconds=60):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)  # there is no event to wait for from outside


def test_a_far_node_serves_what_is_written_is_counted_and_lives_on_alone(tmp_path, database_url):
    port, near, island = free_port(), tmp_path / "near", tmp_path / "island"
    near.mkdir()
    island.mkdir()
    with serving(near, database_url, near_document(port, "0.0.0.0"), references=["env:HOME"]) as gate:
        with far_node(island, port) as far:
            assert far.get("/mine").text == "mine"
            gate.call("PUT", "/objects/variables/BODY", {"secret": SECRET})
            written = gate.call("PUT", "/objects/routes/r?wait=live", BY_VARIABLE).json()
            nodes = {each["node"]: each for each in written["nodes"]}
            assert (written["live"], len(nodes), nodes["far/island"]["digest"]) == (True, 2, written["digest"]), written
            assert (gate.get("/r").text, far.get("/r").text) == (SECRET, SECRET)

            # what may be there, and not here, is left out here, and told
            home = {"name": "h", "match": {"path": "/h"}, "flow": [{"respond": {"body": "${env:HOME}"}}]}
            told = gate.call("PUT", "/objects/routes/h?wait=live", home).json()
            rejected = {each["node"]: [bad["name"] for bad in each["rejected"]] for each in told["nodes"]}
            assert (told["live"], rejected["far/island"]) == (True, ["h"]), told
            assert (gate.get("/h").status_code, far.get("/h").status_code) == (200, 404)
            here = far.call("PUT", "/objects/routes/r", BY_VARIABLE)
            assert (here.status_code, here.json()["type"]) == (409, "urn:hookgate:problem:far-node")

        # who is a node
        assert gate.call("GET", "/follow").status_code == 403, "an administrator is none"
        assert gate.call("GET", "/follow", token="nobody").status_code == 401
        assert gate.call("GET", "/objects/routes", token=TOKEN).status_code == 403, "and a node is nothing else"
        assert gate.call("PUT", "/objects/routes/r", BY_VARIABLE, token=TOKEN).status_code == 403
        if own := own_address():
            told = httpx.get(f"http://{own}:{port}/-/api/follow", headers={"Authorization": f"Bearer {TOKEN}"})
            assert (told.status_code, told.json()["type"]) == (403, "urn:hookgate:problem:plain-http")
        assert gate.call("GET", "/follow?format=2", token=TOKEN).json()["type"] == "urn:hookgate:problem:format"

    # nobody answers: it starts from its snapshot, which is sealed, and says so
    kept = written_in(island)
    assert not [name for name, data in kept.items() if SECRET.encode() in data or TOKEN.encode() in data]
    assert (island / "hookgate-store.snapshot").stat().st_mode & 0o077 == 0
    with far_node(island, port) as far:
        assert (far.get("/r").text, far.health()["status"]) == (SECRET, "degraded")
        assert "the store is away, and the last snapshot serves" in storage(far)["problems"]
        with serving(near, database_url, near_document(port), ready=False, references=["env:HOME"]) as gate:
            until(lambda: storage(far)["problems"] == ["the stored object routes/h is left out"])
            again = gate.call("PUT", "/objects/variables/BODY?wait=live", {"value": "again"}).json()
            assert (again["live"], far.get("/r").text) == (True, "again")
        until(lambda: "does not answer" in str(storage(far)["problems"]))
        assert far.get("/r").text == "again"
        assert SECRET not in "".join(far.lines)


def test_who_waits_for_news_is_answered_when_the_gateway_is_about_to_stop(tmp_path):
    port = free_port()
    document = near_document(port).replace("lame_duck: 0", "lame_duck: 0, shutdown_timeout: 5")
    with (
        serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", document) as gate,
        closing(HTTPConnection("127.0.0.1", port, timeout=120)) as waiting,
    ):
        head = gate.call("GET", "/follow", token=TOKEN).json()["generation"]
        asked = f"after={head['number']}&digest={head['digest']}&wait={LONGEST_WAIT}"
        waiting.request("GET", f"/-/api/follow?{asked}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert gate.call("GET", "/follow", token=TOKEN).status_code == 200  # so what was sent before is being waited on
        gate.process.terminate()
        told = waiting.getresponse()
        assert (told.status, json.loads(told.read())["generation"]) == (200, head)


async def made(url):
    await prepare(url)
    return await open_store(url, Keys.written(new_key()))


async def test_who_is_a_little_behind_gets_changes_and_who_is_far_behind_or_knows_another_past_gets_all(
    database_url, monkeypatch
):
    store = await made(database_url)
    try:
        for n in range(4):
            await store.write([Change("connections", f"c{n % 2}", {"targets": f"http://{n}"})], "ann")
        head = await store.write([Change("connections", "c0", None)], "ann")
        some = await following.news(store, 3, head)
        assert [(each["name"], each["body"], each["version"]) for each in some["changes"]] == [
            ("c1", {"targets": "http://3"}, 2),
            ("c0", None, 3),
        ]
        assert "changes" not in await following.news(store, 0, head)
        everything = await following.news(store, 99, head)
        assert [each["name"] for each in everything["objects"]] == ["c1"]
        monkeypatch.setattr(following, "MOST_GENERATIONS", 1)
        assert "objects" in await following.news(store, 3, head)
        monkeypatch.setattr(following, "MOST_GENERATIONS", 200)
        monkeypatch.setattr(following, "MOST_CHANGES", 1)
        assert "objects" in await following.news(store, 3, head)
    finally:
        await store.close()


KEY = b"k" * 32
ROUTE = {"name": "x", "match": {"path": "/x"}, "flow": [{"respond": {}}]}


def told(number=1, version=1, body=ROUTE, **more):
    share = digest.share(KEY, "routes", "x", version, digest.canonical(body))
    head = {"number": number, "at": 0.0, "author": "", "comment": "", "digest": digest.shown(share), "count": 1}
    held = asdict(Object("routes", "x", body, version, number, "list"))
    return {"format": 1, "secret": KEY.hex(), "generation": head, "objects": [held], **more}


def source(tmp_path, url, **more):
    options = {"url": url, "token": TOKEN, "pause": 0.05, "wait": 0, "key": tmp_path / "far.key", **more}
    return RemoteStore(RemoteStoreOptions.model_validate(options))


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (401, b'{"detail": "Show the token of a caller."}', "answers 401: Show the token of a caller."),
        (403, b'{"detail": "eve is no node."}', "answers 403: eve is no node."),
        (409, b'{"detail": "update the older."}', "update the older."),
        (200, b'{"format": 2, "generation": {}}', "is of another version of hookgate"),
        (200, b"<html>", "answers 200"),
        (200, b"[]", "answers 200"),
        (200, b'{"format": 1, "generation": {"number": 1}}', "names no generation"),
        (200, json.dumps(told(objects=[{}])).encode(), "nothing that a node reads"),
        (200, json.dumps(told(secret="zz")).encode(), "nothing that a node reads"),
        (200, json.dumps(told() | {"objects": []}).encode(), "is not what its generation says"),
        (200, json.dumps(told(version=1) | {"secret": "00"}).encode(), "is not what its generation says"),
        (302, b"", "answers 302"),
        (200, b"1" * 5000, "answers more than 1,000 bytes"),
    ],
)
async def test_what_cannot_be_followed_is_told_and_nothing_of_it_is_served(tmp_path, monkeypatch, status, answer, why):
    if b"1111" in answer:
        monkeypatch.setattr("hookgate_management.far.MOST", 1000)
    with upstream(lambda _: (status, {"location": "/elsewhere"}, answer)) as near:
        with pytest.raises(ConfigError) as refused:
            await source(tmp_path, near.url).read()
    assert (why in str(refused.value), TOKEN in str(refused.value)) == (True, False), refused.value
    assert not (tmp_path / "hookgate-store.snapshot").exists()


async def test_a_wrong_digest_is_asked_anew_as_a_whole_and_what_was_served_stays_until_it_is_right(tmp_path):
    answers, asked = [told()], []

    def answer(request):
        asked.append(request.query)
        return 200, {}, json.dumps(answers[min(len(asked), len(answers)) - 1]).encode()

    with upstream(answer) as near:
        far = source(tmp_path, near.url)
        assert [each["name"] for each in (await far.read())["routes"]] == ["x"]
        other = {**ROUTE, "flow": [{"respond": {"status": 204}}]}
        change = {"kind": "routes", "name": "x", "body": ROUTE, "shape": "list", "version": 2, "generation": 2}
        wrong = {name: each for name, each in told(2, 2, other).items() if name != "objects"} | {"changes": [change]}
        answers += [wrong, told(2, 2, other)]
        assert (await far.read())["routes"] == [other]
        assert "after=1" in asked[1]
        assert "after" not in asked[2], "everything, since the changes do not come to the digest"
        answers += [told(3, 3) | {"objects": []}] * 2
        assert (await far.read())["routes"] == [other], "what it has serves on"
        answers += [told(4, 4)]
        await far.changed()
        assert (await far.read())["routes"] == [ROUTE]
        answers += [{"error": 1}]
        again = source(tmp_path, near.url)
        assert (await again.read())["routes"] == [ROUTE], "from the snapshot"
        with pytest.raises(ConfigError, match="was sealed with a key"):
            await source(tmp_path, near.url, key=_other_key(tmp_path)).read()


@pytest.mark.parametrize("app", [False, True])
async def test_people_of_the_other_gateway_are_not_asked_here_and_what_would_is_told_while_it_is_loaded(tmp_path, app):
    staff = {"inbound": {"people": {}}}
    stored = asdict(Object("profiles", "staff", staff, 1, 1, "names"))
    share = digest.share(KEY, "profiles", "staff", 1, digest.canonical(staff))
    head = {"number": 1, "at": 0.0, "author": "", "comment": "", "digest": digest.shown(share), "count": 1}
    answer = {"format": 1, "secret": KEY.hex(), "generation": head, "objects": [stored]}
    file = tmp_path / "gateway.yaml"
    file.write_text("management: {apps: [management]}" if app else "routes: [{name: all, flow: [{respond: {}}]}]")
    with upstream(lambda _: (200, {}, json.dumps(answer).encode())) as near:
        far = Gateway(source(tmp_path, near.url, path=file))
        if app:
            told = r"gateway\.yaml:1:\d+: management\.apps\[0\].*and this gateway follows that of another"
            with pytest.raises(ConfigError, match=told):
                await far.check()
            return
        served = (await far.check()).sections["storage"].served
        [bad] = served.rejected
        assert (bad["kind"], bad["name"], served.shown) == ("profiles", "staff", ())
        assert "this gateway follows that of another one" in bad["why"]


async def test_what_this_node_cannot_load_is_left_out_and_the_rest_is_served(tmp_path):
    odd = {**ROUTE, "flow": [{"not-here": {}}]}
    with upstream(lambda _: (200, {}, json.dumps(told(body=odd)).encode())) as near:
        file = tmp_path / "gateway.yaml"
        file.write_text("routes: [{name: all, flow: [{respond: {}}]}]")
        checked = await Gateway(source(tmp_path, near.url, path=file)).check()
    served = checked.sections["storage"].served
    assert [(bad["kind"], bad["name"]) for bad in served.rejected] == [("routes", "x")]
    assert "not-here" in served.rejected[0]["why"]
    assert ([route.name for route in checked.routes], served.teller is None) == (["all"], False)


def _other_key(tmp_path):
    key = tmp_path / "other.key"
    Keys.in_file(key, make=True)
    return key


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "near")]), datetime.now(UTC)
    made_of = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made_of = made_of.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made_of.add_extension(here, critical=False).sign(key, hashes.SHA256())
    (folder / "near.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "near.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
    return {"certificate": str(folder / "near.pem"), "key": str(folder / "near.key")}


async def test_over_tls_the_gateway_is_who_its_certificate_says_or_nothing_is_sent(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    document = {
        "gateway": {"listen": ["https://127.0.0.1:0"], "tls": {"certificates": [certificate(tmp_path)]}},
        "routes": [{"name": "api", "match": {"path": "/-/api/*"}, "to": {"connection": "management"}}],
    }
    with upstream(lambda _: (200, {}, json.dumps(told()).encode())) as near:
        document["connections"] = {"management": {"targets": near.url}}
        with running(document) as gate:
            more = {"token": None, "token_file": token}
            trusting = source(tmp_path, gate.url, ca_file=tmp_path / "near.pem", **more)
            assert [each["name"] for each in (await trusting.read())["routes"]] == ["x"]
            (tmp_path / "hookgate-store.snapshot").unlink()
            seen = len(near.requests)
            with pytest.raises(ConfigError, match="certificate"):
                await source(tmp_path, gate.url, **more).read()
            assert len(near.requests) == seen


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://gate.example", "token": TOKEN},
        {"url": "http://10.0.0.5:8001", "token": TOKEN},
        {"url": "https://joe:x@gate.example", "token": TOKEN},
        {"url": "gate.example", "token": TOKEN},
        {"url": "https://gate.example"},
        {"url": "https://gate.example", "token": TOKEN, "token_file": "x"},
    ],
)
def test_what_would_show_secrets_to_others_is_refused(options):
    with pytest.raises(ValueError, match=r"https|token and token_file"):
        RemoteStoreOptions.model_validate(options)


def test_conformance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    conformance(RemoteStore, options={"url": "https://127.0.0.1:9", "token": TOKEN})
    assert not list(tmp_path.iterdir())
