"""How the entries of a family stand in a section: anything here, since a builder checks them; named in the schema."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo, WithJsonSchema

from hookgate.validation import near


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


TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110, 5.6.2): names of headers and methods."""


def _connection(name: str, info: ValidationInfo) -> str:
    """Look for a name among the connections of the document that is being loaded; elsewhere any name will do."""
    known: Collection[str] | None = getattr((info.context or {}).get("builder"), "connections", None)
    if known is not None and name not in known:
        raise ValueError(f"there is no connection {name!r}{near(name, known)}")
    return name


ConnectionName = Annotated[str, AfterValidator(_connection)]
"""The name of a connection in the options of a plugin: a document that has no such connection is refused."""
