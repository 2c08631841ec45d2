"""How flows come down, break and are restored, over trees and edits of all kinds (FL-25 to FL-31)."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate.document.document import parse
from hookgate_apis.inheritance import Item, Own, additions, difference, effective, first_break, restored
from hookgate_apis.preview import Shadow, broken_at, options_of, preview
from hookgate_apis.records import ApiSection
from hookgate_apis.restore import CannotEdit, broken_directions, restored_text
from hookgate_apis.tree import DIRECTIONS, Tree

some = settings(deadline=None, max_examples=60)
KEYS = [f"k{number}" for number in range(12)]
keys = st.lists(st.sampled_from(KEYS), unique=True, max_size=6)


def items(scope, *names):
    return [Item(name, name, scope, scope) for name in names]


def names(listed):
    return [item.key for item in listed]


@st.composite
def families(draw):
    """A parent's list, and what a child has of its own."""
    parent, own = draw(keys), draw(keys)
    return items("api", *parent), items("child", *(f"c-{name}" for name in own))


@st.composite
def edited(draw):
    """A parent's list, and that of a child which has reordered it, left some out and put its own anywhere."""
    parent, own = draw(families())
    kept = [item for item in parent if draw(st.booleans())]
    return parent, draw(st.permutations([*kept, *own]))


# --- one list and its parent's ----------------------------------------------------------------------------------------


@some
@given(families())
def test_an_unbroken_list_is_its_parents_and_its_own(family):
    parent, own = family
    before = list(parent)
    child = effective(parent, Own(tuple(own)))
    assert child == parent + own
    assert first_break(parent, child) is None
    assert additions(parent, child) == own
    assert parent == before


@some
@given(edited())
def test_a_list_is_unbroken_exactly_if_it_begins_with_its_parents(family):
    parent, child = family
    index = first_break(parent, child)
    assert (index is None) == (names(child)[: len(parent)] == names(parent))
    if index is not None:
        assert names(child)[:index] == names(parent)[:index]
        assert names(child)[index : index + 1] != names(parent)[index : index + 1]


@pytest.mark.parametrize(
    ("child", "index"),
    [
        ("b a c", 0),  # the parent's in another order
        ("x a b c", 0),  # an own one moved, or a new one added, before them
        ("a x b c", 1),  # amidst them
        ("a b x c", 2),
        ("a c", 1),  # one left out
        ("a b", 2),  # the last one left out
        ("", 0),
        ("a b c", None),
        ("a b c x", None),  # a new one after them
        ("a b c y x", None),  # own ones in another order
    ],
)
def test_where_a_list_breaks(child, index):
    assert first_break(items("api", *"abc"), items("child", *child.split())) == index


def test_values_break_nothing():
    overrides = {"a": ("child", (), {"value": 5})}
    child = effective(items("api", "a", "b"), Own(tuple(items("child", "x")), overrides=overrides))
    assert first_break(items("api", "a", "b"), child) is None
    assert options_of(child[0]) == {"value": 5}


@some
@given(families(), keys, edited())
def test_what_a_parent_gets_later_reaches_unbroken_lists_only(family, later, broken):
    _, own = family
    changed = items("api", *later)
    assert effective(changed, Own(tuple(own))) == changed + own
    assert effective(changed, Own(tuple(broken[1]), inherits=False)) == list(broken[1])


@some
@given(edited(), st.permutations(KEYS))
def test_a_restored_list_is_its_parents_of_now_and_its_own_in_order(family, order):
    _, child = family
    now = items("api", *order[:5])
    after = restored(now, child, scope="child")
    own = [item for item in child if item.scope == "child"]
    assert after == now + own
    assert first_break(now, after) is None
    assert restored(now, after, scope="child") == after
    assert effective(now, Own(tuple(own))) == after
    assert not difference(after, restored(now, after))


@some
@given(keys, keys)
def test_a_difference_tells_what_comes_goes_and_moves(before, after):
    found = difference(items("api", *before), items("api", *after))
    assert set(found.added) == set(after) - set(before)
    assert set(found.removed) == set(before) - set(after)
    assert bool(found) == (before != after)


# --- trees ------------------------------------------------------------------------------------------------------------

STEPS = ("log", "auth", "cache", {"mark": {"value": 1}}, {"mark": {"value": 2, "_": {"label": "two"}}})
placed = st.lists(st.sampled_from(STEPS), max_size=3)


@st.composite
def lists(draw, parent):
    """What a scope below another one says: lists that inherit, or broken ones that name some of the parent's."""
    raw = {side: draw(placed) for side in ("flow", "request", "response") if draw(st.booleans())}
    broken = draw(st.sampled_from([{}, {}, {"request"}, {"response"}, {"request", "response"}]))
    if broken:
        both = len(broken) == 2
        raw["inherit"] = False if both and draw(st.booleans()) else dict.fromkeys(sorted(broken), False)
        for side in sorted(broken):
            own = raw.get(side, [])
            inherited = [{"from": item.key} for item in parent.lists[side] if draw(st.booleans())]
            raw[side] = draw(st.permutations([*own, *inherited]))
    if parent.lists["request"] and draw(st.booleans()):
        raw["overrides"] = {draw(st.sampled_from(names(parent.lists["request"]))): {"value": draw(st.integers(3, 9))}}
    return raw


def tree(raw):
    problems = []
    built = Tree(ApiSection.model_validate(raw), raw, ("apis", 0), problems)
    assert problems == []
    return built


@st.composite
def apis(draw):
    raw = {"name": "orders", "base_path": "/orders", **{side: draw(placed) for side in ("flow", "request", "response")}}
    raw["resources"] = []
    for number in range(draw(st.integers(1, 2))):
        resource = {"path": f"/r{number}", **draw(lists(tree({**raw, "resources": []}).api))}
        scope = tree({**raw, "resources": [resource]}).resources[0][0]
        resource["operations"] = {method: draw(lists(scope)) for method in ("GET", "PUT")}
        raw["resources"].append(resource)
    return raw


def scopes(raw):
    return {scope.name: scope for scope in tree(raw).scopes()}


@some
@given(apis())
def test_every_scope_of_a_tree_is_its_parents_and_its_own_or_its_own_alone(raw):
    for scope in scopes(raw).values():
        for direction in DIRECTIONS:
            own = [item for item in scope.lists[direction] if item.scope == scope.name]
            if scope.own[direction].inherits:
                above = names(scope.parent.lists[direction]) if scope.parent else []
                assert names(scope.lists[direction]) == above + names(own)
                assert broken_at(scope, direction) is None
            else:
                assert broken_at(scope, direction) == first_break(scope.parent.lists[direction], scope.lists[direction])


@some
@given(apis())
def test_what_children_say_changes_nothing_above_and_beside_them(raw):
    there = scopes(raw)
    without = scopes({**raw, "resources": [{"path": "/r0"}, *raw["resources"][1:]]})
    for name, scope in without.items():
        if name != "orders /r0":
            assert scope.lists == there[name].lists


@some
@given(apis(), st.integers(10, 20))
def test_a_value_set_below_is_that_of_its_whole_subtree_whatever_the_parent_says(raw, value):
    key = "mark"
    raw["flow"] = [{"mark": {"value": 1}}, *raw["flow"]]
    raw["resources"] = [
        {"path": "/five", "overrides": {key: {"value": 5}}, "operations": {"GET": {}, "PUT": {"flow": ["log"]}}},
        {"path": "/live"},
    ]
    before = scopes(raw)
    raw["flow"][0] = {"mark": {"value": value}}
    after = scopes(raw)

    def values(found, name):
        return [options_of(item)["value"] for item in found[name].lists["request"] if item.key == key]

    for name in ("orders /five", "orders /five GET", "orders /five PUT"):
        assert values(before, name) == values(after, name) == [5]
    assert (values(before, "orders /live"), values(after, "orders /live")) == ([1], [value])


# --- previews ---------------------------------------------------------------------------------------------------------


@some
@given(apis())
def test_a_document_that_stays_as_it_is_changes_nothing(raw):
    assert list(preview(tree(raw).scopes(), list(tree(raw).scopes()))) == []


@some
@given(apis(), st.sampled_from(["late", {"late": {"value": 1}}]))
def test_a_preview_tells_for_every_scope_whether_it_gets_what_the_api_gets(raw, new):
    before = scopes(raw)
    changed = {**raw, "request": [*raw["request"], new]}
    after = scopes(changed)
    (added,) = set(names(after["orders"].lists["request"])) - set(names(before["orders"].lists["request"]))
    found = {
        change.scope: change
        for change in preview(before.values(), list(after.values()))
        if change.direction == "request"
    }
    for name, scope in after.items():
        gets = added in names(scope.lists["request"])
        assert gets == (name in found and added in found[name].difference.added)
        parent = scope.parent
        if parent is not None and added in names(parent.lists["request"]):
            assert gets == scope.own["request"].inherits
            assert (name in found and added in found[name].missed.added) == (not gets)


def test_a_preview_tells_of_values_that_children_shadow():
    raw = {
        "name": "orders",
        "base_path": "/orders",
        "flow": [{"mark": {"value": 1, "name": "a"}}],
        "resources": [
            {"path": "/own", "overrides": {"mark": {"value": 5}}, "operations": {"GET": {}}},
            {"path": "/live"},
        ],
    }
    before = scopes(raw)
    raw["flow"] = [{"mark": {"value": 2, "name": "b"}}]
    after = list(scopes(raw).values())
    found = {change.scope: change for change in preview(before.values(), after) if change.direction == "request"}
    assert found["orders"].values == found["orders /live"].values == (("mark", ("value", "name")),)
    assert found["orders /own"].shadowed == (Shadow("mark", ("value",)),)
    assert found["orders /own"].values == found["orders /own GET"].values == (("mark", ("name",)),)
    assert found["orders /own GET"].shadowed == ()


def test_a_preview_tells_of_breaks_and_of_their_end():
    whole = {"name": "o", "base_path": "/o", "flow": ["log", "auth"], "resources": [{"path": "/r", "flow": ["cache"]}]}
    flow = ["cache", {"from": "log"}, {"from": "auth"}]
    broken = {**whole, "resources": [{"path": "/r", "inherit": False, "flow": flow}]}
    forth = list(preview(tree(whole).scopes(), list(tree(broken).scopes())))
    back = list(preview(tree(broken).scopes(), list(tree(whole).scopes())))
    assert [(change.breaks_at, change.mended, change.difference.moved) for change in forth] == [(0, False, True)] * 2
    assert [(change.breaks_at, change.mended, change.difference.moved) for change in back] == [(None, True, True)] * 2


# --- restoring the text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["block", "flow", "json"])
@some
@given(raw=apis(), data=st.data())
def test_restoring_a_text_restores_the_list_and_nothing_else(style, raw, data):
    document = {"x-note": "é ♥ # no comment", "apis": [raw], "connections": {}}
    document = json.loads(json.dumps(document))  # no object twice, or it would be written once, with an anchor
    text = json.dumps(document) if style == "json" else yaml.safe_dump(document, default_flow_style=style == "flow")
    text = text.replace("\napis", "\n# of the house\napis", 1)
    before = scopes(raw)
    broken = [
        (scope, direction) for scope in before.values() for direction in DIRECTIONS if not scope.own[direction].inherits
    ]
    if not broken:
        return
    scope, direction = data.draw(st.sampled_from(broken))
    file = "gateway.json" if style == "json" else "gateway.yaml"
    changed = restored_text(text.encode(), file, scope.path, [direction])
    there = parse(changed, file).value
    assert there["x-note"] == document["x-note"]
    after = {each.name: each for each in tree(there["apis"][0]).scopes()}
    wanted = restored(scope.parent.lists[direction], scope.lists[direction], scope=scope.name)
    assert names(after[scope.name].lists[direction]) == names(wanted)
    assert after[scope.name].own[direction].inherits
    other = "response" if direction == "request" else "request"
    assert names(after[scope.name].lists[other]) == names(scope.lists[other])
    for name, each in before.items():
        if not name.startswith(scope.name):
            assert {d: names(each.lists[d]) for d in DIRECTIONS} == {d: names(after[name].lists[d]) for d in DIRECTIONS}


BROKEN = """\
# the orders
apis:
- name: orders   # ours
  base_path: /orders
  flow: [log, auth]
  resources:
    - path: "/items"    # é
      inherit: false
      flow:
        # the cache first
        - cache: {ttl: 3}  # three
        - from: auth
        - {from: log}   # why not

      request: [{from: auth}, cors, {from: log}]
    - inherit: {request: false}
      path: /rest
      request: [ { from: auth } ]
connections: {}   # none
"""


def test_the_text_keeps_its_comments_and_its_shape():
    first = restored_text(BROKEN.encode(), "a.yaml", ("apis", 0, "resources", 0), DIRECTIONS).decode()
    gone = ["      inherit: false\n", "        - from: auth\n", "        - {from: log}   # why not\n"]
    expected = BROKEN
    for each in gone:
        expected = expected.replace(each, "")
    assert first == expected.replace("[{from: auth}, cors, {from: log}]", "[cors]")

    second = restored_text(BROKEN.encode(), "a.yaml", ("apis", 0, "resources", 1), ["request"]).decode()
    expected = BROKEN.replace("inherit: {request: false}", "inherit: true").replace("[ { from: auth } ]", "[  ]")
    assert second == expected


def test_one_direction_is_restored_and_the_other_stays():
    changed = restored_text(BROKEN.encode(), "a.yaml", ("apis", 0, "resources", 0), ["request"]).decode()
    expected = BROKEN.replace("inherit: false", 'inherit: {"response": false}')
    assert changed == expected.replace("[{from: auth}, cors, {from: log}]", "[cors]")


@pytest.mark.parametrize(
    ("text", "file", "words"),
    [
        (BROKEN, "a.toml", "TOML is not edited"),
        ("x-r: &r {inherit: false, flow: [{from: log}]}\napis: [{flow: [log], resources: [{path: /a, <<: *r}]}]",
         "a.yaml", "does not stand in this scope itself"),
        ("x-r: &r {path: /a, inherit: false, flow: [{from: log}]}\napis: [{flow: [log], resources: [*r]}]", "a.yaml",
         "used elsewhere"),
        ("apis: [{flow: [log], resources: [{path: /a, inherit: false, flow: &f [{from: log}]}]}]\nx-f: *f", "a.yaml",
         "used elsewhere"),
        ("apis:\n- resources:\n  - inherit: false\n    flow:\n    -\n      from: log\n", "a.yaml", "lines of its own"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_changed_alone_is_refused(text, file, words):
    with pytest.raises(CannotEdit, match=words) as refused:
        restored_text(text.encode(), file, ("apis", 0, "resources", 0), DIRECTIONS)
    assert "by hand: take every `from`" in str(refused.value)


@pytest.mark.parametrize(
    ("inherit", "broken"),
    [(False, {"request", "response"}), (True, set()), ({"request": False}, {"request"}), ({"response": True}, set())],
)
def test_which_directions_are_broken(inherit, broken):
    assert broken_directions({"inherit": inherit}) == broken


def test_a_step_is_not_disabled_from_below():
    """Leaving an inherited step out is a break, and looks like one."""
    raw = {"name": "o", "flow": ["log"], "resources": [{"overrides": {"log": {"_": {"disabled": True}}}}]}
    problems = []
    Tree(ApiSection.model_validate(raw), raw, ("apis", 0), problems)
    (problem,) = problems
    assert problem.path == ("apis", 0, "resources", 0, "overrides", "log", "_")
    assert "break the flow" in problem.message
