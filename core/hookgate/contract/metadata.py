"""What a document says of its things beside what they do: labels for plugins, people and tools, and keys of others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from hookgate.contract.plugin import Options

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is no name of a label: up to 63 small letters, digits, '_', '.' and '-', a letter first"
        )
    return value


LabelName = Annotated[str, AfterValidator(_name)]
"""The name of a label."""
Labels = Annotated[dict[LabelName, Annotated[str, Field(max_length=256)]], Field(max_length=32)]
"""Short texts by name."""


class Described(Options):
    """A record with labels, and with keys that begin with ``x-``, which hold anything and are left to whoever reads
    them: ``extensions``.
    """

    model_config = ConfigDict(json_schema_extra={"patternProperties": {"^x-.": True}})

    labels: Labels = Field(default_factory=dict)
    """Short texts by name, such as `team: checkout`, for plugins, expressions, logs and metrics: at most 32, each of up
    to 256 characters."""
    _extensions: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What stands under ``x-…``."""
        return self._extensions

    @model_validator(mode="wrap")
    @classmethod
    def _set_apart(cls, value: Any, handler: ModelWrapValidatorHandler[Described]) -> Described:
        found = {name: inner for name, inner in value.items() if is_extension(name)} if isinstance(value, dict) else {}
        if not found:
            return handler(value)
        record = handler({name: inner for name, inner in value.items() if name not in found})
        record._extensions = found
        return record


def is_extension(name: object) -> bool:
    """Whether a key is one that the house leaves alone."""
    return isinstance(name, str) and name.startswith("x-") and len(name) > 2
