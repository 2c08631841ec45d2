"""Show a backend a user name and the proof of knowing a password (RFC 7616)."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from typing import Literal

from pydantic import model_validator

from hookgate import Attempt, Credential, Exchange, Host, Options, Outbound, Response, Secret, hookimpl
from hookgate.workshop import HeaderName, add_credentials, drop_received
from hookgate_auth_digest.algorithms import ALGORITHMS, Algorithm, ha1_of, response_of, user_hash
from hookgate_auth_digest.parameters import UserName, challenges_in, credentials_in, extended, quoted, written

MAX_ORIGINS = 1024
"""Targets whose challenges are remembered; beyond that the one learnt first is forgotten."""

Origin = tuple[str, str, int]


class DigestCredentialOptions(Options):
    """Options of `digest` towards a backend."""

    username: UserName
    """User name; it has no colon."""
    password: Secret
    """Password. It is never sent."""
    allow_md5: bool = False
    """Whether a backend that offers MD5 only gets an answer. MD5 is weak: who sees one can try billions of passwords a
    second."""
    qop: Literal["auth", "auth-int"] = "auth"
    """What to protect where the backend offers both: `auth` the request line, `auth-int` the body, too."""
    keep_bodies: bool = True
    """Whether bodies are kept in memory until they are sent, so that a request which the backend answers with a
    challenge can be sent again. Without, such a request ends in 401 unless it has no body, and `auth-int` is not
    possible."""
    header: HeaderName = "Authorization"
    """Header that carries the credentials."""

    @model_validator(mode="after")
    def _fit(self) -> DigestCredentialOptions:
        if self.qop == "auth-int" and not self.keep_bodies:
            raise ValueError("auth-int needs the body before it is sent: leave out keep_bodies: false")
        return self


class _Session:
    """A challenge that is answered for as long as the backend likes, with counts that go up."""

    __slots__ = ("_attempt", "_exchange", "algorithm", "challenge", "cnonce", "count", "ha1", "qop")

    def __init__(self, challenge: dict[str, str], algorithm: Algorithm, qop: bytes, ha1: bytes) -> None:
        self.challenge = challenge
        self.algorithm = algorithm
        self.qop = qop
        self.ha1 = ha1
        self.count = 0
        self.cnonce = secrets.token_urlsafe(24)
        self._attempt: Attempt | None = None

    def tried(self, exchange: Exchange) -> None:
        """Remember with which attempt this answer is tried."""
        self._attempt = exchange.attempts[-1] if exchange.attempts else None

    @property
    def accepted(self) -> bool:
        """Whether the backend is known to have accepted the answer."""
        attempt = self._attempt
        if attempt is None:
            return False
        ended = attempt.outcome.status if attempt.outcome is not None else None
        status = attempt.status if ended is None else ended  # its body may stream for hours
        return status is not None and status != 401


class _Place:
    """What is known of one target."""

    __slots__ = ("current", "learnt")

    def __init__(self) -> None:
        self.current: _Session | None = None
        """What calls are signed with at once."""
        self.learnt: deque[_Session] = deque(maxlen=8)
        """Answers to challenges of which it is not known yet whether they were right."""

    def session(self) -> _Session | None:
        """Return what the backend has accepted before, the last one if there are several."""
        for session in reversed(self.learnt):
            if session.accepted:
                self.current = session
                self.learnt.clear()
                break
        return self.current


class DigestCredential(Credential[DigestCredentialOptions]):
    """Shows the backend who we are by Digest: SHA-256, SHA-512-256, their `-sess` variants, and MD5 where allowed.

    The first call to a target goes out without credentials; its 401 brings the challenge, and the call is sent once
    more, signed. Once the backend has accepted that, every call is signed at once with the same nonce, until one is
    refused: that one, too, is sent once more, with the new nonce. Of several challenges the first one counts that is
    not MD5. Signed are method, path and query, so this credential stands behind those that add to the query.

    What the request had under the header is taken out: a caller's credentials are for the gateway. `nextnonce` and
    `rspauth` of `Authentication-Info` are not looked at; a backend that wants each nonce once has every call sent
    twice.
    """

    signs_message = True

    def __init__(self, options: DigestCredentialOptions) -> None:
        super().__init__(options)
        if options.keep_bodies:
            self.reads = {"request.body"}
        self._user = options.username.encode()
        self._places: dict[Origin, _Place] = {}
        self._asked = f"digest: challenge to {id(self)}"
        """Where a call keeps the challenge that it got itself, and answers when it is sent once more: nobody else knows
        that nonce yet, so it is good for this call even where each is good for one."""
        self._log = logging.getLogger("hookgate.auth.digest")
        self._told: set[str] = set()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the house's log."""
        self._log = host.log

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the credentials behind those of others, in the place of what the caller sent; none before a challenge."""
        header = self.options.header
        session = exchange.variables.pop(self._asked, None)
        if session is not None:
            session.tried(exchange)
        elif (place := self._places.get(outbound.target.origin)) is not None:
            session = place.session()
        if session is None:
            drop_received(exchange, outbound, header)
        else:
            add_credentials(exchange, outbound, header, self._line(session, outbound))

    @hookimpl
    def rejected(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        """Learn the challenge; `True` unless there is none that can be answered, or it is the one just answered."""
        session = self._session(response)
        if session is None:
            return False
        place = self._place(outbound.target.origin)
        nonce, used = session.challenge["nonce"], self._used(outbound)
        if used is not None and place.current is not None and place.current.challenge["nonce"] == used:
            place.current = None
        if nonce == used and session.challenge.get("stale", "").lower() != "true":
            return False  # it is not the nonce that is wrong
        place.learnt.append(session)
        exchange.variables[self._asked] = session
        return True

    def _place(self, origin: Origin) -> _Place:
        place = self._places.get(origin)
        if place is None:
            if len(self._places) >= MAX_ORIGINS:
                del self._places[next(iter(self._places))]
            place = self._places[origin] = _Place()
        return place

    def _used(self, outbound: Outbound) -> str | None:
        """Return the nonce this attempt was signed with."""
        for value in reversed(outbound.headers.getall(self.options.header)):
            try:
                if (parameters := credentials_in(value)) is not None:
                    return parameters.get("nonce")
            except ValueError:
                continue
        return None

    def _session(self, response: Response) -> _Session | None:
        """Return a session for the best challenge of a response."""
        best: _Session | None = None
        refused = ""
        for challenge in challenges_in(response.headers.getall("www-authenticate")):
            name = challenge.get("algorithm", "MD5")
            algorithm = ALGORITHMS.get(name.lower())
            offered = challenge.get("qop", "").lower().replace(" ", "").split(",")
            if "realm" not in challenge or not challenge.get("nonce"):
                refused = "without realm and nonce"
            elif algorithm is None:
                refused = f"algorithm {name[:40]!r} is not known"
            elif algorithm.base == "MD5" and not self.options.allow_md5:
                refused = "it offers MD5 only; write allow_md5: true if you have to"
            elif (qop := self._qop(offered)) is None:
                refused = "no qop that can be used"
            elif best is None or (best.algorithm.base == "MD5" and algorithm.base != "MD5"):
                password = self.options.password.reveal().encode()
                ha1 = ha1_of(algorithm, self._user, challenge["realm"].encode("latin-1"), password)
                best = _Session(challenge, algorithm, qop, ha1)
        if best is None and refused and refused not in self._told and len(self._told) < 16:
            self._told.add(refused)
            self._log.warning("%s: the challenge of the backend is not answered: %s", self.entry.id, refused)
        return best

    def _qop(self, offered: list[str]) -> bytes | None:
        """Return what to use of what is offered: empty for a backend of RFC 2069, ``None`` if nothing can be used."""
        if offered == [""]:
            return b""
        usable = [each for each in ("auth", "auth-int") if each in offered]
        if not self.options.keep_bodies:
            usable = [each for each in usable if each != "auth-int"]
        chosen = self.options.qop if self.options.qop in usable else next(iter(usable), None)
        return None if chosen is None else chosen.encode()

    def _line(self, session: _Session, outbound: Outbound) -> str:
        """Write the credentials, parameters in the order of the examples of RFC 7616."""
        challenge, algorithm, qop = session.challenge, session.algorithm, session.qop
        session.count += 1
        count = f"{session.count & 0xFFFFFFFF:08x}"
        # With -sess it is the same for the whole session, so that it does not matter which one the backend hashes.
        cnonce = session.cnonce if algorithm.session else secrets.token_urlsafe(24)
        target = f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path
        response = response_of(
            algorithm,
            session.ha1,
            method=outbound.method.encode("latin-1"),
            uri=target.encode("latin-1"),
            nonce=challenge["nonce"].encode("latin-1"),
            qop=qop,
            count=count.encode(),
            cnonce=cnonce.encode(),
            body=outbound.body.data if qop == b"auth-int" else b"",
        )
        hashed = challenge.get("userhash", "").lower() == "true"
        parameters = {**self._name(session, hashed=hashed), "realm": quoted(challenge["realm"]), "uri": quoted(target)}
        if "algorithm" in challenge:
            parameters["algorithm"] = algorithm.name
        parameters["nonce"] = quoted(challenge["nonce"])
        if qop:
            parameters |= {"nc": count, "cnonce": quoted(cnonce), "qop": qop.decode()}
        elif algorithm.session:
            parameters["cnonce"] = quoted(cnonce)
        parameters["response"] = quoted(response.decode())
        if "opaque" in challenge:
            parameters["opaque"] = quoted(challenge["opaque"])
        if "userhash" in challenge:
            parameters["userhash"] = "true" if hashed else "false"
        return written(parameters)

    def _name(self, session: _Session, *, hashed: bool) -> dict[str, str]:
        name = self.options.username
        if hashed:
            realm = session.challenge["realm"].encode("latin-1")
            return {"username": quoted(user_hash(session.algorithm, self._user, realm).decode())}
        return {"username": quoted(name)} if name.isascii() else {"username*": extended(name)}
