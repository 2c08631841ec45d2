"""Definitions: what is refused with its place, and what is warned of."""

import json

import pytest
from typer.testing import CliRunner

from hookgate.commands import app

from .served import document, refused, setter, workflow

SET = setter("a", 1)


def broken(**changes):
    return {**workflow(("a", SET)), **changes}


def cells(**more):
    return {**workflow(("a", SET))["cells"], **more}


BROKEN = [
    (broken(cells={"end": {"original_name": "end"}}, transitions=[]), "cells: has no start: add a cell"),
    (broken(cells=cells(again={"original_name": "start"})), "cells.again.original_name: is a second start"),
    (broken(cells={"start": {"original_name": "start"}}, transitions=[]), "cells: has no end"),
    (
        broken(cells=cells(a={"original_name": "context_seter", "params": SET["params"]})),
        "a.original_name: no node is installed under the name 'context_seter'; did you mean 'context_setter'?",
    ),
    (
        broken(cells=cells(a={"original_name": "context_setter", "params": {"kee": "a", "value": 1}})),
        "cells.a.params.kee: there is no option 'kee'",
    ),
    (
        broken(cells=cells(a=setter("a", "{{ 1 + }}"))),
        "cells.a.params.value: is no template: line 1",
    ),
    (broken(transitions=[["start.ok", "b"]]), "transitions[0][1]: there is no cell 'b'"),
    (broken(transitions=[["stat.ok", "a"]]), "transitions[0][0]: there is no cell 'stat'; did you mean 'start'?"),
    (broken(transitions=[["start", "a"]]), "leads from no output"),
    (
        broken(transitions=[["start.okay", "a"]]),
        "transitions[0][0]: the cell 'start' does not declare the output 'okay'",
    ),
    (
        broken(transitions=[["start.ok", "a"], ["a.ok", "start"]]),
        "transitions[1][1]: leads to 'start', which is the start",
    ),
    (
        broken(transitions=[["start.ok", "a"], ["end.ok", "a"]]),
        "transitions[1][0]: leads from 'end', which is an end",
    ),
    (
        broken(transitions=[["start.ok", "a"], ["start.ok", "a"]]),
        "transitions[1]: leads from start.ok to a, as one before",
    ),
    (
        broken(cells=cells(a={**SET, "outputs": ["yes"]})),
        "cells.a.outputs[0]: context_setter has no output 'yes' here",
    ),
    (broken(cells=cells(a={"original_name": "goto", "params": {"target": "b"}})), "there is no cell 'b'"),
    (
        broken(cells=cells(a={"original_name": "http_call", "params": {"url": "http://{{ request.host }}/"}})),
        "cells.a.params: url: without a connection it is absolute and names its host itself",
    ),
    (
        broken(cells=cells(a={"original_name": "http_call", "params": {"connection": "shop", "url": "/"}})),
        "cells.a.params.connection: there is no connection 'shop'",
    ),
    (
        broken(cells=cells(a=setter("a", "{{ request | json_query('a[') }}"))),
        "is no JMESPath query",
    ),
]


def test_what_is_wrong_with_a_definition_is_told_with_its_place(tmp_path):
    told = refused(tmp_path, document({f"w{index}": made for index, (made, _) in enumerate(BROKEN)}, []))

    lines = told.splitlines()
    for index, (_, said) in enumerate(BROKEN):
        assert [line for line in lines if f"workflows.w{index}." in line and said in line], (said, told)


LOOP = {
    "cells": {
        "start": {"original_name": "start"},
        "a": setter("a", 1),
        "b": setter("b", 1),
        "lost": setter("c", 1),
        "ask": {"original_name": "boolean_expression", "params": {"expression": "true"}, "outputs": ["true", "false"]},
        "said": {"original_name": "note", "params": {"text": "is not run"}},
        "end": {"original_name": "end"},
    },
    "transitions": [["start.ok", "a"], ["a.ok", "b"], ["b.ok", "a"], ["a.ok", "ask"], ["ask.true", "end"]],
}
PAUSES = workflow(("wait", {"original_name": "timer", "params": {"timeout": "1 h"}}))


@pytest.mark.row("CR-6", "CR-21")
def test_what_is_seldom_meant_so_is_warned_of(tmp_path, monkeypatch):
    made = document(
        {"w": LOOP, "p": PAUSES}, [{"route": "/slow", "method": "get", "workflow": "p", "sync": True, "public": True}]
    )
    del made["workflow_engine"]["auth"]
    (tmp_path / "gateway.yaml").write_text(json.dumps(made))
    told = {"url": f"sqlite:///{tmp_path / 'store.db'}", "key": str(tmp_path / "store.key")}
    monkeypatch.setenv("HOOKGATE_SOURCE_OPTIONS", json.dumps(told))
    monkeypatch.setenv("HOOKGATE_SOURCE", "store")
    assert CliRunner().invoke(app, ["storage", "upgrade", str(tmp_path / "gateway.yaml")]).exit_code == 0

    done = CliRunner().invoke(app, ["check", str(tmp_path / "gateway.yaml")])

    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "nothing leads to the cell 'lost': it is never run [workflow-unreachable]" in said
    assert "'said'" not in said
    assert "the output 'false' leads nowhere: an instance that comes there fails [workflow-output-open]" in said
    assert "runs in a circle that nothing ends: a -> b -> a [workflow-endless]" in said
    assert "the cell 'wait' of 'p' may pause, and a call that waits is then answered with 504 [workflow-pauses]" in said
