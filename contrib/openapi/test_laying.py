"""A description laid under one's own document: the example of the page, and what is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookgate import ConfigError
from hookgate.commands import app
from hookgate.document import parse
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
EXAMPLES = Path(__file__).parent / "examples"
ANN = ("ann", "s3cret")


@pytest.fixture
def lay(tmp_path):
    """Import a description under an own document; return the document, or the mistakes."""

    def run(own=None, description=None, *options):
        files = {}
        for name, text in (("own", own), ("petstore", description)):
            files[name] = tmp_path / f"{name}.yaml"
            files[name].write_text(text if text is not None else (EXAMPLES / f"{name}.yaml").read_text())
        output = tmp_path / "gateway.yaml"
        arguments = [str(files["petstore"]), "--under", str(files["own"]), "-o", str(output), "--force", *options]
        done = CliRunner().invoke(app, ["openapi", "import", *arguments])
        if isinstance(done.exception, ConfigError):
            return [(Path(each.file).name, each.line, each.message) for each in done.exception.problems]
        assert done.exit_code == 0, done.output
        return dict(parse(output.read_bytes(), "gateway.yaml"))

    return run


@BOTH
def test_the_example_runs_and_stays_when_a_new_version_comes(lane, lay, monkeypatch):
    monkeypatch.setenv("ANN_PASSWORD", ANN[1])
    text = (EXAMPLES / "petstore.yaml").read_text()
    newer = (
        text.replace("title: Pet Store", "title: Pet Shop")
        .replace("maximum: 100", "maximum: 5")
        .replace("operationId: findPet", "operationId: getPet")
    )
    newer = newer.replace(
        "  /pets/{id}:\n", "  /vets:\n    get: {responses: {'200': {description: Vets}}}\n  /pets/{id}:\n"
    )
    with upstream() as backend:

        def served(description):
            document = lay(description=description)
            document["connections"]["pet-store"]["targets"] = backend.url
            return {**document, "gateway": {"lane": lane}}

        with running(served(text)) as gate:
            first = [
                gate.request("GET", "/v2/pets?limit=100", auth=ANN).status_code,
                gate.request("GET", "/v2/pets?limit=100").status_code,
                gate.request("POST", "/v2/pets", json={"name": "Rex"}, auth=ANN).status_code,
                gate.request("POST", "/v2/pets", json={"name": 7}, auth=ANN).status_code,
                gate.request("POST", "/v2/pets", json={"name": "x" * 20_000}, auth=ANN).status_code,
                gate.request("GET", "/v2/vets", auth=ANN).status_code,
            ]
            added = [request for request in backend.requests if request.method == "POST"]
            limited = [gate.request("POST", "/v2/pets", json={"name": "Rex"}, auth=ANN).status_code for _ in range(10)]
            gate.reload(served(newer))
            second = [
                gate.request("GET", "/v2/pets?limit=100", auth=ANN).status_code,
                gate.request("GET", "/v2/vets", auth=ANN).status_code,
                gate.request("GET", "/v2/vets").status_code,
                gate.request("GET", "/v2/pets/7", auth=ANN).status_code,
            ]

    assert first == [200, 401, 200, 400, 413, 404]
    assert [dict(request.headers)["x-checked"] for request in added] == ["yes"]
    assert limited[-1] == 429
    assert second == [400, 200, 401, 200]


def test_the_order_of_steps_is_that_of_the_own_document_and_the_import_fills_in(lay):
    document = lay()
    (api,) = document["apis"]
    pets, pet = api["resources"]
    steps = [next(iter(each)) for each in pets["operations"]["POST"]["flow"]]

    assert steps == ["rate-limit", "schema", "headers"]
    assert pets["operations"]["POST"]["flow"][1]["schema"]["max_size"] == 10000
    assert pets["operations"]["POST"]["flow"][1]["schema"]["operation"] == "POST /pets"
    assert pets["operations"]["POST"]["description"] == "Add a pet"
    assert [next(iter(each)) for each in pets["operations"]["GET"]["flow"]] == ["schema"]
    assert pet["operations"]["GET"]["to"] == {"timeout": 2}
    assert api["to"] == {"connection": "pet-store", "prefix": "/v2"}
    assert document["connections"] == {"pet-store": {"targets": "http://127.0.0.1:9000"}}
    assert "${env:ANN_PASSWORD}" in str(api["flow"])


def test_own_steps_stand_left_of_those_of_the_import_that_they_do_not_name(lay):
    document = lay(own("operations:", "  addPet: {flow: [mask: {}, request-id]}"), None, "--mock")
    (flow,) = [each["flow"] for each in [document["apis"][0]["resources"][0]["operations"]["POST"]]]

    assert [each if isinstance(each, str) else next(iter(each)) for each in flow] == [
        "mask",
        "request-id",
        "schema",
        "mock",
    ]


def own(*lines, name="pet-store"):
    return "\n".join([f"apis:\n- name: {name}", *(f"  {line}" for line in lines)])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (own("operations:", "  addPets: {}"), 4, "no operation 'addPets' in petstore.yaml; did you mean 'addPet'?"),
        (own("operations:", "  addPet: {}", "  delPet:", "    flow: []"), 5, "there is no operation 'delPet'"),
        (own("operations:", "  PUT /pets: {}"), 4, "there is no operation 'PUT /pets' in petstore.yaml"),
        (own("operations:", "  addPet: {}", "  POST /pets: {}"), 5, "this is 'addPet', which is here already"),
        (own("operations: [addPet]"), 3, "should be a mapping"),
        (own("operations: {addPet: 5}"), 3, "should be a mapping"),
        (own("operations: {addPet: {flow: auth}}"), 3, "should be a list"),
        (own("resources:", "- {path: /pet}"), 4, "there is no path '/pet' in petstore.yaml; did you mean '/pets'?"),
        (own("resources:", "- path: /pets", "  operations: {GET: {}}"), 5, "write operations into `operations`"),
        (own(name="shop"), 2, "no entry is called 'pet-store', as the API of petstore.yaml is (there is: 'shop')"),
        ("connections: {}", 0, "no entry is called 'pet-store'"),
        ("apis: 5", 1, "should be a list"),
    ],
)
def test_what_a_description_does_not_have_is_refused_with_the_place_in_the_own_document(text, line, message, lay):
    found = lay(text)

    assert any(file == "own.yaml" and line in (0, at) and message in said for file, at, said in found), found


def test_an_id_that_two_operations_have_is_no_id(lay):
    twice = (EXAMPLES / "petstore.yaml").read_text().replace("operationId: findPet", "operationId: addPet")
    ((_, line, message), *_) = lay(own("operations:", "  addPet: {}"), twice)

    assert (line, message) == (
        4,
        "several operations of petstore.yaml have the id 'addPet'; write 'POST /pets' or 'GET /pets/{id}'",
    )
    assert isinstance(lay(own("operations:", "  POST /pets: {}"), twice), dict)


def test_other_apis_connections_and_sections_stay_as_they_are(lay):
    text = own(
        "to: {connection: mine, prefix: /x}",
        "base_path: /shop",
        "operations: {addPet: null}",
        "resources:",
        "- path: /pets",
        "  limits: {request_body: 10}",
    )
    more = "\n- {name: other, base_path: /other, to: {connection: mine}}\nconnections: {mine: {targets: 'http://127.0.0.1:9'}}\n"
    document = lay(text + more + "routes: [{name: r, match: {path: /r}, to: {connection: mine}}]")
    first, second = document["apis"]

    assert (first["to"], first["base_path"]) == ({"connection": "mine", "prefix": "/x"}, "/shop")
    assert first["resources"][0]["limits"] == {"request_body": 10}
    assert second["name"] == "other"
    assert list(document["connections"]) == ["mine"]
    assert [route["name"] for route in document["routes"]] == ["r"]
    with running(document) as gate:
        assert gate.request("POST", "/shop/pets", json={"name": "Rex"}).status_code == 413


def test_files_that_are_named_by_their_place_are_not_lost_in_another_folder(tmp_path):
    """The result would be refused, or read another file of that name."""
    own, elsewhere, description = tmp_path / "own.yaml", tmp_path / "out", EXAMPLES / "petstore.yaml"
    (tmp_path / "routes.yaml").write_text("routes: [{name: r, match: {path: /r}, to: {connection: pet-store}}]\n")
    (tmp_path / "own.pem").write_text("")
    own.write_text(
        "include: [routes.yaml]\napis: [{name: pet-store, to: {connection: pet-store}}]\n"
        "connections:\n  pet-store: {targets: 'http://127.0.0.1:9', tls: {ca_file: own.pem}}\n"
    )
    elsewhere.mkdir()

    def lay(output):
        done = CliRunner().invoke(app, ["openapi", "import", str(description), "--under", str(own), "-o", str(output)])
        problems = done.exception.problems if isinstance(done.exception, ConfigError) else ()
        return done.exit_code, [(each.line, each.message) for each in problems]

    code, told = lay(elsewhere / "gateway.yaml")
    assert code != 0
    assert [line for line, _ in told] == [1, 4]
    assert all("counts from the folder of the document" in message for _, message in told)
    assert list(elsewhere.iterdir()) == []
    assert lay(tmp_path / "gateway.yaml") == (0, [])
    own.write_text(own.read_text().replace("own.pem", str(tmp_path / "own.pem")).replace("include: [routes.yaml]", ""))
    assert lay(elsewhere / "gateway.yaml") == (0, [])


def test_what_is_read_is_not_written_over(tmp_path):
    own, description = tmp_path / "own.yaml", tmp_path / "petstore.yaml"
    for file in (own, description):
        file.write_text((EXAMPLES / file.name).read_text())
    for options in (["-o", str(own)], ["-o", str(description)], ["-o", "x.yaml", "--contract", str(own)]):
        done = CliRunner().invoke(
            app, ["openapi", "import", str(description), "--under", str(own), "--force", *options]
        )
        assert done.exit_code == 2
    assert own.read_text() == (EXAMPLES / "own.yaml").read_text()


def test_the_page_shows_the_example_as_it_is():
    page = (Path(__file__).parents[2] / "docs/openapi.md").read_text()
    _, _, text = (EXAMPLES / "own.yaml").read_text().partition("gateway:")

    assert f"gateway:{text}" in page
