"""TLS towards backends: what the document says, and the contexts that connections are opened with.

One :class:`UpstreamTls` serves one connection, whatever its transport. It is asked whenever a connection is opened, so
that files and client certificates are replaced while the gateway runs; what is already open keeps what it began with.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from hookgate.contract.backends import Certificate
from hookgate.contract.plugin import Options
from hookgate.exchange.errors import ConnectFailed, Fault, Problem, outside
from hookgate.exchange.outbound import Target
from hookgate.http.authority import host_name
from hookgate.http.expiry import Expiry, der_of

log = logging.getLogger("hookgate.tls")

REPEATED = 60.0
"""Seconds before the same failure at the same place is logged again."""
LISTENS = 2.0
"""Seconds to wait for what a target says about a handshake that looked well."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _server_name(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return str(ip_address(value))
    except ValueError:
        return host_name(value)


def ciphers_known(value: str | None) -> str | None:
    """Check each word by itself: OpenSSL is content when it knows one of them (AC-30)."""
    if value is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for word in re.split(r"[:, ]+", value):
        if word.startswith(("!", "-", "+", "@")):
            continue
        try:
            context.set_ciphers(word)
        except ssl.SSLError:
            raise ValueError(f"OpenSSL knows no cipher suite of TLS 1.2 by {word!r}; see `openssl ciphers`") from None
    try:
        context.set_ciphers(value)
    except ssl.SSLError:
        raise ValueError(f"{value!r} leaves no cipher suite; see `openssl ciphers`") from None
    return value


class UpstreamTlsSection(Options):
    """TLS towards the `https` targets of a connection."""

    verify: bool = True
    """Whether the certificate of a target must be valid and made out to its host. Without this anybody between the
    gateway and the backend can read and change everything (AC-28)."""
    ca_file: Path | None = None
    """PEM file with the authorities that certificates may come from, instead of those this machine trusts. It is read
    again when it changes."""
    verify_host: bool = True
    """Whether the certificate must be made out to the host of the target. Without this any holder of a certificate of
    the same authorities can pose as the backend."""
    server_name: Annotated[str | None, AfterValidator(_server_name)] = None
    """The name that targets are asked for (SNI) and that their certificates are checked for, instead of the host of
    the target: for targets that are addresses."""
    versions: tuple[Literal["1.2", "1.3"], ...] = Field(default=(), max_length=2)
    """Versions of TLS that are spoken; 1.2 and 1.3 if left out or empty (AC-29)."""
    ciphers: Annotated[str | None, AfterValidator(ciphers_known)] = None
    """Cipher suites of TLS 1.2 as OpenSSL writes them; those that Python holds for safe if left out (AC-30)."""

    @model_validator(mode="after")
    def _agree(self) -> UpstreamTlsSection:
        if not self.verify and self.ca_file is not None:
            raise ValueError("ca_file has no effect while verify is off: leave out one of them")
        if self.ciphers is not None and self.versions and "1.2" not in self.versions:
            raise ValueError("ciphers are those of TLS 1.2, which versions does not list: leave out one of them")
        return self


def check(section: UpstreamTlsSection) -> list[Problem]:
    """Return what is wrong with the files of a section, with places relative to it."""
    if section.ca_file is None:  # what this machine trusts takes long to read, and is nothing that a document can mend
        return []
    try:
        _trusting(section)
    except ValueError as error:
        return [Problem(("ca_file",), str(error), outside=outside(error))]
    return []


class _Known(NamedTuple):
    """A context, and what it was made of."""

    key: Any
    context: ssl.SSLContext


class UpstreamTls:
    """The TLS of one connection: contexts for its transport, and what was seen of certificates."""

    def __init__(
        self,
        name: str = "",
        section: UpstreamTlsSection = UpstreamTlsSection(),  # noqa: B008 - it cannot be changed
        certificates: Callable[[], Sequence[Certificate]] = tuple,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.section = section
        self._name = name
        self._ask = certificates
        self._wall = wall
        self._shown: tuple[Certificate, ...] | None = None
        """The client certificates that were given last."""
        self._known: dict[tuple[str, ...], _Known] = {}
        self._lock = asyncio.Lock()
        self._said: dict[str, tuple[str, float]] = {}
        """What was logged last by place, and when."""
        self.expiry = Expiry(name, wall)

    def check(self) -> list[Problem]:
        """Try the client certificates before the document goes live; return what is wrong, with places in the
        connection. Whoever gives them must have been started. What is dangerous in the document is logged.
        """
        problems: list[Problem] = []
        try:
            given = tuple(self._ask())
        except (ValueError, OSError, LookupError) as error:
            problems.append(Problem(("auth",), f"there is no client certificate: {error}", outside=outside(error)))
        else:
            self._shown = given
            try:
                if given:
                    self._show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), given)
            except ValueError as error:
                problems.append(Problem(("auth",), str(error)))
        for warning in self.warnings:
            log.warning("connection %s %s", self._name, warning)
        return problems

    @property
    def shows_certificate(self) -> bool:
        """Whether there is a client certificate; known after :meth:`check`."""
        return bool(self._shown)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is dangerous in the document."""
        if not self.section.verify:
            return ("accepts any TLS certificate (tls.verify: false)",)
        if not self.section.verify_host:
            return ("accepts TLS certificates of any host (tls.verify_host: false)",)
        return ()

    # --- contexts ---------------------------------------------------------------------------------------------------

    async def latest(self, *protocols: str) -> ssl.SSLContext:
        """Return what to open a connection with now, offering these protocols (ALPN).

        Raises:
            ConnectFailed: the files cannot be used, and never could; if they could, the former ones stay in force.
        """
        key = self._key()
        known = self._known.get(protocols)
        if known is None or known.key != key:
            async with self._lock:
                known = self._known.get(protocols)
                if known is None or known.key != key:  # beside the loop: what this machine trusts takes 0.1 s to read
                    known = await asyncio.to_thread(self._renewed, known, key, protocols)
                    self._known[protocols] = known
        return known.context

    def name_of(self, target: Target) -> str:
        """Return the name to ask a target for and to check its certificate by."""
        if self.section.server_name is not None:
            return self.section.server_name
        if target.host_name == target.authority:
            return target.host
        return re.sub(r":\d+$", "", target.host_name).strip("[]")  # the name that an address was found by

    def _key(self) -> Any:
        """Say what the next context is made of: another answer, another context."""
        try:
            given = tuple(self._ask())
            if given != self._shown is not None and not self._known:  # there is none to stay in force yet
                self._show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), given)
            self._well("client certificate", "the client certificate can be had again")
            self._shown = given
        except Exception as error:  # noqa: BLE001 - a credential is somebody's plugin; what it gave last still holds
            self._say("client certificate", f"the client certificate cannot be had, the former stays: {error}")
        shown = self._shown or ()
        if shown:
            self.expiry.note("client", der_of(shown[-1].chain))
        else:
            self.expiry.forget("client")
        return self.section.ca_file and stamp_of(self.section.ca_file), shown

    def _renewed(self, before: _Known | None, key: Any, protocols: tuple[str, ...]) -> _Known:
        try:
            known = _Known(key, self._made(key[1], protocols))
            self._well("files", "the certificates can be read again")
            if before is not None:
                log.info("connection %s: certificates were read anew; new connections use them", self._name)
            return known
        except ValueError as error:
            if before is None:
                self._say("files", str(error))
                detail = "No secure connection to the backend came about."
                raise ConnectFailed(detail, reason="tls-failed") from None
            log.error("connection %s: %s; what was in force stays so", self._name, error)  # noqa: TRY400
            return _Known(key, before.context)

    def _made(self, shown: tuple[Certificate, ...], protocols: tuple[str, ...]) -> ssl.SSLContext:
        if not shown and self.section == _DEFAULT:
            return default_context(*protocols)
        section = self.section
        context = _trusting(section)
        if section.versions:
            context.minimum_version = min(_VERSIONS[each] for each in section.versions)
            context.maximum_version = max(_VERSIONS[each] for each in section.versions)
        if section.ciphers is not None:
            context.set_ciphers(section.ciphers)
        self._show(context, shown)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def _show(self, context: ssl.SSLContext, certificates: tuple[Certificate, ...]) -> None:
        """Have a context show client certificates (HC-13)."""
        for certificate in certificates:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # ssl reads files only; this is ours (0600)
                file.write(f"{certificate.chain}\n{certificate.key.reveal()}\n")
                file.flush()
                # Without a password OpenSSL would ask for one on the terminal.
                password = certificate.password.reveal() if certificate.password is not None else ""
                try:
                    context.load_cert_chain(file.name, password=password)
                except (OSError, ValueError) as error:
                    hint = "the client certificate cannot be used: give chain and key in PEM, and the key's password"
                    raise ValueError(f"{hint} ({openssl_reason(error)})") from None

    # --- what was seen ----------------------------------------------------------------------------------------------

    def opened(self, target: Target, connection: ssl.SSLObject | ssl.SSLSocket | None) -> None:
        """A connection was opened: note the certificate that the target has shown."""
        if self._said:
            self._well(f"certificate of {target.url}", f"the certificate of {target.url} is right again")
        if connection is not None:
            self.expiry.note(target.url, connection.getpeercert(binary_form=True))

    def failed(self, target: Target, error: BaseException) -> None:
        """TLS with a target failed: log why. The client is not told more than that it did."""
        about = "certificate of " if isinstance(error, ssl.SSLCertVerificationError) else ""
        self._say(f"{about}{target.url}", f"no TLS with {target.url}: {explained(error)}")

    async def refusal(self, target: Target, *protocols: str) -> Exception | None:
        """Shake hands with a target that has broken off a new connection, and send nothing: does it refuse us?

        In TLS 1.3 a client has sent its request when it hears that its certificate is not taken. What it would hear is
        lost where its request meets a connection that is closed already.
        """
        try:
            async with asyncio.timeout(LISTENS):
                context, name = await self.latest(*protocols), self.name_of(target)
                reader, writer = await asyncio.open_connection(
                    target.host, target.port, ssl=context, server_hostname=name
                )
                try:
                    await reader.read(
                        1
                    )  # to hang up without an alert refuses nobody: it may be what it does when it ends
                finally:
                    writer.transport.abort()
        except ssl.SSLError as error:
            return error
        except (OSError, TimeoutError, Fault):
            pass
        return None

    def facts(self) -> Mapping[str, Any]:
        """Return what to show of certificates: until when they hold in Unix time, by origin, and what is dangerous."""
        known = dict(self.expiry.known())
        ours = known.pop("client", None)
        return {"certificates": known, "client_certificate": ours, "warnings": list(self.warnings)}

    def _well(self, place: str, text: str) -> None:
        """What was complained of is right again."""
        if self._said.pop(place, None) is not None and text:
            log.info("connection %s: %s", self._name, text)

    def _say(self, place: str, text: str) -> None:
        """Log, but not the same over and over."""
        now = self._wall()
        said, when = self._said.get(place, ("", 0.0))
        if said == text and 0 <= now - when < REPEATED:
            return
        if len(self._said) >= 1000:
            self._said.clear()
        self._said[place] = (text, now)
        log.warning("connection %s: %s", self._name, text)


_DEFAULT = UpstreamTlsSection()
_contexts: dict[tuple[str, ...], ssl.SSLContext] = {}


def default_context(*protocols: str) -> ssl.SSLContext:
    """Trust what this machine trusts. Reading its authorities takes a tenth of a second, so all connections share."""
    if protocols not in _contexts:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # not every build of Python and OpenSSL says so (RFC 9325)
        if protocols:
            context.set_alpn_protocols(protocols)
        _contexts[protocols] = context
    return _contexts[protocols]


class _Named(ssl.SSLContext):
    """Asks for one name, whatever host a connection goes to: not every client library can be told."""

    server_name = ""

    def wrap_bio(
        self, incoming: Any, outgoing: Any, server_side: bool = False, server_hostname: Any = None, session: Any = None
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name, session)


def _trusting(section: UpstreamTlsSection) -> ssl.SSLContext:
    """Make a context that trusts what the section says.

    Raises:
        ValueError: the file of the authorities cannot be used; the text names it.
    """
    context: ssl.SSLContext
    if section.server_name is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = _Named(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = section.server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # `versions` may say otherwise
    if not section.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.check_hostname = section.verify_host
    if sys.version_info >= (3, 13):  # as ssl.create_default_context() does from there on
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags.VERIFY_X509_STRICT
    if section.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(section.ca_file)
    except (OSError, ValueError) as error:
        raise ValueError(f"the authorities in {section.ca_file} cannot be used ({openssl_reason(error)})") from None
    return context


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Tell a file from what stands in its place later; follows links, as Kubernetes exchanges secrets by them."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def openssl_reason(error: Exception) -> str:
    """Say what OpenSSL or the system found, without places in their source and nothing of what was in the files."""
    said = getattr(error, "verify_message", "") or getattr(error, "reason", "") or getattr(error, "strerror", "") or ""
    return "not PEM" if not said or "PEM lib" in said else said.replace("_", " ").lower()


_ALERTS = {
    "PROTOCOL_VERSION": "it speaks none of the versions of TLS that tls.versions allows",
    "UNSUPPORTED_PROTOCOL": "it speaks none of the versions of TLS that tls.versions allows",
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS, or not on this port",
    "HTTP_REQUEST": "what listens there does not speak TLS, or not on this port",
    "HANDSHAKE_FAILURE": "it found no cipher suite in common, or it wants a client certificate",
    "CERTIFICATE_REQUIRED": "it wants a client certificate",
    "UNKNOWN_CA": "it does not know the authority of the client certificate",
    "ALERT_CERTIFICATE_EXPIRED": "it says that the client certificate has expired",
    "BAD_CERTIFICATE": "it does not take the client certificate",
    "NO_APPLICATION_PROTOCOL": "it speaks none of the protocols that were offered (ALPN)",
    "UNRECOGNIZED_NAME": "it does not know the name that it was asked for; see tls.server_name",
}
_VERIFY = {
    9: "its certificate does not hold yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed; name it, or its authority, in tls.ca_file",
    19: "its authority is not trusted; name it in tls.ca_file",
    20: "its authority is not trusted, or the chain it shows is not whole; see tls.ca_file",
    21: "its authority is not trusted, or the chain it shows is not whole; see tls.ca_file",
    62: "its certificate is made out to another host name; see tls.server_name",
    64: "its certificate is not made out to this address; see tls.server_name",
}


def explained(error: BaseException) -> str:
    """Say why TLS failed, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, error.verify_message or "its certificate is not right")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        for part, text in _ALERTS.items():
            if part in reason:
                return text
        return reason.replace("_", " ").lower() or "TLS failed"
    return error.detail if isinstance(error, Fault) else "the connection ended in the handshake"
