"""HTTP Digest authentication, of callers and towards backends (RFC 7616)."""

from hookgate_auth_digest.inbound import Digest, DigestOptions, DigestUser
from hookgate_auth_digest.outbound import DigestCredential, DigestCredentialOptions

__all__ = ["Digest", "DigestCredential", "DigestCredentialOptions", "DigestOptions", "DigestUser"]
