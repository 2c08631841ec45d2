"""The value of an environment variable for a header action."""

import os
from contextlib import suppress
from fnmatch import fnmatchcase
from weakref import WeakKeyDictionary

from pydantic import Field, field_validator

from hookgate import BadGateway, Exchange, HeaderProvider, Headers, Host, Options, Outbound, hookimpl

ALLOW = "HOOKGATE_ENV_ALLOW"
"""The variable that says which variables header actions may read: patterns such as `CRM_*`, separated by commas. It
belongs to the process and not to the document, so that whoever may write documents cannot read what the environment
holds beside: passwords, above all. Every name may be read if it is not set, none if it is empty."""

_warned: WeakKeyDictionary[Host, set[str]] = WeakKeyDictionary()
"""Variables that a running gateway has already warned about."""


class EnvOptions(Options):
    """Options of `env`."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable, such as `JAVA_HOME`. It must match a pattern of `HOOKGATE_ENV_ALLOW` where the
    process sets that."""
    required: bool = False
    """Whether a call without the variable fails with 502 instead of going out without the header."""

    @field_validator("name")
    @classmethod
    def _readable(cls, name: str) -> str:
        allowed = os.environ.get(ALLOW)
        if allowed is not None and not any(fnmatchcase(name, pattern.strip()) for pattern in allowed.split(",")):
            raise ValueError(f"environment variable {name} may not be read; {ALLOW} does not name it")
        return name


class Env(HeaderProvider[EnvOptions]):
    """Gives every attempt the value that an environment variable has at that moment (AC-23).

    If the variable is not set the header is left out: a warning in the log says so once for each name, and one in the
    trace of every traced call. With `required` the call ends in 502 with the reason `config-error`. A value that no
    header can hold, with a control character or one outside Latin-1, counts as not set and is logged as an error. An
    empty value is a value.
    """

    needs = "environment"

    def __init__(self, options: EnvOptions) -> None:
        super().__init__(options)
        self._host: Host | None = None
        self._checked: tuple[str | None, str | None] = (None, None)
        """The value that was looked at last, and what came of it."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Look at the variable, so that a warning comes when the configuration goes live and not at the first call."""
        self._host = host
        self._read()

    @hookimpl
    def value(self, exchange: Exchange, outbound: Outbound) -> str | None:
        """Return the value, or `None` if there is none.

        Raises:
            BadGateway: there is none, and it is required.
        """
        value = self._read()
        if value is not None:
            return value
        why = "is not set" if self.options.name not in os.environ else "cannot be sent in a header"
        exchange.note(
            f"warning: connection {outbound.connection}: environment variable {self.options.name} {why}, "
            f"so {self._consequence}"
        )
        if self.options.required:
            raise BadGateway("The gateway is not set up for calls to this backend.", reason="config-error")
        return None

    @property
    def _consequence(self) -> str:
        return "calls end in 502" if self.options.required else "its header is left out"

    def _read(self) -> str | None:
        value = os.environ.get(self.options.name)
        if value is None:
            self._warn()
            return None
        if value != self._checked[0]:
            self._checked = value, self._sendable(value)
        return self._checked[1]

    def _sendable(self, value: str) -> str | None:
        with suppress(ValueError):
            return Headers({"value": value})["value"]
        if self._host is not None:
            self._host.log.error(
                "%s: environment variable %s holds a control character or one outside Latin-1 and cannot be sent",
                self.entry.id,
                self.options.name,
            )
        return None

    def _warn(self) -> None:
        if self._host is None:
            return
        names = _warned.setdefault(self._host, set())
        if self.options.name not in names:
            names.add(self.options.name)
            self._host.log.warning(
                "%s: environment variable %s is not set, so %s", self.entry.id, self.options.name, self._consequence
            )
