"""Options may be written as other systems call them: the document loads, and `check` says what they are called here."""

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document.document import parse
from hookgate.testing import running, upstream

from .test_connections_attacked import until

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])

DOCUMENT = """
gateway: {lane: LANE}
routes:
  - name: users
    match: {path: /users}
    to: {session_holder: crm}
  - name: asking
    match: {path: /asking}
    flow:
      - callout: {session_holder: hosts, url: /callout, name: said}
      - respond: {body: "asked"}
  - name: sent
    match: {path: /sent}
    flow:
      - destination: {session_holder: hosts}
    to: {session_holder: crm}
apis:
  - name: shop
    base_path: /shop
    to: {session_holder: hosts}
    resources:
      - path: /items
        operations:
          GET: {to: {session_holder: crm}}
connections:
  crm:
    location: MAIN
    backup_urls: [BACKUP]
    max_tries: 2
    health_check_url: MAIN/health?deep=1
    auth:
      - oauth2: {login_url: MAIN/token, grant_type: password, username: u, password: p}
  hosts:
    targets:
      - {location: MAIN, weight: 2}
"""
WORDS = [
    (6, "session_holder", "connection"),
    (10, "session_holder", "connection"),
    (15, "session_holder", "connection"),
    (16, "session_holder", "connection"),
    (20, "session_holder", "connection"),
    (24, "session_holder", "connection"),
    (27, "location", "targets"),
    (28, "backup_urls", "backups"),
    (30, "health_check_url", "monitor"),
    (32, "login_url", "token_endpoint"),
    (32, "grant_type", "grant"),
    (35, "location", "url"),
]


def answering(request):
    if request.path == "/token":
        return 200, {"content-type": "application/json"}, '{"access_token": "t", "token_type": "bearer"}'
    return 200, {"x-backend": "main"}, "fine"


def written(main, backup, lane="true", text=DOCUMENT):
    return text.replace("MAIN", main).replace("BACKUP", backup).replace("LANE", lane)


def check(folder, text):
    (folder / "gateway.yaml").write_text(text)
    done = CliRunner().invoke(app, ["check", str(folder / "gateway.yaml")])
    if isinstance(done.exception, ConfigError):
        return 2, str(done.exception)
    return done.exit_code, done.output


@BOTH
def test_a_document_in_the_words_of_others_does_what_it_does_in_ours(lane):
    with upstream(answering) as main, upstream(lambda request: (200, {}, "backup")) as backup:
        document = parse(written(main.url, backup.url, str(lane).lower()).encode(), "gateway.yaml")
        with running(dict(document)) as gate:
            until(lambda: any(request.path == "/health" for request in main.requests))
            answers = [gate.request("GET", path).text for path in ("/users", "/asking", "/sent", "/shop/items")]
            warned = [record.getMessage() for record in gate.log if "here; write" in record.getMessage()]

    assert answers == ["fine", "asked", "fine", "fine"]
    assert next(r.query for r in main.requests if r.path == "/health") == "deep=1"
    assert [r.header("authorization") for r in main.requests if r.path in ("/users", "/items")] == ["Bearer t"] * 2
    assert [r.path for r in main.requests if r.path in ("/callout", "/sent")] == ["/callout", "/sent"]
    assert b"grant_type=password" in next(r.body for r in main.requests if r.path == "/token")
    assert len(warned) == len(WORDS)
    assert backup.requests == [] or {r.path for r in backup.requests} == {"/health"}


def test_check_tells_each_word_with_its_place_and_ours(tmp_path):
    code, told = check(tmp_path, written("http://127.0.0.1:1", "http://127.0.0.1:2", "true"))
    lines = [line for line in told.splitlines() if "here; write" in line]

    assert code == 0, told
    assert len(lines) == len(WORDS)
    for line, word, ours in WORDS:
        (found,) = [each for each in lines if f"gateway.yaml:{line}:" in each and f".{word}: " in each]
        assert f"here; write {ours}" in found


@pytest.mark.parametrize(
    ("ours", "others", "told"),
    [
        ("to: {connection: crm", "to: {session_holder: crm", "session_holder: session_holder is called connection"),
        ("location: MAIN", "targets: MAIN", "location is called targets here, which stands here, too"),
        ("backup_urls: [BACKUP]", "backups: [BACKUP]", "backup_urls is called backups here, which stands here, too"),
        ("{location: MAIN,", "{url: MAIN,", "location is called url here, which stands here, too"),
        ("grant_type: password", "grant: password", "grant_type is called grant here, which stands here, too"),
    ],
)
def test_both_words_at_once_are_refused(tmp_path, ours, others, told):
    if "session" in others:
        text = DOCUMENT.replace(others, f"{ours}, session_holder: crm", 1)
    else:
        separator = ", " if "," in ours or "grant" in ours else "\n    "
        text = DOCUMENT.replace(ours, ours.rstrip(",") + separator + others.lstrip("{"), 1)
    code, said = check(tmp_path, written("http://127.0.0.1:1", "http://127.0.0.1:2", "true", text))

    assert code == 2, said
    assert told in said


@pytest.mark.parametrize(
    ("written_so", "instead", "place"),
    [
        (
            "to: {session_holder: crm}",
            "to: {session_holder: nobody}",
            "gateway.yaml:6:26: routes[0].to.session_holder: ",
        ),
        ("location: MAIN\n", "location: MAIN/path\n", "gateway.yaml:27:15: connections.crm.location"),
        ("backup_urls: [BACKUP]", "backup_urls: [7]", "gateway.yaml:28:19: connections.crm.backup_urls[0]"),
        ("MAIN/health?deep=1", "http://elsewhere/health", "gateway.yaml:30:23: connections.crm.health_check_url: each"),
        ("grant_type: password", "grant_type: nonsense", "auth[0].oauth2.grant_type"),
        ("login_url: MAIN/token", "login_url: /token", "auth[0].oauth2.login_url"),
        ("location: MAIN, weight", "location: MAIN/x, weight", "connections.hosts.targets[0].location"),
    ],
)
def test_what_is_wrong_behind_such_a_word_is_told_with_its_place(tmp_path, written_so, instead, place):
    assert written_so in DOCUMENT
    text = DOCUMENT.replace(written_so, instead, 1)
    code, told = check(tmp_path, written("http://127.0.0.1:1", "http://127.0.0.1:2", "true", text))

    assert code == 2, told
    assert place in told


@pytest.mark.parametrize("path", ["/health", "MAIN/health", "MAIN"])
def test_a_url_to_check_may_be_a_path_or_one_of_a_target(path):
    with upstream() as main:
        connection = {"targets": main.url, "health_check_url": path.replace("MAIN", main.url)}
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": connection},
        }
        with running(document) as gate:
            until(lambda: main.requests)
            until(lambda: gate.gateway.connection("crm").targets[0].health.reason == "answered 200")
    assert main.requests[0].path == ("/" if path == "MAIN" else "/health")


def test_our_own_words_are_not_warned_of(tmp_path):
    text = "routes: [{name: all, to: {connection: crm}}]\nconnections: {crm: {targets: 'http://127.0.0.1:1'}}\n"
    code, told = check(tmp_path, text)

    assert (code, "here; write" in told) == (0, False)
    with (
        pytest.raises(ConfigError, match="there is no option 'sesion_holder'; there is connection"),
        running({"routes": [{"name": "all", "to": {"sesion_holder": "crm"}}]}),
    ):
        pass
