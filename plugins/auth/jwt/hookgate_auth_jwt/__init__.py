"""JSON Web Tokens: those of callers checked, ones of our own for backends (RFC 7519).

Signatures are joserfc's; which keys and algorithms may be used for what, and what a token must say, is decided here.
"""

from hookgate_auth_jwt.credential import JwtCredential, JwtCredentialOptions
from hookgate_auth_jwt.method import Jwt
from hookgate_auth_jwt.options import JwtOptions

__all__ = ["Jwt", "JwtCredential", "JwtCredentialOptions", "JwtOptions"]
