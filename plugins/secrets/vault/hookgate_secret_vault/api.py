"""The HTTP API of HashiCorp Vault and of OpenBao, as far as reading secrets needs it.

Tokens come from the options or from a login with AppRole; they are renewed before they end. Errors name the path and
what Vault said, never a value.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hookgate import MASK, Fault, Host, MachineError, Secret

from .options import VaultOptions

RENEW_AT = 2 / 3
"""Share of its time after which a token or a lease is renewed."""
RETRY = 5.0
"""Seconds at least until a renewal that failed is tried again."""
AT_ONCE = 8
"""Requests that run at the same time."""
SAID = 160
"""Characters of an error of the server that are told."""


class VaultError(LookupError):
    """What went wrong, for the person who wrote the document."""


class Away(VaultError, MachineError):
    """The server answers nothing of use now, and may later."""


class Denied(VaultError):
    """The token may not do that, or is none any more (403)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret as it was read."""

    fields: Mapping[str, Any]
    lease: float
    """Seconds it is valid for; 0 if it was stored and not made for us."""


@dataclass(slots=True)
class Grant:
    """A token with what is known of its time. Moments are those of the gateway's monotonic clock."""

    token: Secret
    own: bool
    """We logged in for it, so it is ours to revoke."""
    first: float = 0.0
    """Seconds it was valid for at first; 0 for a token that does not end, or of which nothing is known."""
    ends: float | None = None
    renew: float | None = None
    """When to do something about it."""
    renewable: bool = False


class Api:
    """Talks to one server with one token."""

    def __init__(self, options: VaultOptions, host: Host) -> None:
        self._options = options
        self._host = host
        self._grant: Grant | None = None
        self._looked = False
        self._login = asyncio.Lock()
        self._places = asyncio.Semaphore(AT_ONCE)

    @property
    def renew_at(self) -> float | None:
        """When :meth:`keep` has something to do, on the monotonic clock."""
        return self._grant.renew if self._grant is not None else None

    async def read(self, path: str) -> Found:
        """Read what is at a path; a token that is refused is replaced once where there is a login.

        Raises:
            VaultError: there is nothing, it may not be read, or the server cannot be asked.
        """
        grant = await self._granted()
        try:
            answer = await self._ask("GET", path, token=grant.token)
        except Denied:
            if not grant.own or await self._is_good(grant):
                raise
            answer = await self._ask("GET", path, token=(await self._granted(instead_of=grant)).token)
        data = answer.get("data")
        if not isinstance(data, dict):
            raise VaultError(f"what vault has at {path} is no secret")
        if "data" in path.split("/") and isinstance(data.get("metadata"), dict) and "data" in data:
            data = data["data"]  # version 2 of the key-value engine
            if not isinstance(data, dict):
                raise VaultError(f"what vault has at {path} is no secret")
        lease = _seconds(answer.get("lease_duration")) if answer.get("lease_id") else 0.0
        return Found(data, lease)

    # --- the token --------------------------------------------------------------------------------------------------

    async def _granted(self, instead_of: Grant | None = None) -> Grant:
        async with self._login:
            if self._grant is None or self._grant is instead_of or self._over(self._grant):
                self._grant = await self._logged_in()
            return self._grant

    async def _is_good(self, grant: Grant) -> bool:
        """Whether the token is still one, so that it was the path that was refused: a login would not help."""
        try:
            await self._ask("GET", "auth/token/lookup-self", token=grant.token)
        except Denied:
            return False
        return True

    def _over(self, grant: Grant) -> bool:
        return grant.own and grant.ends is not None and self._host.clock.now() >= grant.ends

    async def _logged_in(self) -> Grant:
        role = self._options.app_role
        if role is None:
            assert self._options.token is not None
            return Grant(self._options.token, own=False)
        body = {"role_id": role.role_id.reveal()}
        if role.secret_id is not None:
            body["secret_id"] = role.secret_id.reveal()
        answer = await self._ask("POST", f"auth/{role.mount}/login", body)
        auth = answer.get("auth")
        if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
            raise VaultError(f"vault answered the login at auth/{role.mount} without a token")
        return self._timed(Grant(Secret(auth["client_token"]), own=True), auth, "lease_duration")

    def _timed(self, grant: Grant, told: Mapping[str, Any], key: str) -> Grant:
        now, seconds = self._host.clock.now(), _seconds(told.get(key))
        grant.renewable = told.get("renewable") is True
        grant.first = grant.first or seconds
        grant.ends = now + seconds if seconds else None
        grant.renew = now + seconds * RENEW_AT if seconds else None
        return grant

    async def keep(self) -> None:
        """Renew the token, or log in again, when it is time for that. Failures are logged and tried again."""
        grant, log = self._grant, self._host.log
        if grant is None:
            return
        try:
            if not grant.own and not self._looked:
                self._looked = True
                answer = await self._ask("GET", "auth/token/lookup-self", token=grant.token)
                self._timed(grant, answer.get("data") or {}, "ttl")
                if grant.ends is not None and not grant.renewable:
                    grant.renew = None
                    log.warning("vault: the token ends in %g s and cannot be renewed", grant.first)
            elif grant.renew is not None and self._host.clock.now() >= grant.renew:
                await self._renew(grant)
        except VaultError as error:
            now = self._host.clock.now()
            if grant.own:  # the next read logs in, too, if this does not help
                grant.renew = now + RETRY
            elif grant.renew is not None and grant.ends is not None:
                grant.renew = max(now + RETRY, now + (grant.ends - now) / 2) if now < grant.ends else None
            log.warning("vault: the token could not be renewed: %s", error)

    async def _renew(self, grant: Grant) -> None:
        if grant.renewable:
            try:
                answer = await self._ask("POST", "auth/token/renew-self", {}, token=grant.token)
            except VaultError:
                if not grant.own:
                    raise
            else:
                self._timed(grant, answer.get("auth") or {}, "lease_duration")
                if not grant.own or grant.ends is None or grant.ends - self._host.clock.now() > grant.first / 3:
                    return  # else it comes to the end of the time it may be renewed for
        await self._granted(instead_of=grant)

    async def leave(self) -> None:
        """Revoke a token that a login gave us."""
        grant, self._grant = self._grant, None
        if grant is not None and grant.own and not self._over(grant):
            try:
                await self._ask("POST", "auth/token/revoke-self", {}, token=grant.token)
            except VaultError as error:
                self._host.log.info("vault: the token could not be revoked and ends by itself: %s", error)

    # --- one request ------------------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: Secret | None = None
    ) -> dict[str, Any]:
        headers = {"X-Vault-Request": "true", "Accept": "application/json"}
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if self._options.namespace is not None:
            headers["X-Vault-Namespace"] = self._options.namespace
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        address = self._options.address
        url = f"{address}/v1/{quote(path, safe='/')}"
        try:
            async with self._places:
                response = await self._host.http.request(
                    method, url, headers=headers, body=content, timeout=self._options.timeout
                )
        except Fault as fault:
            raise Away(f"vault at {address} cannot be asked for {path}: {fault.reason}") from None
        try:
            answer = json.loads(response.body.data) if response.body.data else {}
        except (ValueError, RecursionError):
            answer = None
        if response.status in (200, 204) and isinstance(answer, dict):
            return answer
        raise self._refusal(response.status, path, answer if isinstance(answer, dict) else {}, token)

    def _refusal(self, status: int, path: str, answer: Mapping[str, Any], token: Secret | None) -> VaultError:
        said = self._said([*_texts(answer.get("errors")), *_texts(answer.get("warnings"))], token)
        if status == 403:
            return Denied(f"vault may not be asked for {path} with this token (403{said}): its policy has to allow it")
        if status == 404:
            if "versioned" in said:
                mount, _, rest = path.partition("/")
                return VaultError(f"{mount} is a key-value engine of version 2: write {mount}/data/{rest}")
            data = answer.get("data")
            if isinstance(data, dict) and isinstance(data.get("metadata"), dict):
                return VaultError(f"the newest version of {path} in vault is deleted")
            return VaultError(f"vault has nothing at {path} (404{said})")
        if status == 503:
            return Away(f"vault at {self._options.address} is sealed or in maintenance (503{said}): unseal it")
        if 300 <= status < 400:
            return VaultError(f"vault at {self._options.address} sends to another node ({status}): name the active one")
        if status == 200:
            return VaultError(f"{self._options.address} does not answer as vault does")
        kind = Away if status >= 500 or status in (429, 472, 473) else VaultError  # a standby says 429, 472 or 473
        return kind(f"vault answered {status} for {path}{said}")

    def _said(self, texts: list[str], token: Secret | None) -> str:
        """Return the first words of the server, without our own secrets should it repeat them."""
        if not texts:
            return ""
        text = " ".join("".join(each if each.isprintable() else " " for each in texts[0]).split())
        role = self._options.app_role
        for secret in (token, self._options.token, role and role.role_id, role and role.secret_id):
            if secret:
                text = text.replace(secret.reveal(), MASK)
        return f": {text[:SAID]}"


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0.0
