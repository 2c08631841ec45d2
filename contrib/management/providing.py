"""A real provider of OpenID Connect, made of the server side of Authlib, for tests of logins."""

# ruff: noqa: D102 - Authlib says what it calls
import base64
import hmac
import json
import secrets
import threading
import time
from contextlib import contextmanager

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, CLIENT_SECRET = "hookgate", "s3cret-of-hookgate"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}, private=True)
LONGER = RSAKey.import_key({name: value for name, value in KEY.as_dict(private=True).items() if name != "alg"})
"""The same key, for whatever algorithm."""
STRANGER = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}, private=True)


class Registered(ClientMixin):
    """The gateway, as a client of the provider."""

    def __init__(self, provider):
        self.provider = provider

    def get_client_id(self):
        return CLIENT

    def get_default_redirect_uri(self):
        return self.provider.redirect

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.provider.redirect

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(client_secret, self.provider.client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    """A code that was given out."""

    def __init__(self, **told):
        self.__dict__.update(told)

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class Provider:
    """What a test says of the provider."""

    def __init__(self):
        self.redirect = ""
        self.client_secret = CLIENT_SECRET
        self.user = {"sub": "248289761001", "preferred_username": "jane", "name": "Jane Doe", "groups": ["engineers"]}
        self.in_token = True
        """Whether the claims stand in the ID token, and not behind the page of user info only."""
        self.claims, self.header, self.key = {}, {}, KEY
        """What is otherwise in the next ID token."""
        self.metadata = {}
        self.asked = []

    def as_usual(self):
        """Be an honest provider again."""
        kept = self.redirect, self.issuer
        self.__init__()
        self.redirect, self.issuer = kept


class IdTokens(OpenIDCode):
    """Makes ID tokens, honest ones and others."""

    def __init__(self, provider):
        super().__init__(require_nonce=True)
        self.provider = provider

    def exists_nonce(self, nonce, request):
        return False

    def encode_id_token(self, token, request):
        provider, now = self.provider, int(time.time())
        claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": request.credential.nonce}
        claims |= provider.user if provider.in_token else {"sub": provider.user["sub"]}
        claims |= provider.claims
        header = {"alg": "RS256", "kid": "one"} | provider.header
        claims = {name: value for name, value in claims.items() if value is not None}
        if header["alg"] in ("none", "HS256"):  # which joserfc does not do: nothing, or what is public as a secret
            parts = ".".join(_part(json.dumps(each).encode()) for each in (header, claims))
            mac = hmac.digest(KEY.as_pem(private=False), parts.encode(), "sha256")
            return f"{parts}.{_part(mac) if header['alg'] == 'HS256' else ''}"
        return jwt.encode(header, claims, provider.key, algorithms=[header["alg"]])


def _part(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@contextmanager
def providing():
    """Run a provider on a socket of its own."""
    provider, app, codes, tokens = Provider(), Flask("provider"), {}, {}
    server = AuthorizationServer(
        app,
        lambda name: Registered(provider) if name == CLIENT else None,
        lambda token, _: tokens.update({token["access_token"]: token}),
    )

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code, request):
            data = request.payload.data
            told = {"nonce": data.get("nonce"), "code_challenge": data.get("code_challenge")}
            told |= {"redirect_uri": request.payload.redirect_uri, "scope": request.payload.scope}
            codes[code] = Code(code_challenge_method=data.get("code_challenge_method"), **told)

        def query_authorization_code(self, code, client):
            return codes.get(code)

        def delete_authorization_code(self, authorization_code):
            for each in [name for name, code in codes.items() if code is authorization_code]:
                del codes[each]

        def authenticate_user(self, authorization_code):
            self.request.credential = authorization_code
            return provider.user

    server.register_grant(CodeGrant, [IdTokens(provider), CodeChallenge(required=True)])

    @app.before_request
    def note():
        provider.asked.append(request.path)

    @app.get("/.well-known/openid-configuration")
    def described():
        own = {name: f"{provider.issuer}/{name}" for name in ("authorize", "token", "jwks", "me")}
        told = {"issuer": provider.issuer, "authorization_endpoint": own["authorize"], "token_endpoint": own["token"]}
        return jsonify(told | {"jwks_uri": own["jwks"], "userinfo_endpoint": own["me"]} | provider.metadata)

    @app.get("/authorize")
    def authorize():
        grant = server.get_consent_grant(end_user=provider.user)
        return server.create_authorization_response(grant_user=provider.user, grant=grant)

    @app.post("/token")
    def token():
        return server.create_token_response()

    @app.get("/jwks")
    def jwks():
        return json.dumps({"keys": [KEY.as_dict(private=False), {"kty": "oct", "k": "c2VjcmV0"}]})

    @app.get("/me")
    def me():
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return jsonify(provider.user) if shown in tokens else (jsonify({"error": "invalid_token"}), 401)

    listening = make_server("127.0.0.1", 0, app, threaded=True)
    provider.issuer = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        listening.shutdown()
        thread.join(30)
        listening.server_close()
