"""Each line of the table, in each form, from what brings it about."""

import json
import socket
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from hookgate import ServiceUnavailable
from hookgate.testing import MovableClock, Reset, running, upstream
from hookgate_interceptor_faults.finding import found
from hookgate_interceptor_faults.table import TABLE

SECRET = "a secret of this test, longer than 32 bytes"
NAMESPACES = {
    "ams": "http://wso2.org/apimanager/security",
    "amt": "http://wso2.org/apimanager/throttling",
    "am": "http://wso2.org/apimanager",
}
SOAP_11, SOAP_12 = "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"
RAISES = '''
"""Raises what parts raise that are not there yet: a fault with the code that the path names."""
from hookgate import Exchange, Fault, Interceptor, Options, hookimpl

class Raises(Interceptor[Options]):
    name = "raises"

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        class Numbered(Fault):
            status = int(exchange.params["status"])
            code = int(exchange.params["code"])
        if not Numbered.code:
            Numbered.code = None
        reason = exchange.params.get("reason")
        raise Numbered("What <happened> & why.", reason=reason, headers={"X-Kept": "1"})
'''


def tokens(**methods):
    return {"auth": {"methods": [{name: options} for name, options in methods.items()]}}


BASIC, BEARER = {"users": {"ann": "secret-of-ann"}}, {"tokens": {"ann": "token-of-ann"}}
ONE = {"limit": 1, "window": "month"}
ALL_ONE = "'Once'"
THROTTLED = {
    900800: {"api_tier": "Once"},
    900801: {"backend": ONE},
    900802: {"resource_tier": "Once"},
    900803: {"application": {"by": "'a'", "tier": ALL_ONE}},
    900804: {"subscription": {"by": "'a'", "tier": ALL_ONE}},
    900805: {},
    900806: {"conditions": [{"name": "all", **ONE}]},
    900807: {"subscription": {"by": "'b'", "tier": "'Burst'"}},
}


def document(lane, broken, silent):
    def route(name, *flow, to=None, **said):
        return {
            "name": name,
            "match": {"path": f"/{name}"},
            "flow": [*flow, *([] if to else [{"respond": {"body": "ok"}}])],
            **({"to": {"connection": to, **said}} if to else {}),
        }

    return {
        "gateway": {"lane": lane, "flow": ["faults"]},
        "tiers": {"Once": ONE, "Burst": {"limit": 1000, "window": "month", "burst": {"limit": 1, "window": "week"}}},
        "blocks": {"now": {"context": "/900805"}},
        "routes": [
            *(route(str(code), {"throttle": options}) for code, options in THROTTLED.items()),
            route(
                "introspected",
                tokens(oauth2={"introspection_endpoint": "http://127.0.0.1:9/introspect"}),
            ),
            route("bearer", tokens(bearer=BEARER)),
            route("basic", tokens(basic=BASIC)),
            route("either", tokens(bearer=BEARER, basic=BASIC)),
            route("other", tokens(bearer=BEARER, hawk={"credentials": {"ann": {"key": "secret-of-ann"}}})),
            route("certificate", tokens(**{"mutual-tls": {"callers": {"ann": "CN=ann"}}})),
            route("scoped", tokens(jwt={"secret": SECRET, "scopes": ["news_write"]})),
            route("refused", to="refused"),
            route("closed", to="broken"),
            route("silent", to="silent"),
            route("slow", to="silent", timeout=0.05),
            route("suspended", to="suspended"),
            {"name": "raises", "match": {"path": "/raises/{status}/{code}"}, "flow": ["raises"]},
            {"name": "reasons", "match": {"path": "/raises/{status}/{code}/{reason}"}, "flow": ["raises"]},
        ],
        "apis": [{"name": "orders", "base_path": "/orders", "flow": ["client-id", {"respond": {"body": "ok"}}]}],
        "applications": {"shop": {"client_ids": ["id-of-shop"]}},
        "connections": {
            "broken": {"targets": broken},
            "silent": {"targets": silent, "timeouts": {"read": 0.1}},
            "refused": {"targets": "http://127.0.0.1:9"},
            "suspended": {"targets": ["http://127.0.0.1:9"], "monitor": [{"circuit-breaker": {"failures": 1}}]},
        },
    }


@pytest.fixture(scope="module", params=["lane", "edge"])
def gate(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "raises.py").write_text(RAISES)
    with (
        upstream(lambda request: Reset(b"")) as broken,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with running(
            document(request.param == "lane", broken.url, where), clock=MovableClock(), plugins_dir=folder
        ) as gate:
            yield gate


def from_xml(element):
    namespace = element.tag[1:].partition("}")[0]
    parts = {part.tag.partition("}")[2]: part.text for part in element}
    assert {part.tag for part in element} == {f"{{{namespace}}}{name}" for name in parts}
    assert element.tag == f"{{{namespace}}}fault"
    return {**parts, "code": int(parts["code"])}, namespace


def xml(answer):
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    return from_xml(ET.fromstring(answer.content))


def in_json(answer):
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return answer.json()["fault"], None


def soap_11(answer):
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    fault = ET.fromstring(answer.content).find(f"{{{SOAP_11}}}Body/{{{SOAP_11}}}Fault")
    whose, text, detail = fault
    assert (whose.tag, text.tag, detail.tag) == ("faultcode", "faultstring", "detail")
    assert whose.text == f"soapenv:{'Client' if answer.status_code < 500 else 'Server'}"
    found, namespace = from_xml(detail[0])
    assert text.text == found["message"]
    return found, namespace


def soap_12(answer):
    assert answer.headers["content-type"] == "application/soap+xml; charset=utf-8"
    fault = ET.fromstring(answer.content).find(f"{{{SOAP_12}}}Body/{{{SOAP_12}}}Fault")
    code, reason, detail = fault
    assert code[0].text == f"soapenv:{'Sender' if answer.status_code < 500 else 'Receiver'}"
    found, namespace = from_xml(detail[0])
    assert reason[0].text == found["message"]
    return found, namespace


FORMS = {
    "xml": ({"accept": "application/xml"}, xml),
    "json": ({"accept": "application/json"}, in_json),
    "soap 1.1": ({"content-type": "text/xml; charset=utf-8", "soapaction": '""'}, soap_11),
    "soap 1.2": ({"content-type": "application/soap+xml", "accept": "*/*"}, soap_12),
}
each_form = pytest.mark.parametrize("form", FORMS)


def told(answer, form):
    """What an answer tells, whatever its form: status, code, message, description, and the kind of the fault."""
    fault, namespace = FORMS[form][1](answer)
    line = TABLE.get(fault["code"])
    style = line.style if line else None
    if style is not None:
        assert namespace in {None, NAMESPACES[style.prefix]}
        assert fault["message"] == line.message
        assert fault.get("type") == (style.kind or None)
    assert fault["description"]
    return answer.status_code, fault["code"]


def call(gate, form, path, method="POST", **headers):
    return gate.request(method, path, headers={**FORMS[form][0], **headers})


def authorization(text):
    return {"authorization": text}


WRONG_BEARER, WRONG_BASIC = authorization("Bearer garbage"), authorization("Basic YW5uOndyb25n")


@each_form
@pytest.mark.row("KC-39")
@pytest.mark.parametrize("code", THROTTLED)
def test_limits(gate, form, code):
    call(gate, form, f"/{code}")
    answer = call(gate, form, f"/{code}")

    assert told(answer, form) == (503 if code == 900801 else 429, code)
    assert ("retry-after" in answer.headers) == (code != 900805)


@each_form
@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/introspected", authorization("Bearer token"), 500, 900900),
        ("/bearer", WRONG_BEARER, 401, 900901),
        ("/bearer", {}, 401, 900902),
        ("/nowhere", {}, 403, 900906),
        ("/orders", {"client_id": "id-of-shop"}, 403, 900908),
        ("/certificate", {}, 401, 900911),
        ("/other", WRONG_BEARER, 401, 900912),
        ("/basic", {}, 401, 900913),
        ("/basic", WRONG_BASIC, 401, 900914),
        ("/either", WRONG_BASIC, 401, 900915),
        ("/either", WRONG_BEARER, 401, 900916),
        ("/either", {}, 401, 900917),
    ],
)
def test_security(gate, form, path, headers, status, code):
    answer = call(gate, form, path, **headers)

    assert told(answer, form) == (status, code)
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert "127.0.0.1" not in answer.text


@each_form
def test_a_scope_that_is_missing(gate, form):
    token = jwt.encode({"alg": "HS256"}, {"sub": "tom", "exp": 4e9, "scope": "news_read"}, OctKey.import_key(SECRET))
    answer = call(gate, form, "/scoped", **authorization(f"Bearer {token}"))

    assert told(answer, form) == (403, 900910)
    fault, _ = FORMS[form][1](answer)
    assert fault["message"] == "The access token does not allow you to access the requested resource"


@each_form
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/refused", 502, 101503), ("/closed", 502, 101505), ("/silent", 504, 101504), ("/slow", 502, 101504)],
)
def test_backends(gate, form, path, status, code):
    assert told(call(gate, form, path), form) == (status, code)


@each_form
def test_a_backend_that_is_not_called_for_now(gate, form):
    call(gate, form, "/suspended")
    answer = call(gate, form, "/suspended")

    assert told(answer, form) == (503, 303001)


@each_form
def test_an_upload_that_is_cut_off(form):
    fields = "".join(f"{name}: {value}\r\n" for name, value in FORMS[form][0].items())
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    route = {"name": "upload", "match": {"path": "/upload"}, "to": {"connection": "good"}}
    with upstream() as good:
        connections = {"good": {"targets": good.url}}
        document = {"gateway": {"flow": ["faults"]}, "routes": [route], "connections": connections}
        with running(document) as gate, socket.create_connection(place(gate), timeout=60) as client:
            client.sendall(f"{head}5\r\nabc\r\n0\r\n\r\n".encode())
            received = b"".join(iter(lambda: client.recv(65536), b""))
    answered, _, body = received.partition(b"\r\n\r\n")

    assert answered.split(b" ")[1] == b"400", received
    assert b"102511" in body


def place(gate):
    parts = urlsplit(gate.url)
    return parts.hostname, parts.port


@each_form
@pytest.mark.parametrize("code", TABLE)
def test_a_fault_that_brings_a_code_has_the_line_of_that_code(gate, form, code):
    line = TABLE[code]
    raised = line.status or 502
    answer = call(gate, form, f"/raises/{raised}/{code}")

    assert told(answer, form) == (raised, code)
    assert answer.headers["x-kept"] == "1"
    fault, _ = FORMS[form][1](answer)
    assert fault["description"] == (line.description if raised == 500 else "What <happened> & why.")


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (502, "bad-gateway", 101510),
        (502, "connect-failed", 101503),
        (504, "connect-timeout", 101508),
        (502, "dns-failed", 101503),
        (503, "pool-exhausted", 101508),
        (502, "proxy-failed", 101503),
        (504, "request-timeout", 101504),
        (502, "response-too-large", 101510),
        (502, "too-large", 101510),
        (502, "tls-failed", 101500),
        (502, "upstream-protocol", 101506),
        (504, "upstream-timeout", 101504),
        (401, "expired-credentials", 900903),
        (401, "malformed-credentials", 900901),
        (403, "wrong-role", 900908),
        (429, "rate-limited", 900800),
        (429, "spike-arrested", 900807),
        (408, "request-timeout", 408),
        (413, "too-large", 413),
        (503, "overloaded", 503),
        (508, "loop-detected", 508),
        (500, "plugin-error", 500),
    ],
)
def test_a_fault_without_a_code_has_that_of_its_reason_or_its_status(gate, status, reason, code):
    assert told(call(gate, "json", f"/raises/{status}/0/{reason}"), "json") == (status, code)


@each_form
def test_a_fault_that_no_line_is_for_has_its_status(gate, form):
    answer = call(gate, form, "/raises/507/1")
    assert told(answer, form) == (507, 1)
    fault, _ = FORMS[form][1](answer)
    assert (fault["message"], fault["type"]) == ("Insufficient Storage", "Status report")


def test_the_letter_of_xml_and_json(gate):
    answer = call(gate, "xml", "/bearer")
    assert answer.text == (
        '<ams:fault xmlns:ams="http://wso2.org/apimanager/security"><ams:code>900902</ams:code>'
        "<ams:message>Missing Credentials</ams:message><ams:description>This route needs credentials, and the request "
        "has none of a kind it accepts.</ams:description></ams:fault>"
    )
    assert call(gate, "json", "/raises/503/700700").json() == {
        "fault": {
            "code": 700700,
            "type": "Status report",
            "message": "API blocked",
            "description": "What <happened> & why.",
        }
    }


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/xml"),
        ("", "application/xml"),
        ("*/*", "application/xml"),
        ("text/xml", "text/xml"),
        ("application/json;q=0.5, application/xml;q=0.4", "application/json"),
        ("application/json;q=0.4, application/xml;q=0.5", "application/xml"),
        ("application/xml;q=0, application/json", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/xml"),
        ("image/png", "application/xml"),
        ("application/json;q=nonsense;;, ,", "application/xml"),
    ],
)
def test_a_client_gets_what_it_accepts(gate, accept, kind):
    headers = {"accept": accept} if accept is not None else {}
    request = gate.client.build_request("GET", "/bearer", headers=headers)
    if accept is None:
        del request.headers["accept"]
    answer = gate.client.send(request)

    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["vary"] == "Accept"


def test_xml_that_is_no_soap_call_gets_no_envelope(gate):
    assert told(gate.request("POST", "/bearer", headers={"content-type": "text/xml"}), "xml") == (401, 900902)


@pytest.mark.parametrize("options", [{}, {"no_resource": 404}, {"default": "json", "no_resource": 404}])
def test_no_resources_and_methods_and_the_form_of_who_asks_for_none(options):
    route = {"name": "a", "match": {"path": "/a", "methods": ["GET"]}, "flow": [{"respond": {"body": "ok"}}]}
    with running({"gateway": {"flow": [{"faults": options}]}, "routes": [route]}) as gate:
        path, method = gate.request("GET", "/b"), gate.request("POST", "/a")
        form = options.get("default", "xml")
        expected = (404, 405) if options else (403, 403)
        assert [told(answer, form) for answer in (path, method)] == [(status, 900906) for status in expected]
        assert "GET" in method.headers["allow"]


def test_where_it_does_not_stand_faults_are_problem_details():
    route = {"name": "a", "match": {"path": "/a"}, "flow": [tokens(bearer=BEARER), {"respond": {"body": "ok"}}]}
    inside = {"name": "b", "match": {"path": "/b"}, "flow": ["faults", tokens(bearer=BEARER), {"respond": {}}]}
    with running({"routes": [route, inside]}) as gate:
        answers = [gate.request("GET", path, headers={"accept": "application/json"}) for path in ("/a", "/b", "/c")]
        kinds = [answer.headers["content-type"].partition(";")[0] for answer in answers]
        assert kinds == ["application/problem+json", "application/json", "application/problem+json"]
        assert json.loads(answers[0].text)["reason"] == "missing-credentials"


@pytest.mark.parametrize("name", ["x-hookgate-reason", "X-Hookgate-Reason"])
def test_a_suspended_backend_is_known_by_a_header_however_it_is_written(name):
    fault = ServiceUnavailable("No target may be called.", reason="no-target", headers={name: "circuit-open"})

    assert found(fault, None, 403)[:2] == (303001, 503)
