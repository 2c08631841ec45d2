import pytest

from hookgate.document.document import Document, parse
from hookgate.exchange.errors import ConfigError, Problem

YAML = b"""\
gateway:
  listen: [":8080"]
routes:
  - name: a
    flow:
      - cors
      - ip-allow: {networks: [10.0.0.0/8, nonsense]}
"""
JSON = b"""\
{
  "gateway": {"listen": [":8080"]},
  "routes": [
    {"name": "a",
     "flow": ["cors", {"ip-allow": {"networks": ["10.0.0.0/8", "nonsense"]}}]}
  ]
}
"""


def place(document, *path, at_key=False):
    problem = document.locate(Problem(path, "m", at_key=at_key))
    return problem.line, problem.column


def test_yaml_and_json_make_the_same_document():
    assert parse(YAML, "x.yaml").value == parse(YAML, "x.yml").value == parse(JSON, "x.json").value


def test_dates_are_text():
    assert parse(b"day: 2024-01-31\n", "x.yaml")["day"] == "2024-01-31"


@pytest.mark.parametrize(
    ("path", "at_key", "where"),
    [
        (("routes", 0, "name"), False, (4, 11)),
        (("routes", 0, "name"), True, (4, 5)),
        (("routes", 0, "flow", 1, "ip-allow", "networks", 1), False, (7, 43)),
        (("routes", 0, "flow", 1, "ip-allow", "missing", "deeper"), False, (7, 19)),
        (("routes", 0, "flow", 9), False, (6, 7)),
        (("nothing",), False, (1, 1)),
        ((), False, (1, 1)),
    ],
)
def test_yaml_places_are_exact_and_the_longest_known_part_counts(path, at_key, where):
    assert place(parse(YAML, "x.yaml"), *path, at_key=at_key) == where


def test_what_a_merge_key_brings_in_has_the_place_where_it_was_written():
    document = parse(b"x-a: &a\n  timeout: never\nto: {<<: *a}\n", "x.yaml")

    assert place(document, "to", "timeout") == (2, 12)


def test_json_places_are_exact():
    document = parse(JSON, "x.json")

    assert place(document, "routes", 0, "flow", 1, "ip-allow", "networks", 1) == (5, 64)
    assert place(document, "routes", 0, "name", at_key=True) == (4, 6)


def test_json_that_is_no_yaml_has_no_places_and_does_no_harm():
    document = parse(b'{"a": "\\ud83d\\ude00"}', "x.json")

    assert document["a"] == "\N{GRINNING FACE}"
    assert place(document, "a") == (0, 0)


@pytest.mark.parametrize(
    ("text", "file", "message"),
    [
        (b"", "x.yaml", "x.yaml: the document is empty; it needs at least a list of `routes`"),
        (b"# nothing\n", "x.yaml", "x.yaml: the document is empty; it needs at least a list of `routes`"),
        (b"{}", "x.json", "x.json: the document is empty; it needs at least a list of `routes`"),
        (b"- a\n", "x.yaml", "x.yaml:1:1: a document is a mapping with sections such as `routes` and `connections`"),
        (b"[1]", "x.json", "x.json:1:1: a document is a mapping with sections such as `routes` and `connections`"),
        (b'{"a": 1,\n x}', "x.json", "x.json:2:2: this is not JSON: "),
        (b'{"a": NaN}', "x.json", "x.json: this is not JSON: NaN is not a JSON value"),
        (b'{"a": 1,\n "a": 2}', "x.json", "x.json:2:2: the key 'a' stands here twice, first in line 1"),
        (
            b"a = 1",
            "x.ini",
            "x.ini: the name of a document ends in one of .yaml, .yml, .json, .toml; that says what it is",
        ),
        (b'{"a": "\xff"}', "x.json", "x.json: this is not UTF-8 text"),
        (
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            "x.json",
            "x.json: lists and mappings stand more than 100 deep in each other",
        ),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "x.json", "x.json: lists and mappings stand more than 100 deep"),
    ],
)
def test_what_is_no_document_is_told_with_its_place(text, file, message):
    with pytest.raises(ConfigError) as caught:
        parse(text, file)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_document_without_a_file_has_a_name_and_no_places():
    document = Document.of({"routes": ({"name": "a"},)}, "admin API")

    assert document.value == {"routes": [{"name": "a"}]}
    assert str(document.locate(Problem(("routes", 0), "m"))) == "admin API: routes[0]: m"


def test_taking_over_a_mapping_copies_it():
    mapping = {"routes": [{"name": "a"}]}
    document = Document.of(mapping)
    mapping["routes"].append(1)

    assert document["routes"] == [{"name": "a"}]


def test_a_problem_that_knows_its_file_keeps_it():
    problem = Problem(("a",), "m", file="other.yaml", line=7, column=1)

    assert parse(b"a: 1\n", "x.yaml").locate(problem) == problem
