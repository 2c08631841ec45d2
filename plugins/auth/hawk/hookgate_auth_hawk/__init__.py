"""Hawk, of callers and towards backends.

Hawk (`mozilla/hawk`, version 1.1 of the protocol) proves that both ends know a key without sending it: a MAC covers
time, nonce, method, path with query, host, port and, if asked for, the body.

The mathematics is our own and not that of `mohawk`: it formats the whole body for a debug line at every call even where
nobody logs, leaves `;parameters` of a path out of what it signs, takes the time from the machine and not from the
house's clock, and has had no release since 2019. The tests hold ours against it and against `@hapi/hawk`.
"""

from hookgate_auth_hawk.inbound import Caller, Hawk, HawkOptions
from hookgate_auth_hawk.outbound import HawkCredential, HawkCredentialOptions

__all__ = ["Caller", "Hawk", "HawkCredential", "HawkCredentialOptions", "HawkOptions"]
