"""A step that would silently never run where it stands is refused at load, however deep it stands (FL-10, FL-11)."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running

SITE = '''
from hookgate import Interceptor, Options, hookimpl


class ApiOnly(Interceptor[Options]):
    """May stand on an API only."""

    scopes = {"api"}

    @hookimpl
    def on_request(self, exchange):
        pass


class PlanOnly(ApiOnly):
    """May stand in a plan only."""

    scopes = {"plan"}


class BackOnly(Interceptor[Options]):
    """Has a way out only."""

    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-back", "yes")
'''
YES = {"if": "true"}


def when(**lists):
    return {"when": {**YES, **lists}}


def switch(**lists):
    return {"switch": {"cases": [{"when": "true", **lists}]}}


def by_value(**lists):
    return {"switch": {"on": "request.method", "cases": {"GET": lists}, "default": lists}}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "steps.py").write_text(SITE)
    return folder


def refusal(site, document):
    with pytest.raises(ConfigError) as refused, running(document, plugins_dir=site):
        pass
    return [str(problem).removeprefix("document: ") for problem in refused.value.problems]


def routed(**lists):
    return {"routes": [{"name": "one", **lists}]}


IN_VAIN = (
    "client-id cannot stand in `response`; it may stand in `flow` or `request`; what it stands in is on the way out"
)
NOT_HERE = "api-only cannot be placed on the {}; it may stand on: api"


@pytest.mark.parametrize(
    ("lists", "place", "said"),
    [
        ({"response": ["client-id"]}, "response[0]", "client-id cannot stand in `response`"),
        ({"response": [when(flow=["client-id"])]}, "response[0].when.flow[0]", IN_VAIN),
        ({"response": [when(request=["client-id"])]}, "response[0].when.request[0]", "client-id never runs"),
        ({"response": [when(request=["request-id"])]}, "response[0].when.request[0]", "request-id never runs"),
        (
            {"response": [when(flow=["back-only"], otherwise={"flow": ["client-id"]})]},
            "response[0].when.otherwise.flow[0]",
            IN_VAIN,
        ),
        (
            {"response": ["back-only", when(flow=[when(flow=["client-id"])])]},
            "response[1].when.flow[0].when.flow[0]",
            IN_VAIN,
        ),
        ({"flow": [when(response=[when(flow=["client-id"])])]}, "flow[0].when.response[0].when.flow[0]", IN_VAIN),
        ({"flow": [when(request=["back-only"])]}, "flow[0].when.request[0]", "back-only cannot stand in `request`"),
        ({"response": [switch(flow=["client-id"])]}, "response[0].switch.cases[0].flow[0]", IN_VAIN),
        ({"response": [by_value(flow=["client-id"])]}, "response[0].switch.cases.GET.flow[0]", IN_VAIN),
        ({"flow": ["api-only"]}, "flow[0]", NOT_HERE.format("route")),
        ({"request": ["api-only"]}, "request[0]", NOT_HERE.format("route")),
        ({"flow": [when(flow=["api-only"])]}, "flow[0].when.flow[0]", NOT_HERE.format("route")),
        ({"flow": [switch(request=["plan-only"])]}, "flow[0].switch.cases[0].request[0]", "plan-only cannot be placed"),
    ],
)
def test_in_a_route(site, lists, place, said):
    problems = refusal(site, routed(**lists))

    assert problems[0].startswith(f"routes[0].{place}: {said}")
    assert len(problems) == (2 if "default" in str(lists) else 1)


def test_in_the_flow_of_the_whole_gateway(site):
    gateway = {"flow": ["api-only"], "response": [when(flow=["client-id"])]}

    assert refusal(site, {"gateway": gateway}) == [
        f"gateway.flow[0]: {NOT_HERE.format('gateway')}",
        f"gateway.response[0].when.flow[0]: {IN_VAIN} only",
    ]


def test_in_a_named_branch_it_is_told_where_that_is_placed(site):
    named = {"plugins": {"guard": when(flow=["client-id"])}, **routed(flow=["guard"], response=["guard"])}

    assert refusal(site, named) == [f"routes[0].response[0]: {IN_VAIN} only"]


def test_in_front_of_an_exposed_app(site):
    exposed = {"gateway": {"expose": {"/status": {"app": "health", "flow": [when(flow=["api-only"])]}}}}

    assert refusal(site, exposed) == [f"gateway.expose./status.flow[0].when.flow[0]: {NOT_HERE.format('route')}"]


def api(**more):
    return {
        "apis": [{"name": "orders", "to": {"connection": "crm"}, **more}],
        "connections": {"crm": {"targets": "http://127.0.0.1:1"}},
    }


def test_on_the_scopes_of_an_api(site):
    steps = [when(flow=["api-only"])]
    document = api(
        flow=steps,
        resources=[
            {
                "path": "/a",
                "flow": steps,
                "response": [when(flow=["client-id"])],
                "operations": {"GET": {"flow": ["plan-only"]}},
            }
        ],
    )

    assert sorted(refusal(site, document)) == [
        f"apis[0].resources[0].flow[0].when.flow[0]: {NOT_HERE.format('resource')}",
        f"apis[0].resources[0].operations.GET.flow[0]: {NOT_HERE.format('operation').replace('api', 'plan')}",
        f"apis[0].resources[0].response[0].when.flow[0]: {IN_VAIN} only",
    ]


def test_a_broken_list_puts_no_step_of_the_parent_on_a_side_it_does_not_have(site):
    broken = {"path": "/a", "inherit": False, "response": [{"from": "client-id"}, {"from": "back-only"}]}

    assert refusal(site, api(flow=["client-id", "back-only"], resources=[broken, {"path": "/b"}])) == [
        "apis[0].resources[0].response[0]: client-id cannot stand in `response`; it may stand in `flow` or `request`"
    ]


def test_other_values_of_a_branch_below_put_nothing_where_it_never_runs(site):
    below = {"path": "/a", "overrides": {"when": {"flow": ["client-id"]}}}

    assert refusal(site, api(response=[when(flow=["back-only"])], resources=[below, {"path": "/b"}])) == [
        f"apis[0].resources[0].overrides.when: {IN_VAIN} only"
    ]


@pytest.mark.parametrize("entered", [True, False], ids=["entered", "unused"])
def test_in_a_plan_though_nobody_uses_it(site, entered):
    plan = {
        "flow": ["api-only"],
        "response": ["client-id", when(flow=["client-id"])],
        "request": [{"rate-limit": {"limit": 1}}],
    }
    document = {"plans": {"gold": plan}, **api(flow=["client-id"] if entered else [])}
    problems = sorted(refusal(site, document))

    assert [problem.partition(": ")[0] for problem in problems] == [
        "plans.gold.flow[0]",
        "plans.gold.request[0].rate-limit.window",
        "plans.gold.response[0]",
        "plans.gold.response[1].when.flow[0]",
    ]
    assert problems[0].endswith(NOT_HERE.format("plan"))


def test_what_has_something_to_do_there_stays_and_a_plan_that_nobody_uses_starts_nothing(site):
    lists = {
        "flow": [when(flow=["client-id", "back-only"], response=["back-only"])],
        "request": [when(flow=["back-only", "request-id"], response=["back-only"])],
        "response": [when(flow=["back-only"]), switch(response=["back-only"], flow=[when(flow=["back-only"])])],
    }
    plan = {"flow": ["plan-only", when(flow=["back-only"])]}
    with running({**routed(**lists), "plans": {"gold": plan}}, plugins_dir=site) as gate:
        instances = gate.gateway.live.config.instances

    assert not [each for each in instances if each.startswith("plans.")]


def test_a_step_may_stand_where_its_scopes_say(site):
    with running({**api(flow=["api-only", when(flow=["api-only"])])}, plugins_dir=site):
        pass


MASK = {"mask": {"response": {"json": ["iban"]}}}


@pytest.mark.parametrize(
    ("lists", "place"),
    [
        ({"request": [MASK]}, "routes[0].request[0]"),
        ({"request": [when(flow=[MASK])]}, None),
        ({"request": [{"mask": {**MASK["mask"], "request": {"json": ["iban"]}}}]}, "routes[0].request[0]"),
        ({"response": [{"schema": {"request": {"type": "object"}}}]}, "routes[0].response[0]"),
        ({"response": [when(flow=[{"body-limit": {"request": 1}}])]}, "routes[0].response[0].when.flow[0]"),
        ({"flow": [when(request=[MASK])]}, "routes[0].flow[0].when.request[0]"),
        ({"flow": [switch(response=[{"headers": {"request": {"remove": ["x"]}}}])]}, "response[0]"),
        ({"flow": [MASK]}, None),
        ({"response": [MASK]}, None),
        ({"request": [{"mask": {"request": {"json": ["iban"]}}}]}, None),
    ],
)
def test_a_part_of_a_step_that_would_never_run_in_its_list_is_refused(site, lists, place):
    document = {
        "routes": [{"name": "all", **lists, "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": "http://127.0.0.1:1"}},
    }
    if place is None:
        with running(document, plugins_dir=site):
            return
    (said,) = refusal(site, document)
    assert place in said
    assert "never runs in" in said
