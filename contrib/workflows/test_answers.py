"""What synchronous routes answer: the seed's samples, and what is none."""

import json

import pytest

from .served import document, serving, setter, workflow

HELLO = {"status": 200, "body": {"message": "hello, world"}}
PLAIN = {"status": 200, "body": "hello, world"}
FILE = {
    "status": 200,
    "body": "hello, world",
    "headers": {"content-disposition": 'attachment; filename="hello.txt"', "content-type": "text/plain"},
}
CSV = {
    "cells": {
        "start": {"original_name": "start", "outputs": ["ok"]},
        "a": {
            "original_name": "create_csv",
            "params": {"filename": "doc1.csv", "inputs": '[["hello", "world"], ["foo", "bar"]]'},
            "outputs": ["ok"],
        },
        "b": {
            "original_name": "context_setter",
            "params": {"key": "*doc_response*", "value": "doc1.csv"},
            "outputs": ["ok"],
        },
        "end": {"original_name": "end"},
    },
    "transitions": [["start.ok", "a"], ["a.ok", "b"], ["b.ok", "end"]],
}
ANSWERS = {
    "hello": json.dumps(HELLO),
    "plain": json.dumps(PLAIN),
    "file": json.dumps(FILE),
    "mapping": HELLO,
    "oops": "oops",
    "list": {"body": [1, 2]},
    "nothing": {"status": 201},
    "low": {"status": 99, "body": "x"},
    "high": {"status": 600, "body": "x"},
    "word": {"status": "fine"},
    "smuggled": {"headers": {"x-a": "b\r\nx-c: d"}, "body": "x"},
    "framed": {
        "headers": {"transfer-encoding": "chunked", "content-length": "3", "keep-alive": "timeout=5", "x-kept": "yes"},
        "body": "hello",
    },
}


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    workflows = {name: workflow(("set", setter("*response*", value))) for name, value in ANSWERS.items()}
    workflows |= {
        "csv": CSV,
        "missing": workflow(),
        "elsewhere": workflow(("set", setter("*doc_response*", "../doc1.csv"))),
        "failed": workflow(
            ("file", CSV["cells"]["a"]), ("set", CSV["cells"]["b"]), ("bad", setter("x", "{{ request.no.thing }}"))
        ),
        "nowhere": workflow(("set", setter("*doc_response*", "doc2.csv"))),
        "both": workflow(
            ("file", CSV["cells"]["a"]), ("set", CSV["cells"]["b"]), ("more", setter("*response*", HELLO))
        ),
    }
    routes = [
        {"route": f"/{name}", "method": "get", "workflow": name, "sync": True, "public": True} for name in workflows
    ]
    routes.append({**routes[-1], "route": "/lenient", "workflow": "missing", "on_missing_response": 204})
    with serving(folder, f"sqlite:///{folder / 'store.db'}", document(workflows, routes)) as made:
        yield made


@pytest.mark.row("CR-16", "CR-14")
@pytest.mark.parametrize("name", ["hello", "mapping"])
def test_an_object_is_answered_as_json(farm, name):
    told = farm.public(f"/{name}")

    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    assert told.json() == {"message": "hello, world"}


@pytest.mark.row("CR-17")
def test_a_text_is_answered_as_plain_text(farm):
    told = farm.public("/plain")

    assert (told.status_code, told.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert told.text == "hello, world"


@pytest.mark.row("CR-18")
def test_headers_make_an_attachment(farm):
    told = farm.public("/file")

    assert (told.status_code, told.headers["content-type"], told.text) == (200, "text/plain", "hello, world")
    assert told.headers["content-disposition"] == 'attachment; filename="hello.txt"'


@pytest.mark.row("CR-14")
def test_what_is_left_out_of_an_answer_has_a_default(farm):
    assert (farm.public("/list").status_code, farm.public("/list").json()) == (200, [1, 2])
    told = farm.public("/nothing")
    assert (told.status_code, told.content, told.headers.get("content-type")) == (201, b"", None)


@pytest.mark.row("CR-14", "CR-18")
@pytest.mark.parametrize("name", ["low", "high", "word", "smuggled"])
def test_an_answer_that_cannot_be_sent_is_500(farm, name):
    told = farm.public(f"/{name}")

    assert (told.status_code, told.json()["reason"]) == (500, "bad-response")
    assert "x-c" not in told.headers


@pytest.mark.row("CR-15")
def test_fields_of_the_framing_are_never_replayed(farm):
    told = farm.public("/framed")

    assert (told.text, told.headers["x-kept"], told.headers["content-length"]) == ("hello", "yes", "5")
    assert not {"keep-alive", "transfer-encoding"} & told.headers.keys()


@pytest.mark.row("CR-19")
def test_an_answer_that_is_no_object_is_500_and_the_instance_is_closed_in_success(farm):
    told = farm.public("/oops")

    assert (told.status_code, told.json()["reason"]) == (500, "bad-response")
    guid = farm.gate.wait_for_exchanges(1)[-1].facts["workflow"]["guid"]
    assert farm.closed(guid)["status"] == "CLOSED_IN_SUCCESS"


def test_no_answer_is_500_with_a_reason_or_204(farm):
    told = farm.public("/missing")
    assert (told.status_code, told.json()["reason"]) == (500, "no-response")

    told = farm.public("/lenient")
    assert (told.status_code, told.content) == (204, b"")


@pytest.mark.row("CR-20", "CR-21")
def test_the_csv_workflow_of_the_seed_answers_with_its_file(farm):
    told = farm.public("/csv")

    assert told.status_code == 200
    assert told.headers["content-type"].partition(";")[0] == "text/csv"
    assert told.headers["content-disposition"] == 'attachment; filename="doc1.csv"'
    assert told.content == b"hello,world\r\nfoo,bar\r\n"


@pytest.mark.row("CR-20")
def test_a_file_comes_before_a_response_and_has_to_be_of_the_instance(farm):
    assert farm.public("/both").content == b"hello,world\r\nfoo,bar\r\n"
    assert farm.public("/failed").json()["reason"] == "workflow-failed"
    for name in ("elsewhere", "nowhere"):
        told = farm.public(f"/{name}")
        assert (told.status_code, told.json()["reason"]) == (500, "no-document")
