"""Hawk towards backends (HC-12)."""

import secrets
import time

from pydantic import model_validator

from hookgate import Credential, Exchange, Host, Options, Outbound, Response, hookimpl
from hookgate.workshop import HeaderName, add_credentials
from hookgate_auth_hawk.scheme import (
    REQUEST,
    Algorithm,
    Artifacts,
    Attribute,
    Key,
    attributes,
    authority,
    challenge_in,
    mac,
    payload_hash,
    same,
    time_mac,
)


def new_nonce() -> str:
    """Return 72 random bits: enough that no two calls of a second have the same."""
    return secrets.token_urlsafe(9)


class HawkCredentialOptions(Options):
    """Options of `hawk` towards a backend."""

    id: Attribute
    """Name under which the backend knows the key."""
    key: Key
    """The key that both ends share."""
    algorithm: Algorithm = "sha256"
    """Hash function of the MAC; `sha1` for backends that know no other."""
    hash_payload: bool = False
    """Whether the MAC covers the body, too. The body is then kept whole before it is sent."""
    ext: Attribute | None = None
    """Text of the application that goes along and is covered by the MAC."""
    app: Attribute | None = None
    """Application id, where the backend uses Oz."""
    dlg: Attribute | None = None
    """Id of the application that delegates to `app`, which it needs."""
    adjust_clock: bool = True
    """Whether to go by the clock of the backend when it refuses a timestamp and proves with the key what time it has;
    the call is then signed and sent once more."""
    header: HeaderName = "Authorization"
    """Header that carries the credentials."""

    @model_validator(mode="after")
    def _delegate_to_somebody(self) -> "HawkCredentialOptions":
        if self.dlg is not None and self.app is None:
            raise ValueError("dlg says who delegates to app, and there is no app; write one or take dlg out")
        return self


class HawkCredential(Credential[HawkCredentialOptions]):
    """Signs each attempt with a key (HC-12).

    Host and port are those of the `Host` header as it is sent, with 80 or 443 by the scheme of the target where it
    names no port: they are what the backend sees. It has to stand last, since the MAC covers the query, to which
    another credential may add. No other header is covered.
    """

    signs_message = True

    def __init__(self, options: HawkCredentialOptions) -> None:
        super().__init__(options)
        if options.hash_payload:
            self.reads = {"request.body"}
        self._wall = time.time
        self._ahead = 0.0
        """Seconds that the clock of the backend is ahead of ours, as far as it has told."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the line behind those of other credentials, in the place of what the caller sent."""
        line = self._line(outbound, str(int(self._wall() + self._ahead)), new_nonce())
        add_credentials(exchange, outbound, self.options.header, line)

    @hookimpl
    def rejected(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        """Go by the clock of the backend if that is what was wrong, and have the attempt signed once more.

        What was wrong is seen from the timestamp of this very attempt: others may have set the clock in the meantime.
        """
        if not self.options.adjust_clock:
            return False
        told = self._told(response)
        signed = self._signed(outbound)
        if told is None or signed is None or told == signed:
            return False
        self._ahead = told - self._wall()
        return True

    def _line(self, outbound: Outbound, ts: str, nonce: str) -> str:
        options = self.options
        headers = outbound.headers
        host, port = authority(headers.get("host") or outbound.target.authority, outbound.target.scheme)
        artifacts = Artifacts(
            ts,
            nonce,
            outbound.method,
            f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path,
            host,
            port,
            payload_hash(outbound.body.data, headers.get("content-type"), options.algorithm)
            if options.hash_payload
            else "",
            options.ext or "",
            options.app or "",
            options.dlg or "",
        )
        parts = [f'Hawk id="{options.id}"', f'ts="{ts}"', f'nonce="{nonce}"']
        parts += [f'{key}="{value}"' for key in ("hash", "ext") if (value := getattr(artifacts, key))]
        parts.append(f'mac="{mac(artifacts, options.key, options.algorithm)}"')
        parts += [f'{key}="{value}"' for key in ("app", "dlg") if (value := getattr(artifacts, key))]
        return ", ".join(parts)

    def _told(self, response: Response) -> int | None:
        """Return the time that the backend has told, in Unix seconds, if it has proved that it knows the key."""
        for line in response.headers.getall("www-authenticate"):
            told = challenge_in(line)
            ts, tsm = told.get("ts", ""), told.get("tsm", "")
            if (
                len(ts) <= 12
                and ts.isascii()
                and ts.isdigit()
                and same(tsm, time_mac(ts, self.options.key, self.options.algorithm))
            ):
                return int(ts)
        return None

    def _signed(self, outbound: Outbound) -> int | None:
        """Return the timestamp that the attempt was signed with; ours is the last line."""
        lines = outbound.headers.getall(self.options.header)
        scheme, _, rest = lines[-1].partition(" ") if lines else ("", "", "")
        try:
            return int(attributes(rest, REQUEST)["ts"]) if scheme == "Hawk" else None
        except (ValueError, KeyError):
            return None
