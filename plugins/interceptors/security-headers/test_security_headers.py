import pytest

from hookgate import ConfigError, Exchange, Forbidden, Interceptor, Options, Response, hookimpl
from hookgate.testing import build, running, through, upstream
from hookgate_interceptor_security_headers import SecurityHeaders

DEFAULTS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HSTS = "strict-transport-security"
OPTION_OF = {name: name.replace("-", "_") for name in [*DEFAULTS, "content-security-policy", "permissions-policy"]}


class Refusing(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        raise Forbidden("No.")


def added(exchange):
    return {name: value for name, value in exchange.response.headers.items() if not name.startswith("content-type")}


def test_without_options_the_careful_headers_are_set_and_no_policy_is_invented():
    assert added(through(build(SecurityHeaders))) == DEFAULTS


def test_an_error_answer_of_another_step_has_them_wherever_the_step_stands():
    for steps in ([SecurityHeaders, Refusing], [Refusing, SecurityHeaders]):
        exchange = through(*(build(step) for step in steps))

        assert exchange.response.status == 403
        assert added(exchange) == DEFAULTS


def test_transport_security_is_told_over_https_only():
    step = build(SecurityHeaders)

    assert through(step, scheme="https").response.headers[HSTS] == "max-age=31536000"
    assert HSTS not in through(step, scheme="http").response.headers


@pytest.mark.parametrize(
    ("hsts", "value"),
    [
        ({"max_age": 0}, "max-age=0"),
        ({"max_age": 60, "include_subdomains": True}, "max-age=60; includeSubDomains"),
        ({"include_subdomains": True, "preload": True}, "max-age=31536000; includeSubDomains; preload"),
    ],
)
def test_transport_security_says_what_was_written(hsts, value):
    step = build(SecurityHeaders, strict_transport_security=hsts)

    assert through(step, scheme="https").response.headers[HSTS] == value


def test_null_leaves_a_header_out():
    step = build(SecurityHeaders, strict_transport_security=None, **{OPTION_OF[name]: None for name in DEFAULTS})

    assert added(through(step, scheme="https")) == {}


def test_policies_over_several_lines_become_one_line():
    step = build(
        SecurityHeaders,
        content_security_policy="default-src 'self';\n  frame-ancestors 'none'\n",
        permissions_policy="camera=(),\n geolocation=()",
    )
    headers = through(step).response.headers

    assert headers["content-security-policy"] == "default-src 'self'; frame-ancestors 'none'"
    assert headers["permissions-policy"] == "camera=(), geolocation=()"


@pytest.mark.parametrize(("override", "value"), [(False, ["SAMEORIGIN"]), (True, ["DENY"])])
def test_a_value_of_the_backend_stays_unless_it_is_overridden(override, value):
    answer = Response(200, [("X-Frame-Options", "SAMEORIGIN")])
    exchange = through(build(SecurityHeaders, override=override), upstream=answer)

    assert exchange.response.headers.getall("x-frame-options") == value


def test_override_puts_one_line_in_the_place_of_several_and_leaves_alone_what_it_does_not_set():
    lines = [("content-security-policy", "a"), ("content-security-policy", "b"), ("permissions-policy", "camera=()")]
    step = build(SecurityHeaders, override=True, content_security_policy="default-src 'self'")
    headers = through(step, upstream=Response(200, lines)).response.headers

    assert headers.getall("content-security-policy") == ["default-src 'self'"]
    assert headers.getall("permissions-policy") == ["camera=()"]


@pytest.mark.parametrize(("hide", "left"), [(True, []), (False, ["nginx"])])
def test_what_the_backend_is_made_of_is_hidden_unless_told_otherwise(hide, left):
    answer = Response(200, [("Server", "nginx"), ("X-Powered-By", "nginx")])
    headers = through(build(SecurityHeaders, hide_server=hide), upstream=answer).response.headers

    assert headers.getall("server") == headers.getall("x-powered-by") == left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_frame_options": "ALLOW-FROM https://a.example"}, "x_frame_options: "),
        ({"referrer_policy": "none"}, "referrer_policy: "),
        ({"content_security_policy": " \n"}, "content_security_policy: .*a policy says something"),
        ({"content_security_policy": "a\x00"}, "content_security_policy: .*control character"),
        ({"strict_transport_security": {"max_age": -1}}, r"strict_transport_security\.max_age: "),
        ({"strict_transport_security": {"preload": True}}, "preload needs include_subdomains"),
        (
            {"strict_transport_security": {"preload": True, "include_subdomains": True, "max_age": 60}},
            "a max_age of 31536000 seconds or more",
        ),
        ({"frame_options": "DENY"}, "frame_options: "),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(SecurityHeaders, **options)


def test_clients_of_a_gateway_get_them_from_the_backend_and_on_a_404():
    with upstream() as backend:
        backend.answer = lambda request: (200, {"server": "secret/1.0", "x-frame-options": "SAMEORIGIN"}, "ok")
        document = {
            "gateway": {"flow": ["security-headers"], "trusted_proxies": ["127.0.0.0/8"]},
            "routes": [{"name": "all", "match": {"path": "/here"}, "to": {"connection": "backend"}}],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document) as gate:
            found = gate.request("GET", "/here", headers={"x-forwarded-proto": "https"})
            missing = gate.request("GET", "/elsewhere")

    assert found.headers["x-frame-options"] == "SAMEORIGIN"
    assert found.headers[HSTS] == "max-age=31536000"
    assert "secret" not in found.headers.get("server", "")
    assert missing.status_code == 404
    assert {name: missing.headers[name] for name in DEFAULTS} == DEFAULTS
    assert HSTS not in missing.headers
