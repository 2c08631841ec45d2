import re

import pytest

from hookgate import ConfigError, Problem
from hookgate.document import parse

YAML = b"""\
gateway:
  listen: [":8080"]
routes:
  - name: a
    flow:
      - cors
      - ip-allow: {networks: [10.0.0.0/8, nonsense]}
"""
TOML = b"""\
[gateway]
listen = [":8080"]

[[routes]]  # the first
name = "a"
flow = [
  "cors",  # [not a table]
  {ip-allow = {networks = ["10.0.0.0/8", "nonsense"]}},
]

[[routes]]
name = "b"
description = '''
[looks.like.a.table]
name = "x"
'''
to.connection = "crm"

[routes.match]
path = "/b"

[connections."crm"]
targets = "http://h"
"""


def place(document, *path):
    problem = document.locate(Problem(path, "m"))
    return problem.line, problem.column


def test_toml_makes_the_same_document_as_yaml():
    toml = parse(TOML, "x.toml").value

    assert toml["gateway"] == parse(YAML, "x.yaml")["gateway"]
    assert toml["routes"][0] == parse(YAML, "x.yaml")["routes"][0]


def test_the_suffix_may_be_written_in_capitals():
    assert parse(TOML, "X.TOML").value == parse(TOML, "x.toml").value


def test_dates_are_text_as_in_yaml():
    toml = parse(b"day = 2024-01-31\nat = 2024-01-31T10:00:00Z\nclock = 10:00:00\n", "x.toml").value

    assert toml == {"day": "2024-01-31", "at": "2024-01-31T10:00:00+00:00", "clock": "10:00:00"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("gateway", "listen", 0), 2),
        (("routes", 0), 4),
        (("routes", 0, "name"), 5),
        (("routes", 0, "flow", 1, "ip-allow", "networks", 1), 6),
        (("routes", 1), 11),
        (("routes", 1, "name"), 12),
        (("routes", 1, "to", "connection"), 17),
        (("routes", 1, "match", "path"), 20),
        (("connections", "crm", "targets"), 23),
        (("connections", "crm", "missing"), 22),
        (("nothing",), 0),
    ],
)
def test_places_are_those_of_the_key_or_table(path, line):
    assert place(parse(TOML, "x.toml"), *path)[0] == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "x.toml: the document is empty; it needs at least a list of `routes`"),
        (b"a = 1\nb = \n", "x.toml:2:5: this is not TOML: invalid value"),
        (b"a = 1\na = 2\n", "x.toml:2:6: this is not TOML: cannot overwrite a value"),
        (b"a = \xff", "x.toml: this is not UTF-8 text"),
        (b"a = " + b"[" * 5000, "x.toml:"),  # too deep, or no value: how deep Python goes is not ours to say
        (b"a = " + b"[" * 150 + b"]" * 150, "x.toml: lists and mappings stand more than 100 deep in each other"),
    ],
)
def test_what_is_no_document_is_told_with_its_place(text, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}[^\n]*$"):
        parse(text, "x.toml")
