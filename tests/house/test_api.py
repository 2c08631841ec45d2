"""The page of the API has every promised name, with what it is for."""

import ast
import re
import sys

import pytest

import hookgate

from .test_floors import PROMISED_BESIDE, PROMISED_TO_TESTS
from .workspace import ROOT

sys.path.insert(0, str(ROOT / "docs"))
from generating.api_page import api, find, promised

sys.path.pop(0)


def test_what_plugins_and_their_tests_may_import_is_what_the_page_tells():
    core = {face: names for face, names in PROMISED_TO_TESTS.items() if face.startswith("hookgate.")}

    assert {face: set(names) for face, names in promised().items()} == {
        "hookgate": set(hookgate.__all__),
        **PROMISED_BESIDE,
        **core,
    }


def test_every_promised_name_stands_on_the_page_with_what_it_is_for():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^### `(\w+)`\n\n<!-- [^\n]+\n```python\n(.+?)```\n\n(\S)", page, re.DOTALL | re.MULTILINE)

    assert [name for name, _, _ in entries] == re.findall(r"^### `(\w+)`$", api(), re.MULTILINE)
    assert sorted(name for name, _, _ in entries) == sorted(name for names in promised().values() for name in names)
    assert all(words != "#" for _, _, words in entries)
    for _, signature, _ in entries:
        assert "<" not in signature, signature


@pytest.mark.parametrize(
    ("face", "name"), [(face, name) for face, names in promised().items() for name in names], ids=lambda value: value
)
def test_a_promised_name_says_what_it_is_for(face, name):
    found = find(face, name)

    assert found.text, f"{found.module}.{name} has neither a docstring nor a string below it"
    assert isinstance(found.node, ast.stmt)
