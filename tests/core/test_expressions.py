import copy
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import MappingProxyType, SimpleNamespace

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from hookgate import Body, ConfigError, Exchange, Expression, Forbidden, Headers, Identity, Request, Response, Target
from hookgate.expressions import ExpressionError
from hookgate.expressions.evaluate import _evaluators, quick
from hookgate.expressions.syntax import parse
from hookgate.expressions.values import MAX_ITEMS, MAX_LENGTH
from hookgate.testing import running


@pytest.fixture(autouse=True)
def stage(monkeypatch):
    monkeypatch.setenv("HOOKGATE_TEST_STAGE", "qly")
    monkeypatch.delenv("HOOKGATE_ENV_ALLOW", raising=False)
    return monkeypatch


def call(**variables):
    exchange = Exchange(
        Request(
            "POST",
            "/v1/orders/%20a",
            "page=2&twice=a&twice=b&empty=&q=a%20b",
            scheme="https",
            host="api.example.org:8443",
            headers=Headers([("X-Env", "qly"), ("X-Env", "prd"), ("Content-Type", "text/plain")]),
            client="192.0.2.7",
            body=Body("zoë".encode()),
        )
    )
    exchange.params = {"rest": "%20a"}
    exchange.variables.update(variables)
    return exchange


def answered(**variables):
    exchange = call(**variables)
    exchange.response = Response(404, {"Content-Length": "0"})
    exchange.identity = Identity("ann", "basic", ("admin", "staff"), {"age": 41, "address": {"city": "Bonn"}}, "shop")
    exchange.route = SimpleNamespace(name="orders", secret="internal")
    exchange.connection = SimpleNamespace(name="crm", tags=("eu", "blue"), credentials=["secret"])
    exchange.target = Target("http", "10.0.0.5", 9000)
    exchange.fault = Forbidden("no", reason="network-refused")
    return exchange


def value(text, **variables):
    return Expression(text)(answered(**variables))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request.method", "POST"),
        ("request.path", "/v1/orders/%20a"),
        ("request.query.page", "2"),
        ("request.query['q']", "a b"),
        ("request.query", {"page": "2", "twice": "a", "empty": "", "q": "a b"}),
        ("request.headers['x-env']", "qly, prd"),
        ("request.headers['X-ENV']", "qly, prd"),
        ("request.headers", {"x-env": "qly, prd", "content-type": "text/plain"}),
        ("len(request.headers)", 2),
        ("'CONTENT-type' in request.headers", True),
        ("request.host", "api.example.org:8443"),
        ("request.scheme", "https"),
        ("request.client", "192.0.2.7"),
        ("request.params.rest", "%20a"),
        ("request['method']", "POST"),
        ("request.remoteAddr", "192.0.2.7"),
        ("request.body", "zoë"),
        ("identity.principal", "ann"),
        ("principal", "ann"),
        ("claims.address.city", "Bonn"),
        ("claims['age']", 41),
        ("connection.name", "crm"),
        ("connection.tags", ["eu", "blue"]),
        ("#note.deep[0]", "a"),
        ("#note['deep']", ["a", "b"]),
        ("env.HOOKGATE_TEST_STAGE + env['HOOKGATE_TEST_STAGE']", "qlyqly"),
        ("env.HOOKGATE_TEST_GONE", None),
        ("response.status", 404),
        ("response.headers['content-length']", "0"),
        ("identity.subject", "ann"),
        ("identity.method", "basic"),
        ("identity.roles", ["admin", "staff"]),
        ("identity.claims.address.city", "Bonn"),
        ("identity.claims['age'] + 1", 42),
        ("identity.application", "shop"),
        ("route.name", "orders"),
        ("target.url", "http://10.0.0.5:9000"),
        ("fault.status", 403),
        ("fault.reason", "network-refused"),
        ("vars.note.deep[1]", "b"),
        ("vars['note']", {"deep": ["a", "b"]}),
    ],
)
def test_what_the_roots_hold_can_be_read(text, expected):
    assert value(text, note={"deep": ["a", "b"]}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request.method == 'POST' and request.query.page in {'2', '3'}", True),
        ("request.method == 'POST' && request.query.page in {'2', '3'}", True),
        ("!(request.scheme != 'https' || request.client == '::1')", True),
        ("not (request.scheme != 'https' or request.client == '::1')", True),
        ("request.headers['x-none'] || 'fallback'", "fallback"),
        ("null && 1 || 2 && 3", 3),
        ("false || (1 && 'last')", "last"),
        ("'admin' in identity.roles", True),
        ("'guest' not in identity.roles", True),
        ("identity.roles == {'admin', 'staff'}", True),
        ("400 <= response.status && response.status < 500", True),
        ("response.status == null ? 'a' : 'b'", "b"),
        ("false ? 1 : null ? 2 : 3", 3),
        ("true ? false ? 1 : 2 : 3", 2),
        ("vars.gone == null and null == #gone", True),
        ("response != null", True),
        ("true and !false", True),
        ("!true || true", True),
        ("'\"' + \"'\"", "\"'"),
        (r"'a\\b\'c\"\n\r\t\u00e9'", "a\\b'c\"\n\r\t\u00e9"),
        ("'zoë — 漢'", "zoë — 漢"),
        ("request.path.startswith('/v1/')", True),
        ("request.path.startswith({'/v2', '/v1'})", True),
        ("request.path.endswith({'b', 'a'})", True),
        ("request.path.split('/')[-1]", "%20a"),
        ("request.path.split('/')[len(request.path.split('/')) - 1]", "%20a"),
        ("request.path.split('/', 2)", ["", "v1", "orders/%20a"]),
        ("request.path.replace('%20', ' ').strip().upper()", "/V1/ORDERS/ A"),
        ("lower('ÄB') + upper('c')", "äbC"),
        ("int('12') + float('0.5') - 3 * 2 / 4 // 1 % 5", 11.5),
        ("7 - 2 - 1", 4),
        ("2 + 3 * 4 - -1", 15),
        ("(2 + 3) * 4", 20),
        ("-2 * 3 + 1e2 + 0.5", 94.5),
        ("-int('3')", -3),
        ("-identity.claims.age", -41),
        ("str(identity.claims.age) + '/' + str(vars.gone)", "41/"),
        ("min(3, 1, 2) + max({4, 5})", 6),
        ("{1, 2} + {3}", [1, 2, 3]),
        ("{}", []),
        ("{1, {request.method},}", [1, ["POST"]]),
        ("#{}", {}),
        ("#{'a': 1, request.method: {2}}", {"a": 1, "POST": [2]}),
        ("#{'a': #{'b': 2}}.a.b", 2),
        ("'a' in #{'a': null}", True),
        ("request.method == 'POST' ? #{'a': 1}['a'] : 0", 1),
        ("(request.method ==\n  'POST')", True),
        ("\t request.method ", "POST"),
    ],
)
def test_the_language_computes(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#numbers.{? #this > 1}", [2, 3]),
        ("#numbers.{^ #this > 1}", [2]),
        ("#numbers.{$ #this > 1}", [3]),
        ("#numbers.{?#this>9}", []),
        ("#numbers.{^ #this > 9}", []),
        ("#numbers.{$ #this > 9}[0]", None),
        ("#numbers.{ #this * 2 }", [2, 4, 6]),
        ("#numbers.{ #this > 1 ? 'many' : 'one' }", ["one", "many", "many"]),
        ("#people.{ #this.name }", ["ann", "bob", None]),
        ("#people.{? #this.age > 40}.{ #this.name }", ["bob"]),
        ("#people.{ #this.tags.{ #this + '!' } }", [["a!", "b!"], [], None]),
        ("#people.{? len(#this.tags.{? #this == 'b'} || {}) > 0 && #this.name == 'ann'}.{#this.age}", [40]),
        ("#people[0].tags.{ #this.upper() }[1]", "B"),
        ("identity.roles.{? #this.startswith('a')}", ["admin"]),
        ("request.path.split('/').{? #this != ''}[0]", "v1"),
        ("{request.method, null}.{ #this == null }", [False, True]),
        ("{{1, 2}, {3}}.{ #this[0] }", [1, 3]),
        ("#gone.{ #this }", None),
        ("#numbers.{ vars.numbers[0] + #this }", [2, 3, 4]),
    ],
)
def test_lists_are_selected_from_and_projected(text, expected):
    people = [
        {"name": "ann", "age": 40, "tags": ("a", "b")},
        {"name": "bob", "age": 41, "tags": []},
        {"age": 1},
    ]

    assert value(text, numbers=[1, 2, 3], people=people) == expected


@pytest.mark.parametrize(
    "text",
    [
        "response",
        "response.status",
        "response.headers['x']",
        "identity",
        "identity.subject",
        "identity.claims.address.city",
        "fault.reason",
        "route.name",
        "target.url",
        "vars.none",
        "vars['none'].more[3].still.lower().strip('x')",
        "request.headers['x-none']",
        "request.headers['grüße']",
        "connection.name",
        "principal",
        "claims.age",
        "vars.none.{ #this }",
        "request.query.none",
        "request.path.split('/')[99]",
        "request.path[-99]",
        "null[1]",
    ],
)
def test_what_is_not_there_is_null_and_so_is_all_that_is_asked_of_it(text):
    assert Expression(text)(call()) is None


def test_nothing_is_in_null_and_null_is_in_no_string():
    assert Expression("'admin' in identity.roles")(call()) is False
    assert Expression("'admin' not in identity.roles")(call()) is True
    assert Expression("request.headers['x-none'] in 'qly prd'")(call()) is False


@pytest.mark.parametrize(
    "text",
    [
        "identity.subject + 'x'",
        "response.status < 500",
        "len(response)",
        "int('twelve')",
        "1 / 0",
        "1e308 * 10 // 1 % 0",
        "lower(response.status)",
        "request.method.path",
        "request.path['a']",
        "request.headers in 1",
        "vars[vars.list]",
        "vars.list.lower()",
        "vars.list[0].foo",
        "vars.list in vars.map",
        "vars.object",
        "vars.map.object == 1",
        "request.method - 1",
        "vars.list * 2",
        "request.path * 2",
        "request.path % request.path",
        "'1' + 1",
        "str(vars.list)",
        "min({})",
        "max(1)",
        "request.path.split('')",
        "request.path.strip(1)",
        "int(1e300 * 1e300)",
        "-request.path",
        "request.path.{ #this }",
        "vars.map.{ #this }",
        "vars.list.{ #this.x }",
        "#{1: 2}",
        "#{vars.gone: 2}",
        "vars.list.{ vars.object }",
        "vars.endless",
    ],
)
def test_what_cannot_be_computed_raises_the_documented_error(text):
    endless = []
    endless.append(endless)
    exchange = call(list=[1], map={"object": object()}, object=object(), endless=endless)

    with pytest.raises(ExpressionError, match="cannot be evaluated: "):
        Expression(text)(exchange)


@pytest.mark.parametrize("name", ["__class__", "_exchange", "_headers", "items", "get", "keys", "add", "raw", "remove"])
@pytest.mark.parametrize("owner", ["request.headers", "vars", "identity.claims", "request.query", "vars.seen"])
def test_methods_and_inner_attributes_of_python_are_nothing(owner, name):
    assert value(f"{owner}['{name}']", seen={}) is None


@pytest.mark.parametrize("root", ["request", "response", "identity", "route", "target", "fault", "connection"])
def test_a_computed_name_reads_nothing_more_either(root):
    for name in ("__class__", "_exchange", "secret", "credentials", "peer", "get"):
        assert value(f"{root}[vars.name]", name=name) is None
    assert value(f"{root}[vars.name]", name="status") == {"response": 404, "fault": 403}.get(root)


def test_roots_tell_what_is_read():
    expression = Expression("identity.subject == 'a' or len(vars.list) > 1 and request.path == null")

    assert expression.roots == {"identity", "vars", "request"}
    assert Expression("1 + 1").roots == frozenset()
    assert Expression("env.HOME + principal + #note").roots == {"env", "identity", "vars"}


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("request.body", True),
        ("request['body'] != null", True),
        ("vars.list.{ request.body }", True),
        ("request.path + request.body", True),
        ("request[vars.name]", True),
        ("request", True),
        ("{request, request.path}", True),
        ("request.path + request['method']", False),
        ("vars.body + vars.request.body", False),
        ("#{'body': 'request.body'}", False),
    ],
)
def test_an_expression_tells_whether_it_may_read_the_body(text, reads):
    assert Expression(text).reads_body is reads


def test_the_body_is_null_as_long_as_nobody_keeps_it():
    async def source():
        yield b"abc"

    exchange = call()
    exchange.request.body = Body(source())
    assert Expression("request.body")(exchange) is None
    exchange.request.body.set(b"a\xffb")
    assert Expression("request.body")(exchange) == "a\ufffdb"
    exchange.request.body.set(b"a" * MAX_LENGTH)
    assert len(Expression("request.body")(exchange)) == MAX_LENGTH
    exchange.request.body.set(b"a" * (MAX_LENGTH + 1))
    with pytest.raises(ExpressionError, match="the body is longer than 100000 bytes"):
        Expression("request.body")(exchange)


@pytest.mark.parametrize("text", ["env.HOOKGATE_TEST_STAGE", "1 + env['HOOKGATE_TEST_STAGE']"])
def test_only_variables_that_the_process_allows_may_be_named(stage, text):
    for allow in ("HOOKGATE_TEST_*", "A_*, HOOKGATE_TEST_STAGE"):
        stage.setenv("HOOKGATE_ENV_ALLOW", allow)
        Expression(text)
    for allow in ("", "A_*", "hookgate_test_stage"):
        stage.setenv("HOOKGATE_ENV_ALLOW", allow)
        with pytest.raises(
            ExpressionError, match=r"^column .: environment variable HOOKGATE_TEST_STAGE may not be read"
        ):
            Expression(text)


def test_no_message_shows_what_a_client_has_sent():
    exchange = call(secret="s3cret", list=[1])
    for text in (
        "int(#secret)",
        "float(#secret)",
        "#list[#secret]",
        "#secret - 1",
        "#secret + 1",
        "#secret.a",
        "-#secret",
    ):
        with pytest.raises(ExpressionError) as raised:
            Expression(text)(exchange)
        assert "s3cret" not in str(raised.value)


def test_expressions_are_equal_by_their_text():
    one, same, other = Expression("request.path"), Expression("request.path"), Expression("request.method")

    assert one == same
    assert one != other
    assert one != "request.path"
    assert len({one, same, other}) == 2
    assert repr(one) == "Expression('request.path')"
    assert str(one) == "request.path"
    assert copy.deepcopy(one) == one
    assert copy.deepcopy(one)(call()) == "/v1/orders/%20a"


class Record(BaseModel):
    by: Expression


def test_a_field_takes_a_string_and_gives_it_back():
    record = Record(by="request.client")

    assert record.by(call()) == "192.0.2.7"
    assert Record(by=record.by).by is record.by
    assert record.model_dump() == {"by": "request.client"}
    assert record.model_dump_json() == '{"by":"request.client"}'
    assert Record.model_json_schema()["properties"]["by"] == {
        "type": "string",
        "format": "hookgate-expression",
        "title": "By",
    }


@pytest.mark.parametrize(
    ("given_", "kind", "message"),
    [
        (3, "expression_type", "an expression is written as a string; in YAML, quote it"),
        ("request.{x}", "expression", "column 10: there is no 'x' to read"),
        ("request.heders", "expression", "column 9: request has no 'heders' (there are method, path, host, scheme, "),
    ],
)
def test_a_field_refuses_what_is_no_expression(given_, kind, message):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Expression).validate_python(given_)

    (error,) = caught.value.errors()
    assert error["type"] == kind
    assert error["msg"].startswith(message)


def test_what_is_handed_out_is_a_copy():
    exchange = answered(list=[[1]], frozen=MappingProxyType({"a": (1, {2})}))

    for text in (
        "vars.list",
        "vars",
        "identity.claims",
        "request.params",
        "request",
        "vars.list + {}",
        "vars.list.{ #this }",
        "#{'a': vars.list}",
        "vars.list.{? true}",
    ):
        got = Expression(text)(exchange)
        before = copy.deepcopy(exchange.variables["list"])
        for container in (got, *(got.values() if isinstance(got, dict) else got)):
            if isinstance(container, (dict, list)):
                container.clear()
        assert exchange.variables["list"] == before
    assert exchange.identity.claims == {"age": 41, "address": {"city": "Bonn"}}
    assert Expression("vars.frozen")(exchange) == {"a": [1, {2}]}


def test_sizes_are_bounded():
    big = "a" * 60_000
    for text in ("vars.big + vars.big", "vars.big.replace('a', 'aa')", "vars.big.replace('', 'bbbbb')", "vars.huge"):
        with pytest.raises(ExpressionError, match=f"longer than {MAX_LENGTH}"):
            Expression(text)(call(big=big, huge="a" * (MAX_LENGTH + 1)))
    assert len(Expression("vars.big.replace('a', 'b')")(call(big=big))) == 60_000
    for text in ("vars.big.split('a').{ #this }", "vars.many.{? true}"):
        with pytest.raises(ExpressionError, match=f"longer than {MAX_ITEMS}"):
            Expression(text)(call(big=big, many=[0] * (MAX_ITEMS + 1)))
    assert len(Expression("vars.many.{? true}")(call(many=[0] * MAX_ITEMS))) == MAX_ITEMS
    for text in ("#many.{ #many.{ #this } }", "#many.{ #big.replace('a', 'b') }"):
        with pytest.raises(ExpressionError, match="it takes more than 10000 steps"):
            Expression(text)(call(big=big, many=[0] * MAX_ITEMS))
    for text in ("vars.number * vars.number", "int(vars.digits)"):
        with pytest.raises(ExpressionError, match="larger than 1024 bits"):
            Expression(text)(call(number=2**1000, digits="9" * 400))
    for text in ("vars.list + vars.list", "{vars.list, vars.list}", "vars.deep"):
        deep = 0
        for _ in range(50):
            deep = [deep]
        with pytest.raises(ExpressionError, match=r"longer than|too many items or is nested too deeply"):
            Expression(text)(call(list=[0] * 60_000, deep=deep))


def test_a_string_that_would_be_too_long_is_not_even_made():
    exchange = call(some="a" * 10_000)
    expression = Expression("vars.some.replace('a', vars.some)")

    tracemalloc.start()
    with suppress(ExpressionError):
        expression(exchange)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_threads_evaluate_side_by_side():
    barrier = threading.Barrier(2, timeout=30)

    class Meeting(dict):
        """Holds whoever reads it until the other thread reads it too."""

        def get(self, key):
            barrier.wait()
            return key

    expression = Expression("{vars.meeting.and_then, #name, str(len(request.path))}.{ #this }")
    assert quick(parse(expression.text)) is None
    with ThreadPoolExecutor(2) as pool:
        got = pool.map(expression, [call(name=name, meeting=Meeting()) for name in ("one", "two")])

        assert list(got) == [["and_then", "one", "15"], ["and_then", "two", "15"]]


def test_an_exchange_is_not_kept_alive_by_its_evaluation():
    expression = Expression("#list.{ #this + len(request.path) }")
    assert expression(call(list=[1])) == [16]
    with pytest.raises(ExpressionError):
        expression(call(list=["a"]))

    assert _evaluators.mine.exchange is None
    assert _evaluators.mine.this is None


@pytest.mark.parametrize("text", ["request.body == 'a'", "request[vars.name]"])
def test_a_route_is_chosen_before_there_is_a_body(text):
    document = {"routes": [{"name": "all", "match": {"when": text}, "flow": ["security-headers"]}]}

    with pytest.raises(ConfigError, match="when: a route is chosen before the body is read"), running(document):
        pass


def test_items_of_lists_are_as_sound_as_what_is_read_otherwise():
    pairs = [(1, 2), [1, 2], (3,)]
    assert value("#pairs.{? #this == {1, 2}}", pairs=pairs) == [[1, 2], [1, 2]]
    assert value("#pairs.{ {#this} == {{1, 2}} }", pairs=pairs) == [True, True, False]
    for text in ("#list.{ #number * #number > 1 }", "#list.{ len(#this) }", "#list.{ #this.x }"):
        with pytest.raises(ExpressionError, match=r"larger than 1024 bits|cannot work with an object of type"):
            Expression(text)(call(list=[object()], number=2**1000))


@pytest.mark.parametrize("text", ["'a' + 1", "1 + 'a'", "null + 'a'", "'a' + {1}"])
def test_joining_a_string_with_something_else_says_what_to_do(text):
    with pytest.raises(ExpressionError, match=r"cannot be joined; write str\(…\) around what is not a string"):
        Expression(text)(call())
