import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Application, ConfigError, Exchange, Identity, Interceptor, Options, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_acl import Acl

ANN = Identity(
    "ann",
    roles=("clerk", "reader"),
    claims={"groups": ["staff", "sales"], "scope": "orders_read orders_write", "level": 3},
    application="shop",
)
USERS = {"ann": "secret-of-ann", "bob": "secret-of-bob", "kim": "secret-of-kim"}


class Trace:
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)

    def hide(self, *places):
        pass


class Known(Interceptor[Options]):
    def __init__(self, who, application):
        super().__init__(Options())
        self.who, self.application = who, application

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        exchange.trace, exchange.identity, exchange.application = Trace(), self.who, self.application


def called(rules, who=ANN, application=None, **call):
    return through(Known(who, application), build(Acl, **rules), **call)


def reason(rules, who=ANN, **call):
    exchange = called(rules, who, **call)
    assert exchange.response.status == (200 if exchange.fault is None else 403)
    return None if exchange.fault is None else exchange.fault.reason


def allowed(rule, who=ANN, **call):
    return reason({"allow": [rule]}, who, **call)


# --- through a gateway ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
def test_a_gateway_lets_through_whom_rules_allow_and_no_others(lane):
    basic = {"basic": {"users": USERS, "roles": {"ann": ["clerk"], "bob": ["manager"], "kim": ["manager"]}}}
    rules = {
        "deny": [{"name": "kim is on leave", "subjects": ["kim"]}],
        "allow": [
            {"methods": ["GET"], "roles": ["clerk"]},
            {"roles": ["manager"], "when": "request.path != '/closed'"},
        ],
    }
    with upstream() as backend:
        route = {"name": "all", "flow": [{"auth": {"methods": [basic]}}, {"acl": rules}], "to": {"connection": "crm"}}
        document = {"gateway": {"lane": lane}, "routes": [route], "connections": {"crm": {"targets": backend.url}}}
        with running(document) as gate:

            def status(who, method, path="/open"):
                return gate.request(method, path, auth=(who, USERS[who])).status_code

            found = {(who, method): status(who, method) for who in USERS for method in ("GET", "HEAD", "DELETE")}
            closed = status("bob", "GET", "/closed")
            refused = gate.request("GET", "/open", auth=("kim", USERS["kim"])).json()
    assert found == {
        ("ann", "GET"): 200,
        ("ann", "HEAD"): 200,
        ("ann", "DELETE"): 403,
        ("bob", "GET"): 200,
        ("bob", "HEAD"): 200,
        ("bob", "DELETE"): 200,
        ("kim", "GET"): 403,
        ("kim", "HEAD"): 403,
        ("kim", "DELETE"): 403,
    }
    assert closed == 403
    assert (refused["reason"], refused["detail"]) == ("acl-denied", "The caller may not do this.")
    assert len(backend.requests) == 5


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"roles": ["clerk"]}, None),
        ({"roles": ["manager", "reader"]}, None),
        ({"roles": ["manager"]}, "acl-not-allowed"),
        ({"roles": ["Clerk"]}, "acl-not-allowed"),
        ({"groups": ["sales"]}, None),
        ({"groups": ["clerk"]}, "acl-not-allowed"),
        ({"scopes": ["orders_read"]}, None),
        ({"scopes": ["orders_read", "orders_write"]}, None),
        ({"scopes": ["orders_read", "orders_delete"]}, "acl-not-allowed"),
        ({"applications": ["shop"]}, None),
        ({"applications": ["kiosk"]}, "acl-not-allowed"),
        ({"subjects": ["ann"]}, None),
        ({"subjects": ["bob"]}, "acl-not-allowed"),
        ({"methods": ["GET"]}, None),
        ({"methods": ["PUT"]}, "acl-not-allowed"),
        ({"when": "identity.claims.level >= 3"}, None),
        ({"when": "identity.claims.level > 3"}, "acl-not-allowed"),
        ({"roles": ["clerk"], "groups": ["sales"], "when": "true"}, None),
        ({"roles": ["clerk"], "groups": ["others"], "when": "true"}, "acl-not-allowed"),
        ({"roles": ["clerk"], "groups": ["sales"], "when": "false"}, "acl-not-allowed"),
    ],
)
def test_a_rule_holds_where_all_of_it_does(rule, found):
    assert allowed(rule) == found
    assert reason({"deny": [rule]}) == ("acl-denied" if found is None else None)


def test_what_is_denied_is_not_allowed_by_anything():
    rule = {"roles": ["clerk"]}
    assert reason({"deny": [rule], "allow": [rule]}) == "acl-denied"
    assert reason({"deny": [{"roles": ["other"]}], "allow": [rule]}) is None
    assert reason({"allow": []}) == "acl-not-allowed"
    assert reason({"allow": []}, None) == "acl-not-allowed"
    assert reason({"allow": [{"roles": ["other"]}, rule]}) is None


def test_head_is_get():
    assert allowed({"methods": ["GET"]}, method="HEAD") is None
    assert reason({"deny": [{"methods": ["GET"]}]}, method="HEAD") == "acl-denied"
    assert allowed({"methods": ["HEAD"]}, method="GET") == "acl-not-allowed"


def test_an_application_is_the_one_of_a_token_or_of_a_client_id():
    known = Application("kiosk", (), {}, {})
    for name, found in (("kiosk", None), ("shop", None), ("other", "acl-not-allowed")):
        assert allowed({"applications": [name]}, application=known) == found
    assert reason({"deny": [{"applications": ["kiosk"]}]}, application=known) == "acl-denied"
    assert reason({"deny": [{"applications": ["shop"]}]}, application=known) == "acl-denied"
    assert allowed({"applications": ["kiosk"]}, Identity("x"), application=known) is None


def test_groups_come_from_the_claim_that_is_named():
    who = Identity("ann", claims={"realm": "staff sales", "groups": ["others"]})
    rules = {"groups_claim": "realm", "allow": [{"groups": ["sales"]}]}
    assert reason(rules, who) is None
    assert reason({**rules, "allow": [{"groups": ["others"]}]}, who) == "acl-not-allowed"
    assert allowed({"scopes": ["a"]}, Identity("x", claims={"scp": ("a", "b")})) is None


# --- what cannot be judged --------------------------------------------------------------------------------------------


def test_nobody_is_refused_where_a_rule_asks_who_calls():
    for rule in (
        {"roles": ["clerk"]},
        {"groups": ["a"]},
        {"scopes": ["a"]},
        {"applications": ["a"]},
        {"subjects": ["a"]},
    ):
        assert allowed(rule, None) == "acl-no-identity"
        assert reason({"deny": [rule]}, None) == "acl-no-identity"
        assert reason({"deny": [rule], "allow": [{"methods": ["GET"]}]}, None) == "acl-no-identity"
        assert reason({"allow": [rule, {"methods": ["GET"]}]}, None) is None
    assert allowed({"methods": ["PUT"]}, None) == "acl-not-allowed"
    assert allowed({"when": "identity == null"}, None) is None


@pytest.mark.parametrize("claim", [{"a": 1}, ["a", 1], 7, True, [["staff"]]])
@pytest.mark.parametrize("field", ["groups", "scopes"])
def test_a_claim_that_cannot_be_read_is_refused_either_way(claim, field):
    who = Identity("ann", claims={"groups": claim, "scope": claim})
    assert allowed({field: ["staff"]}, who) == "acl-unreadable"
    assert reason({"deny": [{field: ["staff"]}]}, who) == "acl-unreadable"
    assert reason({"deny": [{"roles": ["x"]}]}, who) is None


def test_a_condition_that_cannot_be_evaluated_is_answered_with_500():
    for rules in ({"allow": [{"when": "null < 5"}]}, {"deny": [{"when": "null < 5"}]}):
        assert called(rules).response.status == 500


def test_the_trace_says_which_rule_it_was_and_the_caller_is_not_told():
    rules = {"deny": [{"methods": ["PUT"]}, {"name": "clerks", "roles": ["clerk"]}]}
    exchange = called(rules)
    assert [note.partition(": ")[2] for note in exchange.trace.notes] == ["refused: deny[1] clerks"]
    assert b"clerk" not in exchange.response.body.data
    through_ = called({"allow": [{"name": "all clerks", "roles": ["clerk"]}]})
    assert [note.partition(": ")[2] for note in through_.trace.notes] == ["let through: allow[0] all clerks"]


ROLES = ("a", "b", "c")
RULES = st.lists(
    st.frozensets(st.sampled_from(ROLES), min_size=1).map(lambda each: {"roles": sorted(each)}), max_size=3
)


@settings(max_examples=80, deadline=None)
@given(RULES, RULES, st.booleans())
def test_who_passes_is_whom_a_rule_allows_and_none_denies(deny, allow, unsaid):
    rules = {"deny": deny} if unsaid and deny else {"deny": deny, "allow": allow}
    for roles in itertools.chain.from_iterable(itertools.combinations(ROLES, count) for count in range(4)):
        denied = any(set(rule["roles"]) & set(roles) for rule in deny)
        permitted = "allow" not in rules or any(set(rule["roles"]) & set(roles) for rule in allow)
        assert (reason(rules, Identity("x", roles=roles)) is None) == (permitted and not denied)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"nothing to do; write allow or deny"),
        ({"deny": []}, r"nothing to do"),
        ({"allow": [{}]}, r"the rule says nothing"),
        ({"allow": [{"name": "x"}]}, r"the rule says nothing"),
        ({"allow": [{"roles": []}]}, r"roles: the list is empty"),
        ({"deny": [{"methods": []}]}, r"methods: the list is empty"),
        ({"allow": [{"methods": ["get"]}]}, r"methods"),
        ({"allow": [{"when": "identity.clams"}]}, r"when"),
        ({"allow": [{"role": ["x"]}]}, r"role"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Acl, **options)
