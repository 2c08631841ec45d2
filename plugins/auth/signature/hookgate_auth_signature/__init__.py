"""HTTP signatures, of callers and towards backends (draft-cavage-12 and RFC 9421)."""

from hookgate_auth_signature.inbound import Signature, SignatureOptions
from hookgate_auth_signature.outbound import SignatureCredential, SignatureCredentialOptions

__all__ = ["Signature", "SignatureCredential", "SignatureCredentialOptions", "SignatureOptions"]
