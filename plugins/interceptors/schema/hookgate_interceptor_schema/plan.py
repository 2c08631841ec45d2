"""What a step checks: made of its options when they are loaded, so that mistakes in schemas are found then."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from hookgate.workshop import at_pointer, pointer_step
from hookgate_interceptor_schema.bodies import FORM, Bodies, ContentType, Media, encodings, is_json
from hookgate_interceptor_schema.checking import Check
from hookgate_interceptor_schema.contract import SchemaFile, compiled, reference
from hookgate_interceptor_schema.parameters import PLACES, Others, Parameter
from hookgate_interceptor_schema.shapes import Resolve, Shape, shape_of

_NOT_PARAMETERS = ("accept", "content-type", "authorization")
"""Headers that an OpenAPI description cannot speak of as parameters (OpenAPI 3.1, 4.8.12.1)."""
Inline = dict[str, Any] | bool | str
"""A schema that is written in the options, or the place of one in their file."""


class Wanted(NamedTuple):
    """What a plan is made of; the options of the same names say what each means."""

    file: SchemaFile | None
    operation: str
    check: Literal["requests", "responses", "both"]
    path: Inline | None
    query: Inline | None
    headers: Inline | None
    cookies: Inline | None
    request: Inline | None
    required: bool
    response: Inline | None
    content_types: tuple[str, ...]
    draft: Literal["2020-12", "7"]
    formats: bool


class Inputs(NamedTuple):
    """The parameters of a request and what they are checked against, all at once."""

    parameters: Mapping[str, tuple[Parameter, ...]]
    """By place."""
    others: Mapping[str, Others]
    """How parameters are written that are not known, in places where they are checked as well."""
    check: Check


class Plan:
    """Everything one step checks."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._file = wanted.file
        self.inputs: Inputs | None = None
        self.request: Bodies | None = None
        self.required = False
        self.responses: Mapping[str, Bodies] = {}
        """By status, ``2XX`` or ``default``."""
        self._checks: list[Check] = []
        if wanted.operation:
            self._of_operation(wanted.operation)
        else:
            self._of_schemas()
        for check in self._checks:
            try:
                check.prepare()
            except ValueError as error:
                raise ValueError(f"{check.name}: {error}") from None

    def bodies_of(self, status: int) -> Bodies | None:
        """Return what the body of an answer may be, or ``None`` where nothing is said of that status."""
        for key in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
            if key in self.responses:
                return self.responses[key]
        return None

    # --- of schemas that are written --------------------------------------------------------------------------------

    def _of_schemas(self) -> None:
        wanted = self._wanted
        said = {"path": wanted.path, "query": wanted.query, "header": wanted.headers, "cookie": wanted.cookies}
        written = {place: schema for place, schema in said.items() if schema is not None}
        if written:
            parameters, others = {}, {}
            for place, schema in written.items():
                shape = shape_of(schema, self._resolver(schema))
                others[place] = _others(place, shape)
                parameters[place] = tuple(_parameter(name, place, each) for name, each in shape.members.items())
            whole = {place: _apart(self._embedded(schema), place) for place, schema in written.items()}
            names = " and ".join(f"{place}{'s' if place in ('header', 'cookie') else ''}" for place in written)
            check = self._check({"properties": whole}, names, None)
            self.inputs = Inputs(parameters, others, check)
        if wanted.request is not None:
            self.request = self._bodies(wanted.request, "request")
            self.required = wanted.required
        if wanted.response is not None:
            self.responses = {"2XX": self._bodies(wanted.response, "response")}

    def _bodies(self, schema: Any, name: str) -> Bodies:
        shape = shape_of(schema, self._resolver(schema))
        fields = _fields(shape, {})
        check = self._check(self._embedded(schema), name, schema if isinstance(schema, str) else None)
        return Bodies(Media(ContentType.of(media), check, *fields) for media in self._wanted.content_types)

    def _embedded(self, schema: Any) -> Any:
        return reference(schema) if isinstance(schema, str) else schema

    def _resolver(self, whole: Any) -> Resolve:
        def resolve(schema: Any) -> Any:
            if isinstance(schema, str):
                schema = {"$ref": schema}
            for _ in range(32):
                said = schema.get("$ref") if isinstance(schema, Mapping) else None
                if not isinstance(said, str) or not said.startswith("#"):
                    break
                schema = _within(whole, said) if isinstance(whole, Mapping) else self._at(said)
            return schema

        return resolve

    # --- of an operation --------------------------------------------------------------------------------------------

    def _of_operation(self, written: str) -> None:
        assert self._file is not None
        item, operation, place = self._file.operation(written)
        parent = place.rpartition("/")[0]
        if self._wanted.check != "responses":
            found = {**self._parameters(item, parent), **self._parameters(operation, place)}
            self._take_parameters(found, place)
            body, at = self._file.followed(operation.get("requestBody"), f"{place}/requestBody")
            if isinstance(body, Mapping):
                self.request = Bodies(self._medias(body.get("content"), f"{at}/content", f"{written} requestBody"))
                self.required = body.get("required") is True
        if self._wanted.check != "requests":
            self.responses = dict(self._answers(operation, place, written))

    def _parameters(self, holder: Mapping[str, Any], place: str) -> dict[tuple[str, str], tuple[Any, str]]:
        assert self._file is not None
        found: dict[tuple[str, str], tuple[Any, str]] = {}
        for index, each in enumerate(holder.get("parameters") or ()):
            parameter, at = self._file.followed(each, f"{place}/parameters/{index}")
            if isinstance(parameter, Mapping) and parameter.get("in") in PLACES and isinstance(parameter["name"], str):
                name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
                if parameter["in"] != "header" or name not in _NOT_PARAMETERS:
                    found[parameter["in"], name] = parameter, at
        return found

    def _take_parameters(self, found: Mapping[tuple[str, str], tuple[Any, str]], place: str) -> None:
        if not found:
            return
        parameters: dict[str, list[Parameter]] = {}
        schemas: dict[str, Any] = {}
        for (where, name), (parameter, at) in found.items():
            content = parameter.get("content")
            media = next(iter(content)) if isinstance(content, Mapping) and content else None
            kind = ContentType.of(media or "").kind
            holder, there = parameter, f"{at}/schema"
            if media is not None:
                holder, there = content[media], f"{at}/content/{pointer_step(media)}/schema"
            schema = schemas.setdefault(where, {"properties": {}, "required": []})
            shape = Shape()
            if media is not None and not is_json(kind):
                shape = Shape(frozenset({"string"}))
            if isinstance(holder, Mapping) and "schema" in holder:
                if media is None or is_json(kind):
                    shape = shape_of(holder["schema"], self._resolver(None))
                if media is None or is_json(kind) or kind.startswith("text/"):
                    schema["properties"][name] = reference(there)
            required = parameter.get("required") is True
            if media is None:
                made = _parameter(name, where, shape, parameter)
            else:
                made = Parameter(name, shape, "", explode=False, place=where, is_json=is_json(kind), required=required)
            parameters.setdefault(where, []).append(made)
            if required:
                schema["required"].append(name)
        check = self._check({"properties": schemas}, f"{place}/parameters", f"{place}/parameters")
        self.inputs = Inputs({where: tuple(each) for where, each in parameters.items()}, {}, check)

    def _answers(self, operation: Mapping[str, Any], place: str, written: str) -> Iterator[tuple[str, Bodies]]:
        assert self._file is not None
        for status, each in (operation.get("responses") or {}).items():
            answer, at = self._file.followed(each, f"{place}/responses/{status}")
            if isinstance(answer, Mapping):
                medias = self._medias(answer.get("content"), f"{at}/content", f"{written} {status}")
                yield str(status), Bodies(medias)

    def _medias(self, content: Any, place: str, name: str) -> Iterator[Media]:
        assert self._file is not None
        for media, each in content.items() if isinstance(content, Mapping) else ():
            step = f"{place}/{pointer_step(media)}"
            each, at = self._file.followed(each, step)  # noqa: PLW2901
            kind = ContentType.of(media)
            holder = each if isinstance(each, Mapping) else {}
            if "schema" not in holder or not self._is_seen(kind, holder["schema"]):
                yield Media(kind)
                continue
            fields: tuple[tuple[Parameter, ...], Others | None] = ((), None)
            if kind.kind == FORM or kind.is_range:
                fields = _fields(shape_of(holder["schema"], self._resolver(None)), encodings(holder))
            target = self._file.target(f"{at}/schema")
            yield Media(kind, self._check(reference(target), f"{name} {media}", target), *fields)

    def _is_seen(self, kind: ContentType, schema: Any) -> bool:
        """Whether a schema speaks of what a body says, and not only of its octets (OpenAPI 3.0 and 3.1, uploads)."""
        found = self._resolver(None)(schema)
        if isinstance(found, Mapping) and (found.get("format") == "binary" or "contentMediaType" in found):
            return False
        return kind.is_range or kind.kind == FORM or is_json(kind.kind)

    # --- compiling --------------------------------------------------------------------------------------------------

    def _check(self, schema: Any, name: str, key: str | None) -> Check:
        """Return the check of a schema; of one in a file the same one for all steps."""
        file, draft, formats = self._file, self._wanted.draft, self._wanted.formats
        if file is None:
            check = Check(lambda: compiled(schema, draft, formats), name)
        elif key is None:
            check = _of_file(file, schema, draft, formats, name)
        else:
            known = (key, draft, str(formats))
            check = file.compiled.get(known) or _of_file(file, schema, draft, formats, name)
            file.compiled[known] = check
        self._checks.append(check)
        return check

    def _at(self, place: str) -> Any:
        assert self._file is not None
        try:
            return self._file.at(place)
        except ValueError:
            return None  # whoever compiles it says so


def _of_file(file: SchemaFile, schema: Any, draft: str, formats: bool, name: str) -> Check:
    """Make the check of a schema that refers to a file; that of a long one is compiled when it is first needed."""
    verify = None if file.eager else lambda: file.verify(schema, draft)
    return Check(lambda: file.validator(schema, draft, formats), name, verify)


def _parameter(name: str, place: str, shape: Shape, said: Any = None) -> Parameter:
    said = said if isinstance(said, Mapping) else {}
    style = str(said.get("style") or ("form" if place in ("query", "cookie", "form") else "simple"))
    explode = said.get("explode")
    explode = explode if isinstance(explode, bool) else style in ("form", "deepObject")
    required, empty = said.get("required") is True, said.get("allowEmptyValue") is True
    return Parameter(name, shape, style, explode, place, required=required, may_be_empty=empty and not required)


def _field(name: str, shape: Shape, said: Any = None) -> Parameter:
    """Say how a field of a form is written: an object, or a list of objects, is JSON where nothing else is said."""
    made = _parameter(name, "form", shape, said)
    said = said if isinstance(said, Mapping) else {}
    if any(word in said for word in ("style", "explode", "allowReserved")):
        return made  # these go before the content type (OpenAPI 3.1, 4.8.15)
    inner = shape.items.types if "array" in shape.types and shape.items is not None else shape.types
    content = said.get("contentType")
    written = ContentType.of(content).kind if isinstance(content, str) else ""
    as_json = is_json(written) if written else "object" in inner and "string" not in inner
    return Parameter(name, shape, made.style, made.explode, "form", is_json=as_json)


def _fields(shape: Shape, said: Mapping[str, Any]) -> tuple[tuple[Parameter, ...], Others]:
    """Say how the fields of a form are written: those that are known, and all others."""
    return (
        tuple(_field(name, inner, said.get(name)) for name, inner in shape.members.items()),
        lambda name: _field(name, shape.member(name), said.get(name)),
    )


def _others(place: str, shape: Shape) -> Others:
    return lambda name: _parameter(name, place, shape.member(name))


def _apart(schema: Any, place: str) -> Any:
    """Make a schema a resource of its own, so that ``#/$defs/…`` in it still means what it says."""
    if isinstance(schema, Mapping) and "$id" not in schema and "$ref" not in schema:
        return {"$id": f"urn:hookgate:{place}", **schema}
    return schema


def _within(whole: Any, place: str) -> Any:
    try:
        return at_pointer(whole, place)
    except LookupError:
        return None
