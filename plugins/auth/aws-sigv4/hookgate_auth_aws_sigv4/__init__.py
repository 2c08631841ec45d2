"""AWS Signature Version 4 towards backends."""

from hookgate_auth_aws_sigv4.credential import AwsSigV4Credential, AwsSigV4CredentialOptions

__all__ = ["AwsSigV4Credential", "AwsSigV4CredentialOptions"]
