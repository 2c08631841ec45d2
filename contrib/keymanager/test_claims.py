"""What other systems say of users, in their tokens (AC-45)."""

import json
import threading

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from hookgate import ConfigError
from hookgate.testing import running, upstream

from .town import serving

SOURCE = (
    "{http: {connection: directory, path: '/users/{username}?all=yes', timeout: 20s, "
    "claims: {phone: telephone, mails: mail, level: level}}}"
)
SECTION = f'issuer: "https://login.example", claims: [{SOURCE}]'
ROUTE = "  - {name: said, match: {path: /said}, flow: [{oauth: {}}], to: {connection: phone}}\n"
MORE = '  directory: {targets: "TOWN"}\n'


class Directory:
    """What a system outside knows of users."""

    def __init__(self):
        self.known = {}
        self.say = None
        self.hold = None

    def answer(self, request):
        if self.hold is not None:
            self.hold.wait(30)
        if self.say is not None:
            return self.say
        name = request.path.split("?")[0].rpartition("/")[2]
        return (200, {}, json.dumps(self.known[name])) if name in self.known else (404, {}, "{}")


@pytest.fixture(scope="module")
def directory():
    made = Directory()
    with upstream(made.answer) as served:
        made.served = served
        yield made


@pytest.fixture(autouse=True)
def fresh(directory):
    directory.known = {"tom": {"telephone": "1", "mail": ["tom@a.example"], "secret": "x", "level": 3}}
    directory.say = directory.hold = None


def connections(directory, backend):
    seen = "headers: [{set: X-Phone, from: {expression: {value: \"claims.phone + ''\"}}}]"
    return MORE.replace("TOWN", directory.served.url) + f'  phone: {{targets: "{backend.url}", {seen}}}\n'


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend, directory):
    folder = tmp_path_factory.mktemp("claims")
    url = f"sqlite:///{folder / 'store.db'}"
    more = connections(directory, backend)
    with serving(folder, url, backend.url, keymanager=SECTION, routes=ROUTE, more=more) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client(format="jwt")


def said(gate, token):
    keys = KeySet.import_key_set(gate.gate.request("GET", "/jwks").json())
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


@pytest.mark.row("AC-45")
def test_a_refresh_asks_again_so_that_a_changed_phone_number_is_in_the_new_token(gate, client, directory, backend):
    first = gate.token(client)
    claims = said(gate, first["access_token"])
    assert (claims["phone"], claims["mails"], claims["level"]) == ("1", ["tom@a.example"], 3)
    assert not {"secret", "telephone"} & claims.keys()
    assert directory.served.requests[-1].target == "/users/tom?all=yes"

    directory.known["tom"]["telephone"] = "2"
    second = gate.token(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert said(gate, second["access_token"])["phone"] == "2"
    assert said(gate, first["access_token"])["phone"] == "1"
    assert gate.call(second["access_token"], "/said").status_code == 200
    assert backend.requests[-1].header("x-phone") == "2"


@pytest.mark.row("AC-45")
def test_an_opaque_token_says_it_too(gate, directory, backend):
    client = gate.client()
    token = gate.token(client)["access_token"]

    assert gate.call(token, "/said").status_code == 200
    assert backend.requests[-1].header("x-phone") == "1"
    assert gate.ask(client, "/introspect", token=token).json()["phone"] == "1"
    kept = b"".join(path.read_bytes() for path in gate.folder.glob("store.db*") if path.is_file())
    assert b"tom@a.example" not in kept


def test_of_somebody_it_does_not_know_and_of_an_application_it_says_nothing(gate, client, directory):
    assert "phone" not in said(gate, gate.token(client, username="john")["access_token"])
    before = len(directory.served.requests)
    assert "phone" not in said(gate, gate.token(client, grant_type="client_credentials")["access_token"])
    assert len(directory.served.requests) == before


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, "{}"),
        (302, {"location": "/"}, "{}"),
        (200, {}, "[1]"),
        (200, {}, "{"),
        (200, {}, json.dumps({"telephone": "x" * 5000})),
        (200, {}, json.dumps({"other": "x" * 70000})),
    ],
)
def test_while_a_source_says_nothing_there_is_no_token_and_a_refresh_token_is_not_used_up(
    gate, client, directory, answer
):
    told = gate.token(client)
    directory.say = answer
    refreshing = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}

    refused = gate.ask(client, **refreshing)
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    directory.say = None
    assert said(gate, gate.token(client, **refreshing)["access_token"])["phone"] == "1"


def test_a_source_that_takes_too_long_is_not_waited_for_and_one_that_is_not_required_is_gone_without(
    tmp_path, backend, directory
):
    section = SECTION.replace("timeout: 20s", "timeout: 100ms, required: false")
    more = connections(directory, backend)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with serving(tmp_path, url, backend.url, keymanager=section, routes=ROUTE, more=more) as made:
        client = made.client(format="jwt")
        directory.hold = threading.Event()
        try:
            told = made.token(client)
        finally:
            directory.hold.set()
        assert "phone" not in said(made, told["access_token"])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("phone: telephone", "sub: telephone", "'sub' is what the gateway says"),
        ("phone: telephone", "roles: telephone", "'roles' is what the gateway says"),
        ("/users/{username}?all=yes", "/users/all", "a path with"),
        ("/users/{username}?all=yes", "https://evil.example/{username}", "a path with"),
        ("connection: directory", "connection: nowhere", "nowhere"),
    ],
)
def test_a_source_that_is_wrong_is_refused_with_the_document(old, new, why):
    section = {"connection": "directory", "path": "/users/{username}?all=yes", "claims": {"phone": "telephone"}}
    text = json.dumps(section)
    for before, after in ((old, new), (old.replace(": ", '": "'), new.replace(": ", '": "'))):
        text = text.replace(before, after)
    document = {"keymanager": {"claims": [{"http": json.loads(text)}]}, "connections": {}}
    document["connections"]["directory"] = {"targets": "http://127.0.0.1:9"}
    with pytest.raises(ConfigError, match=why), running(document):
        pass
