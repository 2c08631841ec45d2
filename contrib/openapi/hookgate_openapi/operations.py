"""The operations of a description: their paths as the gateway writes them, and what the contract says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hookgate.exchange import TOKEN, Path
from hookgate.flow import Template, parse
from hookgate_openapi.description import Description
from hookgate_openapi.parameters import Parameters
from hookgate_openapi.schemas import Schemas
from hookgate_openapi.servers import Server, own

METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace", "query")
"""Keys of a path item that are methods; `query` since OpenAPI 3.2."""
_OF_FIELDS = ("style", "explode", "allowReserved", "contentType")
_STATUS = re.compile(r"default|[1-5](\d\d|XX|xx)")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    """As the gateway writes it."""
    method: str
    """In capitals."""
    contract: dict[str, Any]
    """What OpenAPI 3.1 says of it."""
    server: Server | None = None
    """Where its calls go, if not where those of the others do."""

    @property
    def checks_request(self) -> bool:
        """Whether there is anything to check in a request."""
        return bool(self.contract.get("parameters") or self.contract.get("requestBody"))

    @property
    def produces(self) -> tuple[str, ...]:
        """Content types of the answers, in order."""
        answers = self.contract["responses"].values()
        return tuple(dict.fromkeys(media for answer in answers for media in answer.get("content", ())))


class Operations:
    """Reads the operations of a description, one after the other."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._old = description.version == "2.0"
        self.schemas = Schemas(description)
        self.parameters = Parameters(description, self.schemas)
        self.examples: dict[str, Any] = {}
        self._seen: dict[tuple[Any, str], str] = {}
        self.warnings = self.parameters.warnings

    def all(self) -> Iterator[Operation]:
        """Walk over the operations, in the order of the description."""
        paths = self._description.mapping(self._description.value.get("paths"), ("paths",))
        for written, value in paths.items():
            if written.startswith("x-"):
                continue
            item, place = self._description.resolved(value, ("paths", written))
            item = self._description.mapping(item, place)
            path, template, renamed = self._path(written)
            if template is None:
                continue
            for method, operation, at in self._methods(item, place):
                known = self._seen.setdefault((template.shape, method), f"{method} {written}")
                if known != f"{method} {written}":
                    self.warnings.append(f"{method} {written} is left out: it cannot be told from {known}")
                    continue
                if isinstance(operation, Mapping):
                    contract = self._contract(item, place, operation, at, renamed)
                    yield Operation(path, method, contract, own(self._description, item, place, operation, at))
                else:
                    self._description.refuse(at, "an operation is a mapping")

    def _path(self, written: str) -> tuple[str, Template | None, dict[str, str]]:
        """Write a path as the gateway does, with the names of its variables: those that it cannot use are renamed."""
        renamed: dict[str, str] = {}
        for name in _VARIABLE.findall(written):
            fitting = base = _NOT_IN_NAMES.sub("_", name) or "_"
            number = 1
            while fitting in renamed.values():
                number += 1
                fitting = f"{base}_{number}"
            renamed.setdefault(name, fitting)
        pieces = _VARIABLE.split(written)
        literals = [quote(piece, safe="/%:@!$&'()+,;=-._~*?#{}") for piece in pieces[::2]]
        names = [f"{{{renamed[name]}}}" for name in pieces[1::2]]
        path = "".join(part for pair in zip(literals, [*names, ""], strict=True) for part in pair)
        try:
            return path, parse(path), renamed
        except ValueError as error:
            self._description.refuse(("paths", written), str(error))
            return path, None, renamed

    def _methods(self, item: Mapping[str, Any], place: Path) -> Iterator[tuple[str, Any, Path]]:
        for key in METHODS:
            if key in item and (key != "query" or self._description.version == "3.2"):
                yield key.upper(), item[key], (*place, key)
        more = self._description.mapping(item.get("additionalOperations"), (*place, "additionalOperations"))
        for name, value in more.items():
            at = (*place, "additionalOperations", name)
            if TOKEN.fullmatch(name):
                yield name.upper(), value, at
            else:
                self._description.refuse(at, f"{name!r} is no method")

    def _contract(
        self, item: Mapping[str, Any], place: Path, operation: Mapping[str, Any], at: Path, renamed: dict[str, str]
    ) -> dict[str, Any]:
        words = ("operationId", "summary", "description", "tags", "deprecated", "security")
        contract: dict[str, Any] = {word: operation[word] for word in words if word in operation}
        found = self.parameters.of(
            (item.get("parameters"), (*place, "parameters")), (operation.get("parameters"), (*at, "parameters"))
        )
        if parameters := self.parameters.written(found, renamed):
            contract["parameters"] = parameters
        if self._old:
            consumes = self._media_types("consumes", operation, at)
            body = self.parameters.body_of_swagger(found, consumes)
        else:
            body = self._body(operation.get("requestBody"), (*at, "requestBody"))
        if body is not None:
            contract["requestBody"] = body
        responses = self._description.mapping(operation.get("responses"), (*at, "responses"))
        contract["responses"] = {
            str(status): self._response(value, (*at, "responses", status), operation)
            for status, value in responses.items()
            if not status.startswith("x-") and self._is_status(status, (*at, "responses", status))
        }
        return contract

    def _media_types(self, key: str, operation: Mapping[str, Any], at: Path) -> list[str]:
        """Return what Swagger 2.0 says of content types: for this operation, or for all of them."""
        own = key in operation
        said = operation[key] if own else self._description.value.get(key)
        return [str(media) for media in self._description.listed(said, at if own else (key,))]

    def _is_status(self, status: str, at: Path) -> bool:
        if not _STATUS.fullmatch(status):
            self._description.refuse(at, f"{status!r} is no status: 200, 4XX, default")
            return False
        return True

    def _body(self, value: Any, path: Path) -> dict[str, Any] | None:
        if value is None:
            return None
        body, path = self._description.resolved(value, path)
        body = self._description.mapping(body, path)
        content = self._content(body.get("content"), (*path, "content"), answered=False)
        return {**({"required": True} if body.get("required") is True else {}), "content": content}

    def _response(self, value: Any, path: Path, operation: Mapping[str, Any]) -> dict[str, Any]:
        response, path = self._description.resolved(value, path)
        response = self._description.mapping(response, path)
        written: dict[str, Any] = {"description": str(response.get("description", ""))}
        if headers := self._headers(response.get("headers"), (*path, "headers")):
            written["headers"] = headers
        if self._old:
            content = self._content_of_swagger(response, path, operation)
        else:
            content = self._content(response.get("content"), (*path, "content"), answered=True)
        if content:
            written["content"] = content
        return written

    def _headers(self, value: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in self._description.mapping(value, path).items():
            header, at = self._description.resolved(each, (*path, name))
            header = self._description.mapping(header, at)
            if TOKEN.fullmatch(name) and name.lower() != "content-type":
                words = ("type", "format", "items", "enum", "default")
                schema = {word: header[word] for word in words if word in header} if self._old else header.get("schema")
                found[name] = {
                    "schema": self.schemas.translated(
                        True if schema is None else schema, (*at, "schema"), answered=True
                    )
                }
                if "example" in header:
                    found[name]["example"] = header["example"]
        return found

    def _content(self, value: Any, path: Path, *, answered: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for media, each in self._description.mapping(value, path).items():
            each, at = self._description.resolved(each, (*path, media))  # noqa: PLW2901
            each = self._description.mapping(each, at)  # noqa: PLW2901
            found[media] = written = {}
            if "schema" in each:
                written["schema"] = self.schemas.translated(each["schema"], (*at, "schema"), answered=answered)
            if not answered and isinstance(each.get("encoding"), Mapping):
                written["encoding"] = {
                    name: {word: rule[word] for word in _OF_FIELDS if word in rule}
                    for name, rule in each["encoding"].items()
                    if isinstance(rule, Mapping)
                }
            if answered and "example" in each:
                written["example"] = each["example"]
            if answered and "examples" in each:
                named = self._description.mapping(each["examples"], (*at, "examples"))
                written["examples"] = {name: self._example(item) for name, item in named.items()}
        return found

    def _example(self, value: Any) -> Any:
        """Keep a reference to a shared example as it is: many answers may have the same one, and it may be long."""
        reference = value.get("$ref") if isinstance(value, Mapping) else None
        if not isinstance(reference, str):
            return value
        prefix, _, name = reference.rpartition("/")
        if prefix == "#/components/examples":
            self.examples[name], _ = self._description.resolved(value, ())
            return {"$ref": reference}
        return self._description.resolved(value, ())[0]

    def _content_of_swagger(
        self, response: Mapping[str, Any], path: Path, operation: Mapping[str, Any]
    ) -> dict[str, Any]:
        produces = self._media_types("produces", operation, path) or ["application/json"]
        examples = self._description.mapping(response.get("examples"), (*path, "examples"))
        if "schema" not in response and not examples:
            return {}
        media_types = dict.fromkeys([*produces, *examples])
        content: dict[str, Any] = {media: {} for media in media_types}
        for media, written in content.items():
            if "schema" in response:
                written["schema"] = self.schemas.translated(response["schema"], (*path, "schema"), answered=True)
            if media in examples:
                written["example"] = examples[media]
        return content
