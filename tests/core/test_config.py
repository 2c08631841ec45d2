"""Loading: every mistake at once with its place, and what a good document comes to."""

import asyncio
import time
from pathlib import Path

import pytest

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Document, parse
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.configuration import load

PLUGINS = Path(__file__).parent / "plugins_for_loading"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(PLUGINS)


@pytest.fixture
def loaded(catalogue):
    def run(document, previous=None):
        if isinstance(document, str):
            document = parse(document.encode(), "gateway.yaml")
        return asyncio.run(load(document, catalogue, previous))

    return run


@pytest.fixture
def problems(loaded):
    def run(document):
        with pytest.raises(ConfigError) as caught:
            loaded(document)
        return [str(problem).removeprefix("document: ") for problem in caught.value.problems]

    return run


def route(*flow, **more):
    return {"name": "one", "flow": list(flow), **more}


def routed(*flow, **more):
    return {"routes": [route(*flow)], **more}


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


# --- entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, "routes[0].flow[0]: an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`"),
        ("", "routes[0].flow[0]: an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`"),
        ({}, "routes[0].flow[0]: an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`"),
        (
            {"step": None, "name": "a"},
            (
                "routes[0].flow[0]: an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`; "
                "here stand step and name, so indent the options under their name"
            ),
        ),
        ({"step": 5}, "routes[0].flow[0].step: the options of step are written as a mapping, or left out"),
        ({"step": {"_": 5}}, "routes[0].flow[0].step._: should be a mapping"),
        (
            {"step": {"_": {"labl": "x"}}},
            "routes[0].flow[0].step._.labl: there is no option 'labl'; did you mean 'label'?",
        ),
        ({"step": {"name": 5}}, "routes[0].flow[0].step.name: should be a text; put it in quotes"),
        (
            {"step": {"window": "week"}},
            "routes[0].flow[0].step.window: should be a number; or it should be 'day' or 'hour'",
        ),
        ({"pair": {}}, "routes[0].flow[0].pair.first: is required"),
        (
            {"pair": {"first": "stp"}},
            "routes[0].flow[0].pair.first: no interceptor is installed under the name 'stp'; ",
        ),
        (
            {"box": {"cases": {"a": {"flow": ["step", {"step": {"number": "x"}}]}}}},
            "routes[0].flow[0].box.cases.a.flow[1].step.number: should be a whole number",
        ),
        ({"fragile": {"reason": "no such device"}}, "routes[0].flow[0].fragile: OSError: no such device"),
        ({"box": {"flow": "step"}}, "routes[0].flow[0].box.flow: should be a list"),
    ],
)
def test_a_wrong_entry_is_told_with_what_would_be_right(problems, entry, message):
    (found,) = problems(routed(entry))

    assert found.startswith(message)


def test_a_disabled_entry_is_checked_and_left_out_wherever_it_stands(loaded, problems):
    off = {"disabled": True}
    document = routed(
        {"step": {"_": off}},
        {"box": {"flow": ["step"], "_": off}},
        {"box": {"flow": [{"step": {"_": off}}, "way-in"], "otherwise": {"response": [{"way-out": {"_": off}}]}}},
        {"pair": {"first": "step"}},
        "resting",
        plugins={"resting": {"step": {"_": off}}},
        connections={"crm": {"targets": "http://h", "monitor": {"http": {"_": off}}, "auth": [{"token": {"_": off}}]}},
    )
    document["connections"]["crm"]["targets"] = ["http://h"]
    config = loaded(document)
    box, pair = config.routes[0].steps.flow

    assert [step.entry.name for step in box.options.flow] == ["way-in"]
    assert box.options.otherwise.response == ()
    assert (config.connections["crm"].monitors, config.connections["crm"].credentials) == ((), ())
    assert [key for key in config.instances if key.startswith(("routes", "plugins"))] == [
        "routes.one/box#2/way-in",
        "routes.one/box#2",
        "routes.one/pair/step",
        "routes.one/pair",
    ]
    assert pair.options.second is None

    assert problems(routed({"step": {"number": "x", "_": off}})) == [
        "routes[0].flow[0].step.number: should be a whole number",
    ]


def test_a_plugin_that_something_else_needs_cannot_be_disabled(problems):
    assert problems(routed({"pair": {"first": {"step": {"_": {"disabled": True}}}}})) == [
        "routes[0].flow[0].pair.first: this plugin cannot be disabled; another one has to stand here",
    ]


# --- sides (FL-10) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "entry", "message"),
    [
        ("response", "way-in", "way-in cannot stand in `response`; it may stand in `flow` or `request`"),
        ("request", "way-out", "way-out cannot stand in `request`; it may stand in `flow` or `response`"),
        ("request", "way-in", None),
        ("response", "way-out", None),
        ("flow", "way-in", None),
        ("response", "box", None),
    ],
)
def test_a_step_stands_only_where_it_has_something_to_do(loaded, problems, side, entry, message):
    document = {"routes": [{"name": "one", side: [entry]}]}
    nested = routed({"box": {"otherwise": {side: [entry]}}})
    if message is None:
        assert loaded(document).routes[0].steps
        assert loaded(nested).routes[0].steps
    else:
        assert problems(document) == [f"routes[0].{side}[0]: {message}"]
        assert problems(nested) == [f"routes[0].flow[0].box.otherwise.{side}[0]: {message}"]


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_monitor_needs_a_list_of_targets(problems):
    assert problems({"connections": {"crm": {"targets": "http://h", "monitor": "http"}}}) == [
        "connections.crm.monitor: a monitor needs load balancing: write targets as a list",
    ]


def test_what_signs_the_message_comes_last(problems):
    assert problems({"connections": {"crm": {"targets": "http://h", "auth": ["signer", "token"]}}}) == [
        "connections.crm.auth[0]: signer signs what the others add, so it comes last: move it to the end of auth",
    ]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("http://h/service1", "targets: a location has no path, but here is '/service1'; put it into base_path or "),
        (["http://h", "http://h/x?y"], "targets[1]: a location has no path, but here is '/x'; "),
        ([{"url": "http://h?x"}], "targets[0].url: a location ends after the host or port, without query and fragment"),
        ("http://user:pw@h", "targets: a location has no user and password; write them as `auth: [{basic: {…}}]`"),
        ("h:80", "targets: 'h:80' is no location: write scheme://host or scheme://host:port"),
        ("http://h:0", "targets: 'http://h:0' needs a port between 1 and 65535"),
        ("http://h:65536", "targets: 'http://h:65536' needs a port between 1 and 65535"),
        ("http://h h", "targets: 'http://h h' is no location"),
        ("http://[::x]", "targets: '[::x]' is no host"),
        ("ftp://h:21", "targets[0]: the transport http calls http, https, not 'ftp'"),
        ([], "targets: should have at least 1"),
        (5, "targets: should be a list"),
        (["http://h", "http://H:80/"], "targets: http://H:80 is there twice; give it one weight instead"),
        ([{"url": "http://h", "weight": -1}], "targets[0].weight: should be greater than or equal to 0"),
    ],
)
def test_a_target_is_a_scheme_a_host_and_a_port_and_nothing_else(problems, targets, message):
    (found,) = problems({"connections": {"crm": {"targets": targets}}})

    assert found.startswith(f"connections.crm.{message}")
    assert "pw" not in found


def test_a_transport_says_which_schemes_it_calls(loaded):
    config = loaded({"connections": {"loft": {"targets": "pigeon://roof:7", "transport": "pigeon"}}})

    assert config.connections["loft"].targets[0].scheme == "pigeon"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"set": "Connection", "from": "date"}, "Connection belongs to one hop or to the framing"),
        ({"add": "transfer-encoding", "from": "date"}, "transfer-encoding belongs to one hop"),
        ({"remove": "Content-Length"}, "Content-Length belongs to one hop"),
        ({"set": "X A", "from": "date"}, "'X A' is not a header name"),
        ({"set": "X-A"}, "set and add take their value from a header plugin"),
        ({"remove": "X-A", "from": "date"}, "remove has none"),
        ({"set": "X-A", "add": "X-B", "from": "date"}, "write exactly one of set, add and remove"),
        ({"from": "date"}, "write exactly one of set, add and remove"),
    ],
)
def test_header_actions_that_make_no_sense_are_refused(problems, action, message):
    (found,) = problems({"connections": {"crm": {"targets": "http://h", "headers": [action]}}})

    assert found.startswith("connections.crm.headers[0]: ")
    assert message in found


def test_tags_are_trimmed_and_unique_without_case(loaded):
    config = loaded({"connections": {"crm": {"targets": "http://h", "tags": [" EU", "eu ", "prod", ""]}}})

    assert [tag.lower() for tag in config.connections["crm"].section.tags] == ["eu", "prod"]


def test_a_pool_without_a_bound_may_be_written_as_minus_one(loaded, problems):
    def connection(bound):
        return {"connections": {"crm": {"targets": "http://h", "pool": {"max_connections": bound}}}}

    assert loaded(connection(-1)).connections["crm"].section.pool.max_connections is None
    assert problems(connection(0)) == ["connections.crm.pool.max_connections: is at least 1, or -1 for no bound"]


# --- routes and listeners -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match": {"path": "orders"}}, "routes[0].match.path: a path begins with '/': write '/orders'"),
        ({"match": {"host": "a b"}}, "routes[0].match.host: 'a b' is not a host"),
        ({"match": {"methods": []}}, "routes[0].match.methods: should have at least 1"),
        ({"match": {"methods": ["G T"]}}, "routes[0].match.methods[0]: 'G T' is no method"),
        ({"match": {"when": "request."}}, "routes[0].match.when: "),
        (
            {"match": {"path": "/a"}, "to": {"connection": "crm", "path": "/{x}"}},
            "routes[0].to.path: the destination wants 1",
        ),
        ({"to": {"connection": "crm", "path": "v2"}}, "routes[0].to.path: the path of a destination begins with '/'"),
        (
            {"to": {"connection": "crm", "path_params": "names"}},
            "routes[0].to.path_params: should be 'positional' or 'by_name'",
        ),
        ({"name": "a/b"}, "routes[0].name: 'a/b' is no name"),
        ({"name": " a"}, "routes[0].name: ' a' is no name"),
        ({"flow": "step"}, "routes[0].flow: should be a list"),
    ],
)
def test_a_wrong_route_is_told_with_what_would_be_right(problems, changes, message):
    document = {"routes": [{"name": "one", **changes}], "connections": {"crm": {"targets": "http://h"}}}
    (found,) = problems(document)

    assert found.startswith(message)


def test_a_name_may_have_spaces(loaded):
    assert loaded({"routes": [{"name": "REGISTER HOST TO LOAD BALANCER", "flow": ["step"]}]})


def test_a_route_that_could_never_run_is_a_problem_at_its_match(problems):
    text = "routes:\n  - {name: a, match: {path: '/x/{id}'}}\n  - {name: b, match: {path: '/x/{key}'}}\n"

    assert problems(text) == [
        (
            "gateway.yaml:3:22: routes[1].match: takes the same calls as the route 'a', so it would never run; "
            "change one of them"
        ),
    ]


@pytest.mark.parametrize("address", ["8080", "host", "host:", "host:99999", "::1:80", "[::1]", "a b:80", 8080])
def test_what_is_no_address_is_refused(problems, address):
    (found,) = problems({"gateway": {"listen": [address]}})

    assert found.startswith("gateway.listen[0]: ")


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":8080", "[::1]:8080", "localhost:80", "0.0.0.0:65535"])
def test_addresses_have_a_host_or_none_and_a_port(loaded, address):
    assert loaded({"gateway": {"listen": [address]}}).gateway.listen == (address,)


def test_management_never_listens_on_a_public_address(problems):
    assert problems({"gateway": {"listen": [":8001"]}, "management": {"listen": [":8002", ":8001"]}}) == [
        "management.listen[1]: :8001 is listened on already; every listener has an address of its own",
    ]


def test_apps_of_a_management_listener_that_is_off_are_checked_and_not_built(loaded, problems):
    config = loaded({"management": {"enabled": False, "apps": ["health"]}})

    assert (config.apps, [key for key in config.instances if not key.startswith(("sections.", "gateway/"))]) == ((), [])
    assert problems({"management": {"enabled": False, "apps": ["helth"]}})


def test_exposed_apps_are_built_by_their_prefix(loaded, problems):
    assert list(loaded({"gateway": {"expose": {"/status": "health"}}}).exposed) == ["/status"]
    assert problems({"gateway": {"expose": {"status": "health"}}}) == [
        "gateway.expose: 'status' is no prefix: write a path such as /status",
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"routes": {"a": 1}}, "routes: should be a list of routes"),
        ({"connections": []}, None),
        ({"connections": ["a"]}, "connections: should be a mapping of names"),
        ({"plugins": ["a"]}, "plugins: should be a mapping of names"),
        ({"gateway": 5}, "gateway: should be a mapping"),
        ({"routes": [5]}, "routes[0]: should be a mapping"),
        ({"connections": {"a": 5}}, "connections.a: should be a mapping"),
        ({"secrets": []}, "secrets: should be a mapping of providers and their options"),
    ],
)
def test_sections_of_the_wrong_shape(problems, document, message):
    found = problems(document)

    assert found == [message or "connections: should be a mapping of names"]


def test_keys_for_editors_and_for_anchors_are_nobodys_business(loaded):
    text = "$schema: ./x.json\nx-base: &base {name: a}\nroutes: [{name: one, flow: [{step: {<<: *base}}]}]\n"

    assert loaded(text).routes[0].steps.flow[0].options.name == "a"


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
