"""The contract that answers come from: an OpenAPI 3.1 description, read once for all steps that refer to it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from hookgate.document import parse
from hookgate.workshop import ContractFile, at_pointer

MOST_HOPS = 32


class Contract(ContractFile):
    """The content of a file."""

    @staticmethod
    def parsed(data: bytes, name: str) -> Any:
        """Read JSON, or a document of another kind."""
        return orjson.loads(data) if name.lower().endswith(".json") else parse(data, name).value

    def responses(self, written: str) -> Mapping[str, Any]:
        """Find the answers of an operation, written ``GET /pets/{id}``.

        Raises:
            ValueError: there is no such operation, or the file is no such contract.
        """
        _, operation, _ = self.operation(written)
        answers = operation.get("responses")
        return answers if isinstance(answers, Mapping) else {}


def followed(value: Any, whole: Any) -> Any:
    """Follow references within a document; ``None`` for one that leads nowhere: a call is no time to complain."""
    for _ in range(MOST_HOPS):
        reference = value.get("$ref") if isinstance(value, Mapping) else None
        if not isinstance(reference, str):
            return value
        if not reference.startswith("#"):
            return None
        try:
            value = at_pointer(whole, unquote(reference))
        except LookupError:
            return None
    return None
