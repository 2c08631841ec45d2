import pytest

from hookgate import AuthMethod, ConfigError, Exchange, Identity, Options, ServiceUnavailable, Unauthorized, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_auth import Auth


class TokenOptions(Options):
    header: str
    detail: str = ""


class Token(AuthMethod[TokenOptions]):
    """Knows the caller whose header says `good`."""

    def __init__(self, options):
        super().__init__(options)
        self.asked = 0

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        self.asked += 1
        value = exchange.request.headers.get(self.options.header)
        if value is None:
            return None
        if value != "good":
            raise Unauthorized(self.options.detail)
        return Identity(f"by {self.options.header}")

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        return f'Token header="{self.options.header}"'


class Waiting(Token):
    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        return Token.identify(self, exchange)


class Silent(AuthMethod[Options]):
    """Has no challenge to offer."""

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        return None


class Down(AuthMethod[Options]):
    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        raise ServiceUnavailable("The identity server does not answer.")


@pytest.fixture(params=[Token, Waiting], ids=["sync", "async"])
def methods(request):
    return [build(request.param, header="x-a"), build(request.param, header="x-b")]


@pytest.mark.parametrize(
    ("headers", "subject", "asked"),
    [
        ({"x-a": "good"}, "by x-a", [1, 0]),
        ({"x-b": "good"}, "by x-b", [1, 1]),
        ({"x-a": "good", "x-b": "good"}, "by x-a", [1, 0]),
        ({"x-a": "wrong", "x-b": "good"}, "by x-b", [1, 1]),
    ],
)
def test_any_takes_the_first_method_that_knows_the_caller(methods, headers, subject, asked):
    exchange = through(build(Auth, methods=methods), headers=headers)

    assert exchange.response.status == 200
    assert exchange.identity.subject == subject
    assert [method.asked for method in methods] == asked


@pytest.mark.parametrize("require", ["any", "all"])
def test_no_credentials_are_answered_with_every_challenge_on_a_line_of_its_own(methods, require):
    exchange = through(build(Auth, require=require, methods=methods))

    assert exchange.response.status == 401
    assert exchange.fault.reason == "missing-credentials"
    assert exchange.response.headers.getall("www-authenticate") == ['Token header="x-a"', 'Token header="x-b"']
    assert exchange.identity is None


@pytest.mark.parametrize("require", ["any", "all"])
def test_wrong_credentials_are_told_from_missing_ones(methods, require):
    missing = through(build(Auth, require=require, methods=methods))
    wrong = through(build(Auth, require=require, methods=methods), headers={"x-a": "wrong"})

    assert wrong.response.status == 401
    assert wrong.fault.reason == "wrong-credentials"
    assert wrong.fault.detail != missing.fault.detail
    assert len(wrong.response.headers.getall("www-authenticate")) == 2
    assert wrong.identity is None


def test_the_answer_says_what_the_method_says_is_wrong():
    step = build(Auth, methods=[build(Token, header="x-a", detail="The token is too old."), build(Token, header="x-b")])

    assert through(step, headers={"x-a": "wrong", "x-b": "wrong"}).fault.detail == "The token is too old."


def test_all_wants_every_method_and_keeps_every_identity(methods):
    exchange = through(build(Auth, require="all", methods=methods), headers={"x-a": "good", "x-b": "good"})

    assert exchange.response.status == 200
    assert exchange.identity.subject == "by x-a"
    assert [identity.subject for identity in exchange.variables["identities"]] == ["by x-a", "by x-b"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-a": "good"}, "missing-credentials"),
        ({"x-a": "good", "x-b": "wrong"}, "wrong-credentials"),
        ({"x-b": "good"}, "missing-credentials"),
    ],
)
def test_all_refuses_a_caller_that_one_method_does_not_know(methods, headers, reason):
    exchange = through(build(Auth, require="all", methods=methods), headers=headers)

    assert exchange.response.status == 401
    assert exchange.fault.reason == reason
    assert exchange.identity is None
    assert "identities" not in exchange.variables


@pytest.mark.parametrize("headers", [{}, {"x-a": "wrong", "x-b": "good"}])
def test_all_stops_at_the_first_failure(methods, headers):
    through(build(Auth, require="all", methods=methods), headers=headers)

    assert [method.asked for method in methods] == [1, 0]


def test_a_method_without_challenge_is_left_out_of_the_answer():
    exchange = through(build(Auth, methods=[build(Silent), build(Token, header="x-a")]))

    assert exchange.response.headers.getall("www-authenticate") == ['Token header="x-a"']


def test_a_failure_that_says_nothing_about_the_caller_ends_the_call():
    exchange = through(build(Auth, methods=[build(Down), build(Token, header="x-a")]), headers={"x-a": "good"})

    assert exchange.response.status == 503
    assert exchange.identity is None


@pytest.mark.parametrize("options", [{"methods": []}, {}, {"require": "some", "methods": ["basic"]}])
def test_wrong_options_are_refused_at_load(options):
    with pytest.raises(ConfigError, match=r"methods|require"):
        build(Auth, **options)


def _credentials(user):
    return {"ada": "Basic YWRhOmVuZ2luZQ==", "bob": "Basic Ym9iOmJ1aWxkZXI=", "eve": "Basic ZXZlOmV2ZQ=="}[user]


@pytest.mark.row("AC-43")
@pytest.mark.parametrize(
    ("require", "staff", "partner", "status"),
    [
        ("any", None, None, 401),
        ("any", "ada", None, 200),
        ("any", None, "bob", 200),
        ("any", "eve", "bob", 200),
        ("any", "eve", "eve", 401),
        ("all", "ada", None, 401),
        ("all", None, "bob", 401),
        ("all", "ada", "eve", 401),
        ("all", "ada", "bob", 200),
    ],
)
def test_a_route_wants_any_or_all_of_its_methods(require, staff, partner, status):
    methods = [
        {"basic": {"users": {"ada": "engine"}, "realm": "staff"}},
        {"basic": {"users": {"bob": "builder"}, "realm": "partners", "header": "X-Partner"}},
    ]
    headers = {"authorization": staff, "x-partner": partner}
    with upstream() as backend:
        document = {
            "routes": [
                {
                    "name": "orders",
                    "match": {"path": "/orders"},
                    "flow": [{"auth": {"require": require, "methods": methods}}],
                    "to": {"connection": "backend"},
                },
            ],
            "connections": {"backend": {"targets": [{"url": backend.url}]}},
        }
        with running(document) as gate:
            answer = gate.request(
                "GET",
                "/orders",
                headers={name: _credentials(user) for name, user in headers.items() if user},
            )

    assert answer.status_code == status
    assert len(backend.requests) == (status == 200)
    if status == 401:
        assert answer.headers.get_list("www-authenticate") == [
            'Basic realm="staff", charset="UTF-8"',
            'Basic realm="partners", charset="UTF-8"',
        ]
