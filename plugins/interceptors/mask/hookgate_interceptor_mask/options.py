"""The options of `mask`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import Headers, Options
from hookgate_interceptor_mask.places import path

_NEEDED = frozenset({"host", "connection", "content-length", "content-type", "transfer-encoding", "upgrade", "te"})


def _header(name: str) -> str:
    Headers({name: ""})
    if name.lower() in _NEEDED:
        raise ValueError(f"leave out {name}: the message cannot do without it")
    return name


def _path(text: str) -> str:
    path(text)
    return text


def _pattern(text: str) -> str:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    if pattern.match("") is not None:
        raise ValueError(f"{text!r} fits nothing at all, too, and so everywhere")
    try:
        _check(_parsed(text), repeated=False, aside=False)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None
    return text


def _parsed(text: str) -> Any:
    from re import _parser  # type: ignore[attr-defined]

    return _parser.parse(text)


def _check(tree: Any, *, repeated: bool, aside: bool) -> None:
    """Refuse a part that may repeat without bound in another such part, and groups that may lie beside what fits."""
    from re import _constants, _parser  # type: ignore[attr-defined]

    for kind, what in tree:
        repeats = kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and what[1] == _constants.MAXREPEAT
        if repeats and repeated:
            raise ValueError("repeats what is repeated, like (a+)+, and could take minutes over one body")
        looks = aside or kind in (_constants.ASSERT, _constants.ASSERT_NOT)
        if looks and kind == _constants.SUBPATTERN and what[0] is not None:
            raise ValueError("has a group in a look around, which is beside what fits; write (?:…) there")
        parts = what if isinstance(what, (tuple, list)) else (what,)
        flat = [part for each in parts for part in (each if isinstance(each, list) else [each])]
        for part in flat:
            if isinstance(part, _parser.SubPattern):
                _check(part, repeated=repeated or repeats, aside=looks)


class ResponsePlaces(Options):
    """What is masked of an answer."""

    headers: tuple[Annotated[str, AfterValidator(_header)], ...] = ()
    """Headers."""
    json_paths: tuple[Annotated[str, Field(max_length=500), AfterValidator(_path)], ...] = Field(
        default=(), alias="json", max_length=100
    )
    """Members of a JSON body: names and indices, such as `card.number`, `items[0].price` or `orders[*].card`; `*` is
    every member or item. Case does not count."""
    text: tuple[Annotated[str, Field(max_length=500), AfterValidator(_pattern)], ...] = Field(default=(), max_length=20)
    r"""Regular expressions of Python for a body of any text: the groups of what fits are masked, or all of it where
    there are none. For example `\b\d{12}(\d{4})\b`. They run on what others send, so write none that can try the same
    characters in many ways; those with a repetition in a repetition are refused."""

    @property
    def of_body(self) -> bool:
        """Whether something of the body is masked."""
        return bool(self.json_paths or self.text)


class RequestPlaces(ResponsePlaces):
    """What is masked of a request."""

    query: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Parameters of the query. Case does not count."""
    form: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Fields of a form (`application/x-www-form-urlencoded`). Case does not count."""

    @property
    def of_body(self) -> bool:
        """Whether something of the body is masked."""
        return bool(self.json_paths or self.text or self.form)


class MaskOptions(Options):
    """Options of `mask`."""

    request: RequestPlaces = RequestPlaces()
    """What is masked of the request."""
    response: ResponsePlaces = ResponsePlaces()
    """What is masked of the answer."""
    how: Literal["blot", "remove"] = "blot"
    """`blot` puts asterisks in the place of a value, `remove` takes it out with its name."""
    keep_last: int = Field(default=0, ge=0, le=8)
    """Characters at the end of a text or number that stay behind the asterisks, if it is twice as long at least."""
    message: bool = True
    """Change the message itself. With `false`, traces and logs do not show the values, and the message keeps them."""
    text_limit: int = Field(default=100_000, ge=1, le=8 * 1024 * 1024)
    """Longest body that the expressions under `text` are tried on, in bytes; a longer one is refused."""

    @model_validator(mode="after")
    def _agree(self) -> MaskOptions:
        if self.request == RequestPlaces() and self.response == ResponsePlaces():
            raise ValueError("nothing to do; name at least one place under request or response")
        if self.how == "remove" and self.keep_last:
            raise ValueError("keep_last is for how: blot; what is removed leaves nothing behind")
        return self
