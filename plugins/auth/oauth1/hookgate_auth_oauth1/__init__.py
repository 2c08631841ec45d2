"""OAuth 1.0a, of callers and towards backends (RFC 5849): requests signed with a consumer's and a token's secret.

The signature base string is our own and not that of Authlib: its signer refuses every `http` URL, which a gateway has
inside the network, knows no HMAC-SHA256, leaves a query parameter named `realm` out of what it signs and decodes
parameters whose names begin with `oauth_` twice. The tests hold ours against the RFC and against `oauthlib`.

Getting a token (sections 2.1 to 2.3 of the RFC) is no part of it: tokens stand in the document.
"""

from hookgate_auth_oauth1.inbound import Consumer, OAuth1, OAuth1Options, Token
from hookgate_auth_oauth1.outbound import OAuth1Credential, OAuth1CredentialOptions

__all__ = ["Consumer", "OAuth1", "OAuth1Credential", "OAuth1CredentialOptions", "OAuth1Options", "Token"]
