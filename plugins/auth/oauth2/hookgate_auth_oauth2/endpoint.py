"""Calls to an authorization server: a form goes there, JSON comes back, and nothing secret gets into a message."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

from pydantic import AfterValidator, Field, model_validator

from hookgate import Duration, Fault, HttpClient, Options, Secret
from hookgate.workshop import FilledSecret, is_loopback

ANSWER_LIMIT = 64 * 1024
"""Bytes an answer may have; the largest tokens in use are a tenth of it."""
LONGEST_PAUSE = 300.0
"""Seconds that a server's `Retry-After` is obeyed at most."""
Form = list[tuple[str, str]]

_SECRET_PARAMETERS = frozenset({"refresh_token", "password", "token", "code", "code_verifier"})
_PRINTABLE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


class EndpointError(Exception):
    """The server gave nothing that can be used. The message is for the log: it holds no secret."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        """Status of the answer, or 0 if there was none."""
        self.retry_after = retry_after
        """Seconds the server wants to be left alone."""

    @property
    def refused(self) -> bool:
        """Whether the server understood and said no, so that the same will be refused again."""
        return 400 <= self.status < 500 and self.status not in {408, 429}


def _text(value: str) -> str:
    if not value:
        raise ValueError("it is empty; write one or leave it out")
    return value


Text = Annotated[str, AfterValidator(_text)]


class ServerOptions(Options):
    """How the gateway calls an authorization server."""

    client_id: Text | None = None
    """Name under which the gateway is registered at the authorization server."""
    client_secret: FilledSecret | None = None
    """Secret that goes with `client_id`."""
    client_authentication: Literal["client_secret_basic", "client_secret_post", "none"] = "client_secret_basic"
    """How the two are shown to the server (RFC 6749, 2.3.1): `client_secret_basic` in the header `Authorization`,
    `client_secret_post` in the form. `none` is for a client that has no secret: it sends `client_id` in the form, as
    happens by itself when there is no `client_secret`."""
    allow_http: bool = False
    """Whether the server may be called without TLS although it is on another machine. Whoever listens on the way then
    reads secrets and tokens; `http` to a loopback address needs no leave."""
    timeout: Duration = Field(default=10.0, gt=0, le=60)
    """Seconds the server may take for one answer, from looking up its name to the last byte."""

    @model_validator(mode="after")
    def _have_a_client_for_the_secret(self) -> "ServerOptions":
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("client_secret: it says nothing without client_id; write both or none")
        if self.client_secret is not None and self.client_authentication == "none":
            raise ValueError(
                "client_authentication: none sends no secret; take client_secret out, or choose client_secret_basic"
            )
        return self


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r} is not an absolute https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the URL at {parts.hostname} has a user or password; use client_id and client_secret")
    if parts.fragment:
        raise ValueError(f"{url!r} has a fragment, which RFC 6749, 3.2, does not allow; take it out")
    _ = parts.port  # raises ValueError for a port that is none
    return url


Url = Annotated[str, AfterValidator(_url)]


def check_safe(name: str, url: str, *, allow_http: bool) -> None:
    """Check that secrets may be sent to the URL of an option.

    Raises:
        ValueError: it is `http` to another machine.
    """
    parts = urlsplit(url)
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname or ""):
        raise ValueError(
            f"{name}: {url!r} would carry secrets in the clear; write https, or allow_http: true where the way there "
            "is safe"
        )


class Endpoint:
    """One endpoint of an authorization server, and how this client shows who it is."""

    def __init__(self, url: str, options: ServerOptions, secrets: Iterable[Secret | None] = ()) -> None:
        self.url = url
        self._timeout = options.timeout
        self._headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        self._form: Form = []
        client, secret = options.client_id, options.client_secret
        self._secrets = [value.reveal() for value in (secret, *secrets) if value is not None]
        if client is None:
            return
        if secret is None:
            self._form = [("client_id", client)]
        elif options.client_authentication == "client_secret_post":
            self._form = [("client_id", client), ("client_secret", secret.reveal())]
        else:
            # Both are form-encoded before Base64 (RFC 6749, 2.3.1), so that either may have a colon.
            pair = f"{quote_plus(client)}:{quote_plus(secret.reveal())}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode('ascii')}"

    async def post(self, http: HttpClient, form: Form) -> dict[str, Any]:
        """Send a form and return the JSON object that comes back.

        Raises:
            EndpointError: there was no answer in time, or not 200 with a JSON object of at most 64 KiB.
        """
        secrets = [*self._secrets, *(value for name, value in form if name in _SECRET_PARAMETERS)]
        body = urlencode([*form, *self._form]).encode("ascii")
        try:
            response = await http.request("POST", self.url, headers=self._headers, body=body, timeout=self._timeout)
        except Fault as fault:
            raise EndpointError(f"{self.url} cannot be reached: {_clean(fault.detail, secrets)}") from None
        except ValueError:
            raise EndpointError(f"{self.url} cannot be called: it is not a URL") from None
        status, data = response.status, response.body.data
        answer = _object(data)
        if status != 200:
            said = "" if answer is None else _said(answer, secrets)
            pause = _seconds(response.headers.get("retry-after"))
            raise EndpointError(f"{self.url} answered {status}{said}", status=status, retry_after=pause)
        if len(data) > ANSWER_LIMIT:
            raise EndpointError(f"{self.url} answered with more than {ANSWER_LIMIT} bytes")
        if answer is None:
            raise EndpointError(f"{self.url} answered 200 without a JSON object")
        return answer


def _said(answer: dict[str, Any], secrets: list[str]) -> str:
    words = [answer.get("error"), answer.get("error_description")]
    return "".join(f": {_clean(word, secrets)}" for word in words if isinstance(word, str))


def _clean(text: str, secrets: list[str]) -> str:
    """Return what a server said as far as a log may have it: one short line in which no secret of ours stands."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "********")
    return " ".join(_PRINTABLE.findall(text[:1000]))[:200]


def _object(data: bytes) -> dict[str, Any] | None:
    if len(data) > ANSWER_LIMIT:
        return None
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _seconds(value: str | None) -> float:
    """Read `Retry-After` as far as it counts seconds."""
    return min(float(value), LONGEST_PAUSE) if value is not None and re.fullmatch(r"[0-9]{1,9}", value) else 0.0
