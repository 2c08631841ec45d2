"""What `vault` is told."""

from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from hookgate import Duration, Options, Secret

Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[!-~]+$")]


def _base(address: str) -> str:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for a wrong one
    except ValueError as error:
        raise ValueError(f"that is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an absolute URL such as https://vault.example.org:8200")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address has no user name, query or fragment")
    if parts.path.rstrip("/").endswith("/v1") or ".." in PurePosixPath(parts.path).parts:
        raise ValueError("leave out /v1: it is added to the address")
    return address.rstrip("/")


def _mount(mount: str) -> str:
    if any(part in ("", ".", "..") for part in mount.split("/")):
        raise ValueError("write a mount such as approle, without slashes at its ends")
    return mount


class AppRole(Options):
    """How to log in as a machine."""

    role_id: Secret
    """Id of the role."""
    secret_id: Secret | None = None
    """The secret id, unless the role is bound to networks instead. It is used for each login, so one that may be used
    only once does not last."""
    mount: Annotated[Line, AfterValidator(_mount)] = "approle"
    """Where the auth method is mounted, without `auth/`."""


class VaultOptions(Options):
    """Options of `vault`. One of `token` and `app_role` is needed."""

    address: Annotated[Line, AfterValidator(_base)]
    """URL of the server, such as `https://vault.example.org:8200`. The authorities that this machine trusts are
    trusted; the environment variable `SSL_CERT_FILE` names others."""
    token: Secret | None = None
    """A token. It is renewed as long as it can be."""
    app_role: AppRole | None = None
    """Log in with AppRole; the token is renewed, replaced when it ends, and revoked when the gateway stops."""
    namespace: Line | None = None
    """The namespace to ask in."""
    allow: tuple[str, ...] | None = None
    """Patterns of the paths that may be read (`secret/data/gateway/*`); all that the token may read if left out. With
    documents that others write, name what is meant for them."""
    allow_plaintext: bool = False
    """Whether to send the token over plain http to another machine, where everyone on the way can read it."""
    timeout: Duration = Field(default=5.0, gt=0, le=60)
    """Seconds to wait for one answer. The whole of a reference may take ten seconds."""
    refresh: Duration = Field(default=60.0, ge=0)
    """Seconds between two reads of what was read before. When something is another value, the document is loaded
    again. 0 to read only when it is loaded for another reason."""

    def model_post_init(self, context: Any, /) -> None:
        """Check what only makes sense together."""
        if (self.token is None) == (self.app_role is None):
            raise ValueError("write either token or app_role: vault gives nothing to strangers")
        parts = urlsplit(self.address)
        if parts.scheme == "http" and not self.allow_plaintext and not _is_here(parts.hostname or ""):
            raise ValueError("the token would go over plain http: write https, or allow_plaintext: true")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
