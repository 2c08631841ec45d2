"""Secrets in bodies: shown as asterisks, and kept where asterisks are written (HC-7).

What is a secret stands in the JSON Schema of the document (``writeOnly``), for plugins of others as for ours. Where
several forms are possible, a value that is a secret in any of them is one. Options that stand apart from their step
(``x-hookgate-options-of``) may be those of any step. Where the schema leaves names free, a name that looks secret says
it, and so do the members of a private key (RFC 7517).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hookgate import MASK
from hookgate.workshop import SECRET_NAME
from hookgate_management.forms import Forms, Schema, among, under

Path = tuple[str | int, ...]


_SECRET: Mapping[str, Any] = {"writeOnly": True}
_REFERENCE = re.compile(r"\$\{[a-z][a-z0-9-]*:[^{}]+\}")
_PRIVATE = frozenset({"k", "d", "p", "q", "dp", "dq", "qi", "oth"})
"""Members of a JSON Web Key that nobody else may have (RFC 7518, 6.2.2, 6.3.2 and 6.4.1)."""
_SECRET_INSIDE: Mapping[str, Any] = {"writeOnly": True, "description": "Every text in it is a secret."}
_STRUCTURED = frozenset({"properties", "additionalProperties", "items", "prefixItems"})


class NothingToKeep(ValueError):
    """Asterisks stand where no secret is stored."""

    def __init__(self, path: Path) -> None:
        super().__init__("eight asterisks stand for a stored secret, and none is stored here: write the secret itself")
        self.path = path


class Masker:
    """Finds secrets by a schema."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._forms = Forms(definitions, everywhere=True)

    def masked(self, body: Any, schema: Schema) -> Any:
        """Return a body with asterisks in the place of every secret that is written out. References are none."""
        return self._masked(body, [schema])

    def kept(self, body: Any, old: Any, schema: Schema) -> Any:
        """Return a body with the secrets of an older one in the place of asterisks.

        Raises:
            NothingToKeep: there is no secret in that place.
        """
        return self._kept(body, old, [schema], ())

    def _masked(self, value: Any, schemas: list[Schema]) -> Any:
        forms = self._forms.of(schemas)
        if _is_secret(value, forms):
            return MASK
        if isinstance(value, dict):
            return {key: self._masked(each, _of_member(forms, value, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._masked(each, _of_element(forms, index)) for index, each in enumerate(value)]
        return value

    def _kept(self, value: Any, old: Any, schemas: list[Schema], path: Path) -> Any:
        forms = self._forms.of(schemas)
        if value == MASK and _hidden(forms):
            if old is None:
                raise NothingToKeep(path)
            return old
        if isinstance(value, dict):
            olds = old if isinstance(old, dict) else {}
            return {
                key: self._kept(each, olds.get(key), _of_member(forms, value, key), (*path, key))
                for key, each in value.items()
            }
        if isinstance(value, list):
            before = list(self._beside(value, old if isinstance(old, list) else [], forms))
            return [
                self._kept(each, before[index], _of_element(forms, index), (*path, index))
                for index, each in enumerate(value)
            ]
        return value

    def _beside(self, value: list[Any], old: list[Any], forms: list[Mapping[str, Any]]) -> Iterator[Any]:
        """Give for each element of a list the old one that it was: the one that looks the same with its secrets masked,
        or else the one in its place, if no other element is that one. A secret must not move to another element.
        """
        shown = [self._masked(each, _of_element(forms, index)) for index, each in enumerate(old)]
        taken = [shown.index(each) if each in shown else None for each in value]
        for index, found in enumerate(taken):
            place = index if found is None and len(old) == len(value) and index not in taken else found
            yield None if place is None else old[place]


def _of_member(forms: list[Schema], value: Mapping[str, Any], key: str) -> list[Schema]:
    """Return the schemas of a member. What is set into a header whose name looks secret is one (HC-11)."""
    found = under(forms, key)
    for word in ("set", "add"):
        named = value.get(word)
        if key == "from" and isinstance(named, str) and SECRET_NAME.search(named):
            found.append({"additionalProperties": {"properties": {"value": _SECRET}}})
        elif key == word and isinstance(named, dict):
            found.append({"properties": {name: _SECRET for name in named if SECRET_NAME.search(name)}})
    if not any(key in form.get("properties", ()) for form in forms):  # a name that the schema does not know
        private = "kty" in value and key in _PRIVATE
        if private or SECRET_NAME.search(key) or (_hidden(forms) and not {"type", "$ref"} & value.keys()):
            found.append(_SECRET if not isinstance(value[key], dict | list) or private else _SECRET_INSIDE)
    return found


def _of_element(forms: list[Schema], index: int) -> list[Schema]:
    return [*among(forms, index), *(form for form in forms if form is _SECRET_INSIDE)]


def _hidden(forms: list[Schema]) -> bool:
    return any(form.get("writeOnly") for form in forms)


def _is_secret(value: Any, forms: list[Schema]) -> bool:
    """Whether a value is a secret: also where it is of a type that none may have, as drafts may hold."""
    if value is None or not _hidden(forms):
        return False
    if isinstance(value, str):
        return _REFERENCE.fullmatch(value) is None
    if isinstance(value, dict | list):
        return not any(_STRUCTURED & form.keys() or form is _SECRET_INSIDE for form in forms)
    return not any(form.get("type") in ("integer", "number", "boolean") for form in forms)
