"""One document of several files, with places of their own; relative paths count from the file they stand in."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from hookgate import ConfigError
from hookgate.document import MAX_BYTES
from hookgate.testing import running

from .authority import Authority, needs_openssl

LISTEN = 'gateway: {listen: ["127.0.0.1:0"]}\nmanagement: {listen: ["127.0.0.1:0"]}\n'


def route(name, text=""):
    return f"routes:\n  - name: {name}\n    match: {{path: /{name}}}\n    flow: [respond: {{body: {text or name}}}]\n"


@pytest.fixture
def write(tmp_path):
    def run(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path / "gateway.yaml"

    return run


def refused(path):
    with pytest.raises(ConfigError) as caught, running(path):
        pass
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def test_files_are_one_document_whatever_they_are_written_in(write):
    path = write(
        gateway_yaml=f"include: [sub/b.json, c.toml]\n{LISTEN}{route('a')}",
        sub__b_json=json.dumps({"include": ["d.yaml"], "routes": [{"name": "b", "to": {"connection": "x"}}]}),
        sub__d_yaml=route("d") + "connections: {x: {targets: 'http://127.0.0.1:1'}}\n",
        c_toml='[gateway]\nvia = "edge"\n[[routes]]\nname = "c"\n[routes.match]\npath = "/c"\n'
        '[[routes.flow]]\nrespond = {body = "c"}\n',
    )
    with running(path) as gate:
        assert [gate.request("GET", f"/{name}").text for name in "acd"] == ["a", "c", "d"]
        assert gate.request("GET", "/other").status_code == 502
        assert gate.gateway.live.config.gateway.via == "edge"


def test_mistakes_are_told_in_the_file_they_stand_in(write):
    path = write(
        gateway_yaml=f"include: [b.yaml, c.json]\n{LISTEN}{route('a')}    nope: 1\n",
        b_yaml="connections:\n  crm: {targets: 'http://a', pol: 1}\nroutes:\n  - {name: b, to: {connection: crn}}\n",
        c_json='{"routes": [\n {"name": "c", "match": {"path": "x"}},\n {"name": "a", "match": {"path": "/z"}}]}',
    )

    first, *others = refused(path)

    assert first.startswith("gateway.yaml:8:5: routes[0].nope: there is no option 'nope'")
    assert others == [
        "b.yaml:2:30: connections.crm.pol: there is no option 'pol'; did you mean 'pool'?",
        "b.yaml:4:32: routes[0].to.connection: there is no connection 'crn'; did you mean 'crm'?",
        "c.json:2:34: routes[0].match.path: a path begins with '/': write '/x'",
        "c.json:3:11: routes[1].name: the name 'a' is taken by another route; names are unique",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "gateway.yaml:1:11: include[0]: b.yaml cannot be included: there is no such file"),
        ({"b_yaml__x_yaml": ""}, "gateway.yaml:1:11: include[0]: b.yaml cannot be included: this is a folder"),
        ({"b_yaml": ""}, "gateway.yaml:1:11: include[0]: b.yaml cannot be included: the document is empty"),
        ({"b_yaml": "- a\n"}, "b.yaml:1:1: a document is a mapping"),
        ({"b_yaml": "routes: [\n"}, "b.yaml:"),
        (
            {"b_yaml": "include: [gateway.yaml]\n"},
            "b.yaml:1:11: include[0]: these files include each other: gateway.yaml",
        ),
        ({"b_yaml": "include: [b.yaml]\n"}, "b.yaml:1:11: include[0]: these files include each other: b.yaml"),
        (
            {"b_yaml": "include: [c.yaml, ./c.yaml]\n", "c_yaml": "x-a: 1\n"},
            "b.yaml:1:19: include[1]: c.yaml is included",
        ),
        ({"b_yaml": "include: c.yaml\n"}, "b.yaml:1:10: include: should be a list of files"),
        ({"b_yaml": "include: [5]\n"}, "b.yaml:1:11: include[0]: should be the name of a file"),
        ({"b_yaml": "include: ['${env:HOME}/x.yaml']\n"}, "b.yaml:1:11: include[0]: should be the name of a file"),
        (
            {"b_yaml": "include: [nope/c.yaml]\n"},
            "b.yaml:1:11: include[0]: nope/c.yaml cannot be included: there is no",
        ),
        ({"b_yaml": "gateway:\n  listen: [':80']\n"}, "b.yaml:2:3: gateway.listen: stands in gateway.yaml:2, too"),
        ({"b_yaml": "routes: {a: 1}\n"}, "b.yaml:1:1: routes: stands in gateway.yaml:4, too"),
        ({"b_yaml": "connections: [a]\n"}, "b.yaml:1:14: connections: should be a mapping of names"),
    ],
)
def test_what_cannot_be_included_is_told_where_it_is_named(write, files, said):
    path = write(gateway_yaml=f"include: [b.yaml]\n{LISTEN}{route('a')}", **files)

    assert any(problem.startswith(said) for problem in refused(path)), refused(path)


def test_files_are_no_longer_together_than_one_may_be(write, tmp_path):
    path = write(gateway_yaml=f"include: [b.json, c.yaml]\n{LISTEN}", b_json="{}", c_yaml="x-c: 1\n")
    (tmp_path / "b.json").write_text('{"x-long": "' + "a" * (MAX_BYTES - 20) + '"}')

    assert refused(path) == [
        "gateway.yaml:1:19: include[1]: a document has at most 1,000 files and 67,108,864 bytes in all"
    ]


def test_a_change_of_an_included_file_is_followed_and_so_is_one_that_was_missing(write, tmp_path):
    path = write(gateway_yaml=f"include: [b.yaml]\n{LISTEN}", b_yaml=route("b", "first"))
    with running(path) as gate:
        assert gate.request("GET", "/b").text == "first"
        live = gate.gateway.live

        def until(done):
            import time

            end = time.monotonic() + 60
            while not done():
                assert time.monotonic() < end
                time.sleep(0.05)

        (tmp_path / "b.yaml").write_text("include: [c.yaml]\n" + route("b", "second"))
        until(lambda: gate.gateway.problems)
        assert (gate.request("GET", "/b").text, gate.gateway.live is live) == ("first", True)
        (tmp_path / "c.yaml").write_text(route("c", "third"))
        until(lambda: gate.gateway.live is not live)
        assert [gate.request("GET", f"/{name}").text for name in "bc"] == ["second", "third"]
        health = httpx.get(f"{gate.management}/-/health", trust_env=False).json()

    assert (health["status"], health["problems"]) == ("ok", [])


@needs_openssl
def test_relative_paths_count_from_the_file_they_stand_in(write, tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    pair = authority.issue("server", "IP:127.0.0.1")
    (tmp_path / "sub").mkdir()
    for kind in ("certificate", "key"):
        os.link(pair[kind], tmp_path / "sub" / f"{kind}.pem")
    os.link(authority.certificate, tmp_path / "sub" / "root.pem")
    (tmp_path / "sub" / "thing.json").write_text('{"type": "object"}')
    write(
        gateway_yaml="include: [sub/more.yaml]\nmanagement: {listen: ['127.0.0.1:0']}\n"
        "gateway:\n  listen: ['https://127.0.0.1:0']\n"
        "  tls: {certificates: [{certificate: sub/certificate.pem, key: ./sub/key.pem}]}\n",
        sub__more_yaml="connections: {crm: {targets: 'https://127.0.0.1:1', tls: {ca_file: root.pem}}}\n"
        "routes: [{name: one, to: {connection: crm}, flow: [schema: {file: thing.json, request: '#'}]}]\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "hookgate", "check", str(tmp_path / "gateway.yaml"), "--strict"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd="/",
    )

    assert done.returncode == 0, done.stderr
