"""Answer with a redirect to another place."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, model_validator

from hookgate import BadRequest, Exchange, Interceptor, Options, PluginError, Response, hookimpl

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_ALLOWED_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]")
_ABSOLUTE = re.compile(rf"https?://(?:{_HOST.pattern})(?=[/?#]|\Z)".replace("?P<name>", "?:"), re.IGNORECASE)
_LOCAL = re.compile(r"/(?!/)")
_PLACE = re.compile(r"(?:[!-~](?<![\\\"<>^`|]))+")
_VARIABLE = re.compile(r"\{([A-Za-z0-9_-]+)\}")
_IN_QUERY = "%/:@!$'()*,~"
_AS_IS = _IN_QUERY + "?&=+;[]"


def _place(template: str) -> str:
    """Check a destination. What a client may fill in stands behind the host, or the redirect would be an open one."""
    if not (_ABSOLUTE.match(template) or _LOCAL.match(template)):
        raise ValueError(
            "a redirect goes to a path (/new/{id}) or to a URL whose host is written out "
            f"(https://www.example.org/new/{{id}}); {template!r} is neither",
        )
    if not _PLACE.fullmatch(template):
        raise ValueError(f"{template!r} has a character that a URL does not have; write it percent-encoded")
    if set("{}") & set(_VARIABLE.sub("", template)):
        raise ValueError(f"a path parameter is written {{name}}; {template!r} has a brace that belongs to none")
    return template


def _allowed_host(host: str) -> str:
    if not _ALLOWED_HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host; write www.example.org, or *.example.org for all its sub-domains")
    return host.lower()


class RedirectOptions(Options):
    """Options of `redirect`: either `to` or `https`."""

    to: Annotated[str, AfterValidator(_place)] | None = None
    """Where to: a path (`/new/{id}`) or a URL (`https://www.example.org/new/{id}`). `{name}` stands for a path
    parameter of the route, behind the host only."""
    https: bool = False
    """Redirect calls that came by HTTP to the same host, path and query by HTTPS, and let the others pass."""
    hosts: tuple[Annotated[str, AfterValidator(_allowed_host)], ...] = ()
    """Hosts that `https` redirects to (`www.example.org`, `*.example.org` for every sub-domain), without ports. Calls
    with another `Host` are answered 400. Without it every well-formed `Host` is taken; name them where a shared cache
    stands in front, since it could keep a redirect to a host that a stranger made up."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """308 and 301 are for good, 307 and 302 for now. With 307 and 308 the client repeats method and body; with 303 it
    goes on with GET; with 301 and 302 most turn POST into GET."""
    keep_query: bool = True
    """Whether the query of the request goes along, behind one that `to` has."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "RedirectOptions":
        if (self.to is None) == (not self.https):
            raise ValueError("write either to, or https: true")
        if self.hosts and not self.https:
            raise ValueError("hosts goes with https: true only; leave it out")
        return self


class Redirect(Interceptor[RedirectOptions]):
    """Tells the client to go elsewhere; nothing further right is called.

    With `https` the redirect leads to the standard port, so the port of the request is dropped. Whether a call came by
    HTTP is what the listener says, or a trusted proxy in front of it.

    Path parameters go in as the client sent them, percent-encoded; in a query, what separates fields is encoded too. A
    path that the parameters would turn into the address of another host is answered 400.
    """

    category = "traffic"
    sides = {"request"}
    writes = {"response.status", "response.headers"}

    def __init__(self, options: RedirectOptions) -> None:
        super().__init__(options)
        before_fragment, hash_sign, fragment = (options.to or "").partition("#")
        self._path, self._question_mark, self._query = before_fragment.partition("?")
        self._fragment = hash_sign + fragment
        self.path_params = frozenset(_VARIABLE.findall(options.to or ""))
        if not options.https:  # every call is answered, whatever it came by
            self.writes = {*type(self).writes, "answer"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        """Answer the call.

        Raises:
            BadRequest: the host is none to redirect to, or the parameters name another host.
            PluginError: `to` wants a parameter that the route does not have.
        """
        request = exchange.request
        query = quote(request.query, safe=_AS_IS, encoding="latin-1") if self.options.keep_query else ""
        if not self.options.https:
            return Response(self.options.status, {"Location": self._filled(exchange.params, query)})
        if request.scheme == "https":
            return None
        location = f"https://{self._host(request.host)}{request.path}" + (f"?{query}" if query else "")
        return Response(self.options.status, {"Location": location})

    def _filled(self, params: Mapping[str, str], query: str) -> str:
        """Put the parameters in and the query behind."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in params:
                has = ", ".join(params) or "none"
                detail = f"to: the route has no path parameter {{{match[1]}}}; it has: {has}"
                raise PluginError(detail, plugin=self.entry.id, hook="on_request")
            return params[match[1]]

        def value_in_query(match: re.Match[str]) -> str:
            return quote(value(match), safe=_IN_QUERY)

        path = _VARIABLE.sub(value, self._path)
        if not ((_ABSOLUTE.match(path) or _LOCAL.match(path)) and _PLACE.fullmatch(path)):
            raise BadRequest("A path parameter makes the redirect lead to no proper place.", reason="malformed-path")
        wanted = self._question_mark + _VARIABLE.sub(value_in_query, self._query)
        if query:
            wanted += query if wanted == "?" else f"&{query}" if wanted else f"?{query}"
        return path + wanted + _VARIABLE.sub(value_in_query, self._fragment)

    def _host(self, authority: str) -> str:
        """Return the host the client asked for, without its port."""
        match = _HOST.fullmatch(authority)
        host = match["name"].lower() if match else ""
        if not host or (self.options.hosts and not any(_is(host, allowed) for allowed in self.options.hosts)):
            raise BadRequest("The Host header names no host of this gateway.", reason="host-refused")
        return host


def _is(host: str, allowed: str) -> bool:
    host = host.removesuffix(".")
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
