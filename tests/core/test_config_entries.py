"""Loading: what may stand where in a document, and what is said of what may not."""

import pytest

from .documents import routed

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
