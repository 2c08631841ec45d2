"""From pydantic's errors to problems: the place as it stands in the document, and words for the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from hookgate.exchange.errors import Path, Problem, near, outside

NESTED = "hookgate_nested"
"""Type of the pydantic error that carries the problems of a nested plugin."""

ModelT = TypeVar("ModelT", bound=BaseModel)

_OF_PYDANTIC = frozenset(get_args(ErrorType))
_PLAIN = {
    "missing": "is required",
    "string_type": "should be a text; put it in quotes",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "set_type": "should be a list",
    "frozen_set_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "dataclass_type": "should be a mapping",
}


def checked(model: type[ModelT], raw: object, path: Path, problems: list[Problem]) -> ModelT | None:
    """Validate a record that stands at a path; note what is wrong with it and return ``None`` then."""
    try:
        return model.model_validate({} if raw is None else raw)
    except ValidationError as error:
        problems += flattened(error, model, raw, path)
        return None


def flattened(error: ValidationError, model: type[BaseModel], raw: object, prefix: Path) -> list[Problem]:
    """Turn pydantic's errors into problems, those of nested plugins with paths of their own.

    Of the alternatives of one value (a number or a word) each gives an error; they become one problem.
    """
    problems: dict[tuple[Path, bool], Problem] = {}
    errors = error.errors(include_url=False, include_input=False)
    for each in errors:
        kind, loc = each["type"], each["loc"]
        if kind == "too_short" and any(other["loc"][: len(loc)] == loc for other in errors if other is not each):
            continue  # pydantic counts only the items that are right
        path = prefix + _real(raw, loc, missing=kind == "missing")
        if kind == NESTED:
            for nested in each["ctx"]["problems"]:
                found = nested.under(path)
                problems.setdefault((found.path, found.at_key), found)
            continue
        at_key = kind == "extra_forbidden"
        message = _unknown(model, loc) if at_key else _PLAIN.get(kind) or _tidy(kind, each["msg"])
        if kind == "too_short":
            message = f"should have at least {each['ctx']['min_length']} of them"
        before = problems.get((path, at_key))
        if before is not None and message not in before.message:
            message = f"{before.message}; or it {message}"
        elif before is not None:
            continue
        fails = before is None and outside(each.get("ctx", {}).get("error"))
        whole = kind in ("value_error", "assertion_error")
        problems[path, at_key] = Problem(path, message, at_key=at_key, outside=fails, whole=whole)
    return list(problems.values())


def others_words(model: type[BaseModel], raw: object, path: Path) -> Iterator[Problem]:
    """Tell of options that are written as other systems call them, and what they are called here."""
    if isinstance(raw, list | tuple):
        for index, item in enumerate(raw):
            yield from others_words(model, item, (*path, index))
    elif isinstance(raw, Mapping):
        words, inside = _vocabulary(model)
        for key, value in raw.items():
            name = words.get(str(key), str(key))
            if key in words:
                hint = getattr(model, "moved", {}).get(key, f"{key} is called {name} here; write {name}")
                yield Problem((*path, key), hint, at_key=True)
            if (found := inside.get(name)) is not None:
                held, by_name = found
                several = value.items() if by_name and isinstance(value, Mapping) else ()
                for each, item in several or [(None, value)]:
                    yield from others_words(held, item, (*path, key) if each is None else (*path, key, each))


@lru_cache(maxsize=1024)
def _vocabulary(model: type[BaseModel]) -> tuple[dict[str, str], dict[str, tuple[type[BaseModel], bool]]]:
    """What others call the options of a model, and the models in them, with whether these stand there by name."""
    words: dict[str, str] = {}
    inside: dict[str, tuple[type[BaseModel], bool]] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            words.update({str(word): name for word in field.validation_alias.choices[1:]})
        if (held := _first_model(field.annotation)) is not None:
            inside[name] = held, get_origin(field.annotation) is dict
    return words, inside


def _unknown(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    holder = _model_at(model, loc[:-1])
    if holder is not None and (name := _vocabulary(holder)[0].get(str(loc[-1]))):
        return f"{loc[-1]} is called {name} here, which stands here, too; write one of them"
    if holder is not None and str(loc[-1]) in (moved := getattr(holder, "moved", {})):
        return str(moved[loc[-1]])
    known = [] if holder is None else [field.alias or name for name, field in holder.model_fields.items()]
    return f"there is no option {str(loc[-1])!r}{near(str(loc[-1]), known)}"


def _tidy(kind: str, message: str) -> str:
    """Keep the words of whoever wrote a validator; those of pydantic begin in lower case here."""
    if kind in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind not in _OF_PYDANTIC:
        return message
    message = message.removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _real(raw: object, loc: tuple[str | int, ...], *, missing: bool) -> Path:
    """Keep of pydantic's location what really stands in the document: unions and functions put names of theirs in."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(raw, Mapping) and (step in raw or (last and missing)):
            raw = raw.get(step)
        elif isinstance(raw, list | tuple) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _model_at(model: type[BaseModel] | None, loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Follow a location through the fields of models as far as it goes."""
    for step in loc:
        if model is None or isinstance(step, int):
            continue
        field = model.model_fields.get(_vocabulary(model)[0].get(str(step), str(step))) or next(
            (field for field in model.model_fields.values() if step == field.alias), None
        )
        if field is not None:
            model = _first_model(field.annotation)
    return model


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _first_model(each)) is not None), None)
