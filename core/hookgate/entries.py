"""How the entries of a family stand in a section: anything here, since a builder checks them; named in the schema."""

from __future__ import annotations

import re
from typing import Any

from pydantic import WithJsonSchema


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
