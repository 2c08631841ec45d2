"""Change the path and query of a request before it is forwarded."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated
from urllib.parse import quote_plus, unquote_plus

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from hookgate import BadRequest, Exchange, Interceptor, Options, PluginError, hookimpl

_VARIABLE = re.compile(r"\{([A-Za-z0-9_-]+)\}")
_PATH = re.compile(r"/(?:[!-~](?<![%?#\\])|%(?!00)[0-9A-Fa-f]{2})*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=[/;]|%3b|\Z)", re.IGNORECASE)


def _is_proper(path: str) -> bool:
    """Whether a path begins with a slash and holds nothing that a backend might take for another path."""
    return _PATH.fullmatch(path) is not None and _DOT_SEGMENT.search(path) is None


def _template(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"a path begins with '/': write '/{path}'")
    literal = _VARIABLE.sub("x", path)
    if set("{}") & set(literal):
        raise ValueError(f"a path parameter is written {{name}}; {path!r} has a brace that belongs to none")
    return _literal(literal) and path


def _literal(path: str) -> str:
    if not _is_proper(path):
        raise ValueError(
            f"{path!r} is not a path as it travels: it begins with '/', is percent-encoded and has no query, "
            "no fragment and no segments '.' and '..'",
        )
    return path


def _prefix(path: str) -> str:
    if _literal(path) == "/" or path.endswith("/"):
        raise ValueError("a prefix is made of whole segments and has no slash at its end: write it like '/api/v1'")
    return path


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


Prefix = Annotated[str, AfterValidator(_prefix)]
Name = Annotated[str, Field(min_length=1)]


class Replacement(Options):
    """A replacement in the path."""

    # `with` is a word of Python's own, so the field has another name inside, which documents cannot use.
    model_config = ConfigDict(populate_by_name=False)

    pattern: Annotated[str, AfterValidator(_pattern)]
    """Regular expression of Python, looked for in the whole percent-encoded path; every place where it fits is replaced
    (`^` and `$` tie it to the ends). It runs on what clients send, so write none that can try the same characters in
    many ways, such as `(a+)+`: a single path could then keep the gateway busy for minutes."""
    replacement: str = Field(alias="with")
    r"""What to put there, percent-encoded; `\1` and `\g<name>` stand for groups of the pattern."""

    @model_validator(mode="after")
    def _groups_exist(self) -> "Replacement":
        try:
            re.compile(self.pattern).sub(self.replacement, "")  # which reads the groups before it looks for a place
        except (re.error, IndexError) as error:
            raise ValueError(f"with: {error}; write \\\\ for a backslash") from None
        return self


class QueryChanges(Options):
    """What happens to the query, in this order: remove, set, add. Written plain; it is percent-encoded on the way."""

    remove: tuple[Name, ...] = ()
    """Names whose fields are all taken out."""
    set: dict[Name, str] = Field(default_factory=dict)
    """Fields that get this one value: in the place of the first of that name, or at the end."""
    add: dict[Name, str] = Field(default_factory=dict)
    """Fields that are put at the end, whatever is there already."""

    def apply(self, query: str) -> str:
        """Return the changed query. Fields that are not named stay as they are, to the byte and in their order."""
        fields = [(unquote_plus(part.partition("=")[0]), part) for part in query.split("&") if part]
        unwanted = {*self.remove}
        fields = [field for field in fields if field[0] not in unwanted]
        for name, value in self.set.items():
            place = next((index for index, field in enumerate(fields) if field[0] == name), len(fields))
            rest = [field for field in fields[place:] if field[0] != name]
            fields[place:] = [(name, _field(name, value)), *rest]
        fields += [(name, _field(name, value)) for name, value in self.add.items()]
        return "&".join(part for _, part in fields)


@lru_cache(maxsize=1024)  # only what documents say gets here, again with each call
def _field(name: str, value: str) -> str:
    return f"{quote_plus(name)}={quote_plus(value)}"


class RewriteOptions(Options):
    """Options of `rewrite`. The path is changed in this order: `strip_prefix`, `replace`, `add_prefix`."""

    path: Annotated[str, AfterValidator(_template)] | None = None
    """The whole new path, in the place of the other three; `{name}` stands for a path parameter of the route."""
    strip_prefix: Prefix | None = None
    """Prefix that is taken off where the path has it, by whole segments: `/api` leaves `/apis` as it is."""
    replace: tuple[Replacement, ...] = ()
    """Replacements by regular expression, one after the other."""
    add_prefix: Prefix | None = None
    """Prefix that is put in front."""
    query: QueryChanges = QueryChanges()
    """Changes to the query."""

    @model_validator(mode="after")
    def _agree(self) -> "RewriteOptions":
        parts = bool(self.strip_prefix or self.replace or self.add_prefix)
        if self.path is not None and parts:
            raise ValueError("path is the whole new path; leave out strip_prefix, replace and add_prefix beside it")
        if self.path is None and not parts and self.query == QueryChanges():
            raise ValueError("nothing to do; write path, strip_prefix, replace, add_prefix or query")
        return self


class Rewrite(Interceptor[RewriteOptions]):
    """Changes the path and the query that steps further right and the backend see.

    The route has been chosen by then and stays. Where its `to` has a `path` of its own, that is what the backend gets,
    and only the change of the query shows. What is percent-encoded stays so. If the new path does not begin with a
    slash, or has a dot segment, a broken escape or a character that a path does not have, the answer is 400.
    """

    category = "transformation"
    sides = {"request"}
    writes = {"request.path"}

    def __init__(self, options: RewriteOptions) -> None:
        super().__init__(options)
        self.path_params = frozenset(_VARIABLE.findall(options.path or ""))
        self._replace = [(re.compile(one.pattern), one.replacement) for one in options.replace]
        self._changes_query = options.query != QueryChanges()
        self._query = options.query.apply("")
        """What becomes of no query at all, which is what most calls have."""

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Put the new path and query in the place of the old ones.

        Raises:
            BadRequest: the new path is none.
            PluginError: `path` wants a parameter that the route does not have.
        """
        request = exchange.request
        path = self._new(request.path, exchange.params)
        if path != request.path and not _is_proper(path):
            raise BadRequest("The path cannot be rewritten for the backend.", reason="malformed-path")
        request.path = path
        if self._changes_query:
            request.query = self.options.query.apply(request.query) if request.query else self._query

    def _new(self, path: str, params: Mapping[str, str]) -> str:
        options = self.options
        if options.path is not None:
            return _VARIABLE.sub(lambda match: self._value(match[1], params), options.path)
        if options.strip_prefix is not None:
            path = _without(path, options.strip_prefix)
        for pattern, replacement in self._replace:
            path = pattern.sub(replacement, path)
        return path if options.add_prefix is None else options.add_prefix + path

    def _value(self, name: str, params: Mapping[str, str]) -> str:
        if name not in params:
            detail = f"path: the route has no path parameter {{{name}}}; it has: {', '.join(params) or 'none'}"
            raise PluginError(detail, plugin=self.entry.id, hook="on_request")
        return params[name]


def _without(path: str, prefix: str) -> str:
    if path == prefix:
        return "/"
    return path.removeprefix(prefix) if path.startswith(prefix + "/") else path
