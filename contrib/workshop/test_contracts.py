"""A file that steps refer to; the plugins that check and answer by one show the rest."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from hookgate import ConfigError, Problem
from hookgate.workshop import ContractFile, at_pointer, pointer_step

WHOLE = {"a": [{"b": 1}, None], "x/y~z": 2, "": 3, "¹": 4, "0": 5}


class Contract(ContractFile):
    @staticmethod
    def parsed(data, name):
        return json.loads(data)


class Other(Contract):
    pass


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "contract.json"
    path.write_text('{"openapi": "3.1.0", "paths": {}}')
    return path


def holding(path, **document):
    path.write_text(json.dumps({"openapi": "3.1.0", **document}))
    return Contract.opened(path)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("", WHOLE), ("#", WHOLE), ("#/a/0/b", 1), ("#/a/1", None), ("#/x~1y~0z", 2), ("#/", 3), ("/¹", 4), ("#/0", 5)],
)
def test_a_pointer_leads_to_a_value(pointer, found):
    assert at_pointer(WHOLE, pointer) == found


@pytest.mark.parametrize(
    ("pointer", "missing"),
    [
        ("#/b/c", "b"),
        ("#/a/2", "2"),
        ("#/a/-1", "-1"),
        ("#/a/01", "01"),
        ("#/a/¹", "¹"),
        ("#/a/b", "b"),
        ("#/a/0/b/c", "c"),
        (f"#/a/{'9' * 5000}", "9" * 5000),
    ],
)
def test_a_pointer_that_leads_nowhere_says_what_is_missing(pointer, missing):
    with pytest.raises(LookupError) as error:
        at_pointer(WHOLE, pointer)

    assert error.value.args == (missing,)


def test_any_name_can_be_a_step():
    for name in WHOLE:
        assert at_pointer(WHOLE, f"#/{pointer_step(name)}") == WHOLE[name]


def test_a_file_is_read_once_for_all_until_it_changes(path):
    other, first = Other.opened(path), Contract.opened(path)
    assert type(first) is Contract, "what a plugin keeps beside the content is its own"
    assert first != other
    assert (Contract.opened(path), Other.opened(path)) == (first, other)
    assert Contract.opened(path) is first

    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)
    again = Contract.opened(path)
    assert again is not first
    assert (again, hash(again)) == (first, hash(first)), "so that an entry counts as unchanged"

    assert holding(path, paths={"/a": {}}) != first


def test_what_cannot_be_read_is_told_with_its_place(path):
    with pytest.raises(ValueError, match=rf"^cannot read {path.parent}: Is a directory$"):
        Contract.opened(path.parent)
    path.write_text('{\n "a" 1}')
    with pytest.raises(ValueError, match=rf"^{path}:2:6: this is not JSON: Expecting ':' delimiter$"):
        Contract.opened(path)
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(ValueError, match=rf"^{path} is longer than 67,108,864 bytes$"):
        Contract.opened(path)


def test_what_is_wrong_in_another_kind_of_file_is_told_as_its_reader_says_it(path):
    class Read(ContractFile):
        @staticmethod
        def parsed(data, name):
            raise ConfigError([Problem((), "this is no text", name)])

    with pytest.raises(ValueError, match=rf"^{path}: this is no text$"):
        Read.opened(path)


def test_as_an_option_it_is_the_path_of_the_file(path):
    option = TypeAdapter(Contract)
    read = option.validate_python(str(path))

    assert read is option.validate_python(read) is option.validate_python(Path(path))
    assert option.dump_python(read) == str(path)
    for wrong in ("", None, 7):
        with pytest.raises(ValidationError, match="should be the path of a file"):
            option.validate_python(wrong)


def test_an_operation_may_stand_behind_references(path):
    item = {"get": {"operationId": "one"}}
    contract = holding(
        path,
        paths={"/a/{b}": {"$ref": "#/components/pathItems/first"}},
        components={"pathItems": {"first": {"$ref": "#/components/pathItems/a%20b"}, "a b": item}},
    )

    assert contract.operation("GET /a/{b}") == (item, item["get"], "#/components/pathItems/a b/get")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (None, "there is no operation 'GET /a' in "),
        ([], "there is no operation 'GET /a' in "),
        ({"/a": {"$ref": "other.json#/a"}}, "there is no operation 'GET /a' in "),
        ({"/a": {"$ref": "#/paths/~1a"}}, "there is no operation 'GET /a' in "),
        ({"/a": {"$ref": "#/components/nowhere"}}, "there is no #/components/nowhere in .*: 'components' is missing"),
    ],
)
def test_an_operation_that_is_nowhere_is_refused(path, paths, message):
    with pytest.raises(ValueError, match=message):
        holding(path, paths=paths).operation("GET /a")
