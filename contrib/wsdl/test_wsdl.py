"""WSDL files become SOAP APIs: `hookgate wsdl import`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hookgate import ConfigError, MachineError
from hookgate.commands import app
from hookgate.document import parse
from hookgate.testing import running, upstream
from hookgate_wsdl import Wishes, imported, parsed, reading
from hookgate_wsdl.importing import LONGEST
from hookgate_wsdl.reading import LARGEST

WEATHER = (Path(__file__).parent / "examples" / "weather.wsdl").read_text(encoding="utf-8")
ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><city>Bonn</city></e:Body></e:Envelope>'
)
ADDRESS = "http://127.0.0.1:9000/services/weather"
SECOND = f'<soap12:address location="{ADDRESS}"/>'


def service(text=WEATHER, **more):
    return parsed(text.encode(), "weather.wsdl", **more)


def document(text=WEATHER, **wishes):
    return imported(service(text), Wishes(**wishes)).document


def refused(text):
    with pytest.raises(ConfigError) as error:
        parsed(text if isinstance(text, bytes) else text.encode(), "weather.wsdl")
    return str(error.value)


@pytest.mark.row("KC-67")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize(
    "head",
    [
        {"content-type": "text/xml; charset=utf-8", "soapaction": '"http://example.org/weather/GetTemperature"'},
        {"content-type": 'application/soap+xml; action="http://example.org/weather/GetTemperature"'},
    ],
    ids=["1.1", "1.2"],
)
def test_calls_of_both_versions_reach_the_backend_as_they_are(lane, head):
    answer = "<e:Envelope/>"
    with upstream(lambda _: (200, {"content-type": head["content-type"]}, answer)) as backend:
        made = document(WEATHER.replace("http://127.0.0.1:9000", backend.url)) | {"gateway": {"lane": lane}}
        with running(made) as gate:
            told = gate.request("POST", "/weather-service/", content=ENVELOPE, headers=head)
            described = gate.request("GET", "/weather-service?wsdl")

    called, asked = backend.requests
    assert (told.text, told.headers["content-type"]) == (answer, head["content-type"])
    assert (called.method, called.path, called.body) == ("POST", "/services/weather", ENVELOPE.encode())
    assert {name: called.header(name) for name in head} == head
    assert (described.status_code, asked.path, asked.query) == (200, "/services/weather", "wsdl")


@pytest.mark.row("KC-67")
def test_what_the_gateway_refuses_is_a_soap_fault():
    with running(document(WEATHER.replace("http://127.0.0.1:9000", "http://127.0.0.1:1"))) as gate:
        head = {"content-type": "text/xml", "soapaction": '""'}
        told = gate.request("POST", "/weather-service/", content=ENVELOPE, headers=head)

    assert told.headers["content-type"].startswith("text/xml")
    assert "Fault" in told.text
    assert "101503" in told.text


def test_the_command_writes_a_document_that_says_what_the_page_says(tmp_path):
    source, target = tmp_path / "weather.wsdl", tmp_path / "gateway.yaml"
    source.write_text(WEATHER, encoding="utf-8")

    done = CliRunner().invoke(app, ["wsdl", "import", str(source), "-o", str(target)])
    again = CliRunner().invoke(app, ["wsdl", "import", str(source), "-o", str(target)])

    assert done.exit_code == 0, done.output
    assert isinstance(again.exception, MachineError)
    made = parse(target.read_bytes(), "gateway.yaml").value
    assert made == document()
    page = (Path(__file__).parents[2] / "docs" / "soap.md").read_text(encoding="utf-8")
    shown = page.partition("```yaml\n")[2].partition("```")[0]
    assert parse(shown.encode(), "page.yaml").value == made
    assert CliRunner().invoke(app, ["wsdl", "import", str(source)]).output == target.read_text(encoding="utf-8")
    missing = CliRunner().invoke(app, ["wsdl", "import", str(tmp_path / "none.wsdl")])
    assert "cannot read" in str(missing.exception)


def test_each_address_is_a_resource_and_each_host_a_connection():
    elsewhere = WEATHER.replace(SECOND, '<soap12:address location="https://b.test:8443/soap12?x=1"/>')

    found = imported(service(elsewhere), Wishes(name="w", base_path="/v", connection="c"))

    (api,) = found.document["apis"]
    assert (api["name"], api["base_path"], api["to"]) == ("w", "/v", {"connection": "c"})
    assert [(each["path"], each["to"]) for each in api["resources"]] == [
        ("/weather-soap", {"path": "/services/weather", "connection": "c"}),
        ("/weather-soap12", {"path": "/soap12", "connection": "c-2"}),
    ]
    assert found.document["connections"] == {
        "c": {"targets": "http://127.0.0.1:9000"},
        "c-2": {"targets": "https://b.test:8443"},
    }
    assert found.warnings == ["the query of the address of the port WeatherSoap12 is left out"]


def test_ports_of_other_kinds_are_left_out_with_a_warning():
    found = service(
        WEATHER.replace(SECOND, '<http:address xmlns:http="http://schemas.xmlsoap.org/wsdl/http/" location="/"/>')
    )

    assert [(port.name, port.version) for port in found.ports] == [("WeatherSoap", "1.1")]
    assert found.ports[0].operations[0].action == "http://example.org/weather/GetTemperature"
    assert "has no SOAP address" in found.warnings[0]
    assert found.warnings[0].startswith("weather.wsdl:36: ")


def test_of_several_services_one_has_to_be_named():
    two = WEATHER.replace("</definitions>", '<service name="Other"/></definitions>')

    assert "--service" in refused(two)
    assert service(two, service="WeatherService").name == "WeatherService"
    with pytest.raises(ConfigError, match="it has WeatherService, Other"):
        service(two, service="None")
    with pytest.raises(ConfigError, match="no port"):
        service(two, service="Other")


def test_comments_and_instructions_may_stand_anywhere():
    text = WEATHER
    for place in ("<soap:address", "<soap:binding", "<soap:operation", "<port ", "<binding ", "</service>"):
        text = text.replace(place, f"<!-- a remark --><?word told?>{place}")

    assert document(text) == document()


def test_an_address_is_read_as_people_write_it():
    for written, origin, path in (
        (" http://127.0.0.1:9000/a ", "http://127.0.0.1:9000", "/a"),
        ("HTTP://Weather.Test", "http://weather.test", "/"),
        ("https://[::1]:8443/a/b%20c?x=1", "https://[::1]:8443", "/a/b%20c"),
    ):
        (port, _) = service(WEATHER.replace(ADDRESS, written)).ports
        assert (port.origin, port.path) == (origin, path)


def test_only_what_is_wrong_is_told_and_in_few_words():
    told = refused(WEATHER.replace(ADDRESS, "ftp://a/" + "b" * 1000))

    assert "has no port" not in told
    assert "b" * 192 in told
    assert "b" * 193 not in told


def test_a_service_has_a_bound_of_operations(monkeypatch):
    monkeypatch.setattr(reading, "MOST", 1)
    twice = WEATHER.replace("  </binding>", '  <operation name="Other"/></binding>')
    service()

    assert "has more than 1 operations" in refused(twice)


def test_texts_of_strangers_are_shortened_and_refer_to_nothing():
    names = [f"Get{number}" for number in range(25)]
    more = "".join(f'<operation name="{each}"/>' for each in [*names, *names])
    text = WEATHER.replace("  </binding>", f"{more}</binding>")
    text = text.replace("Temperatures of cities.", "Costs ${env:SECRET}. " + "long " * 100)
    (api,) = document(text)["apis"]

    assert api["description"].startswith("Costs $${env:SECRET}. long")
    assert (len(api["description"]), api["description"][-1]) == (LONGEST + 1, "…")  # of the text, before a $ is doubled
    shown = imported(service(text), Wishes()).document["apis"][0]["resources"][0]["description"]
    assert shown.startswith("SOAP 1.1 and 1.2: GetTemperature, Get0, Get1")
    (port, _) = service(text).ports
    assert len(port.operations) == 51
    brief = WEATHER.replace("  </binding>", "".join(f'<operation name="o{n}"/>' for n in range(25)) + "</binding>")
    told = document(brief)["apis"][0]["resources"][0]["description"]
    assert told.endswith(", o17, o18 and 6 more")
    assert told.count("o5,") == 1


@pytest.mark.parametrize(
    ("name", "kebab"),
    [("WeatherService", "weather-service"), ("___", "service"), ("v2API", "v2-api"), ("A" * 59 + "_bc", "a" * 59)],
)
def test_a_service_gives_its_name_to_the_api(name, kebab):
    (api,) = document(WEATHER.replace('name="WeatherService"', f'name="{name}"'))["apis"]

    assert api["name"] == kebab


def test_the_command_takes_wishes_and_says_what_it_leaves_out(tmp_path):
    source, target = tmp_path / "two.wsdl", tmp_path / "gateway.yaml"
    other = '<service name="Other"><port name="P" binding="tns:Soap11"><soap:address location="http://b.test/o?x=1"/>'
    source.write_text(WEATHER.replace("</definitions>", f"{other}</port><port name='Q'/></service></definitions>"))

    wishes = ["--service", "Other", "--name", "n", "--base-path", "/b", "--connection", "c"]
    done = CliRunner().invoke(app, ["wsdl", "import", str(source), "-o", str(target), *wishes])
    assert done.exit_code == 0, done.output
    made = parse(target.read_bytes(), "gateway.yaml").value
    assert (made["apis"][0]["name"], made["apis"][0]["base_path"]) == ("n", "/b")
    assert made["connections"] == {"c": {"targets": "http://b.test"}}
    assert "warning:" in done.stderr
    assert "the port Q has no SOAP address" in done.stderr
    assert "the query of the address of the port P is left out" in " ".join(done.stderr.split())
    same = CliRunner().invoke(app, ["wsdl", "import", str(source), "-o", str(source), "--force", *wishes])
    assert same.exit_code == 2
    assert source.read_text().startswith("<?xml")


LAUGHS = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not well-formed"),
        ("<a>", "not well-formed"),
        (b"\xff\xfe\x00", "not well-formed"),
        ("<a/>", "no WSDL 1.1"),
        ('<description xmlns="http://www.w3.org/ns/wsdl"/>', "WSDL 2.0"),
        (WEATHER.replace("<definitions", f"{LAUGHS}<definitions", 1), "DOCTYPE"),
        (WEATHER.replace("<definitions", '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/d.dtd"><definitions', 1), "DOCTYPE"),
        ("<a>" * 3000 + "</a>" * 3000, "not well-formed"),
        (b" " * (LARGEST + 1), "bytes"),
        ('<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>', "has no service"),
        (WEATHER.replace(ADDRESS, "ftp://a/b"), "no http(s) URL"),
        (WEATHER.replace(ADDRESS, "http://ann:secret@a/b"), "no http(s) URL"),
        (WEATHER.replace(ADDRESS, "http://a/{b}"), "no http(s) URL"),
        (
            WEATHER.replace('binding="tns:Soap11"', 'binding="tns:Soap13"'),
            "weather.wsdl:35:1: the port WeatherSoap has",
        ),
        (WEATHER.replace('binding="tns:Soap11"', 'xmlns:o="urn:o" binding="o:Soap11"'), "nothing is fetched"),
        (WEATHER.replace('binding="tns:Soap11"', 'binding="tns:Soap12"'), "SOAP 1.1 and a binding of 1.2"),
    ],
    ids=range(16),
)
def test_what_cannot_be_used_is_refused_with_its_place(text, told):
    assert told in refused(text)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: WEATHER.replace("Temperatures", text).encode()))
def test_any_file_is_read_or_refused(data):
    try:
        found = imported(parsed(data, "any.wsdl"), Wishes())
    except ConfigError as error:
        told = str(error)
    else:
        told = "any.wsdl" if found.document["apis"][0]["resources"] else ""
    assert told.startswith("any.wsdl")


def test_a_password_in_an_address_is_not_shown():
    assert "secret" not in refused(WEATHER.replace(ADDRESS, "http://ann:secret@a/b"))
