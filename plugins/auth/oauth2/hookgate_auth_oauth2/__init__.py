"""OAuth 2.0: tokens for backends, and introspection of those that callers show.

`OAuth2Credential` is a client of a token endpoint (RFC 6749), `OAuth2` a resource server that asks about the tokens of
its callers (RFC 6750, RFC 7662).
"""

from hookgate_auth_oauth2.credential import OAuth2Credential, OAuth2CredentialOptions
from hookgate_auth_oauth2.introspection import OAuth2, OAuth2Options

__all__ = ["OAuth2", "OAuth2Credential", "OAuth2CredentialOptions", "OAuth2Options"]
