"""RFC 9421, HTTP Message Signatures: components, the signature base, and the two headers of a signature."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

import http_sf

from hookgate import Headers

MOST = 16 * 1024
"""Characters of a header with signatures that are looked at."""
MOST_COMPONENTS = 64
"""Components that one signature may cover."""
_PORTS = {"http": ":80", "https": ":443"}
_LISTS = {"accept", "accept-encoding", "accept-language", "cache-status", "proxy-status"}
_DICTIONARIES = {
    *("cache-control", "content-digest", "priority", "repr-digest", "signature", "signature-input"),
    *("want-content-digest", "want-repr-digest"),
}
Component = tuple[str, dict[str, Any]]
"""Name and parameters."""


class Malformed(ValueError):
    """A header or component that is not as the RFC has it; the text is for the caller."""


class Missing(LookupError):
    """A component that the signature covers is not there; the argument is how it is written."""


@dataclass(frozen=True, slots=True)
class Message:
    """What of a request can be signed. ``authority`` as in the Host header, in any case."""

    method: str
    scheme: str
    authority: str
    path: str
    query: str | None
    """Without the question mark; ``None`` where the target has none."""
    headers: Headers


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature of a message, with what it covers."""

    label: str
    components: tuple[Component, ...]
    parameters: Mapping[str, Any]
    signature: bytes

    @property
    def written(self) -> frozenset[str]:
        """The covered components as they are written."""
        return frozenset(map(identifier, self.components))


def component(text: str) -> Component:
    """Read one component as the deployer writes it: ``@method``, ``content-type`` or ``"@query-param";name="Pet"``.

    Raises:
        ValueError: it is not a component of a request.
    """
    try:
        item: Any = http_sf.parse((text if text.startswith('"') else f'"{text}"').encode(), tltype="item")
    except http_sf.StructuredFieldError:
        raise ValueError(
            f'{text!r} is no component; write it as @method, content-type or "@query-param";name="a"'
        ) from None
    found = (str(item[0]), dict(item[1]))
    check((found,))
    return found


def identifier(found: Component) -> str:
    """Write a component as it stands in the signature base and in ``Signature-Input``."""
    return http_sf.ser(found)


def check(components: Sequence[Component]) -> None:
    """Check what a signature covers.

    Raises:
        Malformed: too much, something twice, something that a request does not have or that this code does not know.
    """
    if len(components) > MOST_COMPONENTS:
        raise Malformed(f"The signature covers more than {MOST_COMPONENTS} components.")
    if len({identifier(found) for found in components}) != len(components):
        raise Malformed("The signature covers a component twice.")
    for name, parameters in components:
        if name.startswith("@"):
            known = name in _DERIVED or name == "@query-param"
            fits = set(parameters) == ({"name"} if name == "@query-param" else set())
            if not known or not fits or not isinstance(parameters.get("name", ""), str):
                raise Malformed(f"{identifier((name, parameters))} is no component of a request.")
            continue
        try:
            Headers({name: ""})
        except ValueError:
            raise Malformed(f"{name!r} is no header name.") from None
        if name != name.lower():
            raise Malformed(f"{name!r} is not in lower case.")
        if not set(parameters) <= {"sf", "key", "bs"} or len(parameters) > 1:
            raise Malformed(f"{identifier((name, parameters))} has parameters that are not supported here.")
        if any(parameters.get(flag, True) is not True for flag in ("sf", "bs")):
            raise Malformed(f"{identifier((name, parameters))}: sf and bs have no value.")
        if not isinstance(parameters.get("key", ""), str):
            raise Malformed(f"{identifier((name, parameters))}: key is a string.")


def signature_base(message: Message, components: Sequence[Component], parameters: Mapping[str, Any]) -> bytes:
    """Return the text that is signed (section 2.5).

    Raises:
        Missing: a covered component is not there, or not so that it can be signed.
    """
    lines = [f"{identifier(each)}: {_value(message, each)}" for each in components]
    lines.append(f'"@signature-params": {signature_params(components, parameters)}')
    try:
        return "\n".join(lines).encode("ascii")
    except UnicodeEncodeError:
        raise Missing("a value in ASCII; cover headers with other characters with the parameter bs") from None


def signature_params(components: Sequence[Component], parameters: Mapping[str, Any]) -> str:
    """Write a member of ``Signature-Input``."""
    return http_sf.ser([(list(components), dict(parameters))])  # type: ignore[list-item]


def signatures(headers: Headers, most: int = 8) -> list[Signed]:
    """Read ``Signature-Input`` and ``Signature``; a signature counts if it stands in both.

    Raises:
        Malformed: they are not as the RFC has them, or there are more than ``most``.
    """
    inputs, values = _dictionary(headers, "signature-input"), _dictionary(headers, "signature")
    if set(inputs) != set(values):
        raise Malformed("Signature-Input and Signature do not have the same labels.")
    if len(inputs) > most:
        raise Malformed(f"There are more than {most} signatures.")
    found = []
    for label, (listed, parameters) in inputs.items():
        signature = values[label][0]
        if not isinstance(listed, list) or not isinstance(signature, bytes):
            raise Malformed(f"The signature {label} is not an inner list with a byte sequence.")
        if not all(isinstance(item[0], str) for item in listed):
            raise Malformed(f"The signature {label} covers something that is not a string.")
        components = tuple((name, dict(own)) for name, own in listed)
        check(components)
        found.append(Signed(label, components, parameters, signature))
    return found


def _dictionary(headers: Headers, name: str) -> dict[str, Any]:
    def twice(key: str, kind: str) -> None:
        raise Malformed(f"The header {name} has {key} twice.")

    value = ", ".join(headers.getall(name))
    if len(value) > MOST:
        raise Malformed(f"The header {name} is longer than {MOST} characters.")
    try:
        return http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=twice)  # type: ignore[return-value]
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        raise Malformed(f"The header {name} is not a dictionary (RFC 9651).") from None


def authority_of(message: Message) -> str:
    """Return the authority in its one spelling (section 2.2.3): lower case, no default port."""
    return message.authority.lower().removesuffix(_PORTS.get(message.scheme, "\n"))


def _target(message: Message) -> str:
    return message.path if message.query is None else f"{message.path}?{message.query}"


_DERIVED: dict[str, Callable[[Message], str]] = {
    "@method": lambda message: message.method,
    "@target-uri": lambda message: f"{message.scheme}://{authority_of(message)}{_target(message)}",
    "@authority": authority_of,
    "@scheme": lambda message: message.scheme.lower(),
    "@request-target": _target,
    "@path": lambda message: message.path or "/",
    "@query": lambda message: f"?{message.query or ''}",
}


def _value(message: Message, found: Component) -> str:
    name, parameters = found
    if name == "@query-param":
        return _parameter(message, parameters["name"])
    if name.startswith("@"):
        return _DERIVED[name](message)
    values = [value.strip() for value in message.headers.getall(name)]
    if not values:
        raise Missing(identifier(found))
    if "bs" in parameters:
        return ", ".join(f":{base64.b64encode(value.encode('latin-1')).decode('ascii')}:" for value in values)
    if not parameters:
        return ", ".join(values)
    try:
        return _structured(name, ", ".join(values), parameters.get("key"))
    except (http_sf.StructuredFieldError, UnicodeEncodeError, KeyError, ValueError):
        raise Missing(identifier(found)) from None


def _structured(name: str, value: str, key: str | None) -> str:
    if key is not None:
        members: Any = http_sf.parse(value.encode("ascii"), tltype="dictionary")
        return http_sf.ser([members[key]])
    kind = "dictionary" if name in _DICTIONARIES else "list" if name in _LISTS else None  # KeyError: not a known one
    return http_sf.ser(http_sf.parse(value.encode("ascii"), name=name, tltype=kind))


def _parameter(message: Message, name: str) -> str:
    """Return the value of a parameter of the query, which must be there once (section 2.2.8)."""
    pairs = parse_qsl(message.query or "", keep_blank_values=True, max_num_fields=None)
    values = [_encoded(value) for key, value in pairs if _encoded(key) == name]
    if len(values) != 1:
        raise Missing(f'"@query-param";name="{name}"')
    return values[0]


def _encoded(text: str) -> str:
    """Percent-encode as the RFC does: what a form leaves alone stays, and a blank is ``%20``."""
    return quote(text, safe="*-._").replace("~", "%7E")
