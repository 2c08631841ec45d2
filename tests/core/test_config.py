"""Loading: every mistake at once with its place, and what a good document comes to."""

import asyncio
import time

import pytest

from hookgate.document.document import Document, parse
from hookgate.gateway.configuration import load

from .documents import route, routed

TEN_MISTAKES = """\
gateway:
  listen: [":8080"]
  flow: [requst-id]
  trusted_proxies: [10.0.0.0/8, 10.0.0.300]
routs: []
plugins:
  outer: {box: {flow: [inner]}}
  inner: {box: {flow: [step, outer]}}
routes:
  - name: orders
    match: {path: /orders}
    flow:
      - step: {name: a, nummer: 2}
      - step: {number: many}
    to: {connection: crn}
  - name: orders
    match: {path: /more}
    flow:
      - step: {key: "${env:HOOKGATE_TEST_NOT_SET}"}
connections:
  crm:
    targets: http://crm.internal/service1
"""


def test_ten_mistakes_are_reported_at_once_in_the_order_of_the_document(problems, monkeypatch):
    monkeypatch.delenv("HOOKGATE_TEST_NOT_SET", raising=False)

    assert problems(TEN_MISTAKES) == [
        (
            "gateway.yaml:3:10: gateway.flow[0]: no interceptor is installed under the name 'requst-id'; "
            "did you mean 'request-id'?"
        ),
        "gateway.yaml:4:33: gateway.trusted_proxies[1]: value is not a valid IPv4 or IPv6 network",
        "gateway.yaml:5:1: routs: there is no section 'routs'; did you mean 'routes'?",
        "gateway.yaml:8:30: plugins.inner.box.flow[1]: circular reference: outer -> inner -> outer",
        "gateway.yaml:13:25: routes[0].flow[0].step.nummer: there is no option 'nummer'; did you mean 'number'?",
        "gateway.yaml:14:24: routes[0].flow[1].step.number: should be a whole number",
        "gateway.yaml:15:22: routes[0].to.connection: there is no connection 'crn'; did you mean 'crm'?",
        "gateway.yaml:16:11: routes[1].name: the name 'orders' is taken by another route; names are unique",
        "gateway.yaml:19:21: routes[1].flow[0].step.key: environment variable HOOKGATE_TEST_NOT_SET is not set",
        (
            "gateway.yaml:22:14: connections.crm.targets: a location has no path, but here is '/service1'; "
            "put it into base_path or a route's to.path"
        ),
    ]


def test_a_mistake_in_a_record_hides_none_in_the_entries_inside_it(problems):
    document = {
        "routes": [{"flow": ["step", {"stp": {}}], "to": {"connection": "crm", "timeout": -1}}],
        "connections": {"crm": {"targets": [], "auth": ["tokn"], "headers": [{"set": "X", "from": "dat"}]}},
    }
    found = problems(document)

    assert [each.partition(": ")[0] for each in found] == [
        "routes[0].flow[1].stp",
        "routes[0].name",
        "routes[0].to.timeout",
        "connections.crm.targets",
        "connections.crm.headers[0].from",
        "connections.crm.auth[0]",
    ]


# --- what a good document comes to ----------------------------------------------------------------------------------


def test_the_smallest_document_has_defaults(loaded):
    config = loaded({"routes": [{"name": "all", "flow": ["respond"]}]})

    assert config.gateway.listen == ("127.0.0.1:8080",)
    assert config.management.listen == ("127.0.0.1:8001",)
    assert [app.entry.name for app in config.apps] == ["health"]
    assert config.routes[0].section.match.path == "/{rest...}"
    assert (config.gateway.timeout_status, config.gateway.hook_timeout, config.gateway.drain) == (502, 30.0, 30.0)


def test_a_connection_gets_the_default_transport_and_a_balancer_where_there_is_something_to_balance(loaded):
    config = loaded(
        {
            "connections": {
                "one": {"targets": "http://H.internal/"},
                "two": {"targets": ["http://a", {"url": "https://[::1]:9000", "weight": 5, "active": False}]},
            },
        },
    )
    one, two = config.connections["one"], config.connections["two"]

    assert (one.transport.entry.name, one.balancer, one.monitors) == ("http", None, ())
    assert [(t.scheme, t.host, t.port, t.weight, t.active) for t in one.targets] == [
        ("http", "h.internal", 80, 1, True)
    ]
    assert two.balancer.entry.id == "connections.two/weighted-round-robin"
    assert [(t.scheme, t.host, t.port, t.weight, t.active) for t in two.targets] == [
        ("http", "a", 80, 1, True),
        ("https", "::1", 9000, 5, False),
    ]
    assert one.transport is not two.transport


def test_steps_and_plugins_are_built_in_order_and_apart_from_the_sections(loaded):
    config = loaded(
        {
            "gateway": {"flow": ["step"], "observers": ["watcher"]},
            "routes": [
                {
                    "name": "one",
                    "flow": [{"step": {"name": "a"}}, {"step": {"name": "b"}}],
                    "request": ["way-in"],
                    "response": ["way-out"],
                    "to": {"connection": "crm", "path": "/v2"},
                }
            ],
            "connections": {
                "crm": {
                    "targets": "http://h",
                    "headers": [{"set": "X-A", "from": {"default": {"value": "1"}}}, {"remove": "X-B"}],
                    "auth": ["token", "signer"],
                }
            },
        },
    )
    (one,) = config.routes
    crm = config.connections["crm"]

    assert [step.options.name for step in one.steps.flow] == ["a", "b"]
    assert [type(step).__name__ for step in (*one.steps.request, *one.steps.response)] == ["WayIn", "WayOut"]
    assert [type(step).__name__ for step in (*config.flow.flow, *config.observers)] == ["Step", "Watcher"]
    assert [(a.action, a.name, a.provider and a.provider.entry.name) for a in crm.headers] == [
        ("set", "X-A", "default"),
        ("remove", "X-B", None),
    ]
    assert [each.entry.name for each in crm.credentials] == ["token", "signer"]
    assert (one.section.flow, crm.section.auth, config.gateway.observers) == (
        one.steps.flow,
        crm.credentials,
        config.observers,
    )


def test_ids_say_owner_plugin_and_number_and_can_be_given(loaded):
    config = loaded(
        {
            "plugins": {"shared": "step"},
            "routes": [
                route(
                    "step",
                    "step",
                    {"box": {"flow": ["step", "way-in"]}},
                    {"step": {"_": {"id": "mine", "label": "My step", "when": "request.method == 'GET'"}}},
                    "shared",
                    request=["step"],
                )
            ],
        },
    )

    assert [
        key for key in config.instances if "management" not in key and not key.startswith(("sections.", "gateway/"))
    ] == [
        "plugins.shared/step",
        "routes.one/step",
        "routes.one/step#2",
        "routes.one/box/step",
        "routes.one/box/way-in",
        "routes.one/box",
        "mine",
        "routes.one/step#4",
    ]
    entry = config.instances["mine"].entry
    assert (entry.label, entry.when.text, entry.family, entry.name) == (
        "My step",
        "request.method == 'GET'",
        "interceptor",
        "step",
    )


def test_an_id_that_is_taken_is_a_problem(problems):
    assert problems(routed({"step": {"_": {"id": "a"}}}, {"step": {"_": {"id": "a"}}})) == [
        "routes[0].flow[1].step._.id: the id 'a' is taken; ids are unique",
    ]


def test_a_named_instance_is_one_instance_wherever_it_is_placed(loaded):
    config = loaded(
        {
            "plugins": {"shared": {"step": {"name": "x"}}},
            "routes": [
                route("shared"),
                {"name": "two", "match": {"path": "/b"}, "flow": [{"box": {"flow": ["shared"]}}]},
            ],
        },
    )
    first, box = config.routes[0].steps.flow[0], config.routes[1].steps.flow[0]

    assert box.options.flow[0] is first
    assert first.options.name == "x"


@pytest.mark.parametrize(
    ("shared", "flow", "expected"),
    [
        (
            {"cors": "step"},
            [],
            ["plugins.cors: 'cors' is the name of an installed plugin; give the instance a name of its own"],
        ),
        (
            {"it": "step"},
            [{"it": {"name": "x"}}],
            ["routes[0].flow[0].it: it stands in `plugins:`; its options are written there and not where it is placed"],
        ),
        ({"mine": "mine"}, ["mine"], ["plugins.mine: circular reference: mine -> mine"]),
        ({"mine": {"step": {"number": "x"}}}, ["mine", "mine"], ["plugins.mine.step.number: should be a whole number"]),
        (
            {"a": {"box": {"flow": ["b"]}}, "b": {"pair": {"first": "c"}}, "c": {"box": {"request": ["a"]}}},
            ["a", "b", "c"],
            ["plugins.c.box.request[0]: circular reference: a -> b -> c -> a"],
        ),
    ],
)
def test_mistakes_with_named_instances_are_told_once_and_where_they_are(problems, shared, flow, expected):
    assert problems(routed(*flow, plugins=shared)) == expected


# --- reloading ------------------------------------------------------------------------------------------------------


def test_an_instance_lives_on_while_its_entry_and_what_it_holds_are_the_same(loaded):
    box = {"box": {"flow": ["step", {"step": {"name": "b"}}]}}
    document = routed({"step": {"name": "a", "by": "request.client"}}, box)
    first = loaded(document)
    again = loaded(document, first.instances)
    box["box"]["flow"][1]["step"]["name"] = "c"
    changed = loaded(document, first.instances)
    kept = {key for key, plugin in changed.instances.items() if plugin is first.instances[key]}

    assert all(again.instances[key] is plugin for key, plugin in first.instances.items())
    assert set(first.instances) - kept == {"routes.one/box/step#2", "routes.one/box", "sections.routes"}


def test_a_changed_condition_makes_a_new_instance_and_leaves_the_running_one_alone(loaded):
    first = loaded(routed({"step": {"_": {"id": "a", "when": "true"}}}))
    second = loaded(routed({"step": {"_": {"id": "a", "when": "false"}}}), first.instances)

    assert second.instances["a"] is not first.instances["a"]
    assert first.instances["a"].entry.when.text == "true"


def test_an_id_keeps_an_instance_alive_when_others_are_added_before_it(loaded):
    first = loaded(routed({"step": {"_": {"id": "mine"}}}))
    second = loaded(routed("step", "step", {"step": {"_": {"id": "mine"}}}), first.instances)

    assert second.routes[0].steps.flow[2] is first.routes[0].steps.flow[0]


def test_another_plugin_under_the_same_id_is_a_new_instance(loaded):
    first = loaded(routed({"step": {"_": {"id": "a"}}}))
    second = loaded(routed({"way-in": {"_": {"id": "a"}}}), first.instances)

    assert type(second.instances["a"]).__name__ == "WayIn"


def test_connections_are_equal_when_they_say_the_same_and_hold_the_same_instances(loaded):
    def document(**changes):
        return {"connections": {"crm": {"targets": ["http://a", "http://b"], "auth": ["token"], **changes}}}

    first = loaded(document())
    same = loaded(document(), first.instances)

    assert same.connections["crm"] == first.connections["crm"]
    for changes in ({"max_tries": 2}, {"auth": ["signer"]}, {"targets": ["http://a"]}, {"pool": {"keep_alive": 1}}):
        assert loaded(document(**changes), first.instances).connections["crm"] != first.connections["crm"]


# --- sections of other distributions --------------------------------------------------------------------------------


def test_a_section_of_another_distribution_becomes_routes_and_connections(loaded):
    config = loaded(
        {
            "backends": {"b": {"url": "http://b", "path": "/b"}},
            "routes": [route("step", "shared-b", match={"path": "/x"})],
            "connections": {"c": {"targets": "http://c"}},
        }
    )

    assert [each.name for each in config.routes] == ["one", "to b"]
    assert [[step.entry.origin for step in each.steps.flow] for each in config.routes] == [["", ""], ["backends"]]
    assert [step.entry.id for step in config.routes[0].steps.flow] == ["routes.one/step", "backends.b/step"]
    assert list(config.connections) == ["c", "b"]
    assert "backends" in config.sections


def test_mistakes_in_such_a_section_are_told_inside_it(problems):
    assert problems({"backends": {"b": {}}}) == ["backends.b.url: is required"]
    assert problems("backends: {b: {url: x, path: /b}}\n") == [
        "gateway.yaml:1:21: backends.b.url.targets: 'x' is no location: write scheme://host or scheme://host:port"
    ]
    assert problems({"backends": {"b": {"url": "http://b", "path": "/x", "step": "stp"}}})[0].startswith(
        "backends.b.step: no interceptor is installed under the name 'stp'"
    )
    assert problems({"backends": {"b": {"url": "http://b", "path": "boom"}}}) == [
        "backends: cannot be used: kinds.py:Backends.routes raised ZeroDivisionError: division by zero"
    ]
    assert problems({"backends": {"b": {"url": "http://b", "path": "/x"}}, "routes": [route(name="to b")]}) == [
        "backends.b: this makes a route 'to b', and there is one of that name"
    ]
    assert problems(
        {"backends": {"b": {"url": "http://b", "path": "/x"}}, "connections": {"b": {"targets": "http://c"}}}
    ) == ["backends.b.url: this makes a connection 'b', and there is one of that name"]


# --- size -----------------------------------------------------------------------------------------------------------


async def test_loading_lets_others_run(catalogue):
    """A reload of a large document must not hold up the calls that are served meanwhile."""
    routes = [{"name": f"r{n}", "match": {"path": f"/r{n}"}, "flow": ["step", "step", "step"]} for n in range(5000)]
    turns = 0

    async def tick():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await load(Document.of({"routes": routes}), catalogue)
    ticking.cancel()

    assert turns >= 10


def test_ten_thousand_routes_load_in_seconds(catalogue):
    text = "routes:\n" + "".join(
        f"  - {{name: r{n}, match: {{path: '/r{n}/{{id}}', methods: [GET, POST]}}, "
        f"flow: [step, {{step: {{name: a{n}, number: {n}}}}}, way-in]}}\n"
        for n in range(10_000)
    )
    started = time.process_time()
    config = asyncio.run(load(parse(text.encode(), "gateway.yaml"), catalogue))

    assert len(config.routes) == 10_000
    assert time.process_time() - started < 30  # about 4 on an idle machine
