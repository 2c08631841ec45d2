"""How an entry is written: the name of a plugin, its options, and what is said to the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from hookgate.contract.plugin import Options
from hookgate.exchange.errors import Path, Problem
from hookgate.expressions import Expression


def entry(family: str) -> Any:
    """Say that one entry of a family stands here."""
    return WithJsonSchema({"x-hookgate-family": family})


def entries(family: str) -> Any:
    """Say that a list of entries of a family stands here."""
    return WithJsonSchema({"type": "array", "items": {"x-hookgate-family": family}})


def as_list(value: object) -> object:
    """Take a list as it is.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list | tuple):
        raise ValueError("should be a list")  # noqa: TRY004 - pydantic collects ValueErrors
    return tuple(value)


Interceptors = Annotated[tuple[Any, ...], BeforeValidator(as_list), entries("interceptor"), Field(repr=False)]
"""Steps that are not built where they stand, since somebody else says what becomes of them. Their options are as they
are written, secrets among them, so they are never shown."""

HOST_KEY = "_"
"""The key inside an entry's options that belongs to the host and never to the plugin."""

ANY = "plugin"
"""What stands for a family where an entry of any may stand."""

PROFILE_SIDES = {"inbound": "auth", "outbound": "credential"}
"""What a security profile may say, with the family of what stands there (AC-36)."""


class Rejected(Exception):
    """An entry that cannot be built; the paths of its problems start at the entry."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("say why it is meant so")
    return text


class HostOptions(Options):
    """What an entry may say to the host, under `_`."""

    id: str | None = None
    """A name for this entry that stays the same when others are added or moved."""
    label: str = ""
    """What people see instead of the plugin's name."""
    disabled: bool = False
    """Checked, but left out of the flow."""
    when: Expression | None = None
    """The step is skipped for calls where this is false."""
    accept: dict[str, Annotated[str, Field(max_length=1000), AfterValidator(_reason)]] = Field(default_factory=dict)
    """Warnings of `hookgate check` that are meant so: the name of the rule, and the reason."""


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as it was written: a name, or a one-key mapping of the name to options."""

    name: str
    options: dict[str, Any]
    host: Any
    prefix: Path
    """Where the options stand, seen from the entry."""


def written(value: object) -> Written:
    """Take an entry apart, if nobody has yet.

    Raises:
        Rejected: it has neither of the two forms.
    """
    if isinstance(value, Written):
        return value
    if isinstance(value, str) and value:
        return Written(value, {}, None, ())
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, options),) = value.items()
        if options is None or isinstance(options, Mapping):
            rest = dict(options or {})
            return Written(name, rest, rest.pop(HOST_KEY, None), (name,))
        raise Rejected([Problem((name,), f"the options of {name} are written as a mapping, or left out")])
    message = "an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`"
    if isinstance(value, Mapping) and value:
        message += f"; here stand {' and '.join(map(str, value))}, so indent the options under their name"
    raise Rejected([Problem((), message)])


def is_disabled(entry: object) -> bool:
    """Whether an entry says that it is to be left out."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        (options,) = entry.values()
        host = options.get(HOST_KEY) if isinstance(options, Mapping) else None
        return isinstance(host, Mapping) and host.get("disabled") is True
    return False
