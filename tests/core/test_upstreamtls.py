import asyncio
import logging
import ssl
from types import SimpleNamespace

import pytest

from hookgate import Certificate, ConnectFailed, Secret, Target
from hookgate.http.tls import UpstreamTls, UpstreamTlsSection, default_context


@pytest.fixture
def builds(monkeypatch):
    """Contexts that were made, in order; client certificates are taken as they are."""
    made = []

    def loaded(self, file, password=None):
        made.append(self)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", loaded)
    return made


def certificate(number):
    return Certificate(f"chain {number}", Secret(f"key {number}"))


async def test_connections_without_a_section_share_what_this_machine_trusts():
    one, two = UpstreamTls("one"), UpstreamTls("two")
    assert await one.latest("http/1.1") is await two.latest("http/1.1") is default_context("http/1.1")
    assert await one.latest("http/1.1") is not await one.latest("http/1.1", "h2")
    context = await one.latest()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_context_is_made_again_only_when_the_client_certificate_is_another(builds):
    given = SimpleNamespace(number=1)
    tls = UpstreamTls(section=UpstreamTlsSection(verify=False), certificates=lambda: (certificate(given.number),))
    first = await tls.latest()
    assert await tls.latest() is first
    given.number = 2
    second, same = await asyncio.gather(tls.latest(), tls.latest())
    assert second is same is not first
    assert len(builds) == 2


async def test_a_credential_that_fails_leaves_the_former_certificate_in_force(builds, caplog):
    caplog.set_level(logging.WARNING, "hookgate.tls")
    answers = [certificate(1), RuntimeError("gone")]

    def ask():
        answer = answers[0] if len(answers) == 2 else answers[-1]
        if isinstance(answer, Exception):
            raise answer
        return (answer,)

    tls = UpstreamTls("crm", UpstreamTlsSection(verify=False), ask)
    first = await tls.latest()
    del answers[0]
    assert await tls.latest() is first
    assert await tls.latest() is first
    assert caplog.messages == ["connection crm: the client certificate cannot be had, the former stays: gone"]


async def test_a_file_that_is_gone_when_the_first_connection_is_opened_is_no_connection(tmp_path, caplog):
    tls = UpstreamTls("crm", UpstreamTlsSection(ca_file=tmp_path / "gone.pem"))
    with pytest.raises(ConnectFailed) as caught:
        await tls.latest()

    assert caught.value.reason == "tls-failed"
    assert "gone" not in caught.value.detail
    assert "gone.pem cannot be used" in caplog.text


def test_versions_bound_the_context_whatever_their_order():
    async def bounds(*versions):
        tls = UpstreamTls(section=UpstreamTlsSection(verify=False, versions=versions))
        context = await tls.latest()
        return context.minimum_version.name, context.maximum_version.name

    assert asyncio.run(bounds("1.3", "1.2")) == ("TLSv1_2", "TLSv1_3")
    assert asyncio.run(bounds("1.2")) == ("TLSv1_2", "TLSv1_2")
    assert asyncio.run(bounds("1.3")) == ("TLSv1_3", "TLSv1_3")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target("https", "crm.example", 8443), "crm.example"),
        (Target("https", "10.0.0.1", 443), "10.0.0.1"),
        (Target("https", "::1", 8443), "::1"),
        (Target("https", "10.0.0.1", 8443, host_name="crm.example:8443"), "crm.example"),
        (Target("https", "10.0.0.1", 443, host_name="crm.example"), "crm.example"),
    ],
)
def test_a_target_is_asked_for_by_its_host_or_the_name_it_was_found_by(target, name):
    assert UpstreamTls().name_of(target) == name
    assert UpstreamTls(section=UpstreamTlsSection(server_name="other.example")).name_of(target) == "other.example"


def test_the_same_failure_is_logged_once_a_minute(caplog):
    caplog.set_level(logging.WARNING, "hookgate.tls")
    now = [1000.0]
    tls, target = UpstreamTls("crm", wall=lambda: now[0]), Target("https", "a", 443)
    for _ in range(3):
        tls.failed(target, ConnectionResetError())
    assert len(caplog.messages) == 1
    now[0] += 61
    tls.failed(target, ConnectionResetError())
    tls.failed(Target("https", "b", 443), ConnectionResetError())
    assert len(caplog.messages) == 3
