"""What several plugins share, and core does not use: callers, credentials, bearer tokens, calls amid a call."""

from hookgate.workshop.addresses import Addresses, parse_range
from hookgate.workshop.bearertokens import BearerTokens, Scopes, identity_of, texts_of, words_of
from hookgate.workshop.callers import Callers, Password, SecretCaller, Sha256, short_for, tell_apart
from hookgate.workshop.calling import Asked, CallOptions, UrlTemplate, VariableOptions
from hookgate.workshop.carriers import CARRIERS, query_without
from hookgate.workshop.contracts import ContractFile, at_pointer, pointer_step
from hookgate.workshop.counting import decided, slot_of, spread_of, tightest
from hookgate.workshop.credentials import (
    FilledSecret,
    HeaderName,
    Prefix,
    Realm,
    Scheme,
    add_credentials,
    challenge_of,
    drop_received,
)
from hookgate.workshop.databases import PostgresqlPool, PostgresqlUrl
from hookgate.workshop.limits import LimitKey, Seconds, in_one_message, read_by
from hookgate.workshop.loopback import is_loopback
from hookgate.workshop.masking import SECRET_NAME, Masking
from hookgate.workshop.nonces import Nonces, refusal_of
from hookgate.workshop.refusals import CannotTell, MissingCredentials
from hookgate.workshop.remembering import Answer, Remembering, Tag
from hookgate.workshop.standing import note_standing, refused_for, tell_standing
from hookgate.workshop.unpacking import CannotUnpack, CodingUnknown, TooLongUnpacked, unpacked
from hookgate.workshop.watching import Follower

__all__ = [
    "CARRIERS",
    "SECRET_NAME",
    "Addresses",
    "Answer",
    "Asked",
    "BearerTokens",
    "CallOptions",
    "Callers",
    "CannotTell",
    "CannotUnpack",
    "CodingUnknown",
    "ContractFile",
    "FilledSecret",
    "Follower",
    "HeaderName",
    "LimitKey",
    "Masking",
    "MissingCredentials",
    "Nonces",
    "Password",
    "PostgresqlPool",
    "PostgresqlUrl",
    "Prefix",
    "Realm",
    "Remembering",
    "Scheme",
    "Scopes",
    "Seconds",
    "SecretCaller",
    "Sha256",
    "Tag",
    "TooLongUnpacked",
    "UrlTemplate",
    "VariableOptions",
    "add_credentials",
    "at_pointer",
    "challenge_of",
    "decided",
    "drop_received",
    "identity_of",
    "in_one_message",
    "is_loopback",
    "note_standing",
    "parse_range",
    "pointer_step",
    "query_without",
    "read_by",
    "refusal_of",
    "refused_for",
    "short_for",
    "slot_of",
    "spread_of",
    "tell_apart",
    "tell_standing",
    "texts_of",
    "tightest",
    "unpacked",
    "words_of",
]
