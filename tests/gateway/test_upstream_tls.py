"""TLS towards backends, as the section `tls` of a connection says: real handshakes, through a whole gateway."""

import shutil
from pathlib import Path

import pytest

from hookgate import ConfigError
from hookgate.gateway.overview import connection_facts
from hookgate.testing import MovableClock, running

from .authority import Authority, needs_openssl
from .tlsbackend import tls_backend

pytestmark = needs_openssl

SHOWING = """
from pathlib import Path

from hookgate import Certificate, Credential, Options, Secret, hookimpl

class ShowingOptions(Options):
    certificate: str
    key: str
    password: Secret | None = None

class Showing(Credential[ShowingOptions]):
    @hookimpl
    def client_certificate(self):
        given = self.options
        key = Secret(Path(given.key).read_text() if given.key else "")
        return Certificate(Path(given.certificate).read_text(), key, given.password)
"""
"""A credential that shows what stands in two files."""

LATE = """
from pathlib import Path

from hookgate import Certificate, Credential, Options, Secret, hookimpl

class LateOptions(Options):
    certificate: str
    key: str

class Late(Credential[LateOptions]):
    found = None

    @hookimpl
    async def startup(self, host):
        texts = Path(self.options.certificate).read_text(), Path(self.options.key).read_text()
        self.found = Certificate(texts[0], Secret(texts[1]))

    @hookimpl
    def client_certificate(self):
        return self.found
"""
"""One that knows its certificate only when it was started."""

LOOKING = """
from hookgate import Interceptor, Options, hookimpl

class Looking(Interceptor[Options]):
    @hookimpl
    async def on_request(self, exchange):
        await exchange.call("GET", "/x", connection="other")
        await exchange.call("GET", "/y", connection="other")
"""
"""A step that calls somebody else amid its call."""

NAMED = """
import asyncio

from hookgate import Discovery, Options, Target, hookimpl

class NamedOptions(Options):
    port: int
    name: str

class Named(Discovery[NamedOptions]):
    @hookimpl
    def targets(self):
        return [Target("https", "127.0.0.1", self.options.port, host_name=f"{self.options.name}:{self.options.port}")]

    @hookimpl
    async def changed(self):
        await asyncio.Event().wait()
"""
"""A discovery that finds an address by a name."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "Ours")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("server", "DNS:crm.example", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def named(authority):
    return authority.issue("named", "DNS:crm.example")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in (("showing", SHOWING), ("late", LATE), ("named", NAMED), ("looking", LOOKING)):
        (folder / f"{name}.py").write_text(text)
    return folder


def document(backend, tls=None, **connection):
    section = {} if tls is None else {"tls": {key: str(v) if isinstance(v, Path) else v for key, v in tls.items()}}
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": getattr(backend, "url", backend), **section, **connection}},
    }


def said(gate):
    return [record.getMessage() for record in gate.log]


def outcome(gate):
    answer = gate.request("GET", "/")
    return answer.status_code, answer.json().get("reason")


def facts(gate):
    return gate.gateway.connection("crm").transport.facts()


# --- certificates of backends ---------------------------------------------------------------------------------------


def test_a_certificate_nobody_vouches_for_is_refused_unless_the_document_takes_any(server):
    with tls_backend(server) as backend, running(document(backend)) as gate:
        assert outcome(gate) == (502, "tls-failed")
        assert f"connection crm: no TLS with {backend.url}: its authority is not trusted" in " ".join(said(gate))
        gate.reload(document(backend, {"verify": False}))
        assert outcome(gate) == (200, None)

        assert "connection crm accepts any TLS certificate (tls.verify: false)" in said(gate)
        assert facts(gate)["warnings"] == ["accepts any TLS certificate (tls.verify: false)"]


@pytest.mark.row("AC-28")
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize("transport", ["http", {"httpx": {}}], ids=["http", "httpx"])
def test_the_trace_warns_of_a_connection_that_takes_any_certificate(authority, named, plugins, lane, transport):
    def traced(loose):
        described = document(backend, loose, transport=transport)
        other = {"targets": backend.url, "tls": {"verify": False}}
        (route,) = described["routes"]
        looking = {**route, "name": "looking", "match": {"path": "/looking"}, "flow": ["looking"]}
        return {
            **described,
            "gateway": {"lane": lane},
            "trace": {"sample": 1},
            "routes": [looking, route],
            "connections": {**described["connections"], "other": other},
        }

    with tls_backend(named) as backend, running(traced({}), plugins_dir=plugins) as gate:
        outcomes = [outcome(gate)]
        for loose in ({"verify": False}, {"verify_host": False, "ca_file": str(authority.certificate)}):
            gate.reload(traced(loose))
            outcomes.append(outcome(gate))
        gate.reload(traced({"verify": False}))
        assert gate.request("GET", "/looking").status_code == 200
        traces = [exchange.trace.as_dict() for exchange in gate.wait_for_exchanges(4)]

    assert outcomes[:2] == [(502, "tls-failed"), (200, None)]
    of_any = "warning: connection crm accepts any TLS certificate (tls.verify: false)"
    of_host = "warning: connection crm accepts TLS certificates of any host (tls.verify_host: false)"
    of_other = of_any.replace("crm", "other")
    assert [[n["text"] for n in t["notes"]] for t in traces] == [[], [of_any], [of_host], [of_other, of_any]]


def test_without_a_section_nothing_is_warned_of(server):
    with tls_backend(server) as backend, running(document(backend)) as gate:
        assert [line for line in said(gate) if "accepts" in line] == []
        assert facts(gate)["warnings"] == []


def test_a_certificate_of_the_authorities_in_the_document_is_taken_and_the_client_is_told_no_more(authority, server):
    with tls_backend(server) as backend, running(document(backend, {"ca_file": authority.certificate})) as gate:
        assert gate.request("GET", "/").json()["client"] is None
        assert backend.asked == [None]  # an address is no name to ask for


@pytest.mark.row("KC-71")
def test_a_certificate_of_another_host_is_refused_and_taken_without_the_check_and_by_its_name(authority, named):
    trusted = {"ca_file": authority.certificate}
    with tls_backend(named) as backend, running(document(backend, trusted)) as gate:
        refused = gate.request("GET", "/")
        assert (refused.status_code, refused.json()["reason"]) == (502, "tls-failed")
        assert "127.0.0.1" not in refused.text
        assert "certificate" not in refused.text
        assert any("not made out to this address" in line for line in said(gate))

        gate.reload(document(backend, {**trusted, "verify_host": False}))
        assert outcome(gate) == (200, None)
        assert "connection crm accepts TLS certificates of any host (tls.verify_host: false)" in said(gate)

        gate.reload(document(backend, {**trusted, "server_name": "CRM.example"}))
        assert outcome(gate) == (200, None)
        assert backend.asked[-1] == "crm.example"

        gate.reload(document(backend, {**trusted, "server_name": "other.example"}))
        assert outcome(gate) == (502, "tls-failed")
        assert any("made out to another host name" in line for line in said(gate))


@pytest.mark.parametrize("transport", ["http", {"httpx": {}}])
def test_an_address_that_was_found_by_a_name_is_asked_for_by_it(authority, named, plugins, transport):
    def found(backend, name):
        discovery = {"discovery": {"named": {"port": backend.port, "name": name}}, "transport": transport}
        whole = document(backend, {"ca_file": authority.certificate}, **discovery)
        del whole["connections"]["crm"]["targets"]
        return whole

    with tls_backend(named) as backend, running(found(backend, "crm.example"), plugins_dir=plugins) as gate:
        assert gate.request("GET", "/").status_code == 200
        assert backend.asked == ["crm.example"]
        gate.reload(found(backend, "other.example"))
        assert outcome(gate) == (502, "tls-failed")


def test_a_certificate_that_has_expired_is_refused_with_the_reason_in_the_log(authority):
    old = authority.issue("old", "IP:127.0.0.1", expired=True)
    with tls_backend(old) as backend, running(document(backend, {"ca_file": authority.certificate})) as gate:
        assert outcome(gate) == (502, "tls-failed")
        assert outcome(gate) == (502, "tls-failed")

        told = [line for line in said(gate) if "no TLS with" in line]
        assert told == [f"connection crm: no TLS with {backend.url}: its certificate has expired"]


def test_what_does_not_speak_tls_is_told_in_the_log(authority):
    from hookgate.testing import upstream

    with upstream() as plain, running(document(f"https://127.0.0.1:{plain.port}")) as gate:
        assert outcome(gate)[0] == 502
        assert any("does not speak TLS" in line or "handshake" in line for line in said(gate))


@pytest.mark.row("AC-29")
def test_only_the_versions_of_the_document_are_spoken(authority, server):
    trusted = {"ca_file": authority.certificate}
    with tls_backend(server, versions=["TLSv1_2"]) as backend:
        with running(document(backend, {**trusted, "versions": ["1.3"]})) as gate:
            assert outcome(gate) == (502, "tls-failed")
            assert any("none of the versions of TLS" in line for line in said(gate))
            gate.reload(document(backend, {**trusted, "versions": []}))
            assert outcome(gate) == (200, None)
            backend.use(server, versions=["TLSv1_3"])
            gate.reload(document(backend, {**trusted, "versions": ["1.2"]}))
            assert outcome(gate) == (502, "tls-failed")


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        ({"ciphers": "NO-SUCH-SUITE"}, r"tls\.ciphers: .*'NO-SUCH-SUITE'"),
        ({"ciphers": "ECDHE+AESGCM:NO-SUCH-SUITE"}, r"tls\.ciphers: .*'NO-SUCH-SUITE'"),
        ({"ciphers": "AESGCM:!AESGCM"}, r"tls\.ciphers: .*leaves no cipher suite"),
        ({"ciphers": "ECDHE+AESGCM", "versions": ["1.3"]}, r"tls: .*ciphers are those of TLS 1\.2"),
        ({"versions": ["1.1"]}, r"tls\.versions\[0\]: "),
        ({"verify": False, "ca_file": "/nowhere/ca.pem"}, r"tls: .*ca_file has no effect"),
        ({"ca_file": "/nowhere/ca.pem"}, r"crm\.tls\.ca_file: .*/nowhere/ca\.pem cannot be used \(no such file"),
        ({"server_name": "https://crm"}, r"tls\.server_name: .*is no host name"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_its_place(tls, message):
    with pytest.raises(ConfigError, match=message), running(document("https://127.0.0.1:1", tls)):
        pass


def test_a_section_without_a_target_that_it_speaks_of_is_refused():
    with pytest.raises(ConfigError, match=r"crm\.tls: .*no target is https"):
        with running(document("http://127.0.0.1:1", {"verify": False})):
            pass


def test_authorities_that_are_no_pem_are_refused(tmp_path):
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(ConfigError, match=r"crm\.tls\.ca_file: .*ca\.pem cannot be used \("):
        with running(document("https://127.0.0.1:1", {"ca_file": tmp_path / "ca.pem"})):
            pass


@pytest.mark.row("AC-30")
def test_only_the_ciphers_of_the_document_are_offered(authority, server):
    tls = {"ca_file": authority.certificate, "versions": ["1.2"], "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}
    with tls_backend(server, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256") as backend:
        with running(document(backend, tls)) as gate:
            assert outcome(gate) == (502, "tls-failed")
            assert any("no cipher suite in common" in line for line in said(gate))
            gate.reload(document(backend, {**tls, "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}))
            assert outcome(gate) == (200, None)


def test_authorities_that_are_replaced_count_for_the_next_connection(authority, server, tmp_path, caplog):
    caplog.set_level("INFO", "hookgate.tls")
    other = Authority(tmp_path / "other", "Other")
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.certificate, ca)
    unkept = {"pool": {"keep_alive": 0}}
    with tls_backend(server) as backend, running(document(backend, {"ca_file": ca}, **unkept)) as gate:
        assert outcome(gate) == (200, None)
        shutil.copy(other.certificate, ca)
        assert outcome(gate) == (502, "tls-failed")
        shutil.copy(authority.certificate, ca)
        assert outcome(gate) == (200, None)
        ca.write_text("half a fi")
        assert outcome(gate) == (200, None)  # what was in force stays so
        assert any("what was in force stays so" in line for line in said(gate))
        anew = [line for line in said(gate) if "certificates were read anew; new connections use them" in line]
        shutil.copy(authority.certificate, ca)
        assert outcome(gate) == (200, None)
        assert len([line for line in said(gate) if "were read anew" in line]) == len(anew) + 1, "and so is recovery"
        assert len(anew) == 2


def test_authorities_that_were_bad_at_the_first_call_are_told_when_they_are_right(authority, server, tmp_path, caplog):
    caplog.set_level("INFO", "hookgate.tls")
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.certificate, ca)
    with tls_backend(server) as backend, running(document(backend, {"ca_file": ca})) as gate:
        ca.write_text("half a fi")
        assert outcome(gate) == (502, "tls-failed")
        assert any("the authorities in" in line for line in said(gate))
        assert not any("can be read again" in line for line in said(gate))
        shutil.copy(authority.certificate, ca)
        assert outcome(gate) == (200, None)
        assert len([line for line in said(gate) if "the certificates can be read again" in line]) == 1


def test_it_is_told_when_a_backend_has_a_right_certificate_again(authority, server, tmp_path, caplog):
    caplog.set_level("INFO", "hookgate.tls")
    other = Authority(tmp_path / "other", "Other")
    with tls_backend(server) as backend:
        with running(document(backend, {"ca_file": other.certificate}, pool={"keep_alive": 0})) as gate:
            for _ in range(3):
                assert outcome(gate) == (502, "tls-failed")
            assert len([line for line in said(gate) if "its authority is not trusted" in line]) == 1
            assert not [line for line in said(gate) if "is right again" in line]
            shutil.copy(authority.certificate, other.certificate)
            for _ in range(3):
                assert outcome(gate) == (200, None)
            assert len([line for line in said(gate) if f"the certificate of {backend.url} is right again" in line]) == 1


# --- client certificates --------------------------------------------------------------------------------------------


def showing(certificate, **more):
    return {"auth": [{"showing": {"certificate": certificate["certificate"], "key": certificate["key"], **more}}]}


@pytest.mark.row("FL-13")
def test_a_client_certificate_is_shown_and_replaced_while_the_gateway_runs(authority, server, plugins, tmp_path):
    first = authority.issue("first")
    second = authority.issue("second")
    ours = {kind: str(shutil.copy(path, tmp_path / f"ours.{kind}")) for kind, path in first.items()}
    trusted = {"ca_file": authority.certificate}
    with tls_backend(server, clients=authority.certificate) as backend:
        with running(document(backend, trusted, **showing(ours)), plugins_dir=plugins) as gate:
            assert gate.request("GET", "/").json()["client"] == "first"
            for kind, path in second.items():
                shutil.copy(path, ours[kind])
            kept = gate.request("GET", "/").json()
            assert (kept["client"], kept["connection"]) == ("first", 1)  # what is open goes on

            gate.reload(document(backend, trusted, **showing(ours), pool={"keep_alive": 0}))
            assert gate.request("GET", "/").json()["client"] == "second"
            shutil.copy(first["certificate"], ours["certificate"])  # and its key does not belong to it, yet
            assert gate.request("GET", "/").json()["client"] == "second"
            shutil.copy(first["key"], ours["key"])
            assert gate.request("GET", "/").json()["client"] == "first"
            assert any("key values mismatch" in line for line in said(gate))
            Path(ours["key"]).unlink()
            assert gate.request("GET", "/").json()["client"] == "first"


def test_the_whole_chain_is_sent(authority, server, plugins, tmp_path):
    between = Authority(tmp_path / "between", "Between", above=authority)
    client = between.issue("partner")
    chain = tmp_path / "chain.pem"
    chain.write_text(Path(client["certificate"]).read_text() + between.certificate.read_text())
    trusted = {"ca_file": authority.certificate}
    with tls_backend(server, clients=authority.certificate) as backend:
        auth = showing({"certificate": str(chain), "key": client["key"]})
        with running(document(backend, trusted, **auth), plugins_dir=plugins) as gate:
            assert gate.request("GET", "/").json()["client"] == "partner"
            gate.reload(document(backend, trusted, **showing(client)))
            assert outcome(gate) == (502, "tls-failed")


@pytest.mark.row("HC-13")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_without_a_client_certificate_the_handshake_fails(authority, server, version):
    trusted = {"ca_file": authority.certificate, "versions": [version]}
    with tls_backend(server, clients=authority.certificate) as backend, running(document(backend, trusted)) as gate:
        assert outcome(gate) == (502, "tls-failed")
        assert any("client certificate" in line for line in said(gate))
        assert connection_facts(gate.gateway.connection("crm"))["network_issues"] == 1
        assert gate.gateway.connection("crm").counts["connect-failed"] == 1


def test_a_client_certificate_that_cannot_be_used_is_refused_at_load(authority, plugins):
    one, two = authority.issue("one"), authority.issue("two")
    locked = authority.issue("locked", password="open sesame")
    cannot = r"connections\.crm\.auth: the client certificate cannot be used"

    def refused(message, target="https://127.0.0.1:1", **auth):
        with pytest.raises(ConfigError, match=message) as caught:
            with running(document(target, **auth), plugins_dir=plugins):
                pass
        assert "PRIVATE" not in str(caught.value)
        assert "sesame" not in str(caught.value)

    refused(cannot, **showing({"certificate": one["certificate"], "key": two["key"]}))
    refused(cannot, **showing({"certificate": one["certificate"], "key": ""}))
    refused(cannot, **showing({"certificate": one["key"], "key": one["key"]}))
    refused(cannot, **showing(locked))
    refused(cannot, **showing(locked, password="open barley"))
    refused(r"crm\.targets\[0\]: the client certificate would never be shown", "http://127.0.0.1:1", **showing(one))
    refused(r"crm\.auth: there is no client certificate: .*", **showing({"certificate": "/nowhere", "key": ""}))
    late = {"auth": [{"late": showing(one)["auth"][0]["showing"]}]}
    refused(r"crm\.targets\[0\]: the client certificate would never be shown", "http://127.0.0.1:1", **late)
    mixed = {"auth": [{"late": {"certificate": one["certificate"], "key": two["key"]}}]}
    refused(cannot, **mixed)
    with running(document("https://127.0.0.1:1", **showing(locked, password="open sesame")), plugins_dir=plugins):
        pass


# --- expiry and counts ----------------------------------------------------------------------------------------------


def test_certificates_that_end_soon_are_warned_of_once_and_shown(authority, server, plugins):
    client = authority.issue("client")
    connection = {**showing(client), "pool": {"keep_alive": 0}}
    trusted = {"ca_file": authority.certificate}
    with tls_backend(server, clients=authority.certificate) as backend:
        with running(document(backend, trusted, **connection), plugins_dir=plugins) as gate:
            for _ in range(3):
                assert outcome(gate) == (200, None)
            warned = [line for line in said(gate) if "expires on" in line]
            assert len(warned) == 2
            assert any(f"the certificate of {backend.url} expires on" in line for line in warned)
            assert any("the client certificate expires on" in line for line in warned)

            known = facts(gate)
            clock = gate.gateway.clock.wall()
            assert 0.5 * 86400 < known["certificates"][backend.url] - clock < 1.5 * 86400
            assert 0.5 * 86400 < known["client_certificate"] - clock < 1.5 * 86400


def test_no_warning_while_there_is_time_and_the_end_is_known_without_verification_too(authority, server):
    class Earlier(MovableClock):
        def wall(self):
            return super().wall() - 30 * 86400

    with tls_backend(server) as backend, running(document(backend, {"verify": False}), clock=Earlier()) as gate:
        assert outcome(gate) == (200, None)
        assert [line for line in said(gate) if "expire" in line] == []
        assert facts(gate)["certificates"][backend.url] is not None


def test_a_connection_that_is_too_old_is_replaced_and_counts_are_shown(authority, server):
    trusted = {"ca_file": authority.certificate}
    with tls_backend(server) as backend:
        with running(document(backend, trusted, pool={"max_age": 3600, "max_connections": 5})) as gate:
            assert [gate.request("GET", "/").json()["connection"] for _ in range(3)] == [1, 1, 1]
            counts = {key: facts(gate)[key] for key in ("open", "idle", "in_use", "waiting", "limit")}
            assert counts == {"open": 1, "idle": 1, "in_use": 0, "waiting": 0, "limit": 5}
            gate.reload(document(backend, trusted, pool={"max_age": 0.000001}))
            assert [gate.request("GET", "/").json()["connection"] for _ in range(3)] == [2, 3, 4]
            assert facts(gate)["open"] == 0
