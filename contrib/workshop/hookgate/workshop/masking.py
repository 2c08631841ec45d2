"""A call as it may be shown: the values of secret headers and of secret parameters of the query are masked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from functools import lru_cache
from urllib.parse import unquote_plus

from hookgate import MASK, Exchange, Headers

SECRET_NAME = re.compile(r"authorization|cookie|token|secret|passw|api[-_]?key", re.IGNORECASE)
"""Parts of names whose values are nobody's business."""


class Masking:
    """Hides what is secret by its name, or was named by a deployer, before an expression can read it."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._is_secret = lru_cache(maxsize=1024)(self._looks_secret)

    def view(self, exchange: Exchange, *, with_query: bool = True) -> Exchange:
        """Return a copy of a call with the secrets masked, and without its query if told so, to be read and thrown
        away; the call itself if there is nothing to hide.

        Whatever an expression makes of it, the secrets are not in there.
        """
        request, response = exchange.request, exchange.response
        head = self._head(request.headers)
        query = self._query(request.query) if request.query and with_query else ""
        answered = None if response is None else self._head(response.headers)
        if head is None and query == request.query and answered is None:
            return exchange
        seen = copy(exchange)
        seen.request = copy(request)
        seen.request.headers = head or request.headers
        seen.request.query = query
        if response is not None and answered is not None:
            seen.response = copy(response)
            seen.response.headers = answered
        return seen

    def _head(self, headers: Headers) -> Headers | None:
        """Mask the secrets of a head; ``None`` if it has none."""
        secret = [name for name in headers if self._is_secret(name)]
        if not secret:
            return None
        shown = headers.copy()
        for name in secret:
            shown.set(name, MASK)
        return shown

    def _query(self, query: str) -> str:
        return "&".join(self._parameter(parameter) for parameter in query.split("&"))

    def _parameter(self, parameter: str) -> str:
        name, equals, _ = parameter.partition("=")
        return f"{name}={MASK}" if equals and self._is_secret(unquote_plus(name)) else parameter

    def _looks_secret(self, name: str) -> bool:
        return SECRET_NAME.search(name) is not None or name.lower() in self._names
