"""The gateway as the client of RFC 7616."""

import gc
import hashlib
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from hookgate import Attempt, Body, ConfigError, Exchange, Headers, Outbound, Outcome, Request, Response, Target
from hookgate.testing import build, running, upstream
from hookgate_auth_digest import DigestCredential, outbound
from hookgate_authoring.conformance import conformance

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
ALGORITHMS = ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]


def hashed(algorithm, *parts):
    """Hash as the RFC says it, without the code under test."""
    name = HASHES[algorithm.removesuffix("-sess")]
    return hashlib.new(
        name, b":".join(each if isinstance(each, bytes) else each.encode() for each in parts)
    ).hexdigest()


@dataclass
class Server:
    """A backend written against RFC 7616 and nothing else, strict about everything a client can get wrong."""

    algorithm: str = "SHA-256"
    qop: str = "auth"
    user: str = "Mufasa"
    password: str = "Circle of Life"
    realm: str = "http-auth@example.org"
    userhash: bool = False
    uses: int = 1000
    """How often a nonce may be used."""
    says_stale: bool = True
    extra: list = field(default_factory=list)
    """Challenges in front of its own."""
    counts: dict = field(default_factory=dict)
    cnonces: dict = field(default_factory=dict)
    complaints: list = field(default_factory=list)

    def __call__(self, request):
        line = request.header("authorization")
        if line is None:
            return self.challenge()
        given = {}
        for name, quoted, token in re.findall(r'([\w*]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))(?:, |$)', line[7:]):
            assert name not in given
            given[name] = re.sub(r"\\(.)", r"\1", quoted) or token
        nonce = given["nonce"]
        if self.counts.get(nonce, self.uses) >= self.uses:
            return self.challenge(stale=self.says_stale)
        problem = self.check(request, given)
        if problem:
            self.complaints.append(problem)
            return self.challenge()
        self.counts[nonce] += 1
        return 200, {"authentication-info": 'rspauth="", qop=auth'}, b"welcome"

    def challenge(self, stale=False):
        nonce = secrets.token_hex(8) + '"quoted\\'
        self.counts[nonce] = 0
        escaped = nonce.replace("\\", "\\\\").replace('"', '\\"')
        words = [
            f'Digest realm="{self.realm}"',
            f'nonce="{escaped}"',
            'opaque="op,aque"',
            f"algorithm={self.algorithm}",
        ]
        words += [f'qop="{self.qop}"'] if self.qop else []
        words += ["userhash=true"] if self.userhash else []
        words += ["stale=TRUE"] if stale else []
        lines = [*self.extra, ", ".join(words)]
        return 401, [("www-authenticate", each) for each in lines], b"no"

    def check(self, request, given):
        user = given.get("username")
        if "username*" in given:
            user = {"UTF-8''zo%C3%AB": "zoë"}.get(given["username*"])
        if user != (hashed(self.algorithm, self.user, self.realm) if self.userhash else self.user):
            return f"user {user!r}"
        if given.get("userhash") != ("true" if self.userhash else None):
            return "userhash"
        target = f"{request.path}?{request.query}" if request.query else request.path
        if (given["uri"], given["realm"], given["opaque"]) != (target, self.realm, "op,aque"):
            return "uri, realm or opaque"
        if given["algorithm"] != self.algorithm:
            return "algorithm"
        ha1 = hashed(self.algorithm, self.user, self.realm, self.password)
        if self.algorithm.endswith("-sess"):
            first = self.cnonces.setdefault(given["nonce"], given["cnonce"])
            ha1 = hashed(self.algorithm, ha1, given["nonce"], first)
        a2 = [request.method, target]
        if not self.qop:
            if "nc" in given or "qop" in given:
                return "nc or qop without having been asked"
            return given["response"] != hashed(self.algorithm, ha1, given["nonce"], hashed(self.algorithm, *a2))
        if given["qop"] not in self.qop.replace(" ", "").split(","):
            return "qop"
        if given["qop"] == "auth-int":
            a2.append(hashed(self.algorithm, request.body))
        if int(given["nc"], 16) != self.counts[given["nonce"]] + 1 or len(given["nc"]) != 8:
            return f"nc {given['nc']}"
        parts = ha1, given["nonce"], given["nc"], given["cnonce"], given["qop"], hashed(self.algorithm, *a2)
        return None if given["response"] == hashed(self.algorithm, *parts) else "response"


def credential(**options):
    return build(DigestCredential, **{"username": "Mufasa", "password": "Circle of Life", **options})


def attempt(method="GET", path="/", query="", body=b"", received=(), prepared=(), target=None):
    """Make what a connection hands to a credential."""
    headers = Headers([("authorization", line) for line in received])
    exchange = Exchange(Request(method, path, query, headers=headers, body=Body(body)))
    target = target or Target("http", "backend", 80)
    out = Outbound(method, target, path, query, headers=headers.copy(), body=exchange.request.body)
    for value in prepared:
        out.headers.add("authorization", value)
    return exchange, out


def refused(*challenges):
    return Response(401, [("www-authenticate", each) for each in challenges])


def lines(out):
    return out.headers.getall("authorization")


def learnt(digest, *challenges, **more):
    """Have one attempt refused and sent once more; return its Authorization lines."""
    exchange, out = attempt(**more)
    digest.sign(exchange, out)
    assert digest.rejected(exchange, out, refused(*challenges)) is True
    return again(digest, exchange, **more)


def again(digest, exchange, status=200, **more):
    """Send a call once more and have it answered; return its Authorization lines."""
    out = attempt(**more)[1]
    exchange.attempts.append(Attempt(out.target))
    digest.sign(exchange, out)
    exchange.attempts[-1].outcome = Outcome("ok", status)
    return lines(out)


# --- examples of the RFCs --------------------------------------------------------------------------------------------

RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
ANSWER_7616 = (
    'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{response}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
SHA_256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
MD5 = "8ca523f5e9506fed4657c9700eebdbec"


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        (["SHA-256", "MD5"], ANSWER_7616.format(algorithm="SHA-256", response=SHA_256)),
        (["MD5", "SHA-256"], ANSWER_7616.format(algorithm="SHA-256", response=SHA_256)),
        (["MD5"], ANSWER_7616.format(algorithm="MD5", response=MD5)),
    ],
    ids=["both", "both-the-other-way", "md5"],
)
@pytest.mark.parametrize("in_one_line", [True, False])
def test_the_example_with_sha_256_and_md5_comes_out(monkeypatch, offered, answer, in_one_line):
    monkeypatch.setattr(outbound.secrets, "token_urlsafe", lambda n: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    challenges = [RFC_7616.format(each) for each in offered]
    challenges = [", ".join(challenges)] if in_one_line else challenges

    assert learnt(credential(allow_md5=True), *challenges, path="/dir/index.html") == [answer]


@pytest.mark.parametrize(
    ("userhash", "user", "said"),
    [
        ("true", 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"', "true"),
        ("false", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe", "false"),
    ],
)
def test_the_example_with_sha_512_256_comes_out_as_erratum_4897_has_it(monkeypatch, userhash, user, said):
    monkeypatch.setattr(outbound.secrets, "token_urlsafe", lambda n: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
    challenge = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=' + userhash
    )
    doe = credential(username="J\u00e4s\u00f8n Doe", password="Secret, or not?")

    assert "\n".join(learnt(doe, challenge, path="/doe.json")) == (
        f'Digest {user}, realm="api@example.org", uri="/doe.json", algorithm=SHA-512-256, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
        'cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth, '
        'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5", '
        f'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", userhash={said}'
    )


def test_the_example_of_rfc_2617_comes_out(monkeypatch):
    monkeypatch.setattr(outbound.secrets, "token_urlsafe", lambda n: "0a4f113b")
    challenge = (
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )

    mufasa = credential(password="Circle Of Life", allow_md5=True)
    assert "\n".join(learnt(mufasa, challenge, path="/dir/index.html")) == (
        'Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", nc=00000001, cnonce="0a4f113b", qop=auth, '
        'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )


# --- one attempt after the other -------------------------------------------------------------------------------------

ONE = 'Digest realm="a", qop="auth", algorithm=SHA-256, nonce="one"'
TWO = 'Digest realm="a", qop="auth", algorithm=SHA-256, nonce="two"'


def test_nothing_is_sent_before_a_challenge_and_what_the_caller_sent_never():
    exchange, out = attempt(received=["Bearer of-the-caller"], prepared=["Basic of-a-header-action"])
    credential().sign(exchange, out)

    assert lines(out) == ["Basic of-a-header-action"]


def test_counts_go_up_and_each_answer_has_a_cnonce_of_its_own():
    digest = credential()
    answers = learnt(digest, ONE)
    for _ in range(2):
        exchange, out = attempt()
        digest.sign(exchange, out)
        answers += lines(out)

    assert [re.search(r"nc=(\w+)", each)[1] for each in answers] == ["00000001", "00000002", "00000003"]
    assert len({re.search(r'cnonce="([^"]+)"', each)[1] for each in answers}) == 3


def test_a_session_keeps_its_cnonce():
    digest = credential()
    answers = learnt(digest, ONE.replace("SHA-256", "SHA-256-sess"))
    exchange, out = attempt()
    digest.sign(exchange, out)

    assert len({re.search(r'cnonce="([^"]+)"', each)[1] for each in (*answers, *lines(out))}) == 1


def test_targets_have_challenges_of_their_own_and_their_number_is_bounded(monkeypatch):
    monkeypatch.setattr(outbound, "MAX_ORIGINS", 3)
    digest = credential()
    for port in range(5):
        learnt(digest, ONE, target=Target("http", "backend", port))
    signed = []
    for port in range(5):
        exchange, out = attempt(target=Target("http", "backend", port))
        digest.sign(exchange, out)
        signed.append(bool(lines(out)))

    assert signed == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("status", "signed"), [(200, True), (204, True), (500, True), (403, True), (401, False), (None, False)]
)
def test_calls_are_signed_at_once_only_with_what_was_accepted_before(status, signed):
    digest = credential()
    exchange, out = attempt()
    digest.rejected(exchange, out, refused(ONE))
    again(digest, exchange, status=status)
    del exchange
    gc.collect()  # the call is over, and nobody but the credential knows anything of it any more
    later, out = attempt()
    digest.sign(later, out)

    assert bool(lines(out)) is signed


def test_an_answer_that_still_streams_counts():
    digest = credential()
    exchange, out = attempt()
    digest.rejected(exchange, out, refused(ONE))
    exchange.attempts.append(Attempt(out.target))
    digest.sign(exchange, attempt()[1])
    exchange.attempts[-1].status = 200
    later, out = attempt()
    digest.sign(later, out)

    assert len(lines(out)) == 1


@pytest.mark.parametrize("challenge", [TWO, TWO + ", stale=true", TWO.replace('"a"', '"b"')], ids=["new", "stale", "b"])
def test_what_was_signed_at_once_and_refused_answers_the_new_challenge(challenge):
    digest = credential()
    learnt(digest, ONE)
    exchange, out = attempt()
    digest.sign(exchange, out)

    assert digest.rejected(exchange, out, refused(challenge)) is True
    other, out = attempt()
    digest.sign(other, out)
    assert lines(out) == []  # the old nonce is not used any more, and the new one not yet
    assert 'nonce="two", nc=00000001' in again(digest, exchange)[0]
    digest.sign(other, out)
    assert 'nonce="two", nc=00000002' in lines(out)[0]


def test_the_same_challenge_is_not_answered_twice_unless_it_is_stale():
    digest = credential()
    learnt(digest, ONE)
    exchange, out = attempt()
    digest.sign(exchange, out)

    assert digest.rejected(exchange, out, refused(ONE)) is False
    assert digest.rejected(exchange, out, refused(ONE + ", stale=true")) is True


def test_who_is_sent_once_more_answers_the_challenge_it_got_itself():
    digest = credential()
    first, second = attempt(), attempt()
    for exchange, out in (first, second):
        digest.sign(exchange, out)
    for (exchange, out), challenge in ((first, ONE), (second, TWO)):
        assert digest.rejected(exchange, out, refused(challenge))
    answers = [again(digest, exchange)[0] for exchange, _ in (first, second)]

    assert ['nonce="one", nc=00000001' in answers[0], 'nonce="two", nc=00000001' in answers[1]] == [True, True]


@pytest.mark.parametrize(
    ("challenges", "reason"),
    [
        ([], None),
        (['Basic realm="a"'], None),
        (['Digest realm="a"'], "without realm and nonce"),
        (['Digest nonce="a"'], "without realm and nonce"),
        (['Digest realm="a", nonce="b"'], "allow_md5"),
        (['Digest realm="a", nonce="b", algorithm=MD5-sess, qop="auth"'], "allow_md5"),
        (['Digest realm="a", nonce="b", algorithm=SHA-3'], "'SHA-3' is not known"),
        (['Digest realm="a", nonce="b", algorithm=SHA-256, qop="auth-conf"'], "no qop"),
        (['Digest realm="a", nonce="b", algorithm=SHA-256, qop="auth", realm="c"'], None),
    ],
)
def test_a_challenge_that_cannot_be_answered_is_not_and_the_log_says_why_once(caplog, challenges, reason):
    digest = credential()
    for _ in range(2):
        exchange, out = attempt()
        digest.sign(exchange, out)
        assert digest.rejected(exchange, out, refused(*challenges)) is False
        assert lines(out) == []

    assert [reason in record.getMessage() for record in caplog.records] == ([True] if reason else [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"username": "a:b"}, "colon"),
        ({"username": ""}, "empty"),
        ({"username": "a\n"}, "control character"),
        ({"qop": "auth-conf"}, "qop"),
        ({"qop": "auth-int", "keep_bodies": False}, "keep_bodies"),
        ({"header": "X:Y"}, "header"),
    ],
)
def test_wrong_options_are_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        credential(**options)


def test_the_password_is_in_no_representation_and_never_sent():
    digest = credential(password="s3same")
    sent = learnt(digest, ONE)

    assert "s3same" not in repr(digest) + repr(digest.options) + digest.options.model_dump_json() + sent[0]


@pytest.mark.parametrize("options", [{}, {"qop": "auth-int", "allow_md5": True}, {"keep_bodies": False}])
def test_conformance(options):
    conformance(DigestCredential, options={"username": "Mufasa", "password": "Circle of Life", **options})


# --- through a gateway -----------------------------------------------------------------------------------------------


def document(backend, **options):
    digest = {"username": "Mufasa", "password": "Circle of Life", **options}
    return {
        "routes": [{"name": "all", "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": backend.url, "auth": [{"digest": digest}]}},
    }


@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth, auth-int", ""])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_backend_that_asks_for_digest_is_called(algorithm, qop):
    if algorithm.endswith("-sess") and not qop:
        pytest.skip("sessions came with qop")
    server = Server(algorithm, qop)
    with upstream(server) as backend, running(document(backend, allow_md5=True)) as gate:
        answers = [gate.request("GET", "/a%20b?c=d&e="), gate.request("POST", "/", content=b"a=1")]
        answers += [gate.request("PUT", "/c?", content=iter([b"a", b"b"])), gate.request("HEAD", "/")]

    assert server.complaints == []
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]
    assert [request.method for request in backend.requests] == ["GET", "GET", "POST", "PUT", "HEAD"]


def test_bodies_are_protected_where_it_is_asked_for():
    server = Server(qop="auth, auth-int")
    with upstream(server) as backend, running(document(backend, qop="auth-int")) as gate:
        assert gate.request("POST", "/", content=b"a=1").status_code == 200

    assert ["qop=auth-int" in (request.header("authorization") or "") for request in backend.requests] == [False, True]
    assert backend.bodies == [b"a=1", b"a=1"]


@pytest.mark.parametrize("user", ["zoë", 'a "b" \\', "Mufasa"])
@pytest.mark.parametrize("userhash", [True, False])
def test_names_and_passwords_may_have_any_character(user, userhash):
    server = Server(user=user, password="€:ü", userhash=userhash)
    with upstream(server) as backend, running(document(backend, username=user, password="€:ü")) as gate:
        assert gate.request("GET", "/").status_code == 200

    assert server.complaints == []


def test_a_nonce_serves_until_it_is_stale():
    server = Server(uses=3)
    with upstream(server) as backend, running(document(backend)) as gate:
        statuses = [gate.request("POST", "/", content=b"x").status_code for _ in range(7)]

    assert statuses == [200] * 7
    assert len(backend.requests) == 7 + 3
    assert server.complaints == []


def test_a_backend_that_was_restarted_is_asked_again_unseen():
    server = Server(says_stale=False)
    with upstream(server) as backend, running(document(backend)) as gate:
        before = gate.request("GET", "/").status_code
        server.counts.clear()
        after = gate.request("GET", "/").status_code

    assert [before, after] == [200, 200]
    assert len(backend.requests) == 4


def test_nonces_for_one_use_cost_a_call_each_but_no_failure():
    server = Server(uses=1)
    with upstream(server) as backend, running(document(backend)) as gate, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: gate.request("GET", f"/{number}").status_code, range(40)))

    assert statuses == [200] * 40
    assert server.complaints == []


def test_a_wrong_password_is_the_callers_to_know_and_costs_two_tries_at_most():
    server = Server()
    with upstream(server) as backend, running(document(backend, password="wrong")) as gate:
        answers = [gate.request("GET", "/") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401] * 3
    assert len(backend.requests) == 6
    assert set(server.complaints) == {"response"}


def test_an_upload_that_is_not_kept_is_not_sent_again():
    with upstream(Server()) as backend, running(document(backend, keep_bodies=False)) as gate:
        statuses = [
            gate.request("POST", "/", content=iter([b"a", b"b"])).status_code,
            gate.request("GET", "/").status_code,
            gate.request("POST", "/", content=iter([b"a", b"b"])).status_code,
        ]

    assert statuses == [401, 200, 200]
    assert backend.bodies[-1] == b"ab"


def test_a_gateway_gets_in_at_a_gateway():
    methods = [{"digest": {"users": {"Mufasa": "Circle of Life"}, "qop": ["auth-int"], "userhash": True}}]
    with upstream() as backend:
        inner = document(backend)
        inner["routes"][0]["flow"] = [{"auth": {"methods": methods}}]
        del inner["connections"]["backend"]["auth"]
        with running(inner) as far, running(document(far)) as near:
            statuses = [near.request("POST", "/a?b", content=b"x").status_code for _ in range(3)]

    assert statuses == [200] * 3
    assert len(backend.requests) == 3
