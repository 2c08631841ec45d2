"""Parameters of every version of OpenAPI as OpenAPI 3.1 writes them; what Swagger 2.0 sends as a body becomes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hookgate.exchange import Path
from hookgate_openapi.description import Description
from hookgate_openapi.schemas import Schemas

PLACES = ("path", "query", "header", "cookie")
_OF_SCHEMA = frozenset(
    {"type", "format", "items", "default", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength"}
    | {"minLength", "pattern", "maxItems", "minItems", "uniqueItems", "enum", "multipleOf", "x-nullable"}
)
_COLLECTIONS = {
    "csv": {"style": "form", "explode": False},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
    "multi": {"style": "form", "explode": True},
}
Found = list[tuple[Mapping[str, Any], Path]]


class Parameters:
    """Reads the parameters of operations."""

    def __init__(self, description: Description, schemas: Schemas) -> None:
        self._description = description
        self._schemas = schemas
        self.warnings: list[str] = []

    def of(self, *lists: tuple[Any, Path]) -> Found:
        """Return the parameters of an operation, references followed: of two alike the last counts."""
        found: dict[tuple[str, str], tuple[Mapping[str, Any], Path]] = {}
        for value, path in lists:
            for index, each in enumerate(self._description.listed(value, path)):
                parameter, place = self._description.resolved(each, (*path, index))
                if not isinstance(parameter, Mapping):
                    self._description.refuse((*path, index), "a parameter is a mapping")
                    continue
                name, where = parameter.get("name"), parameter.get("in")
                if not isinstance(name, str) or not name or not isinstance(where, str):
                    self._description.refuse((*path, index), "a parameter has a `name` and says where it is: `in`")
                    continue
                found[where, name] = parameter, place
        return list(found.values())

    def written(self, found: Found, renamed: Mapping[str, str]) -> list[dict[str, Any]]:
        """Write those that are no body as OpenAPI 3.1 does; names in the path become those the gateway uses."""
        parameters = [self._parameter(parameter, path, renamed) for parameter, path in found if self._beside(parameter)]
        known = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        missing = [name for name in renamed.values() if name not in known]
        parameters += [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in missing]
        return [each for each in parameters if each["in"] != "path" or each["name"] in renamed.values()]

    def _beside(self, parameter: Mapping[str, Any]) -> bool:
        where = parameter["in"]
        if where not in (*PLACES, "body", "formData"):
            self.warnings.append(f"parameters in {where!r} are not checked, such as {parameter['name']!r}")
        return where in PLACES

    def _parameter(self, parameter: Mapping[str, Any], path: Path, renamed: Mapping[str, str]) -> dict[str, Any]:
        where, name = parameter["in"], parameter["name"]
        written: dict[str, Any] = {"name": renamed.get(name, name) if where == "path" else name, "in": where}
        if parameter.get("required") is True or where == "path":
            written["required"] = True
        for word in ("description", "style", "explode", "allowReserved", "deprecated", "allowEmptyValue"):
            if word in parameter:
                written[word] = parameter[word]
        if self._description.version == "2.0":
            written["schema"] = self._of_swagger(parameter, path)
            if written["schema"].get("type") == "array":
                written |= self._collected(parameter, where)
        elif "content" in parameter:
            content = self._description.mapping(parameter["content"], (*path, "content"))
            written["content"] = {
                media: {
                    "schema": self._schemas.translated(each.get("schema", True), (*path, "content", media, "schema"))
                }
                for media, each in content.items()
                if isinstance(each, Mapping)
            }
        else:
            written["schema"] = self._schemas.translated(parameter.get("schema", True), (*path, "schema"))
        return written

    def _of_swagger(self, parameter: Mapping[str, Any], path: Path) -> Any:
        return self._schemas.translated({key: parameter[key] for key in parameter if key in _OF_SCHEMA}, path)

    @staticmethod
    def _collected(parameter: Mapping[str, Any], where: str) -> dict[str, Any]:
        if where in ("path", "header"):
            return {"style": "simple"}
        return _COLLECTIONS.get(str(parameter.get("collectionFormat", "csv")), _COLLECTIONS["csv"])

    def body_of_swagger(self, found: Found, consumes: Sequence[str]) -> dict[str, Any] | None:
        """Return what the parameters ``body`` and ``formData`` of Swagger 2.0 make of the request body, if any."""
        for parameter, path in found:
            if parameter["in"] == "body":
                schema = self._schemas.translated(parameter.get("schema", True), (*path, "schema"))
                media = [each for each in consumes if not _is_form(each)] or ["application/json"]
                return _body(parameter.get("required") is True, {each: {"schema": schema} for each in media})
        fields = [(parameter, path) for parameter, path in found if parameter["in"] == "formData"]
        if not fields:
            return None
        required = [parameter["name"] for parameter, _ in fields if parameter.get("required") is True]
        schema = {"type": "object", "properties": {}, **({"required": required} if required else {})}
        encoding: dict[str, Any] = {}
        for parameter, path in fields:
            member = self._of_swagger(parameter, path)
            schema["properties"][parameter["name"]] = member
            if isinstance(member, Mapping) and member.get("type") == "array":
                encoding[parameter["name"]] = self._collected(parameter, "query")
        media = [each for each in consumes if _is_form(each)]
        if not media:
            has_file = any(parameter.get("type") == "file" for parameter, _ in fields)
            media = ["multipart/form-data" if has_file else "application/x-www-form-urlencoded"]
        content = {"schema": schema, **({"encoding": encoding} if encoding else {})}
        return _body(bool(required), dict.fromkeys(media, content))


def _is_form(media: str) -> bool:
    return media.partition(";")[0].strip().lower() in ("application/x-www-form-urlencoded", "multipart/form-data")


def _body(required: bool, content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content} if required else {"content": content}
