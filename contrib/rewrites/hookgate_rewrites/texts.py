"""Texts of rules: what a condition tests and what a rule puts in, with groups ``$1``, ``%1`` and variables ``%{…}``."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hookgate import Exchange, Expression, ExpressionError, PluginError
from hookgate_rewrites.patterns import Groups

_PIECE = re.compile(r"\\([$%\\])|([$%])([0-9])|%\{")
_NAMES = {"ENV": r"[A-Za-z_]\w*", "SSL": r"\w+", "HTTP": r"[\w.!#$&'*+^`|~-]+", "HEADER": r"[\w.!#$&'*+^`|~-]+"}
_LATER = {"identity", "principal", "claims", "application", "response", "route", "connection", "target", "fault"}
"""Roots of expressions of which nothing is known before there is a route."""
_TLS: dict[str, Callable[[Exchange], str]] = {
    "HTTPS": lambda exchange: "on" if exchange.request.scheme == "https" else "off",
    "SSL_PROTOCOL": lambda exchange: _of_tls(exchange, "version"),
    "SSL_CIPHER": lambda exchange: _of_tls(exchange, "cipher"),
    "SSL_TLS_SNI": lambda exchange: _of_tls(exchange, "server_name"),
    "SSL_CLIENT_VERIFY": lambda exchange: "NONE" if exchange.request.certificate is None else "SUCCESS",
    "SSL_CLIENT_S_DN": lambda exchange: _of_certificate(exchange, "subject"),
    "SSL_CLIENT_I_DN": lambda exchange: _of_certificate(exchange, "issuer"),
    "SSL_CLIENT_M_SERIAL": lambda exchange: _of_certificate(exchange, "serial"),
}
"""What mod_ssl calls the facts of TLS."""


class Known:
    """What is known while the rules are tried on one call."""

    __slots__ = ("before", "claims", "exchange", "found", "vouched")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.found: Groups = ()
        """What the pattern of the rule has found."""
        self.before: Groups = ()
        """What its last condition has found."""
        self.vouched = False
        """Whether a rule has put a step in the way that finds out who is calling."""
        self.claims: dict[str, str] = {}
        """Claims of a token that nobody has checked yet, by name, as rules have used them."""

    def claim(self, name: str) -> str:
        """Return a claim of the token, which is checked later; nothing where no rule has called for that."""
        if not self.vouched:
            return ""
        self.claims[name] = shown(_unchecked(self.exchange).get(name))
        return self.claims[name]


_Piece = Callable[[Known], str]


class Text:
    """A text with groups and variables in it.

    Raises:
        ValueError: something in it is none.
    """

    def __init__(self, written: str) -> None:
        self.found, self.before, self.reads_claims = 0, 0, False
        """The highest group of the pattern and of the last condition; whether it reads claims of a token."""
        self.literal = ""
        """What stands in front of everything that a call fills in."""
        pieces: list[str | _Piece] = []
        at = 0
        while match := _PIECE.search(written, at):
            pieces.append(written[at : match.start()])
            at = match.end()
            if match[1]:
                pieces.append(match[1])
            elif match[2]:
                pieces.append(self._group(match[2], int(match[3])))
            else:
                end = _end(written, at)
                pieces.append(self._variable(written[at:end]))
                at = end + 1
        pieces.append(written[at:])
        fixed = next((index for index, piece in enumerate(pieces) if not isinstance(piece, str)), len(pieces))
        self.varies = fixed < len(pieces)
        """Whether a call fills in anything."""
        self.literal = "".join(piece for piece in pieces[:fixed] if isinstance(piece, str))
        self._pieces = [piece for piece in pieces if piece]

    def __call__(self, known: Known) -> str:
        """Fill it in for a call.

        Raises:
            PluginError: an expression fails on it.
        """
        return "".join([piece if isinstance(piece, str) else piece(known) for piece in self._pieces])

    def _group(self, sign: str, number: int) -> _Piece:
        if sign == "$":
            self.found = max(self.found, number)
            return lambda known: (known.found[number] if known.found else "") or ""
        self.before = max(self.before, number)
        return lambda known: (known.before[number] if known.before else "") or ""

    def _variable(self, written: str) -> _Piece:
        kind, _, name = written.partition(":")
        pattern = _NAMES.get(kind)
        if pattern is not None and not re.fullmatch(pattern, name, re.ASCII):
            raise ValueError(f"%{{{written}}}: {name!r} is no name")
        if kind in {"HTTP", "HEADER"}:
            return _header(name)
        if kind == "SSL":
            wanted = name.upper()
            fact = _TLS.get(wanted) or _TLS.get(f"SSL_{wanted}")
            if fact is None:
                raise ValueError(f"%{{{written}}}: there is none of that name; there are {', '.join(_TLS)}")
            return lambda known: fact(known.exchange)
        if kind == "JWT" and name:
            self.reads_claims = True
            return lambda known: known.claim(name)
        if kind == "ENV":
            return _expression(f"env.{name}", written)
        if kind == "OGNL":
            return _expression(name, written)
        raise ValueError(
            f"%{{{written}}} is no variable; there are %{{ENV:…}}, %{{SSL:…}}, %{{HTTP:…}} or %{{HEADER:…}}, "
            "%{JWT:…} and %{OGNL:…}, and a percent sign is written \\%"
        )


def shown(value: object) -> str:
    """Write a value as patterns see it; a list with commas, nothing for what is not there."""
    if isinstance(value, list | tuple):
        return ",".join(map(shown, value))
    if value is None or isinstance(value, dict):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _end(written: str, at: int) -> int:
    depth = 1
    for index in range(at, len(written)):
        depth += {"{": 1, "}": -1}.get(written[index], 0)
        if not depth:
            return index
    raise ValueError(f"%{{{written[at:]}: a brace without its partner")


def _header(name: str) -> _Piece:
    if name.lower() == "host":
        return lambda known: known.exchange.request.host
    return lambda known: ", ".join(known.exchange.request.headers.getall(name))


def _expression(text: str, written: str) -> _Piece:
    try:
        expression = Expression(text)
    except ExpressionError as error:
        raise ValueError(f"%{{{written}}}: {error}") from None
    if expression.reads_body:
        raise ValueError(f"%{{{written}}}: rules are tried before the body comes; take headers, path or query")
    if early := sorted(_LATER & set(expression.roots)):
        raise ValueError(f"%{{{written}}}: nothing is known of {early[0]} when rules are tried; a step can ask for it")

    def value(known: Known) -> str:
        try:
            return shown(expression(known.exchange))
        except ExpressionError as error:
            raise PluginError(f"a rewrite rule: {error}") from error

    return value


def _of_tls(exchange: Exchange, name: str) -> str:
    tls = exchange.request.tls
    return "" if tls is None else getattr(tls, name) or ""


def _of_certificate(exchange: Exchange, name: str) -> str:
    certificate = exchange.request.certificate
    return "" if certificate is None else getattr(certificate, name)


def _unchecked(exchange: Exchange) -> Mapping[str, Any]:
    """Return the claims of a bearer token, whoever has signed it."""
    scheme, _, token = (exchange.request.headers.get("authorization") or "").partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() == "bearer" and len(parts) == 3:
        with suppress(ValueError, RecursionError):
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
            if isinstance(claims, dict):
                return claims
    return {}
