"""What the endpoints refuse, with the errors of RFC 6749, 7009 and 7662."""

import pytest

from hookgate_people import limits

from .town import PASSWORD, serving

FORM = "application/x-www-form-urlencoded"
ASKED = {"grant_type": "client_credentials"}
LOGIN = {"grant_type": "password", "username": "tom", "password": PASSWORD}


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"x": "y"}, 400, "invalid_request"),
        ({"grant_type": "nonsense"}, 400, "unsupported_grant_type"),
        ({"grant_type": 'a"b'}, 400, "invalid_request"),
        ({"grant_type": "grün"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "tom"}, 400, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, 400, "invalid_request"),
        (LOGIN | {"password": "wrong"}, 400, "invalid_grant"),
        (LOGIN | {"username": "nobody"}, 400, "invalid_grant"),
        (LOGIN | {"username": "x" * 1000}, 400, "invalid_grant"),
        (LOGIN | {"username": "nu\0l"}, 400, "invalid_grant"),
        (LOGIN | {"password": "x" * 5000}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "hgr_" + "x" * 43}, 400, "invalid_grant"),
        (ASKED | {"scope": " ".join(f"s{n}" for n in range(51))}, 400, "invalid_scope"),
        (ASKED | {"scope": "x" * 201}, 400, "invalid_scope"),
        (ASKED | {"scope": "a  b"}, 400, "invalid_scope"),
        (ASKED | {"scope": 'a"b'}, 400, "invalid_request"),
        (ASKED | {"scope": "x" * 5000}, 400, "invalid_request"),
        (ASKED | {f"p{n}": "x" for n in range(60)}, 400, "invalid_request"),
    ],
)
def test_a_request_that_is_wrong_is_told_so(gate, client, form, status, error):
    refused = gate.ask(client, **form)

    assert (refused.status_code, refused.json()["error"]) == (status, error), refused.text
    assert refused.headers["cache-control"] == "no-store"
    assert "wrong" not in refused.json()["error_description"] or "password" in refused.json()["error_description"]
    assert PASSWORD not in refused.text


@pytest.mark.parametrize(
    ("content", "kind", "query"),
    [
        (b"grant_type=client_credentials&grant_type=password", FORM, ""),
        (b'{"grant_type": "client_credentials"}', "application/json", ""),
        (b"grant_type=client_credentials", "text/plain", ""),
        (b"grant_type=client_credentials", FORM, "?grant_type=client_credentials"),
        (b"grant_type=client_credentials&client_secret=x", FORM, ""),
        (b"grant_type=client_credentials&x=%ff", FORM, ""),
        (b"grant_type=client_credentials&x=\xff", FORM, ""),
    ],
)
def test_what_is_ambiguous_or_no_form_is_refused(gate, client, content, kind, query):
    headers = {"content-type": kind}
    refused = gate.gate.request("POST", f"/token{query}", content=content, headers=headers, auth=tuple(client))

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request"), refused.text


def test_a_form_that_is_too_long_is_refused_and_other_methods_are_not_there(gate, client):
    long = gate.gate.request("POST", "/token", content=b"a=" + b"x" * 70000, headers={"content-type": FORM})

    assert long.status_code == 413
    for path in ("/token", "/revoke", "/introspect"):
        assert gate.gate.request("GET", path).status_code == 405


def test_a_parameter_without_a_value_counts_as_left_out(gate, client):
    assert gate.ask(client, grant_type="client_credentials", scope="").json()["scope"] == "default"
    assert gate.ask(client, grant_type="password", username="tom", password="").json()["error"] == "invalid_request"


@pytest.mark.parametrize("way", ["basic", "post"])
def test_a_client_shows_its_secret_in_the_header_or_in_the_form(gate, client, way):
    name, secret = client
    if way == "basic":
        assert gate.ask(client, **ASKED).status_code == 200
    else:
        assert gate.ask(None, **ASKED, client_id=name, client_secret=secret).status_code == 200


@pytest.mark.parametrize(
    ("path", "form"),
    [("/token", ASKED), ("/token", LOGIN), ("/revoke", {"token": "x"}), ("/introspect", {"token": "x"})],
)
def test_nobody_learns_which_clients_there_are(gate, client, path, form):
    name, secret = client
    ways = [
        gate.ask((name, "wrong"), path, **form),
        gate.ask(("nobody", secret), path, **form),
        gate.ask(("x" * 500, secret), path, **form),
        gate.ask((name, ""), path, **form),
        gate.ask(None, path, **form),
        gate.ask(None, path, **form, client_id=name),
        gate.ask(None, path, **form, client_id=name, client_secret="wrong"),
        gate.gate.request("POST", path, data=form, headers={"authorization": "Basic !!!"}),
        gate.gate.request("POST", path, data=form, headers={"authorization": "Bearer x"}),
    ]

    assert {each.status_code for each in ways} == {401}
    assert {each.text for each in ways} == {ways[0].text}
    assert ways[0].json()["error"] == "invalid_client"
    assert {each.headers["www-authenticate"] for each in ways} == {'Basic realm="hookgate"'}


def test_a_grant_that_a_client_has_not_is_unauthorized_client(gate):
    only = gate.client("client_credentials")

    refused = gate.ask(only, **LOGIN)
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    assert "refresh_token" not in gate.token(gate.client("password"))


def test_a_grant_that_is_not_there_is_unsupported(tmp_path):
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}", keymanager="grants: [client_credentials]") as made:
        client = made.client()
        assert made.ask(client, **LOGIN).json()["error"] == "unsupported_grant_type"
        assert made.ask(client, **ASKED).status_code == 200


def test_who_guesses_secrets_is_slowed_down(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MOST", 30)
    with serving(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as made:
        client = made.client()
        guesses = [made.ask((client[0], f"guess {number}"), **ASKED).status_code for number in range(40)]
        assert guesses == [401] * 30 + [429] * 10
        right = made.ask(client, **ASKED)
        assert (right.status_code, right.json()["error"]) == (429, "temporarily_unavailable")
        assert int(right.headers["retry-after"]) <= 61


def test_introspection_tells_a_client_about_its_own_tokens_only(gate, client):
    other = gate.client()
    told = gate.token(client, scope="news_read")

    shown = gate.ask(client, "/introspect", token=told["access_token"]).json()
    assert (shown["active"], shown["scope"], shown["username"], shown["client_id"]) == (
        True,
        "news_read",
        "tom",
        client[0],
    )
    assert shown["exp"] - shown["iat"] in (3600, 3601)
    assert gate.ask(client, "/introspect", token=told["refresh_token"]).json()["token_type"] == "refresh_token"
    assert gate.ask(other, "/introspect", token=told["access_token"]).json() == {"active": False}
    assert gate.ask(client, "/introspect", token="nonsense").json() == {"active": False}
    assert gate.ask(client, "/introspect").json()["error"] == "invalid_request"
    gate.ask(client, "/revoke", token=told["access_token"])
    assert gate.ask(client, "/introspect", token=told["access_token"]).json() == {"active": False}


def test_secrets_stand_in_no_log_and_no_table(gate, client):
    told = gate.token(client, scope="news_read")
    gate.call(told["access_token"])

    lines = [record.getMessage() for record in gate.gate.log]
    kept = b"".join(path.read_bytes() for path in gate.folder.glob("store.db*"))
    for secret in (client[1], PASSWORD, told["access_token"], told["refresh_token"]):
        assert not [line for line in lines if secret in line]
        assert secret.encode() not in kept
