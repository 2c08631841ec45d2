"""The options of `callout`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from hookgate import ConnectionName, Expression
from hookgate.workshop import UrlTemplate, VariableOptions

_FIXED = re.compile(r"https?://[^/?{}@\\]+(?:[/?]|\Z)")
"""A beginning that no value can change the host of."""
_CALLS = ("url", "url_from", "hosts", "connection", "method", "headers", "body", "preserve_query", "preserve_headers")
_NOT_OF_A_JOIN = {*_CALLS, "preserve_body", "expect", "limit", "timeout", "on_failure", "mode", "at_once", "name"}


def _origin(text: str) -> str:
    """Bring `host`, `host:port` and `scheme://host:port` to the last form."""
    url = urlsplit(text if "://" in text else f"https://{text}")
    extra = url.path.strip("/") or url.query or url.fragment or url.username is not None
    if extra or url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"{text!r} is no host: write it like api.example.org, or http://10.0.0.7:8080 without TLS")
    return _written(url)


def _written(url: Any) -> str:
    return f"{url.scheme}://{url.hostname}:{url.port or {'http': 80, 'https': 443}[url.scheme]}"


def is_allowed(url: object, hosts: tuple[str, ...]) -> bool:
    """Whether something is a URL of one of the hosts, as the option has them."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or set(url) & set("\\ @#"):
        return False
    try:
        parsed = urlsplit(url)
        return parsed.scheme in ("http", "https") and bool(parsed.hostname) and _written(parsed) in hosts
    except ValueError:
        return False


class CalloutOptions(VariableOptions):
    """Options of `callout`."""

    name: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,63})?$")] = ""
    """Name of the variable for the answer: expressions read `vars.NAME.status`, `.headers` (names in lower case),
    `.body` (parsed if it is JSON, else text) and `.error`, which is null, or the reason if the call failed. Not needed
    with `mode: forget` and `join`."""
    url: UrlTemplate | None = None
    """An absolute URL, or with `connection` a path on that. Expressions in braces are put in percent-encoded, as in
    `https://rates.example.org/{request.query.currency}`; they cannot make another host."""
    url_from: Expression | None = None
    """In its place, an expression that gives the whole absolute URL. It has to be one of a host in `hosts`."""
    hosts: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Hosts that `url_from` may lead to, with port if it is another one than 443. Called by `https`, unless `http://`
    is written in front."""
    connection: ConnectionName | None = Field(
        default=None, validation_alias=AliasChoices("connection", "session_holder")
    )
    """The connection to call."""
    mode: Literal["sync", "async", "forget"] = "sync"
    """`sync` waits for the answer. `async` begins the call, and another step with `join` waits for it further on.
    `forget` lets the client's call go on and end; what comes of it is only logged if it fails."""
    at_once: int = Field(default=100, ge=1, le=10_000)
    """Forgotten calls of this step that may be under way; one more is left out, with a warning in the log."""
    join: str | None = None
    """Name of a call that was begun with `mode: async` and is waited for here; with it goes no other option."""

    @model_validator(mode="after")
    def _agree(self) -> CalloutOptions:
        if self.join is not None:
            if beside := sorted(_NOT_OF_A_JOIN & self.model_fields_set):
                raise ValueError(f"join waits for a call that another step begins; write {beside[0]} there")
            return self
        if (self.url is None) == (self.url_from is None):
            raise ValueError("write either url or url_from, or join")
        if (self.url_from is None) != (not self.hosts):
            raise ValueError("url_from and hosts go together: name the hosts that the expression may lead to in hosts")
        if self.url_from is not None and self.connection is not None:
            raise ValueError("url_from gives absolute URLs; with a connection write its path as url")
        if self.url is not None:
            self._check(self.url)
        if not self.name and self.mode != "forget":
            raise ValueError("name is required: the variable that has the answer")
        return self

    def _check(self, url: UrlTemplate) -> None:
        if self.connection is not None:
            if not url.start.startswith("/") or url.start.startswith("//"):
                raise ValueError("with a connection, url is a path that begins with one '/'")
        elif not _FIXED.match(url.start) or (url.start != url.text and not re.search(r"[/?]", url.start[8:])):
            raise ValueError(
                "url is absolute and names its host itself, like 'https://rates.example.org/{request.query.id}'; "
                "for a path name its connection, for a host from a value write url_from with hosts"
            )
