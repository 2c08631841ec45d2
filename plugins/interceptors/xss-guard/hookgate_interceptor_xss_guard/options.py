"""The options of `xss-guard`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import Headers, Options
from hookgate_interceptor_xss_guard.patterns import DEFAULTS, Patterns, compiled

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")]


def _expression(text: str) -> str:
    compiled(text)
    return text


def _header(name: str) -> str:
    Headers({name: ""})
    return name.lower()


_MEMBER = re.compile(r"[^.\s]{1,100}(?:\.[^.\s]{1,100})*")


def _member(text: str) -> str:
    if not _MEMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no member: write names with dots between them, and * for any, like items.*.html")
    return text


class SetOptions(Options):
    """Expressions of one place."""

    look: bool = True
    """Whether this place is looked at."""
    defaults: bool = True
    """Whether the expressions that come with the step are tried, too."""
    leave_out: tuple[str, ...] = ()
    """Those of them that are not, by name."""
    patterns: dict[Name, Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_expression)]] = Field(
        default_factory=dict, max_length=100
    )
    """Further ones, by name, in the syntax of RE2; case does not count. One with the name of a default takes its
    place."""

    @model_validator(mode="after")
    def _fit(self) -> SetOptions:
        for name in self.leave_out:
            if name not in DEFAULTS:
                raise ValueError(f"leave_out: there is no {name!r}; there is {', '.join(DEFAULTS)}")
        if self.look and not self.expressions():
            raise ValueError("no expression is left; write patterns, or look: false")
        self.compiled()
        return self

    def expressions(self) -> dict[str, str]:
        """Return what is tried, by name."""
        kept = {name: each for name, each in DEFAULTS.items() if name not in self.leave_out} if self.defaults else {}
        return {**kept, **self.patterns} if self.look else {}

    def compiled(self) -> Patterns:
        """Return it ready to be tried.

        Raises:
            ValueError: it takes too much memory together.
        """
        return Patterns(self.expressions())


class QueryOptions(SetOptions):
    """Expressions for parameters of the query, their names and values."""

    skip: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Parameters whose values are not looked at. Case counts."""


class HeaderOptions(SetOptions):
    """Expressions for the values of headers."""

    skip: tuple[Annotated[str, AfterValidator(_header)], ...] = ()
    """Headers that are not looked at."""


class BodyOptions(SetOptions):
    """Expressions for bodies."""

    skip: tuple[Annotated[str, AfterValidator(_member)], ...] = ()
    """Members of JSON, such as `article.html` or `items.*.html`, and fields of a form, whose values are not looked at.
    Case counts."""
    max_size: int = Field(default=256 * 1024, ge=1, le=8 * 1024 * 1024)
    """Longest body that is looked at, in bytes, unpacked."""


class XssGuardOptions(Options):
    """Options of `xss-guard`."""

    path: SetOptions = SetOptions()
    """Expressions for the path (URI_PATH)."""
    query: QueryOptions = QueryOptions()
    """Expressions for the query (QUERY_PARAM)."""
    headers: HeaderOptions = HeaderOptions()
    """Expressions for headers (HEADER), on both sides."""
    body: BodyOptions = BodyOptions()
    """Expressions for bodies (BODY), on both sides."""
    unreadable: Literal["refuse", "pass"] = "refuse"
    """What happens to a body that cannot be looked at: one that is too long, in a content coding other than gzip and
    deflate, broken, or in a charset that is not one of ASCII with more."""
    pages: Literal["pass", "refuse"] = "pass"
    """What happens to bodies of answers that are there to be run by a browser: pages, pictures of SVG, scripts and
    style sheets by their content type. `refuse` looks into them as into others."""

    @model_validator(mode="after")
    def _look_somewhere(self) -> XssGuardOptions:
        if not any(each.look for each in (self.path, self.query, self.headers, self.body)):
            raise ValueError("nothing to do; look at one place at least")
        return self
