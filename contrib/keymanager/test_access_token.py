"""The step that looks at access tokens wherever they stand (FL-45)."""

import pytest

from .town import serving

LOCATIONS = {
    "header": {"header", "bearer"},
    "cookie": {"cookie"},
    "header-or-cookie": {"header", "bearer", "cookie"},
    "query": {"query"},
    "any": {"header", "bearer", "cookie", "query"},
}
ROUTES = "".join(
    f"  - {{name: {each}, match: {{path: /{each}}}, to: {{connection: backend}}, "
    f"flow: [{{access-token: {{name: x-token, location: {each}}}}}]}}\n"
    for each in LOCATIONS
)
MORE = """\
  - name: granted
    match: {path: /granted}
    flow: [{access-token: {grant_types: [password], error: text}}]
    to: {connection: seen}
  - {name: kept, match: {path: /kept}, flow: [{access-token: {location: any, hide: false}}], to: {connection: backend}}
  - {name: plain, match: {path: /plain}, flow: [{access-token: {name: Authorization}}], to: {connection: backend}}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory, backend):
    folder = tmp_path_factory.mktemp("gate")
    with serving(folder, f"sqlite:///{folder / 'store.db'}", backend.url, routes=ROUTES + MORE) as made:
        yield made


@pytest.fixture(scope="module")
def client(gate):
    return gate.client()


@pytest.fixture(scope="module")
def token(gate, client):
    return gate.token(client)["access_token"]


def call(gate, path, token, *places):
    """Call with a token in places."""
    lines = {
        "header": ("X-Token", token),
        "bearer": ("Authorization", f"bearer {token}"),
        "cookie": ("Cookie", f"a=b; x-token={token}; c=d"),
    }
    query = f"?a=b&x-token={token}" if "query" in places else "?a=b"
    headers = [lines[place] for place in places if place in lines]
    return gate.gate.request("GET", f"/{path}{query}", headers=headers)


@pytest.mark.row("FL-45")
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_token_is_taken_where_it_may_stand_and_nowhere_else(gate, token, backend, location):
    for place in ("header", "bearer", "cookie", "query"):
        before = len(backend.requests)
        told = call(gate, location, token, place)
        assert told.status_code == (200 if place in LOCATIONS[location] else 401), place
        assert len(backend.requests) == before + (told.status_code == 200)
        if told.status_code == 200:
            asked = backend.requests[-1]
            assert token not in f"{asked.target} {asked.headers}"
            assert "a=b" in asked.target


@pytest.mark.row("FL-45")
def test_a_refusal_is_401_in_json_or_in_words(gate, token):
    for shown, error in ((None, "invalid_request"), ("hga_wrong", "invalid_token")):
        refused = call(gate, "header", shown, *(["header"] if shown else []))
        assert (refused.status_code, refused.json()["error"]) == (401, error)
        assert refused.headers["content-type"].startswith("application/json")
        assert ('error="invalid_token"' in refused.headers["www-authenticate"]) == bool(shown)
    text = gate.call("hga_wrong", "/granted")
    assert text.status_code == 401
    assert text.headers["content-type"].startswith("text/plain")
    assert text.text == "The access token is not good, or not any more."


@pytest.mark.row("FL-45")
def test_a_token_may_have_to_be_of_a_grant(gate, client, token, backend):
    assert gate.call(token, "/granted").status_code == 200
    assert backend.requests[-1].header("x-who") == f"tom newsroom {client[0]} application-user production"
    own = gate.token(client, grant_type="client_credentials")["access_token"]
    assert gate.call(own, "/granted").status_code == 401
    first = gate.token(client)
    again = gate.token(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert gate.call(again["access_token"], "/granted").status_code == 200  # of the grant that the first one was


def test_a_token_that_is_there_twice_is_none(gate, token, backend):
    before = len(backend.requests)
    for places in (("header", "bearer"), ("header", "cookie"), ("cookie", "query")):
        assert call(gate, "any", token, *places).status_code == 401
    lines = [("X-Token", token), ("X-Token", token)]
    assert gate.gate.request("GET", "/header", headers=lines).status_code == 401
    assert len(backend.requests) == before


def test_a_token_may_be_left_to_the_backend_and_the_header_may_be_authorization(gate, token, backend):
    assert gate.gate.request("GET", f"/kept?access_token={token}").status_code == 200
    assert backend.requests[-1].target == f"/kept?access_token={token}"
    assert gate.call(token, "/plain").status_code == 200
    assert backend.requests[-1].header("authorization") is None
    assert gate.gate.request("GET", "/plain", headers={"authorization": token}).status_code == 401
