"""Claims of a directory in the tokens of users (AC-45, RFC 4511)."""

from hookgate_ldapclaims.source import Ldap, LdapOptions

__all__ = ["Ldap", "LdapOptions"]
