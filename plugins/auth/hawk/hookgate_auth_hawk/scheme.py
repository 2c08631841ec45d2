"""What both ends of Hawk compute: the MAC of a request, the hash of a body, the MAC of a time, and its header lines."""

import hmac
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import new
from typing import Annotated, Literal

from pydantic import AfterValidator

from hookgate import Secret

Algorithm = Literal["sha256", "sha1"]
LONGEST_LINE = 4096
"""Characters of a header line that are read; longer ones are refused, as by `@hapi/hawk`."""
REQUEST = frozenset({"id", "ts", "nonce", "hash", "ext", "mac", "app", "dlg"})
"""Attributes of `Authorization`."""

_CHARACTERS = r"[ \w!#$%&'()*+,\-./:;<=>?@\[\]^`{|}~]+"
_VALUE = re.compile(_CHARACTERS, re.ASCII)
_ATTRIBUTE = re.compile(rf'(\w+)="({_CHARACTERS})"\s*(?:,\s*|$)', re.ASCII)
_CHALLENGE = re.compile(r'(?:^|,)\s*hawk\s+((?:\w+="[^"]*"(?:\s*,\s*(?=\w+="))?)+)', re.ASCII | re.IGNORECASE)
_PAIR = re.compile(r'(\w+)="([^"]*)"', re.ASCII)
_AUTHORITY = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::([0-9]*))?")


def _attribute(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"{value!r} cannot stand in a Hawk header: write at least one character, all of them printable ASCII "
            "and none of them a double quote or a backslash"
        )
    return value


def _key(key: Secret) -> Secret:
    if not key:
        raise ValueError("the key is empty, which anybody could guess; write one")
    return key


Attribute = Annotated[str, AfterValidator(_attribute)]
Key = Annotated[Secret, AfterValidator(_key)]


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What a MAC covers."""

    ts: str
    """Unix time in seconds."""
    nonce: str
    method: str
    resource: str
    """Path and query, as in the request line."""
    host: str
    port: str
    hash: str = ""
    """Hash of the body, or nothing where it is not covered."""
    ext: str = ""
    app: str = ""
    dlg: str = ""

    def normalized(self) -> str:
        """Return the string that the MAC is computed of; `app` and `dlg` have lines only where there is an `app`."""
        lines = [
            "hawk.1.header",
            self.ts,
            self.nonce,
            self.method.upper(),
            self.resource,
            self.host.lower(),
            self.port,
            self.hash,
            self.ext,
        ]
        if self.app:
            lines += [self.app, self.dlg]
        return "\n".join(lines) + "\n"


def mac(artifacts: Artifacts, key: Secret, algorithm: Algorithm) -> str:
    """Return the MAC of a request."""
    return _mac(artifacts.normalized(), key, algorithm)


def time_mac(ts: str, key: Secret, algorithm: Algorithm) -> str:
    """Return the `tsm` of a time, by which a client knows that it was told by somebody who has the key."""
    return _mac(f"hawk.1.ts\n{ts}\n", key, algorithm)


def payload_hash(body: bytes, content_type: str | None, algorithm: Algorithm) -> str:
    """Return the hash of a body and of its media type, without the parameters of the type."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    digest = new(algorithm, f"hawk.1.payload\n{media_type}\n".encode("latin-1"))
    digest.update(body)
    digest.update(b"\n")
    return b64encode(digest.digest()).decode("ascii")


def same(one: str, other: str) -> bool:
    """Compare in a time that does not tell where the two differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def authority(host: str, scheme: str) -> tuple[str, str]:
    """Return name and port of a `Host`: without the brackets of IPv6, and with the port of the scheme if it has none.

    What has not the form of a `Host` comes back as the name; no MAC will fit it.
    """
    port = "443" if scheme == "https" else "80"
    found = _AUTHORITY.fullmatch(host)
    return (found[1] or found[2], found[3] or port) if found else (host, port)


def attributes(text: str, known: frozenset[str]) -> dict[str, str]:
    """Return the attributes behind the word `Hawk`.

    Raises:
        ValueError: the text is too long, or not a list of known attributes, each of them once.
    """
    if len(text) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE} characters")
    found: dict[str, str] = {}
    end = 0
    while end < len(text):
        match = _ATTRIBUTE.match(text, end)
        if match is None or match[1] not in known or match[1] in found:
            raise ValueError("not a list of the attributes of Hawk")
        found[match[1]] = match[2]
        end = match.end()
    return found


def challenge_in(line: str) -> dict[str, str]:
    """Return the attributes of the Hawk challenge in a `WWW-Authenticate` line, which may hold other challenges, too.

    Attributes that we do not know are there as well: nothing is believed but a time whose MAC is right.
    """
    match = _CHALLENGE.search(line[:LONGEST_LINE])
    return dict(_PAIR.findall(match[1])) if match else {}


def _mac(text: str, key: Secret, algorithm: Algorithm) -> str:
    digest = hmac.digest(key.reveal().encode(), text.encode("utf-8", "surrogateescape"), algorithm)
    return b64encode(digest).decode("ascii")
