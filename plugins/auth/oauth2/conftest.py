"""An authorization server of the tests: oauthlib's, behind a real socket."""
# ruff: noqa: D102 - most methods are those of oauthlib's interface

import threading
from base64 import b64decode
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote_plus

import pytest
from oauthlib.oauth2 import (
    BearerToken,
    ClientCredentialsGrant,
    IntrospectEndpoint,
    RefreshTokenGrant,
    RequestValidator,
    ResourceOwnerPasswordCredentialsGrant,
)
from oauthlib.oauth2.rfc6749.endpoints.token import TokenEndpoint

from hookgate.testing import upstream


class Registry(RequestValidator):
    """Whom the server knows, and what it has issued."""

    def __init__(self):
        self.clients = {"gateway": "s3cret of: the gateway"}
        self.users = {"anna": "Änna's passwörd"}
        self.issued = []
        self.active = {}
        self.refresh_tokens = {}
        self.rotate = True

    def authenticate_client(self, request):
        shown = request.headers.get("authorization", "")
        if shown.startswith("Basic "):
            name, _, secret = b64decode(shown[6:]).decode().partition(":")
            name, secret = unquote_plus(name), unquote_plus(secret)
        else:
            name, secret = request.client_id, request.client_secret
        request.client = SimpleNamespace(client_id=name)
        return name in self.clients and self.clients[name] == secret

    def client_authentication_required(self, request):
        return "authorization" in request.headers or bool(request.client_secret)

    def authenticate_client_id(self, client_id, request):
        request.client = SimpleNamespace(client_id=client_id or "nobody")
        return client_id in {None, "app"}

    def validate_grant_type(self, client_id, grant_type, client, request):
        return True

    def validate_user(self, username, password, client, request):
        request.user = username
        return username in self.users and self.users[username] == password

    def get_default_scopes(self, client_id, request):
        return ["orders"]

    def validate_scopes(self, client_id, scopes, client, request):
        return "forbidden" not in scopes

    def save_bearer_token(self, token, request):
        self.issued.append(token["access_token"])
        claims = {"scope": token["scope"], "client_id": request.client.client_id, "token_type": "Bearer"}
        if request.user:
            claims["sub"] = request.user
        self.active[token["access_token"]] = claims
        if "refresh_token" in token:
            if request.grant_type == "refresh_token" and self.rotate:
                self.refresh_tokens.pop(request.refresh_token, None)
            self.refresh_tokens[token["refresh_token"]] = (request.user, request.scopes)

    def validate_refresh_token(self, refresh_token, client, request):
        if refresh_token not in self.refresh_tokens:
            return False
        request.user = self.refresh_tokens[refresh_token][0]
        return True

    def get_original_scopes(self, refresh_token, request):
        return self.refresh_tokens[refresh_token][1]

    def rotate_refresh_token(self, request):
        return self.rotate

    def introspect_token(self, token, token_type_hint, request):
        return dict(self.active[token]) if token in self.active else None


class Server:
    """The server as tests see it: what it knows, what it was asked, and how to make it misbehave."""

    def __init__(self):
        self.known = Registry()
        self.expires_in = 3600
        self.say = None
        """What is answered in place of all else: status, headers, body."""
        self.hold = None
        """An event of threads; answers wait for it."""

    def answer(self, request):
        if self.hold is not None:
            self.hold.wait(30)
        if self.say is not None:
            return self.say
        tokens, introspection = self._made()
        method = introspection.create_introspect_response if request.path == "/introspect" else tokens
        headers, body, status = method(
            f"https://server{request.path}", request.method, request.body.decode(), dict(request.headers)
        )
        return status, dict(headers), body

    def _made(self):
        bearer = BearerToken(self.known, expires_in=lambda _: self.expires_in)
        grants = {
            "password": ResourceOwnerPasswordCredentialsGrant(self.known),
            "client_credentials": ClientCredentialsGrant(self.known),
            "refresh_token": RefreshTokenGrant(self.known),
        }
        endpoint = TokenEndpoint("password", bearer, grants)
        return endpoint.create_token_response, IntrospectEndpoint(self.known)

    def forms(self):
        """What was posted, as mappings from parameter to value."""
        return [
            {name: value if len(value) > 1 else value[0] for name, value in parse_qs(body.decode()).items()}
            for body in self.socket.bodies
        ]

    @property
    def requests(self):
        return self.socket.requests

    def revoke(self):
        """Make the tokens issued so far worthless."""
        self.known.active.clear()

    @contextmanager
    def held(self):
        """Keep answers back for as long as the block lasts."""
        self.hold = threading.Event()
        try:
            yield
        finally:
            self.hold.set()
            self.hold = None

    def backend(self, request):
        """Answer as a backend does that takes the tokens of this server."""
        shown = (request.header("authorization") or "").partition(" ")[2]
        return (200, {}, "ok") if shown in self.known.active else (401, {"www-authenticate": "Bearer"}, "no")


@pytest.fixture
def server():
    """Run the authorization server."""
    made = Server()
    with upstream(made.answer) as socket:
        made.socket = socket
        made.url = f"{socket.url}/token"
        yield made
