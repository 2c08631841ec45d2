"""The gateway as the server of RFC 7616."""

import gc
import hashlib
import re
import shutil
import subprocess
import urllib.request

import httpx
import pytest

from hookgate import Body, ConfigError, Exchange, Headers, Request, Unauthorized
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_auth_digest import Digest
from hookgate_auth_digest.parameters import MAX_LENGTH, challenges_in
from hookgate_authoring.conformance import conformance

USERS = {"Mufasa": "Circle of Life"}
REALM = "http-auth@example.org"
HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def hashed(algorithm, *parts):
    """Hash as the RFC says it, without the code under test."""
    name = HASHES[algorithm.removesuffix("-sess")]
    return hashlib.new(name, ":".join(parts).encode()).hexdigest()


class Caller:
    """A client written against RFC 7616 and nothing else: it answers a challenge, and can be made to lie."""

    def __init__(self, user="Mufasa", password="Circle of Life"):
        self.user, self.password = user, password

    def line(self, challenge, uri="/", method="GET", *, body="", count=1, **instead):
        """Write the header; `instead` puts other parameters in the place of the right ones, `None` leaves one out."""
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge.split("Digest ")[1]))
        algorithm, nonce = given["algorithm"], given["nonce"]
        qop, nc, cnonce = instead.get("qop") or "auth", f"{count:08x}", "0a4f113b"
        ha1 = hashed(algorithm, self.user, given["realm"], self.password)
        if algorithm.endswith("-sess"):
            ha1 = hashed(algorithm, ha1, nonce, cnonce)
        ha2 = hashed(algorithm, method, uri, *([hashed(algorithm, body)] if qop == "auth-int" else []))
        fields = {
            "username": f'"{self.user}"',
            "realm": f'"{given["realm"]}"',
            "uri": f'"{uri}"',
            "algorithm": algorithm,
            "nonce": f'"{nonce}"',
            "nc": nc,
            "cnonce": f'"{cnonce}"',
            "qop": qop,
            "response": f'"{hashed(algorithm, ha1, nonce, nc, cnonce, qop, ha2)}"',
            **instead,
        }
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items() if value is not None)


def call(line=None, method="GET", path="/", query="", body=b"", header="authorization"):
    headers = Headers([(header, line)] if line is not None else [])
    return Exchange(Request(method, path, query, host="api.example.org", headers=headers, body=Body(body)))


def method(**options):
    return build(Digest, **{"users": USERS, "realm": REALM, **options})


def asked(digest):
    return digest.challenge(call())


# --- examples of the RFCs --------------------------------------------------------------------------------------------

OF_7616 = (
    'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{response}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
OF_2617 = (
    'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
OF_ERRATUM_4897 = (
    'Digest {user}, realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
    'cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth, '
    'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", userhash={hashed}'
)
DOE = {"J\u00e4s\u00f8n Doe": "Secret, or not?"}


@pytest.mark.parametrize(
    ("options", "path", "line"),
    [
        (
            {"algorithms": ["MD5"]},
            "/dir/index.html",
            OF_7616.format(algorithm="MD5", response="8ca523f5e9506fed4657c9700eebdbec"),
        ),
        (
            {"algorithms": ["SHA-256"]},
            "/dir/index.html",
            OF_7616.format(
                algorithm="SHA-256", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
            ),
        ),
        (
            {"algorithms": ["MD5"], "realm": "testrealm@host.com", "users": {"Mufasa": "Circle Of Life"}},
            "/dir/index.html",
            OF_2617,
        ),
        (
            {"algorithms": ["SHA-512-256"], "realm": "api@example.org", "users": DOE, "userhash": True},
            "/doe.json",
            OF_ERRATUM_4897.format(
                user='username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"', hashed="true"
            ),
        ),
        (
            {"algorithms": ["SHA-512-256"], "realm": "api@example.org", "users": DOE},
            "/doe.json",
            OF_ERRATUM_4897.format(user="username*=UTF-8''J%C3%A4s%C3%B8n%20Doe", hashed="false"),
        ),
    ],
    ids=["7616-md5", "7616-sha-256", "2617", "7616-userhash", "7616-username*"],
)
def test_the_examples_of_the_rfcs_are_right_but_for_their_nonce(options, path, line):
    digest = method(**options)
    right, wrong = call(line, path=path), call(line.replace('response="', 'response="0'), path=path)

    with pytest.raises(Unauthorized, match="no longer good"):
        digest.identify(right)
    assert "stale=true" in digest.challenge(right)
    with pytest.raises(Unauthorized, match="do not match"):
        digest.identify(wrong)
    assert "stale" not in digest.challenge(wrong)


# --- what is accepted ------------------------------------------------------------------------------------------------

ALGORITHMS = ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_user_who_knows_the_password_is_known(algorithm):
    users = {"Mufasa": {"password": "Circle of Life", "roles": ["king"], "application": "savannah"}}
    digest = method(algorithms=[algorithm], users=users)
    identity = digest.identify(call(Caller().line(asked(digest), uri="/a?b=%20"), path="/a", query="b=%20"))

    assert (identity.subject, identity.method, identity.roles) == ("Mufasa", "digest", ("king",))
    assert identity.application == "savannah"


def test_a_hash_stands_for_the_password():
    ha1 = {name: hashed(name, "Mufasa", REALM, "Circle of Life").upper() for name in ("MD5", "SHA-256")}
    for algorithm in ("MD5", "SHA-256-sess"):
        digest = method(users={"Mufasa": {"ha1": ha1}}, algorithms=[algorithm])
        assert digest.identify(call(Caller().line(asked(digest)))).subject == "Mufasa"


async def test_a_body_is_protected_with_auth_int():
    digest = method(qop=["auth", "auth-int"])
    challenge = asked(digest)
    good = call(Caller().line(challenge, method="POST", qop="auth-int", body="a=1"), method="POST", body=b"a=1")
    bad = call(Caller().line(challenge, method="POST", qop="auth-int", body="a=1", count=2), "POST", body=b"a=2")
    head_only = call(Caller().line(challenge, method="POST", count=3), method="POST", body=b"a=2")

    assert digest.reads == {"request.body"}
    assert (await digest.identify(good)).subject == "Mufasa"
    with pytest.raises(Unauthorized):
        await digest.identify(bad)
    assert digest.identify(head_only).subject == "Mufasa"
    with pytest.raises(Unauthorized, match="malformed"):  # a client may not choose less than what is asked for
        method(qop=["auth-int"]).identify(head_only)


def test_names_and_passwords_may_have_any_character():
    user = {"zoë ü": "€:colon"}
    digest = method(users=user, realm='a "realm"')
    challenge = asked(digest).replace('\\"', "'")  # the client of this test does not know about escapes
    ha1 = hashed("SHA-256", "zoë ü", 'a "realm"', "€:colon")
    nonce = re.search(r'nonce="([^"]+)"', challenge)[1]
    response = hashed("SHA-256", ha1, nonce, "00000001", "x", "auth", hashed("SHA-256", "GET", "/"))
    rest = f'realm="a \\"realm\\"", uri="/", algorithm=SHA-256, nonce="{nonce}", nc=00000001, cnonce="x", qop=auth'
    plain = "zoë ü".encode().decode("latin-1")  # what curl does: UTF-8 without saying so

    assert digest.identify(call(f'Digest username="{plain}", {rest}, response="{response}"')).subject == "zoë ü"


@pytest.mark.parametrize(
    "line",
    [
        None,
        "Basic YTpi",
        "Digestive nonce=1",
        'Digest username="Mufasa", realm="another", nonce="x", uri="/", response="x", algorithm=SHA-256',
        'Digest username="Mufasa", realm="http-auth@example.org", nonce="x", uri="/", response="x"',
        'Digest username="Mufasa", realm="http-auth@example.org", nonce="x", uri="/", response="x", algorithm=SHA-1',
    ],
    ids=["nothing", "basic", "another-scheme", "another-realm", "md5-by-default", "unknown-algorithm"],
)
def test_other_kinds_of_credentials_are_none_of_its_business(line):
    assert method().identify(call(line)) is None


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_wrong_user_and_a_wrong_password_are_refused_in_the_same_words():
    digest = method()
    for caller in (Caller(password="wrong"), Caller(user="Scar"), Caller(user=""), Caller(user="mufasa")):
        exchange = call(caller.line(asked(digest)))
        with pytest.raises(Unauthorized, match=r"^User name and password do not match\.$"):
            digest.identify(exchange)
        assert "stale" not in digest.challenge(exchange)


def test_an_unknown_user_is_compared_too(monkeypatch):
    import hookgate_auth_digest.inbound as module

    compared = []
    compare = module.hmac.compare_digest
    monkeypatch.setattr(
        module.hmac, "compare_digest", lambda one, other: compared.append(len(one)) or compare(one, other)
    )
    digest = method()
    for caller in (Caller(user="Scar"), Caller(password="x")):
        with pytest.raises(Unauthorized):
            digest.identify(call(caller.line(asked(digest))))

    assert compared == [64, 64]


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/other"},
        {"query": "b=2"},
        {"method": "DELETE"},
    ],
)
def test_credentials_are_for_one_request(changed):
    digest = method()
    line = Caller().line(asked(digest), uri="/a?b=1")

    with pytest.raises(Unauthorized):
        digest.identify(call(line, **{"path": "/a", "query": "b=1", **changed}))
    assert digest.identify(call(line, path="/a", query="b=1")).subject == "Mufasa"


def test_the_whole_url_may_stand_for_the_request():
    digest = method()
    line = Caller().line(asked(digest), uri="http://api.example.org/a")
    other = Caller().line(asked(digest), uri="http://evil.example.org/a")

    assert digest.identify(call(line, path="/a")).subject == "Mufasa"
    with pytest.raises(Unauthorized):
        digest.identify(call(other, path="/a"))


@pytest.mark.parametrize(
    "instead",
    [
        {"nc": None},
        {"nc": "1"},
        {"nc": "00000000"},
        {"nc": "0000000g"},
        {"cnonce": None},
        {"cnonce": '""'},
        {"qop": None},
        {"qop": "auth-int"},
        {"qop": "none"},
        {"nonce": None},
        {"response": None},
        {"username": None},
        {"username": None, "username*": "ISO-8859-1''Mufasa"},
        {"username*": "UTF-8''Mufasa"},
        {"userhash": "true"},
        {"more": '"'},
        {"more": "1, NC=00000002"},
        {"more": f'"{"x" * MAX_LENGTH}"'},
        {"more": ", ".join(f"p{number}=1" for number in range(100))},
    ],
    ids=str,
)
def test_malformed_credentials_are_refused(instead):
    digest = method()

    with pytest.raises(Unauthorized, match="malformed"):
        digest.identify(call(Caller().line(asked(digest), **instead)))


# --- nonces ----------------------------------------------------------------------------------------------------------


def test_a_request_cannot_be_sent_twice():
    digest = method()
    challenge = asked(digest)
    caller = Caller()
    for count in (1, 2, 5, 3):  # calls overtake each other
        assert digest.identify(call(caller.line(challenge, count=count))).subject == "Mufasa"
    for count in (1, 2, 3, 5):
        exchange = call(caller.line(challenge, count=count))
        with pytest.raises(Unauthorized) as refused:
            digest.identify(exchange)
        assert refused.value.reason == "replayed-credentials"
        assert "stale=true" in digest.challenge(exchange)
    assert digest.identify(call(caller.line(challenge, count=4))).subject == "Mufasa"


def test_wrong_credentials_use_up_no_count():
    digest = method()
    challenge = asked(digest)
    with pytest.raises(Unauthorized):
        digest.identify(call(Caller(password="wrong").line(challenge)))

    assert digest.identify(call(Caller().line(challenge))).subject == "Mufasa"


# --- challenges and options ------------------------------------------------------------------------------------------


def test_the_challenge_has_what_the_rfc_wants():
    challenge = method(qop=["auth", "auth-int"], userhash=True, algorithms=["SHA-256", "MD5"], realm='a "b"')
    first, second = challenges_in([asked(challenge)])

    assert first.pop("nonce") == second.pop("nonce") != ""
    assert first == {
        "realm": 'a "b"',
        "qop": "auth, auth-int",
        "algorithm": "SHA-256",
        "charset": "UTF-8",
        "userhash": "true",
    }
    assert second == {**first, "algorithm": "MD5"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"users": {}}, "users"),
        ({"users": {"a:b": "c"}}, "colon"),
        ({"users": {"": "c"}}, "empty"),
        ({"users": {"a": ""}}, "password is empty"),
        ({"users": {"a": {}}}, "either password or ha1"),
        ({"users": {"a": {"password": "b", "ha1": {"MD5": "0" * 32}}}}, "either password or ha1"),
        ({"users": {"a": {"ha1": {"MD5": "0" * 64}}}}, "32 hexadecimal"),
        ({"users": {"a": {"ha1": {"SHA-256": "xyz"}}}}, "hexadecimal digits"),
        ({"users": {"a": {"ha1": {"MD5": "0" * 32}}}}, "'a' has no ha1 for SHA-256"),
        ({"realm": ""}, "realm"),
        ({"realm": "ü"}, "realm"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["SHA-1"]}, "'SHA-1' is none of"),
        ({"algorithms": ["SHA-256", "sha-256"]}, "twice"),
        ({"qop": ["auth", "auth"]}, "twice"),
        ({"nonce_key": "short"}, "16 characters"),
        ({"nonce_lifetime": 0}, "nonce_lifetime"),
        ({"header": "X Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        method(**options)


def test_no_password_is_in_a_representation_or_message():
    digest = method(users={"a": "s3same"}, nonce_key="s3same-s3same-s3same")
    with pytest.raises(ConfigError) as refused:
        method(users={"a:": "s3same", "b": {"ha1": {"MD5": "s3same"}}}, nonce_key="s3same")

    assert "s3same" not in repr(digest) + repr(digest.options) + digest.options.model_dump_json() + str(refused.value)


@pytest.mark.parametrize(
    "options",
    [{"users": USERS}, {"users": USERS, "qop": ["auth-int"], "algorithms": ["SHA-256", "MD5"], "userhash": True}],
)
def test_conformance(options):
    conformance(Digest, options=options)


# --- through a gateway -----------------------------------------------------------------------------------------------

CURL = shutil.which("curl")


def document(backend, *methods, **options):
    methods = methods or [{"digest": {"users": USERS, "realm": REALM, **options}}]
    return {
        "routes": [{"name": "all", "flow": [{"auth": {"methods": list(methods)}}], "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url}},
    }


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess"])
@pytest.mark.parametrize("userhash", [False, True])
def test_curl_gets_in_with_the_right_password_only(algorithm, userhash):
    users = {**USERS, "zoë": 'a "b" \\ c'}
    with (
        upstream() as backend,
        running(document(backend, algorithms=[algorithm], users=users, userhash=userhash)) as gate,
    ):
        answers = []
        for known in ("Mufasa:Circle of Life", 'zoë:a "b" \\ c', "Mufasa:wrong", "Scar:x"):
            words = [CURL, "-sS", "-o", "-", "-w", "%{http_code}", "--digest", "-u", known, f"{gate.url}/a%20b?c=d&e"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
            answers.append(done.stdout[-3:])

    assert answers == ["200", "200", "401", "401"]


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_curl_finds_its_way_through_several_challenges():
    several = [{"digest": {"users": USERS, "realm": REALM, "algorithms": [each]}} for each in ("SHA-256", "MD5")]
    one_line = [{"digest": {"users": USERS, "realm": REALM, "algorithms": ["SHA-256", "MD5"]}}]
    for methods in (several, one_line):
        with upstream() as backend, running(document(backend, *methods)) as gate:
            words = [CURL, "-sS", "-w", "%{http_code}", "--digest", "-u", "Mufasa:Circle of Life", f"{gate.url}/"]
            assert subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout == "ok200"


def test_httpx_gets_in_calls_again_with_the_same_nonce_and_renews_a_stale_one():
    clock = MovableClock()
    auth = httpx.DigestAuth("Mufasa", "Circle of Life")
    with upstream() as backend, running(document(backend), clock=clock) as gate:
        statuses = [gate.client.post("/a?b=c", content=b"x", auth=auth).status_code for _ in range(2)]
        gate.run(clock.advance(301))
        last = gate.client.get("/", auth=auth)
        refused = gate.client.get("/", auth=httpx.DigestAuth("Mufasa", "wrong"))

    assert [*statuses, last.status_code, refused.status_code] == [200, 200, 200, 401]
    assert "stale=true" in last.history[0].headers["www-authenticate"]
    assert refused.headers["www-authenticate"].startswith(f'Digest realm="{REALM}", qop="auth", algorithm=SHA-256, ')
    assert len(backend.requests) == 3


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_standard_library_gets_in_with_md5():
    """Its handler does not close the 401 that it answers, so that is collected here."""
    with upstream() as backend, running(document(backend, algorithms=["MD5"])) as gate:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, gate.url, "Mufasa", "Circle of Life")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPDigestAuthHandler(known)
        )
        with opener.open(f"{gate.url}/a?b=c", timeout=60) as answer:
            assert answer.status == 200
        gc.collect()

    assert len(backend.requests) == 1


def test_a_request_that_was_seen_is_not_let_in_again():
    with upstream() as backend, running(document(backend)) as gate:
        challenge = gate.request("GET", "/").headers["www-authenticate"]
        line = {"authorization": Caller().line(challenge)}
        statuses = [gate.request("GET", "/", headers=line).status_code for _ in range(2)]

    assert statuses == [200, 401]
    assert len(backend.requests) == 1


def test_auth_int_protects_bodies_on_the_way():
    with upstream() as backend, running(document(backend, qop=["auth-int"])) as gate:
        challenge = gate.request("GET", "/").headers["www-authenticate"]
        line = {"authorization": Caller().line(challenge, method="POST", qop="auth-int", body="a=1")}
        statuses = [gate.request("POST", "/", content=body, headers=line).status_code for body in (b"a=2", b"a=1")]

    assert statuses == [401, 200]
    assert backend.bodies == [b"a=1"]


def test_digest_and_basic_are_offered_side_by_side():
    methods = [{"digest": {"users": USERS}}, {"basic": {"users": USERS}}]
    with upstream() as backend, running(document(backend, *methods)) as gate:
        offered = gate.request("GET", "/").headers.get_list("www-authenticate")
        known = ("Mufasa", "Circle of Life")
        statuses = [gate.client.get("/", auth=auth).status_code for auth in (known, httpx.DigestAuth(*known))]

    assert [each.split()[0] for each in offered] == ["Digest", "Basic"]
    assert statuses == [200, 200]
