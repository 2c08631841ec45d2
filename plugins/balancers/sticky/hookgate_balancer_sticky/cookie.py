"""The cookie: what is in it, and how it is found among others.

Its value is ``WORD.TIME.SIGNATURE``: a word for the target, the Unix time in seconds when it was given out, and the
HMAC-SHA256 over both and the name of the cookie. Word and signature are base64url without padding.
"""

import hmac
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence

from hookgate import Secret

REMEMBERED = 4096
"""Targets whose words are kept."""
AHEAD = 60
"""Seconds by which the clock of another gateway may be ahead."""
_FORM = re.compile(r"([\w-]{22})\.(\d{1,12})\.([\w-]{43})", re.ASCII)


class Seal:
    """Makes and checks values of one cookie.

    Two keys come from the secret, so that a word can never be taken for a signature or the other way round.
    """

    now: Callable[[], float] = staticmethod(time.time)
    """Unix time in seconds."""

    def __init__(self, secret: Secret, name: str, max_age: int | None) -> None:
        self._naming = _mac(secret.reveal().encode(), "hookgate sticky word")
        self._signing = _mac(secret.reveal().encode(), "hookgate sticky cookie")
        self._name = name
        self._max_age = max_age
        self._words: dict[str, str] = {}

    def word(self, url: str) -> str:
        """Return what stands for a target."""
        word = self._words.get(url)
        if word is None:
            if len(self._words) >= REMEMBERED:
                self._words.clear()
            word = self._words[url] = _text(_mac(self._naming, url)[:16])
        return word

    def sealed(self, word: str) -> str:
        """Return the value of a cookie that is given out now."""
        said = f"{word}.{max(int(self.now()), 0)}"
        return f"{said}.{self._signature(said)}"

    def opened(self, value: str) -> tuple[str, bool] | None:
        """Return the word and whether a new cookie is due; ``None`` for a value that is not ours, or has expired."""
        match = _FORM.fullmatch(value)
        if match is None or not hmac.compare_digest(self._signature(f"{match[1]}.{match[2]}"), match[3]):
            return None
        if self._max_age is None:
            return match[1], False
        age = self.now() - int(match[2])
        if not -AHEAD <= age < self._max_age:
            return None
        return match[1], age * 2 >= self._max_age

    def _signature(self, said: str) -> str:
        return _text(_mac(self._signing, f"{self._name}={said}"))


def found(lines: Sequence[str], name: str) -> Iterator[str]:
    """Give the values under a name in the lines of a Cookie header, in order (RFC 6265, 5.4)."""
    for line in lines:
        if name in line:
            for pair in line.split(";"):
                key, _, value = pair.strip(" \t").partition("=")
                if key == name:
                    yield value


def without(lines: Sequence[str], name: str) -> list[str]:
    """Return the lines of a Cookie header without the cookies of that name; all others stay as they were."""
    left = []
    for line in lines:
        pairs = line.split(";")
        kept = [pair for pair in pairs if pair.strip(" \t").partition("=")[0] != name]
        if len(kept) == len(pairs):
            left.append(line)
        elif rest := ";".join(kept).strip(" \t"):
            left.append(rest)
    return left


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
