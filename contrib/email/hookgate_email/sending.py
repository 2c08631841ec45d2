"""One message, built and given to a server by SMTP."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hookgate import Options, PositiveDuration, Secret
from hookgate_workflows import NodeFailed

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=.{1,253}\Z)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
LONGEST_SUBJECT = 500
_SHOWN = 200


class Server(Options):
    """The server that mail is given to."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")]
    """The name or address; it is written, and not rendered."""
    port: int = Field(default=587, ge=1, le=65535)
    """The port."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`starttls`: the connection is encrypted before anything is sent, and the mail fails where the server cannot do
    that. `implicit`: TLS from the first byte (port 465). `none`: no TLS, and no password either."""
    ca_file: Path | None = None
    """A file with the certificates (PEM) of the authorities that the server is checked by; those of this machine if it
    is left out."""
    user: Annotated[str, Field(max_length=256)] = ""
    """Who logs in; nobody if it is left out."""
    password: Secret | None = None
    """The password of that user."""
    timeout: PositiveDuration = Field(default=30.0, le=600)
    """Seconds for all of it."""

    @model_validator(mode="after")
    def _password_only_with_tls(self) -> Server:
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password go together: give both, or none")
        if self.user and self.tls == "none":
            raise ValueError("a password is never sent without TLS: set tls to starttls or implicit")
        return self


@dataclass(frozen=True, slots=True)
class Mail:
    """What is sent."""

    sender: str
    to: Sequence[str]
    cc: Sequence[str]
    bcc: Sequence[str]
    reply_to: str
    subject: str
    text: str
    html: str
    attachments: Sequence[tuple[str, bytes]]

    @property
    def receivers(self) -> list[str]:
        """Everybody who gets it, once."""
        return list(dict.fromkeys((*self.to, *self.cc, *self.bcc)))

    def encoded(self, key: str) -> bytes:
        """Return it as it is sent; ``key`` makes its `Message-ID`, which is the same for every attempt.

        Raises:
            NodeFailed: the subject has an end of line or is too long, or a text cannot be written.
        """
        if len(self.subject) > LONGEST_SUBJECT or not self.subject.isprintable():
            raise NodeFailed(f"subject has an end of line, or more than {LONGEST_SUBJECT} characters; nothing was sent")
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self.sender, ", ".join(self.to), self.subject
        if self.cc:
            message["Cc"] = ", ".join(self.cc)
        if self.reply_to:
            message["Reply-To"] = self.reply_to
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{key}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        try:
            message.set_content(self.text)
            if self.html:
                message.add_alternative(self.html, subtype="html")
            for name, content in self.attachments:
                main, _, sub = (mimetypes.guess_type(name)[0] or "application/octet-stream").partition("/")
                message.add_attachment(content, maintype=main, subtype=sub, filename=name)
            return message.as_bytes()
        except ValueError:  # a lone surrogate, for one
            raise NodeFailed("the text or a name cannot be written into a mail; nothing was sent") from None


def address(place: str, found: object) -> str:
    """Return what is an address, and nothing else.

    Raises:
        NodeFailed: it is none.
    """
    if not isinstance(found, str) or not _ADDRESS.fullmatch(found):
        raise NodeFailed(f"{place} is no address such as anna@example.com; nothing was sent")
    return found


async def send(server: Server, sender: str, receivers: Sequence[str], message: bytes) -> list[str]:
    """Give a message to the server, and return those receivers that it has refused.

    Raises:
        NodeFailed: it was not sent, or nobody knows; the text says which.
    """
    from aiosmtplib import SMTP as Client  # noqa: N811 - a gateway that sends no mail does not import it
    from aiosmtplib import SMTPAuthenticationError, SMTPException, SMTPRecipientsRefused, SMTPResponseException

    place = f"{server.host}:{server.port}"
    under_way = False
    try:
        context = None if server.tls == "none" else ssl.create_default_context(cafile=server.ca_file)
        client = Client(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=context,
            timeout=server.timeout,
        )
        async with asyncio.timeout(server.timeout):
            try:
                await client.connect()
                if server.password is not None:
                    await client.login(server.user, server.password.reveal())
                under_way = True
                refused, _ = await client.sendmail(sender, list(receivers), message)
            finally:
                client.close()
        return list(refused)
    except SMTPAuthenticationError as error:
        raise NodeFailed(f"{place} has not let the user in ({error.code}); nothing was sent") from None
    except SMTPRecipientsRefused:
        raise NodeFailed(f"{place} has refused every receiver; nothing was sent") from None
    except SMTPResponseException as error:
        told = "".join(each if each.isprintable() else " " for each in error.message)[:_SHOWN]
        raise NodeFailed(f"{place} has refused the mail: {error.code} {told}; nothing was sent") from None
    except (SMTPException, OSError, TimeoutError) as error:
        if under_way:
            raise NodeFailed(f"{place} has not confirmed the mail; nobody knows whether it was sent") from None
        is_late = isinstance(error, TimeoutError)
        why = f"no answer within {server.timeout:g} s" if is_late else _reason(error)
        raise NodeFailed(f"{place} cannot be used: {why}; nothing was sent") from None


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return "".join(each if each.isprintable() else " " for each in text)[:_SHOWN]
