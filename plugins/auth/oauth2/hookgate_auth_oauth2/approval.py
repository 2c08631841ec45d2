"""What an operator approves: the authorization code grant (RFC 6749, 4.1) with PKCE (RFC 7636), and the refresh token
that comes of it, which is kept in the state of the house, encrypted."""

import hmac
import json
import os
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hookgate import Conflict, Host, MachineError, Secret, StateError
from hookgate_auth_oauth2.endpoint import EndpointError, Form

STATE = "oauth2"
"""Name of the state that holds refresh tokens, by id of the credential."""
NONCE = 12
"""Bytes of a nonce of AES-GCM; a new one is drawn for each token."""


class KeptToken(NamedTuple):
    """A refresh token as it is kept."""

    token: Secret
    version: int


class Vault:
    """Keeps the refresh token of one credential: AES-256-GCM, with a key derived from an option (HKDF, RFC 5869).

    What is kept belongs to the credential, the token endpoint and the client, and is nothing to any other: a document
    that names another server does not have the token sent there.
    """

    def __init__(self, key: Secret, belongs_to: tuple[str, ...]) -> None:
        derived = HKDF(SHA256(), 32, None, b"hookgate oauth2 refresh token").derive(key.reveal().encode())
        self._cipher = AESGCM(derived)
        self._belongs_to = belongs_to

    async def read(self, host: Host, name: str) -> KeptToken | None:
        """Return what is kept under the id of a credential.

        Raises:
            EndpointError: the state is away, or what it holds is not ours.
        """
        try:
            kept = await host.state(STATE).get(name)
        except StateError as error:
            raise EndpointError(f"the refresh token cannot be read: {error}") from None
        if kept is None:
            return None
        try:
            sealed = b64decode(kept.value["sealed"], validate=True)
            token = self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], self._told(name))
            return KeptToken(Secret(token.decode()), kept.version)
        except (InvalidTag, ValueError, KeyError, TypeError):
            raise EndpointError(
                "the refresh token that is kept cannot be read: state_key, token_endpoint or client_id is another one "
                "than at its approval"
            ) from None

    async def write(self, host: Host, name: str, token: str, version: int | None = None) -> None:
        """Keep a token in the place of the one of a version, or of any.

        Raises:
            Conflict: somebody else has kept another one meanwhile.
            StateError: the state is away.
        """
        nonce = os.urandom(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, token.encode(), self._told(name))
        await host.state(STATE).put(name, {"sealed": b64encode(sealed).decode("ascii")}, version=version)

    def _told(self, name: str) -> bytes:
        return json.dumps([name, *self._belongs_to]).encode()


class Approval:
    """One approval that is under way: the URL an operator opens, and what becomes of where the server sends them."""

    def __init__(
        self,
        endpoint: str,
        form: Form,
        redirect_uri: str,
        issuer: str | None,
        finish: Callable[[Form], Awaitable[None]],
    ) -> None:
        self.redirect_uri = redirect_uri
        self._state, self._verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
        self._issuer, self._finish = issuer, finish
        challenge = urlsafe_b64encode(sha256(self._verifier.encode()).digest()).rstrip(b"=").decode()
        asked = [
            ("response_type", "code"),
            *form,
            ("redirect_uri", redirect_uri),
            ("state", self._state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ]
        self.url = f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(asked)}"
        """What the operator opens in a browser."""

    def answers(self, redirected: str) -> bool:
        """Whether a URL is the answer to this approval, and not to another one."""
        return hmac.compare_digest(self._told(redirected).get("state", "").encode(), self._state.encode())

    async def finish(self, redirected: str) -> None:
        """Take the URL that the server sent the operator to, and keep the refresh token that it stands for.

        Raises:
            MachineError: it is no answer to this approval, the server refused, or gave no refresh token.
        """
        told = self._told(redirected)
        if not self.answers(redirected):
            raise MachineError("this URL answers another request for approval: its state differs; begin again")
        if self._issuer is not None and told.get("iss", self._issuer) != self._issuer:
            raise MachineError("this URL is of another authorization server than `issuer` names (RFC 9207)")
        if "error" in told or not told.get("code"):
            why = " ".join(told.get(name, "") for name in ("error", "error_description")).strip() or "no code"
            raise MachineError(f"the authorization server did not approve: {why[:300]!a}")
        await self._finish(
            [
                ("grant_type", "authorization_code"),
                ("code", told["code"]),
                ("redirect_uri", self.redirect_uri),
                ("code_verifier", self._verifier),
            ]
        )

    @staticmethod
    def _told(redirected: str) -> Mapping[str, str]:
        pairs = parse_qsl(urlsplit(redirected.strip()).query, keep_blank_values=True)
        told = dict(pairs)
        return told if len(told) == len(pairs) else {}  # a parameter that comes twice says nothing (RFC 6749, 3.1)


class Approved:
    """The tokens of one credential that an operator has approved, and what is wrong with the approval."""

    def __init__(self, vault: Vault, post: Callable[[Form], Awaitable[dict[str, Any]]]) -> None:
        self._vault, self._post = vault, post
        self._unkept: KeptToken | None = None
        """A token that replaced the kept one and could not be kept yet, with the version it takes the place of."""
        self._refused: int | None = None
        """Version of the kept token that the server does not take any more."""
        self.problem = ""

    async def look(self, host: Host, name: str) -> None:
        """See whether there is an approval, and warn where that is news."""
        before = self.problem
        try:
            await self._read(host, name)
        except EndpointError:
            if self.problem != before:
                host.log.warning("%s: %s", name, self.problem)

    async def refresh(self, host: Host, name: str, form: Callable[[Secret], Form]) -> dict[str, Any]:
        """Ask for an access token, and keep the refresh token that replaces the one that was used.

        Raises:
            EndpointError: there is none to be had.
        """
        await self._keep(host, name)
        kept = self._unkept or await self._read(host, name)
        while True:
            try:
                answer = await self._post(form(kept.token))
            except EndpointError as error:
                if not error.refused:
                    raise
                newer = await self._read(host, name)
                if newer.version != kept.version:  # another gateway has used it, or somebody has approved anew
                    kept, self._unkept = newer, None
                    continue
                self._refused = kept.version
                self.problem = f"the refresh token is not taken any more ({error}); {self._what_to_do(name)}"
                raise
            self.problem, self._refused = "", None
            replaced = answer.get("refresh_token")
            if isinstance(replaced, str) and replaced and replaced != kept.token.reveal():
                self._unkept = KeptToken(Secret(replaced), kept.version)
                await self._keep(host, name)
            return answer

    async def _keep(self, host: Host, name: str) -> None:
        if self._unkept is None:
            return
        token, version = self._unkept
        try:
            await self._vault.write(host, name, token.reveal(), version)
        except Conflict:
            self._unkept = None  # a newer approval counts
        except StateError as error:
            self.problem = f"a refresh token that replaced the kept one is in memory only: {error}"
            host.log.error("%s: %s", name, self.problem)  # noqa: TRY400 - the state is away, not the program wrong
        else:
            self._unkept, self.problem = None, ""

    async def _read(self, host: Host, name: str) -> KeptToken:
        try:
            kept = await self._vault.read(host, name)
        except EndpointError as error:
            self.problem = f"{error}; {self._what_to_do(name)}"
            raise
        if kept is None:
            self.problem = f"nobody has approved calls with this credential yet; {self._what_to_do(name)}"
            raise EndpointError(self.problem)
        if kept.version != self._refused and self._unkept is None:
            self.problem = ""
        return kept

    def _what_to_do(self, name: str) -> str:
        where, _, rest = name.partition(".")
        connection = rest.partition("/")[0] if where == "connections" else "CONNECTION"
        return f"approve it: hookgate authorize DOCUMENT {connection}"
