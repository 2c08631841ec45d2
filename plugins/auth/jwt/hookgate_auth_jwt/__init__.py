"""JSON Web Tokens: those of callers checked, ones of our own for backends (RFC 7519).

What a signature and a token have to be, ``hookgate.jose`` says.
"""

from hookgate_auth_jwt.credential import JwtCredential, JwtCredentialOptions
from hookgate_auth_jwt.method import Jwt
from hookgate_auth_jwt.options import JwtOptions

__all__ = ["Jwt", "JwtCredential", "JwtCredentialOptions", "JwtOptions"]
