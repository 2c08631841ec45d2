"""What a step checks: made of its options when they are loaded, so that mistakes in schemas are found then."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from hookgate.workshop import at_pointer, pointer_step
from hookgate_interceptor_schema.bodies import FORM, Bodies, Media, encodings, is_json
from hookgate_interceptor_schema.checking import Check
from hookgate_interceptor_schema.contract import SchemaFile, compiled, reference
from hookgate_interceptor_schema.parameters import PLACES, Parameter, Resolve, Shape, shape_of

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
    others: bool
    """Whether parameters that are not known are checked as well."""
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
        for check in self._checks if self._file is None or self._file.eager else ():
            try:
                check.compile()
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
            parameters = {}
            for place, schema in written.items():
                shape = shape_of(schema, self._resolver(schema))
                parameters[place] = tuple(_parameter(name, place, each) for name, each in shape.members.items())
            whole = {place: _apart(self._embedded(schema), place) for place, schema in written.items()}
            names = " and ".join(f"{place}{'s' if place in ('header', 'cookie') else ''}" for place in written)
            check = self._check({"properties": whole}, names, None)
            self.inputs = Inputs(parameters, others=True, check=check)
        if wanted.request is not None:
            self.request = self._bodies(wanted.request, "request")
            self.required = wanted.required
        if wanted.response is not None:
            self.responses = {"2XX": self._bodies(wanted.response, "response")}

    def _bodies(self, schema: Any, name: str) -> Bodies:
        shape = shape_of(schema, self._resolver(schema))
        fields = tuple(_parameter(each, "query", inner) for each, inner in shape.members.items())
        check = self._check(self._embedded(schema), name, schema if isinstance(schema, str) else None)
        return Bodies(Media(media.lower(), check, fields) for media in self._wanted.content_types)

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
            if isinstance(content, Mapping) and content:
                media = next(iter(content))
                holder, there = content[media], f"{at}/content/{pointer_step(media)}/schema"
            else:
                holder, there = parameter, f"{at}/schema"
            schema = schemas.setdefault(where, {"properties": {}, "required": []})
            if isinstance(holder, Mapping) and "schema" in holder:
                schema["properties"][name] = reference(there)
                shape = shape_of(holder["schema"], self._resolver(None))
            else:
                shape = Shape()
            made = _parameter(name, where, shape, parameter)
            if "object" in shape.types and made.style != "deepObject" and holder is parameter:
                schema["properties"].pop(name, None)  # spread over texts in ways that cannot be told apart
            parameters.setdefault(where, []).append(made._replace(is_json=holder is not parameter))
            if parameter.get("required") is True:
                schema["required"].append(name)
        check = self._check({"properties": schemas}, f"{place}/parameters", f"{place}/parameters")
        self.inputs = Inputs({where: tuple(each) for where, each in parameters.items()}, others=False, check=check)

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
            pattern = media.partition(";")[0].strip().lower()
            if not (isinstance(each, Mapping) and "schema" in each and (is_json(media) or pattern == FORM)):
                yield Media(pattern)
                continue
            fields: tuple[Parameter, ...] = ()
            if pattern == FORM:
                shape, said = shape_of(each["schema"], self._resolver(None)), encodings(each)
                fields = tuple(
                    _parameter(field, "query", inner, said.get(field)) for field, inner in shape.members.items()
                )
            target = self._file.target(f"{at}/schema")
            yield Media(pattern, self._check(reference(target), f"{name} {media}", target), fields)

    # --- compiling --------------------------------------------------------------------------------------------------

    def _check(self, schema: Any, name: str, key: str | None) -> Check:
        """Return the check of a schema; of one in a file the same one for all steps."""
        file, draft, formats = self._file, self._wanted.draft, self._wanted.formats
        if file is None:
            check = Check(lambda: compiled(schema, draft, formats), name)
        elif key is None:
            check = Check(lambda: file.validator(schema, draft, formats), name)
        else:
            known = (key, draft, str(formats))
            check = file.compiled.get(known) or Check(_making(file, schema, draft, formats), name)
            file.compiled[known] = check
        self._checks.append(check)
        return check

    def _at(self, place: str) -> Any:
        assert self._file is not None
        try:
            return self._file.at(place)
        except ValueError:
            return None  # whoever compiles it says so


def _making(file: SchemaFile, schema: Any, draft: str, formats: bool) -> Any:
    return lambda: file.validator(schema, draft, formats)


def _parameter(name: str, place: str, shape: Shape, said: Any = None) -> Parameter:
    said = said if isinstance(said, Mapping) else {}
    style = str(said.get("style") or ("form" if place in ("query", "cookie") else "simple"))
    explode = said.get("explode")
    return Parameter(name, shape, style, explode if isinstance(explode, bool) else style == "form")


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
