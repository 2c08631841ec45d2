"""Drawings of definitions as SVG."""

import random
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate_workflows.definitions import built
from hookgate_workflows.drawing import HIGH, WIDE, svg
from hookgate_workflows.graph import Graph, problems
from hookgate_workflows.layering import CELL, POINT, laid_out
from hookgate_workflows.records import WorkflowSection

from .served import workflow
from .test_command import EXAMPLE, run

SVG = "{http://www.w3.org/2000/svg}"


def graph(definition, name="w"):
    section = WorkflowSection(**definition)
    assert not built(section, ())
    assert not list(problems(section, ()))
    return Graph(name, section)


def setter(key="x"):
    return {"original_name": "context_setter", "params": {"key": key, "value": key}}


def boxes(tree):
    return {
        each.find(f"{SVG}text").text: tuple(float(each.find(f"{SVG}rect").get(name)) for name in ("x", "y"))
        for each in tree.iter(f"{SVG}g")
    }


def apart(found):
    places = sorted(found.values())
    return all(abs(x - a) >= WIDE or abs(y - b) >= HIGH for i, (x, y) in enumerate(places) for a, b in places[i + 1 :])


def test_a_drawing_says_what_leads_where():
    definition = {
        "cells": {
            "start": {"original_name": "start"},
            "ask": {"original_name": "boolean_expression", "params": {"expression": "{{ true }}"}},
            "back": {"original_name": "goto", "params": {"target": "ask"}},
            "lost": setter(),
            "why": {"original_name": "note", "params": {"text": "because"}},
            "end": {"original_name": "end"},
        },
        "transitions": [["start.ok", "ask"], ["ask.true", "end"], ["ask.false", "back"]],
    }
    told = svg(graph(definition))
    tree = ET.fromstring(told)

    assert tree.get("role") == "img"
    named = [tree.find(f"{SVG}{name}") for name in ("title", "desc")]
    assert tree.get("aria-labelledby").split() == [each.get("id") for each in named]
    assert named[0].text == "Workflow w"
    assert "ask (boolean_expression): true to end; false to back." in named[1].text
    assert "back (goto): to ask." in named[1].text
    found = boxes(tree)
    assert found.keys() == definition["cells"].keys()
    assert found["start"][1] < found["ask"][1] < found["end"][1]
    assert [each.text for each in tree.findall(f"{SVG}text")] == ["ok", "true", "false"]
    classes = [each.get("class") for each in tree.iter(f"{SVG}rect")]
    assert {"plain lost", "comment", "start", "end"} <= set(classes)
    assert [each.get("class") for each in tree.findall(f"{SVG}path")].count("goto back") == 1
    assert told == svg(graph(definition))


def test_what_people_wrote_is_escaped_and_cut():
    bad = '</text><script>alert("x")</script>'
    long = "名" * 60
    definition = workflow((bad, setter()), (long, setter()), ("a\x01b", setter()))
    told = svg(graph(definition, name="<&\ud800>"))
    tree = ET.fromstring(told.encode())

    assert not [
        each
        for each in tree.iter()
        if each.tag
        not in {
            f"{SVG}{name}" for name in ("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text")
        }
    ]
    shown = boxes(tree)
    assert any(each.endswith("…") and len(each) < 20 for each in shown)
    assert [each.find(f"{SVG}title").text for each in tree.iter(f"{SVG}g")][1].startswith(bad)
    assert "\x01" not in told
    assert not re.search(r"(href|src|url\((?!#)|@import)", told.replace('xmlns="http', ""))


def test_fifty_cells_stand_apart_and_lines_go_round_them():
    chance = random.Random(5)
    cells = [(f"cell {index}", setter()) for index in range(48)]
    definition = workflow(*cells)
    names = [name for name, _ in cells]
    for _ in range(20):
        source, target = chance.sample(names, 2)
        definition["transitions"].append([f"{source}.error", target])
    tree = ET.fromstring(svg(graph(definition)))

    found = boxes(tree)
    assert len(found) == 50
    assert apart(found)
    wide, high = float(tree.get("width")), float(tree.get("height"))
    assert all(0 <= x <= wide - WIDE and 0 <= y <= high - HIGH for x, y in found.values())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=30))
    )
)
def test_lines_lead_down_or_are_marked_as_leading_back(made):
    count, lines = made
    layout = laid_out(count, lines)

    assert sorted(each for layer in layout.layers for each in layer) == list(range(len(layout.depth)))
    for index, (source, target) in enumerate(lines):
        if index in layout.back:
            assert index not in layout.points
        else:
            way = [source, *layout.points[index], target]
            assert [layout.depth[each] - layout.depth[source] for each in way] == list(range(len(way)))
    for layer in layout.layers:
        for left, right in pairwise(layer):  # so neither cells nor lines between them stand on each other
            room = [CELL if each < count else POINT for each in (left, right)]
            assert layout.across[right] - layout.across[left] >= sum(room) / 2 - 1e-6


@pytest.mark.timeout(60)
def test_the_largest_definition_is_drawn_in_a_moment():
    lines = [(index, index + 1) for index in range(999)] + [
        (index % 990, index % 990 + 1 + index % 9) for index in range(9000)
    ]
    layout = laid_out(1000, lines)
    assert len(layout.depth) == 1000  # no points between layers: there would be too many


def test_a_command_draws(tmp_path):
    done = run("show", EXAMPLE, "order", "--svg")
    assert done.exit_code == 0
    assert ET.fromstring(done.stdout).find(f"{SVG}title").text == "Workflow order"
    several = tmp_path / "two.yaml"
    several.write_text("workflows: {a: {cells: {}}, b: {cells: {}}}")
    done = run("show", several, "--svg")
    assert (done.exit_code, "name one of a, b" in done.output) == (2, True)
