"""Variables: what differs between environments, each of which has a store of its own, under the same name in all.

An object says ``${variable:CRM_URL}``. A plain value is written into it before the document is loaded, a number as a
number; a secret is resolved as every reference is, so that it is hidden wherever it would appear. A variable that is
not there is a mistake at the place that names it. It is the source ``store`` that does so, with those of its file, too;
under any other source they would do nothing, and are refused.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from hookgate import Options, Problem, Secret, SecretProvider, Section, Site, hookimpl

VARIABLES, PROVIDER = "variables", "variable"
FILLED = secrets.token_hex(8)
"""What the section `storage` says of a document whose variables were filled in: nobody can have written it."""
FOLLOWED = secrets.token_hex(8)
"""The same of a node far away, which has what is stored and no store."""
ELSEWHERE = "write the values under `environments` and refer to them as `${environment:NAME}`"
PATTERN = PROVIDER + ":*"
"""What every stored object may refer to."""
NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,99}(@[a-z0-9.-]{1,100})?"
LONGEST = 64 * 1024
_FOUND = re.compile(r"\$\$\{|\$\{" + PROVIDER + r":([^{}]*)\}")


class Variable(Options):
    """A value by name. Give one of the two."""

    value: str | int | float | bool | None = None
    """A value that everybody may see, such as an URL or a limit. A number stays one in a text that is the reference and
    nothing else."""
    secret: Secret | None = None
    """A value that is shown as asterisks, and hidden wherever it would appear."""
    description: str = Field(default="", max_length=1000)
    """What it is for."""

    @model_validator(mode="after")
    def _one(self) -> Variable:
        if (self.value is None) == (self.secret is None):
            raise ValueError("give `value`, or `secret` for what nobody shall see, and not both")
        given = self.secret.reveal() if self.secret is not None else str(self.value)
        if isinstance(self.value, str) and _becomes_reference(self.value):
            raise ValueError("a plain value has no `${`, and no `$` at its end; give it as `secret`")
        if len(given) > LONGEST:
            raise ValueError(f"a value has at most {LONGEST:,} characters")
        return self


class Variables(Section[Variable]):
    """Values that stored objects name as `${variable:NAME}`: each environment has its own, and the same objects."""

    kind = "variable"

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse names that no reference could have, and variables that nobody fills in."""
        told = site.section("storage")
        if self.items and (told is None or not told.record.served):
            message = f"act with the source `store` only (HOOKGATE_SOURCE=store), and this is another; {ELSEWHERE}"
            yield Problem((self.entry.name,), message, at_key=True)
        for item in self.items:
            if not re.fullmatch(NAME, item.name):
                yield Problem(item.path, "is no name of a variable: letters, digits, `_`, `.` and `-`", at_key=True)


class VariableOptions(Options):
    """Options of `variable`. The source `store` fills them in; a file may, too."""

    values: dict[str, Secret] = Field(default_factory=dict)
    """Values by name."""


class FromVariables(SecretProvider[VariableOptions]):
    """Gives the values of variables of the store: `${variable:NAME}`."""

    @hookimpl
    def resolve(self, reference: str) -> Secret:
        """Return the value of a variable.

        Raises:
            LookupError: there is none of that name.
        """
        found = self.options.values.get(reference)
        if found is None:
            known = ", ".join(sorted(self.options.values)) or f"none. Without the source `store`, {ELSEWHERE}"
            raise LookupError(f"there is no variable {reference[:100]!r}; there are {known}")
        return found


def filled(value: dict[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain variables of a document, after its secrets were told the values of all.

    What the file says wins. A value of the file may be a reference, as everything there may.
    """
    held = value.get(VARIABLES)
    if not isinstance(held, dict) or not held:
        return {}
    own = file.get(VARIABLES)
    own = own if isinstance(own, Mapping) else {}
    plain, all_of_them = dict[str, Any](), dict[str, Any]()
    for name, body in held.items():
        given = body if isinstance(body, Mapping) else {}
        if isinstance(given.get("secret"), str):
            all_of_them[name] = given["secret"]
        elif isinstance(given.get("value"), str | int | float):
            reference = _becomes_reference(str(given["value"]))
            if not reference:
                plain[name] = given["value"]
            if not reference or name in own:
                all_of_them[name] = _text(given["value"])
    by_provider = file.get("secrets")
    if by_provider is None or isinstance(by_provider, Mapping):
        options = (by_provider or {}).get(PROVIDER)
        if options is None or (isinstance(options, Mapping) and isinstance(options.get("values", {}), Mapping)):
            wins = (options or {}).get("values", {})
            plain = {name: each for name, each in plain.items() if name not in wins}
            options = {**(options or {}), "values": {**all_of_them, **wins}}
            value["secrets"] = {**(by_provider or {}), PROVIDER: options}
    return plain


def substituted(body: Any, plain: Mapping[str, Any]) -> Any:
    """Return a body with the values of plain variables in it; other references stay."""
    if isinstance(body, str):
        if "${" + PROVIDER not in body:
            return body
        whole = _FOUND.fullmatch(body)
        if whole is not None and whole[1] in plain and not isinstance(plain[whole[1]], str):
            return plain[whole[1]]
        return _FOUND.sub(lambda found: _text(plain[found[1]]) if found[1] in plain else found[0], body)
    if isinstance(body, dict):
        made = {key: substituted(each, plain) for key, each in body.items()}
        return made if any(made[key] is not each for key, each in body.items()) else body
    if isinstance(body, list):
        listed = [substituted(each, plain) for each in body]
        return listed if any(new is not old for new, old in zip(listed, body, strict=True)) else body
    return body


def _becomes_reference(value: str) -> bool:
    """Whether a value would be a reference in a text, or begin one together with what stands behind it."""
    return "${" in value or value.endswith("$")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
