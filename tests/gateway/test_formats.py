"""Documents in formats that core does not read: a distribution brings one, TOML as well as a stranger's."""

from importlib import metadata

import pytest

from hookgate import ConfigError
from hookgate.document.catalogue import format_reader
from hookgate.testing import running

READER = '''
"""Lines such as `routes.0.name = orders`; a mistake is told with its line."""
import json
from hookgate import ConfigError, Problem

def read(data, file):
    value, lines = {}, {}
    for number, line in enumerate(data.decode().splitlines(), 1):
        name, is_line, text = line.partition(" = ")
        if not is_line:
            raise ConfigError([Problem((), "a line is `name = JSON`", file, number, 1)])
        value[name] = json.loads(text)
        lines[name] = number
    return value, lambda path, at_key: (lines[path[0]], 1)

def blind(data, file):
    return {**read(data, file)[0]}, None

def lost(data, file):
    return read(data, file)[0], lambda path, at_key: {}[path]

def listing(data, file):
    return list(read(data, file)[0]), None

def deep(data, file):
    return deep(data, file)
'''
LINES = """\
gateway = {"listen": ["127.0.0.1:0"]}
management = {"listen": ["127.0.0.1:0"]}
routes = [{"name": "plain", "match": {"path": "/plain"}, "flow": [{"respond": {"body": "plain"}}]}]
"""


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    format_reader.cache_clear()
    yield
    format_reader.cache_clear()


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Install a distribution that brings formats."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "acme_lines.py").write_text(READER)

    def install(distribution, *entries):
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[hookgate.formats]\n" + "".join(f"{each}\n" for each in entries))

    return install


@pytest.fixture
def refused(tmp_path):
    """What is said of a document, without the folder it stands in."""

    def run(name, text):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError) as caught, running(tmp_path / name):
            pass
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return run


def test_a_document_in_a_format_of_others_is_served_and_followed_and_included(bring, tmp_path):
    bring("acme-lines", "lines = acme_lines:read")
    (tmp_path / "more.lines").write_text('routes = [{"name": "more", "flow": [{"respond": {"body": "more"}}]}]\n')
    (tmp_path / "gateway.lines").write_text(f'include = ["more.lines", "c.yaml"]\n{LINES}')
    (tmp_path / "c.yaml").write_text("routes: [{name: c, match: {path: /c}, flow: [respond: {body: c}]}]\n")

    with running(tmp_path / "gateway.lines") as gate:
        assert [gate.request("GET", path).text for path in ("/plain", "/c", "/other")] == ["plain", "c", "more"]


def test_mistakes_have_their_places(bring, refused):
    bring("acme-lines", "lines = acme_lines:read", "blind = acme_lines:blind", "lost = acme_lines:lost")

    assert refused("a.lines", f"{LINES}routed = []\n")[0].startswith("a.lines:4:1: routed: there is no section")
    assert refused("a.lines", f"{LINES}oh\n") == ["a.lines:4:1: a line is `name = JSON`"]
    # A reader may know no places, or stumble where it looks for one.
    for name in ("a.blind", "a.lost"):
        assert refused(name, f"{LINES}routed = []\n")[0].startswith(f"{name}: routed: there is no section 'routed'")


@pytest.mark.parametrize(
    ("entry", "text", "told"),
    [
        ("lines = acme_lines:read", "a = {\n", "a.lines: this cannot be read as .lines: JSONDecodeError: "),
        ("lines = acme_lines:read", "", "a.lines: the document is empty; it needs at least a list of `routes`"),
        ("lines = acme_lines:read", f"a = {'[' * 150}{']' * 150}\n", "a.lines: lists and mappings stand more than 100"),
        ("lines = acme_lines:deep", "a = 1\n", "a.lines: lists and mappings stand more than 100 deep"),
        ("lines = acme_lines:listing", "a = 1\n", "a.lines:1:1: a document is a mapping with sections"),
        ("lines = acme_lines:json", "a = 1\n", "a.lines: this cannot be read as .lines: TypeError: "),
        ("lines = acme_lines:nothing", "a = 1\n", "a.lines: the format 'lines' cannot be used: acme-lines: "),
    ],
)
def test_what_a_reader_does_wrong_is_a_mistake_in_the_file(bring, refused, entry, text, told):
    bring("acme-lines", entry)

    (said,) = refused("a.lines", text)

    assert said.startswith(told)


def test_a_format_that_two_distributions_bring_is_read_by_none(bring, refused):
    bring("acme-lines", "lines = acme_lines:read")
    bring("other-lines", "lines = acme_lines:blind")

    assert refused("a.lines", LINES) == [
        "a.lines: the format 'lines' is provided by acme-lines and other-lines; only one of them may stay"
    ]


def test_yaml_stays_yaml(bring, tmp_path):
    bring("acme-lines", "yaml = acme_lines:deep")
    (tmp_path / "gateway.yaml").write_text(LINES.replace(" = ", ": "))

    with running(tmp_path / "gateway.yaml") as gate:
        assert gate.request("GET", "/plain").text == "plain"


def test_without_toml_a_document_in_it_is_refused_with_what_to_install(bring, refused, monkeypatch):
    installed = metadata.distributions
    monkeypatch.setattr(
        metadata, "distributions", lambda: [each for each in installed() if each.name != "hookgate-toml"]
    )

    (said,) = refused("gateway.toml", "[gateway]\n")
    assert said.startswith("gateway.toml: the name of a document ends in one of .yaml, .yml, .json; that says")
    assert said.endswith("; for .toml: pip install hookgate-toml")
    bring("acme-lines", "lines = acme_lines:read")
    assert "one of .yaml, .yml, .json, .lines; that" in refused("gateway.ini", "")[0]
