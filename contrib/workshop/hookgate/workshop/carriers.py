"""Where a key or a token stands in a request: headers, the query, or cookies; found, and taken out."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from hookgate import Request


class Carrier(NamedTuple):
    """One of these places."""

    find: Callable[[Request, str], list[str]]
    """Returns all values of a name."""
    remove: Callable[[Request, str], None]
    """Takes them out; whatever else is there stays as it was."""


def query_without(query: str, name: str) -> str:
    """Take the parameters of a name out of a query; whatever else is there stays as it was encoded."""
    return "&".join(parameter for parameter in query.split("&") if not _named(parameter, name))


def _in_headers(request: Request, name: str) -> list[str]:
    return request.headers.getall(name)


def _without_header(request: Request, name: str) -> None:
    request.headers.remove(name)


def _in_query(request: Request, name: str) -> list[str]:
    # A key has no space that a plus could stand for.
    return [unquote(each.partition("=")[2]) for each in request.query.split("&") if _named(each, name)]


def _without_parameter(request: Request, name: str) -> None:
    request.query = query_without(request.query, name)


def _named(parameter: str, name: str) -> bool:
    return unquote_plus(parameter.partition("=")[0]) == name


def _in_cookies(request: Request, name: str) -> list[str]:
    crumbs = [each.partition("=") for line in request.headers.getall("cookie") for each in line.split(";")]
    return [value.strip() for found, _, value in crumbs if found.strip() == name]


def _without_cookie(request: Request, name: str) -> None:
    lines = request.headers.getall("cookie")
    request.headers.remove("cookie")
    for line in lines:
        kept = [cookie for cookie in line.split(";") if cookie.partition("=")[0].strip() != name]
        if rest := ";".join(kept).strip():
            request.headers.add("cookie", rest)


CARRIERS: Mapping[str, Carrier] = {
    "header": Carrier(_in_headers, _without_header),
    "query": Carrier(_in_query, _without_parameter),
    "cookie": Carrier(_in_cookies, _without_cookie),
}
"""The places, by the words of options."""
