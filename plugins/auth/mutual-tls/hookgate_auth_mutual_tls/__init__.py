"""TLS client certificates, of callers and towards backends (RFC 8446, 4.4.2)."""

from hookgate_auth_mutual_tls.inbound import MutualTls, MutualTlsCaller, MutualTlsOptions
from hookgate_auth_mutual_tls.outbound import MutualTlsCredential, MutualTlsCredentialOptions

__all__ = ["MutualTls", "MutualTlsCaller", "MutualTlsCredential", "MutualTlsCredentialOptions", "MutualTlsOptions"]
