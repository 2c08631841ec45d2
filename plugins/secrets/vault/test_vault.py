import asyncio
import logging
from base64 import b64encode
from contextlib import asynccontextmanager

import httpx
import pytest

from hookgate import ConfigError, ConnectFailed, Response
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_secret_vault import Vault


class House:
    """A host with a client of its own, and a clock that the test moves."""

    def __init__(self):
        self.clock, self.http, self.log = MovableClock(), self, logging.getLogger("hookgate.plugin")
        self.client = httpx.AsyncClient(trust_env=False)

    async def request(self, method, url, *, headers, body, timeout):
        try:
            answer = await self.client.request(method, url, headers=headers, content=body, timeout=timeout)
        except httpx.ConnectError:
            raise ConnectFailed("The backend refused the connection.", reason="connect-refused") from None
        return Response(answer.status_code, body=answer.content)


@asynccontextmanager
async def opened(vault, **options):
    """Start a provider with a clock that the test moves."""
    if "app_role" not in options:
        options.setdefault("token", "root")
    provider = build(Vault, address=vault.address, **options)
    house = House()
    provider.clock = house.clock
    provider.startup(house)
    try:
        yield provider
    finally:
        await provider.shutdown()
        await house.client.aclose()


async def resolved(vault, reference, **options):
    async with opened(vault, **options) as provider:
        return (await provider.resolve(reference)).reveal()


async def refusal(vault, reference, **options):
    with pytest.raises(LookupError) as caught:
        await resolved(vault, reference, **options)
    return str(caught.value)


async def moved(provider, waiting, seconds, done):
    """Move the clock and wait, in real time, until something is so."""
    await provider.clock.advance(seconds)
    async with asyncio.timeout(60):
        while not done():
            assert not waiting.done() or waiting.exception() is None, waiting.exception()
            await asyncio.sleep(0.005)


ROLE = {"role_id": "role-1", "secret_id": "secret-1"}


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_a_field_of_both_versions_of_the_key_value_engine(vault):
    vault.stored["kv/data/crm"] = {"data": "d", "key": "k"}
    vault.stored["kv/team%20a/crm"] = {"key": "spaced"}
    vault.stored["kv/odd"] = {"data": "odd", "metadata": {}}

    assert await resolved(vault, "secret/data/crm#password") == "open sesame"
    assert await resolved(vault, "/secret/data/crm#username") == "gateway"
    assert await resolved(vault, "kv/data/crm#data") == "d"
    assert await resolved(vault, "kv/odd#data") == "odd"
    assert await resolved(vault, "kv/team a/crm#key") == "spaced"


async def test_the_only_field_needs_no_name_and_numbers_are_texts(vault):
    vault.stored |= {"kv/one": {"value": "v"}, "kv/kinds": {"port": 5432, "on": True, "more": {"a": 1}, "empty": ""}}

    assert await resolved(vault, "kv/one") == "v"
    assert [await resolved(vault, f"kv/kinds#{name}") for name in ("port", "on", "empty")] == ["5432", "true", ""]
    assert "is neither a text nor a number" in await refusal(vault, "kv/kinds#more")


async def test_references_to_one_path_are_one_request(vault):
    async with opened(vault) as provider:
        found = await asyncio.gather(*(provider.resolve(f"secret/data/crm#{n}") for n in ("username", "password")))

    assert [secret.reveal() for secret in found] == ["gateway", "open sesame"]
    assert len(vault.asked("secret/data/crm")) == 1


async def test_the_namespace_and_the_token_go_along(vault):
    await resolved(vault, "secret/data/crm#password", namespace="team/a")

    assert vault.seen == [("GET", "secret/data/crm", "team/a", "root")]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("secret/data/other#password", "vault has nothing at secret/data/other (404)"),
        ("secret/data/crm#pasword", "secret/data/crm in vault has no field 'pasword'"),
        ("secret/data/crm", "has 2 fields; name one, such as secret/data/crm#username"),
        ("secret/crm#password", "secret is a key-value engine of version 2: write secret/data/crm"),
        ("secret/data/../crm#x", "is no path in vault"),
        ("crm#x", "is no path in vault"),
        ("secret//crm#x", "is no path in vault"),
        ("secret/data/crm?version=2#x", "is no path in vault"),
        ("secret/data/cr\nm#x", "all of them printable"),
        ("secret/" + "x" * 1000, "at most 1000 characters"),
    ],
)
async def test_what_is_not_there_is_told_with_path_and_field(vault, reference, message):
    said = await refusal(vault, reference)

    assert message in said
    assert "open sesame" not in said


async def test_only_allowed_paths_are_asked_for(vault):
    assert await resolved(vault, "secret/data/crm#password", allow=["secret/data/c*"]) == "open sesame"
    vault.seen.clear()

    assert "may not be read; secrets.vault.allow" in await refusal(vault, "secret/data/crm#password", allow=["kv/*"])
    assert vault.seen == []


async def test_a_version_that_was_deleted(vault):
    vault.stored["secret/data/crm"] = None

    assert (
        await refusal(vault, "secret/data/crm#password") == "the newest version of secret/data/crm in vault is deleted"
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ((307, {"Location": "http://127.0.0.1:1/"}, b""), "sends to another node (307)"),
        ((200, {}, b"<html>"), "does not answer as vault does"),
        ((200, {}, b"[" * 100_000), "does not answer as vault does"),
        ((200, {}, b'{"data": [1]}'), "what vault has at secret/data/crm is no secret"),
        ((500, {}, b'{"errors": ["1 error\\n\\tof root"]}'), "answered 500 for secret/data/crm: 1 error of ********"),
        ((429, {}, b'{"errors": 3}'), "answered 429 for secret/data/crm"),
    ],
)
async def test_strange_answers(vault, raw, message):
    vault.raw = raw

    assert message in await refusal(vault, "secret/data/crm#password")


async def test_a_vault_that_is_sealed_away_or_slow(vault):
    vault.sealed = True
    assert "is sealed or in maintenance (503: Vault is sealed)" in await refusal(vault, "secret/data/crm#password")

    vault.address = "http://127.0.0.1:1"
    said = await refusal(vault, "secret/data/crm#password")
    assert said == "vault at http://127.0.0.1:1 cannot be asked for secret/data/crm: connect-refused"


async def test_a_token_that_may_not_read_it(vault):
    vault.denied.add("secret/data/crm")

    assert "may not be asked for secret/data/crm with this token (403: permission denied)" in await refusal(
        vault, "secret/data/crm#password"
    )
    assert "403" in await refusal(vault, "secret/data/crm#password", token="wr0ng")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "https://v"}, "write either token or app_role"),
        ({"address": "https://v", "token": "t", "app_role": ROLE}, "write either token or app_role"),
        ({"address": "http://vault.example:8200", "token": "t"}, "plain http"),
        ({"address": "vault.example", "token": "t"}, "absolute URL"),
        ({"address": "https://u:p@v", "token": "t"}, "no user name"),
        ({"address": "https://v/v1/", "token": "t"}, "leave out /v1"),
        ({"address": "https://v:x", "token": "t"}, "no URL"),
        ({"address": "https://v", "app_role": {**ROLE, "mount": "/approle"}}, "write a mount"),
        ({"address": "https://v", "token": "********"}, "eight asterisks"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        build(Vault, **options)


def test_options_that_fit():
    build(Vault, address="http://vault.example:8200/", token="t", allow_plaintext=True)
    build(Vault, address="http://[::1]:8200", token="t")
    build(Vault, address="https://vault.example/under/here", app_role={"role_id": "r"})


# --- AppRole ----------------------------------------------------------------------------------------------------------


async def test_a_login_with_approle_is_made_once_and_revoked_at_the_end(vault):
    vault.stored["kv/one"] = {"value": "v"}
    async with opened(vault, app_role=ROLE) as provider:
        await asyncio.gather(provider.resolve("kv/one"), provider.resolve("secret/data/crm#password"))
        assert set(vault.tokens) == {"root", "t-1-given"}

    assert set(vault.tokens) == {"root"}
    assert len(vault.asked("auth/approle/login")) == 1


async def test_a_login_that_is_refused_says_so_without_the_secret_id(vault):
    said = await refusal(vault, "secret/data/crm#password", app_role={"role_id": "role-1", "secret_id": "wr0ng"})

    assert "answered 400 for auth/approle/login: invalid role or secret ID ********" in said
    assert "wr0ng" not in said


async def test_a_token_that_is_none_any_more_is_replaced_and_a_policy_that_forbids_is_not_asked_twice(vault):
    async with opened(vault, app_role=ROLE) as provider:
        await provider.resolve("secret/data/crm#password")
        del vault.tokens["t-1-given"]
        assert (await provider.resolve("secret/data/crm#username")).reveal() == "gateway"
        assert len(vault.asked("auth/approle/login")) == 2

        vault.denied.add("secret/data/crm")
        with pytest.raises(LookupError):
            await provider.resolve("secret/data/crm#username")
        assert len(vault.asked("auth/approle/login")) == 2


# --- time -------------------------------------------------------------------------------------------------------------


async def test_another_value_is_told_once_and_the_same_is_not(vault):
    async with opened(vault, refresh=60) as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes == [60])
        await moved(provider, waiting, 61, lambda: len(vault.asked("secret/data/crm")) == 2 and provider.clock.wakes)
        assert not waiting.done()

        vault.stored["secret/data/crm"] = {"password": "new"}
        await moved(provider, waiting, 61, waiting.done)
        assert (await provider.resolve("secret/data/crm#password")).reveal() == "new"
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        await moved(provider, waiting, 61, lambda: len(vault.asked("secret/data/crm")) == 5 and provider.clock.wakes)
        assert not waiting.done()
        waiting.cancel()


async def test_what_no_document_names_any_more_is_told_once(vault):
    async with opened(vault, refresh=60) as provider:
        await provider.resolve("secret/data/crm#password")
        vault.stored["secret/data/crm"] = {"password": "new"}
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        await moved(provider, waiting, 61, waiting.done)

        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        await moved(provider, waiting, 61, lambda: provider.clock.wakes == [59])
        assert not waiting.done()
        assert len(vault.asked("secret/data/crm")) == 2
        waiting.cancel()


async def test_a_vault_that_is_away_for_a_while_changes_nothing_and_is_told_once(vault, caplog):
    async with opened(vault, refresh=60) as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        vault.sealed = True
        for tries in (2, 3):
            await moved(provider, waiting, 0, lambda: provider.clock.wakes)
            await moved(provider, waiting, 61, lambda tries=tries: len(vault.asked("secret/data/crm")) == tries)
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        assert not waiting.done()
        assert sum("cannot be read again" in record.getMessage() for record in caplog.records) == 1

        vault.sealed, vault.stored["secret/data/crm"] = False, {"password": "new"}
        await moved(provider, waiting, 61, waiting.done)


async def test_what_could_not_be_read_for_a_reload_is_told_when_it_can_be(vault):
    async with opened(vault, refresh=0) as provider:
        vault.sealed = True
        with pytest.raises(LookupError):
            await provider.resolve("secret/data/crm#password")
        vault.sealed = False
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        await moved(provider, waiting, 61, waiting.done)


async def test_a_lease_is_kept_and_replaced_after_two_thirds_of_its_time(vault):
    async with opened(vault, refresh=10) as provider:
        first = await provider.resolve("database/creds/crm#username")
        assert await provider.resolve("database/creds/crm#username") == first
        waiting = asyncio.create_task(provider.changed())
        for _ in range(5):
            await moved(provider, waiting, 0, lambda: provider.clock.wakes)
            await moved(provider, waiting, 11, lambda: provider.clock.wakes)
        assert not waiting.done()
        assert len(vault.asked("database/creds/crm")) == 1

        await moved(provider, waiting, 6, waiting.done)
        assert (await provider.resolve("database/creds/crm#username")).reveal() == "user-2"


async def test_a_token_of_the_options_is_renewed_after_two_thirds_of_its_time(vault):
    vault.tokens["limited"] = {"ttl": 90, "renewable": True}
    vault.ttl = 90
    async with opened(vault, token="limited", refresh=0) as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        for renewals in (1, 2):
            await moved(provider, waiting, 0, lambda: provider.clock.wakes == [60])
            await moved(provider, waiting, 60, lambda n=renewals: len(vault.asked("auth/token/renew-self")) == n)
        waiting.cancel()

    assert "limited" in vault.tokens  # it is not ours to revoke


async def test_a_token_that_cannot_be_renewed_is_warned_of(vault, caplog):
    vault.tokens["limited"] = {"ttl": 90, "renewable": False}
    async with opened(vault, token="limited") as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes)
        waiting.cancel()

    assert "vault: the token ends in 90 s and cannot be renewed" in caplog.messages


@pytest.mark.parametrize("case", ["not renewable", "refused", "the last time"])
async def test_a_login_is_made_again_before_its_token_ends(vault, case):
    vault.ttl, vault.renewable = 90, case != "not renewable"
    async with opened(vault, app_role=ROLE, refresh=0) as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes == [60])
        vault.ttl = 20 if case == "the last time" else 90  # as when the end of its whole time comes near
        if case == "refused":
            vault.denied.add("auth/token/renew-self")
        await moved(provider, waiting, 60, lambda: len(vault.asked("auth/approle/login")) == 2)
        assert len(vault.asked("auth/token/renew-self")) == (case != "not renewable")
        waiting.cancel()


async def test_a_renewal_that_fails_is_tried_again(vault):
    vault.ttl = 90
    async with opened(vault, app_role=ROLE, refresh=0) as provider:
        await provider.resolve("secret/data/crm#password")
        waiting = asyncio.create_task(provider.changed())
        await moved(provider, waiting, 0, lambda: provider.clock.wakes == [60])
        vault.sealed = True
        await moved(provider, waiting, 60, lambda: provider.clock.wakes == [5])
        vault.sealed = False
        await moved(provider, waiting, 5, lambda: len(vault.asked("auth/token/renew-self")) == 2)
        waiting.cancel()


# --- a whole gateway --------------------------------------------------------------------------------------------------


def document(vault, backend, **options):
    return {
        "secrets": {"vault": {"address": vault.address, "token": "${env:VAULT_TOKEN}", "refresh": 0.05, **options}},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {
            "crm": {
                "targets": backend.url,
                "auth": [{"basic": {"username": "gateway", "password": "${vault:secret/data/crm#password}"}}],
            }
        },
    }


def basic(password):
    return f"Basic {b64encode(f'gateway:{password}'.encode()).decode()}"


def test_a_password_that_changes_in_vault_is_used_without_a_restart(vault, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "hookgate")
    monkeypatch.setenv("VAULT_TOKEN", "root")
    with upstream() as backend, running(document(vault, backend)) as gate:
        gate.request("GET", "/")
        vault.stored["secret/data/crm"] = {"password": "another word"}
        vault.wait_for(
            lambda vault: (
                backend.requests
                and gate.request("GET", "/").status_code == 200
                and backend.requests[-1].header("authorization") == basic("another word")
            )
        )
        logged = "\n".join(record.getMessage() for record in gate.log)

    assert backend.requests[0].header("authorization") == basic("open sesame")
    assert "secrets/vault tells of a change" in logged
    assert "sesame" not in logged
    assert "another word" not in logged


def test_a_document_with_a_secret_that_vault_has_not_is_refused_at_its_place(vault, monkeypatch):
    monkeypatch.setenv("VAULT_TOKEN", "root")
    del vault.stored["secret/data/crm"]
    with upstream() as backend, pytest.raises(ConfigError) as caught, running(document(vault, backend)):
        pass

    assert "connections.crm.auth[0].basic.password: vault has nothing at secret/data/crm" in str(caught.value)
