import asyncio

import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running
from hookgate_inspect import document_schema


def loaded(text, previous=None):
    return asyncio.run(load(parse(text.encode(), "gateway.yaml"), Catalogue(), previous))


def problems(text):
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    return [str(each) for each in caught.value.problems]


def test_an_old_path_leads_to_the_new_one():
    with running({"redirects": [{"source": "/old", "target": "https://example.org/new", "status": 301}]}) as gate:
        answer = gate.request("GET", "/old")

    assert (answer.status_code, answer.headers["location"]) == (301, "https://example.org/new")


def test_mistakes_are_told_with_line_and_column():
    assert problems("""\
redirects:
  - {source: /a, target: /b}
  - {source: /c, taget: /d}
  - {source: "/e{", target: /f}
  - {source: /a, target: /g}
  - {source: /h, target: /x, status: 200}
  - {source: /i, target: "::bad {"}
routes:
  - {name: plain, match: {path: /a}, flow: [respond]}
""") == [
        (
            "gateway.yaml:2:5: redirects[0]: takes the same calls as the route 'plain', so it would never run; "
            "change one of them"
        ),
        "gateway.yaml:3:5: redirects[1].target: is required",
        "gateway.yaml:3:18: redirects[1].taget: there is no option 'taget'; did you mean 'target'?",
        "gateway.yaml:4:14: redirects[2].source: a brace without its partner in 'e{'; a variable is written {id}",
        "gateway.yaml:5:14: redirects[3].source: the name '/a' is taken by another redirect; names are unique",
        "gateway.yaml:6:38: redirects[4].status: should be 301, 302, 307 or 308",
        (
            "gateway.yaml:7:26: redirects[5].target: a redirect goes to a path (/new/{id}) or to a URL whose host is "
            "written out (https://www.example.org/new/{id}); '::bad {' is neither"
        ),
    ]


def test_the_schema_of_the_document_knows_it():
    schema = document_schema(Catalogue())

    assert schema["properties"]["redirects"]["items"] == {"$ref": "#/$defs/section.Redirect"}
    assert schema["$defs"]["section.Redirect"]["properties"]["source"]["description"].startswith("Path that")


def test_an_unchanged_section_lives_on():
    text = "redirects: [{source: /a, target: /b}]\n"
    before = loaded(text)

    assert loaded(text, before.instances).sections["redirects"] is before.sections["redirects"]
    assert loaded(text.replace("/b", "/c"), before.instances).sections["redirects"] is not before.sections["redirects"]
