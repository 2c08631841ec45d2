"""Options of `schema`."""

from typing import Literal

from pydantic import Field, model_validator

from hookgate import Options
from hookgate_interceptor_schema.contract import SchemaFile
from hookgate_interceptor_schema.plan import Inline, Plan, Wanted


class SchemaOptions(Options):
    """Options of `schema`. A schema is written here, or is a place in `file`: `"#/$defs/Order"`."""

    file: SchemaFile | None = None
    """A file with schemas, JSON or YAML, up to 64 MiB: JSON Schema, or an OpenAPI 3.1 contract. Read again when it has
    changed and the document is loaded again."""
    operation: str = ""
    """An operation of the contract in `file`, such as `GET /pets/{id}`: its parameters, bodies and answers."""
    check: Literal["requests", "responses", "both"] = "requests"
    """What of the operation is checked."""
    path: Inline | None = None
    """Schema of an object with the path parameters."""
    query: Inline | None = None
    """Schema of an object with the parameters of the query; a list where it says `type: array`."""
    headers: Inline | None = None
    """Schema of an object with the headers, names in lower case."""
    cookies: Inline | None = None
    """Schema of an object with the cookies."""
    request: Inline | None = None
    """Schema of the request body."""
    required: bool = True
    """Whether a request without a body is refused where there is a schema for it."""
    response: Inline | None = None
    """Schema of the body of answers with a status of 200 to 299."""
    content_types: tuple[str, ...] = ("application/json", "application/*+json")
    """Content types of the bodies that `request` and `response` speak of; others get 415, or 502 in an answer."""
    on_bad_response: Literal["refuse", "log"] = "refuse"
    """Answer 502 in the place of an answer that is not as its schema says, or pass it on and write it to the log."""
    draft: Literal["2020-12", "7"] = "2020-12"
    """Draft of JSON Schema, where a schema has no `$schema`."""
    formats: bool = False
    """Whether `format` is checked, too (date-time, email, uuid, …) and does not only describe."""
    max_size: int = Field(default=1024 * 1024, ge=1, le=64 * 1024 * 1024)
    """Bytes of a body that is looked into, packed or unpacked; a longer one is refused (413), or 502 in an answer."""
    max_errors: int = Field(default=10, ge=1, le=100)
    """Mistakes that are told."""
    status: Literal[400, 422] = 400
    """Status of the refusal of a request."""

    @model_validator(mode="after")
    def _complete(self) -> "SchemaOptions":
        places = ("path", "query", "headers", "cookies", "request", "response")
        written = [name for name in places if getattr(self, name) is not None]
        if self.operation:
            if self.file is None:
                raise ValueError("operation: name the contract that it stands in: file")
            if written:
                raise ValueError(f"operation says it all; leave out {', '.join(written)}")
        elif not written:
            raise ValueError(f"there is nothing to check; write operation, or some of {', '.join(places)}")
        for name in written:
            value = getattr(self, name)
            if isinstance(value, str):
                if self.file is None:
                    raise ValueError(f"{name}: {value!r} is a place in a file; name the file: file")
                self.file.at(value)
        self.plan()  # whatever is wrong with a schema is a mistake in the options
        return self

    def plan(self) -> Plan:
        """Return what a step with these options checks.

        Raises:
            ValueError: what is wrong with a schema.
        """
        return Plan(Wanted(**{name: getattr(self, name) for name in Wanted._fields}))
