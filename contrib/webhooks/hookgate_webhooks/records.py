"""The record of a webhook."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from hookgate import ConnectionName, Duration, Options, PositiveDuration, Secret
from hookgate.contract import Described
from hookgate_workflows import pattern

Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
OWN = ("content-type", "content-length", "host", "transfer-encoding", "connection")


class WebhookBasicSection(Options):
    """Basic authentication."""

    user: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00-\x1f]+$")]
    """The user."""
    password: Secret
    """The password."""


class WebhookHeaderSection(Options):
    """A header that says who calls."""

    name: Header
    """Its name."""
    value: Secret
    """Its value."""

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name.lower() in OWN or name.lower().startswith("webhook-"):
            raise ValueError(f"{name} is one that the webhook sends itself")
        return name


class WebhookSection(Described):
    """Somebody who is told of calls of custom routes that were completed in success."""

    methods: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")], ...], Field(max_length=20)] = ()
    """Methods of calls that it is told of; all if left out."""
    url: Annotated[str, Field(min_length=1, max_length=1000)]
    """A regular expression of RE2 that matches the whole path of the call, such as `/api/v01/custom/orders/.*`."""
    connection: ConnectionName
    """The connection that it is sent through."""
    path: Annotated[str, Field(pattern=r"^/[^\s#]*$", max_length=2000)] = "/"
    """The path there."""
    event: Annotated[str, Field(min_length=1, max_length=100)] = "route.completed"
    """What is said in `event`."""
    secret: Secret | None = None
    """What is said in `secret`, for those who know by it that the payload is ours."""
    signing_key: Secret | None = None
    """The key that payloads are signed with: a text, or `whsec_` and Base64."""
    basic: WebhookBasicSection | None = None
    """Basic authentication."""
    header: WebhookHeaderSection | None = None
    """A header of your own."""
    timeout: PositiveDuration = Field(default=10.0, le=60)
    """Seconds until an answer has to be there."""
    attempts: int = Field(default=8, ge=1, le=30)
    """How often one is tried at most."""
    delay: Annotated[Duration, Field(ge=0.05, le=3600)] = 5.0
    """Seconds until the second try; each further one waits three times as long, an hour at most."""
    enabled: bool = True
    """Whether anything is sent. Switched off, calls are not noted for it either."""

    @model_validator(mode="after")
    def _right(self) -> Self:
        pattern(self.url)
        if self.basic is not None and self.header is not None and self.header.name.lower() == "authorization":
            raise ValueError("header: basic writes Authorization already")
        if self.signing_key is not None:
            self.key  # noqa: B018 - that it can be read is the check
        return self

    @property
    def key(self) -> bytes:
        """The key that payloads are signed with."""
        written = "" if self.signing_key is None else self.signing_key.reveal()
        if not written.startswith("whsec_"):
            return written.encode()
        try:
            return base64.b64decode(written.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("signing_key: behind whsec_ stands no Base64") from None

    def takes(self, method: str, path: str) -> bool:
        """Whether it is told of a call."""
        fits = not self.methods or method.upper() in self.methods
        return self.enabled and fits and pattern(self.url).fullmatch(path) is not None
