"""References in a document: ``${provider:reference}``, resolved before anything is validated.

A reference may stand anywhere in a string; ``$${`` writes a plain ``${``. Providers are plugins of the family
``secret``, called by the name before the colon; the section ``secrets`` gives them options, and what is installed is
there without any. That section may use references too, to providers whose own options hold none. A value that was
resolved never appears in a message.

A provider is started before it is asked for the first time, and lives on over reloads while its options are the same;
one that nothing in the document asks is neither started nor kept.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from inspect import isawaitable
from pathlib import Path as FolderPath
from typing import Any

from hookgate.contract.host import Host
from hookgate.contract.plugin import Plugin
from hookgate.contract.secret import Secret
from hookgate.document.building import Builder
from hookgate.document.catalogue import Catalogue
from hookgate.exchange.errors import MachineError, Path, Problem, outside
from hookgate.exchange.hiding import MASK, SHORTEST, Values, hide

log = logging.getLogger("hookgate")

TIME_LIMIT = 10.0
"""Seconds a provider may take to start, and for one reference."""
SECTION = "secrets"
ENVIRONMENTS = "environments"
"""The section with values by environment: ``${environment:NAME}`` stands for that of ``gateway.environment``."""
ENVIRONMENT = "environment"

_FOUND = re.compile(r"\$\$\{|\$\{(?:([^{}]*)\})?")
_REFERENCE = re.compile(r"([a-z][a-z0-9-]*):(.+)", re.DOTALL)
_WORD = re.compile(r"\w{5,}")
_HIDDEN_FROM = 4
"""Characters from which on a value is hidden in messages about its document."""


class References:
    """Resolves the references of one document, each distinct one once and all at the same time.

    Providers of ``previous`` live on where their options are the same. ``host_of`` gives what the others are started
    with; without it, those that have something to start cannot be asked.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None = None,
        host_of: Callable[[Plugin[Any]], Host] | None = None,
        *,
        ask: bool = True,
        folder_of: Callable[[Path], FolderPath | None] = lambda _: None,
    ) -> None:
        self._ask = ask
        """If not, no provider is started, and what it would give stays unresolved without being a mistake."""
        self.problems: list[Problem] = []
        self.asked: dict[str, Plugin[Any]] = {}
        """The providers that this document asks, by their ids, in the order in which they were started."""
        self.unresolved: set[Path] = set()
        """Places that keep their references, so that other mistakes found there mean nothing."""
        self._builder = Builder(catalogue, previous, self.problems, folder_of)
        self._host_of = host_of
        self._running = {id(plugin) for plugin in (previous or {}).values()}
        self._failed: dict[str, Exception] = {}
        """Why a provider cannot be asked, by its name."""
        self._tried: set[str] = set()
        self._providers: dict[str, Any] = {}
        self._chosen = ""
        self._environment: dict[str, str] = {}
        self._places: list[tuple[Path, tuple[str, str]]] = []
        """Where each reference stands."""
        self._values: dict[tuple[str, str], str | None] = {}
        """By provider and reference; ``None`` for what cannot be resolved."""
        self._hidden = Values()

    async def resolve(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with every reference replaced. What cannot be is a problem at the first place of it."""
        section = document.get(SECTION)
        options = section if isinstance(section, dict) else {}
        if section is not None and options is not section:
            self.problems.append(Problem((SECTION,), "should be a mapping of providers and their options"))
        waiting = {name for name in options if any(_FOUND.search(text) for _, text in _texts(options[name], ()))}
        self._configure({name: given for name, given in options.items() if name not in waiting})
        later = {name: await self._replace(options[name], (SECTION, name), waiting) for name in sorted(waiting)}
        self._configure(later)
        await self._choose_environment(document)
        others = {key: value for key, value in document.items() if key not in (SECTION, ENVIRONMENTS)}
        rest: dict[str, Any] = await self._replace(others, (), set())
        return rest

    async def _choose_environment(self, document: Mapping[str, Any]) -> None:
        """Take the values of the environment that this gateway serves; others are not looked at (FL-16)."""
        gateway, listed = document.get("gateway"), document.get(ENVIRONMENTS)
        if listed is None:
            return
        named = gateway.get(ENVIRONMENT, "") if isinstance(gateway, Mapping) else ""
        place: Path = ("gateway", ENVIRONMENT)
        self._chosen = await self._replace(named, place, {ENVIRONMENT})
        if place in self.unresolved:
            return
        values = listed.get(self._chosen, {}) if isinstance(listed, Mapping) else listed
        if not isinstance(values, Mapping):
            place = (ENVIRONMENTS, self._chosen) if isinstance(listed, Mapping) else (ENVIRONMENTS,)
            self.problems.append(Problem(place, "should be a mapping of names"))
            return
        if self._chosen and self._chosen not in listed:
            message = f"has no values for the environment {self._chosen!r} that gateway.environment names"
            self.problems.append(Problem((ENVIRONMENTS,), message, at_key=True))
        for name, value in (await self._replace(values, (ENVIRONMENTS, self._chosen), {ENVIRONMENT})).items():
            if isinstance(value, bool):
                self._environment[name] = "true" if value else "false"
            elif isinstance(value, str | int | float):
                self._environment[name] = str(value)
            else:
                message = "a value of an environment is a text, a number or a truth value"
                self.problems.append(Problem((ENVIRONMENTS, self._chosen, name), message))

    def _value_here(self, name: str) -> str:
        if name in self._environment:
            return self._environment[name]
        if not self._chosen:
            raise LookupError("gateway.environment names no environment, so there are no values of one")
        known = ", ".join(self._environment) or "none"
        raise LookupError(f"the environment {self._chosen!r} has no value {name!r}; it has {known}")

    def hide(self, message: str, path: Path | None = None) -> str:
        """Put asterisks in the place of every resolved value, and of the words of those that stand at a path: a message
        about them may quote a piece.
        """
        message = hide(message)
        for (provider, _), value in self._values.items():
            if provider != ENVIRONMENT and value is not None and _HIDDEN_FROM <= len(value) < SHORTEST:
                message = message.replace(value, MASK).replace(repr(value)[1:-1], MASK)
        if path is None:
            return message
        here = [
            reference
            for place, reference in self._places
            if place[: len(path)] == path[: len(place)] and reference[0] != ENVIRONMENT
        ]
        words = {word.lower() for reference in here for word in _WORD.findall(self._values[reference] or "")}
        return _WORD.sub(lambda word: MASK if word[0].lower() in words else word[0], message) if words else message

    def explain(self, problem: Problem) -> bool:
        """Whether a mistake may come of what is unresolved: it stands there, or is about all that is around it."""
        path = problem.path
        if any(path[:length] in self.unresolved for length in range(len(path) + (not problem.at_key))):
            return True
        return problem.whole and any(place[: len(path)] == path for place in self.unresolved)

    async def close(self) -> None:
        """Shut down what was started for this document: it does not go live."""
        fresh = [provider for provider in self.asked.values() if id(provider) not in self._running]
        for provider in reversed(fresh):
            try:
                async with asyncio.timeout(TIME_LIMIT):
                    result = provider.shutdown() if hasattr(provider, "shutdown") else None
                    if isawaitable(result):
                        await result
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the text of an unknown failure could hold the value
                log.error("%s failed in shutdown with %s", provider.entry.id, type(error).__name__)  # noqa: TRY400

    def _configure(self, options: Mapping[str, Any]) -> None:
        for name, given in options.items():
            noted = len(self.problems)
            self._providers[name] = self._builder.place("secret", {name: given}, (SECTION,), SECTION)
            if self._providers[name] is None and len(self.problems) == noted:
                self.problems.append(Problem((SECTION, name), "a secret provider cannot be disabled; leave it out"))
            self.problems[noted:] = [problem for problem in self.problems[noted:] if not self.explain(problem)]

    async def _replace(self, value: Any, path: Path, waiting: set[str]) -> Any:
        wanted: dict[tuple[str, str], Path] = {}
        places: list[tuple[Path, tuple[str, str]]] = []
        texts = await asyncio.to_thread(lambda: list(_texts(value, path)))  # calls are served meanwhile
        for place, text in texts:
            for reference in self._references(place, text):
                places.append((place, reference))
                if reference not in self._values:
                    wanted.setdefault(reference, place)
        for name in dict.fromkeys(name for name, _ in wanted):
            if name not in waiting and name not in self._tried and name != ENVIRONMENT:
                self._tried.add(name)
                await self._start(name)
        found = await asyncio.gather(*(self._one(*reference, place, waiting) for reference, place in wanted.items()))
        self._values.update(zip(wanted, found, strict=True))
        self._hidden.add(value for (name, _), value in zip(wanted, found, strict=True) if value and name != ENVIRONMENT)
        self._places += places
        self.unresolved |= {place for place, reference in places if self._values[reference] is None}
        return await asyncio.to_thread(self._replaced, value) if texts else value

    def _references(self, place: Path, text: str) -> Iterator[tuple[str, str]]:
        """Take the references out of a text; what looks like one and is none is a problem."""
        for match in _FOUND.finditer(text):
            if match[0] == "$${":
                continue
            reference = _REFERENCE.fullmatch(match[1] or "")
            if reference is not None:
                yield reference[1], reference[2]
                continue
            inner = match[1]
            said = f"'${{{inner}}}' is no reference" if inner is not None else "a reference has no '}'"
            meant = inner if inner and ":" not in inner else "NAME"
            self.problems.append(Problem(place, f"{said}: write ${{env:{meant}}}, or $${{ for a plain ${{"))
            self.unresolved.add(place)

    async def _start(self, name: str) -> None:
        """Make a provider ready before the first reference to it; why it is not is told at each of them."""
        try:
            provider = self._provider(name)
        except LookupError as error:
            self._failed[name] = error
            return
        if provider is None or not self._ask:
            return
        self.asked[provider.entry.id] = provider
        if id(provider) in self._running or not hasattr(provider, "startup"):
            return
        try:
            if self._host_of is None:
                raise LookupError("nothing is running that could start it")
            async with asyncio.timeout(TIME_LIMIT):
                result = provider.startup(self._host_of(provider))
                if isawaitable(result):
                    await result
        except (LookupError, MachineError) as error:
            why = f"could not be started: {error.args[0] if error.args else 'it did not say why'}"
            self._fails(name, why, error)
        except TimeoutError as error:
            self._fails(name, f"did not start within {TIME_LIMIT:g} s", error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the text of an unknown failure could hold a secret
            self._fails(name, f"could not be started: {type(error).__name__}", error)

    def _fails(self, name: str, why: str, error: BaseException) -> None:
        kind = MachineError if outside(error) else LookupError
        self._failed[name] = kind(f"the secret provider {name!r} {why}")

    async def _one(self, name: str, reference: str, place: Path, waiting: set[str]) -> str | None:
        try:
            if name in waiting:
                if name == ENVIRONMENT:
                    raise LookupError("the values of an environment cannot stand on one another")
                raise LookupError(f"the options of {name!r} hold references themselves, so it cannot be used here")
            if name == ENVIRONMENT:
                return None if ("gateway", ENVIRONMENT) in self.unresolved else self._value_here(reference)
            if name in self._failed:
                raise self._failed[name]
            provider = self._provider(name)
            if provider is None:
                return None  # it is configured, and what is wrong with that has been noted
            if not self._ask:
                return None
            async with asyncio.timeout(TIME_LIMIT):
                answer = provider.resolve(reference)
                secret = await answer if isawaitable(answer) else answer
            if isinstance(secret, Secret):
                return secret.reveal()
            message, fails = f"the secret provider {name!r} returned something that is no secret", False
        except (LookupError, MachineError) as error:
            message = str(error.args[0]) if error.args else f"the secret provider {name!r} has nothing under this name"
            fails = outside(error)
        except TimeoutError:
            message, fails = f"the secret provider {name!r} did not answer within {TIME_LIMIT:g} s", True
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the text of an unknown failure could hold the value
            message, fails = f"the secret provider {name!r} failed with {type(error).__name__}", outside(error)
        self.problems.append(Problem(place, message, outside=fails))
        return None

    def _provider(self, name: str) -> Any:
        if name not in self._providers:
            noted = len(self.problems)
            built = self._builder.place("secret", name, (), SECTION)
            if found := self.problems[noted:]:
                del self.problems[noted:]  # they belong to the place that names it
                raise LookupError("; ".join(problem.message for problem in found))
            self._providers[name] = built
        return self._providers[name]

    def _replaced(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return _FOUND.sub(self._text, value) if "${" in value else value
        if kind is dict:
            return {key: self._replaced(inner) for key, inner in value.items()}
        return [self._replaced(inner) for inner in value] if kind is list else value

    def _text(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        reference = _REFERENCE.fullmatch(match[1] or "")
        value = self._values.get((reference[1], reference[2])) if reference is not None else None
        return match[0] if value is None else value


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Walk over the strings in which a reference may stand, with their places, in the order of the document."""
    kind = type(value)  # a document holds plain types only, and this walk is over all of it
    if kind is str:
        if "${" in value:
            yield path, value
    elif kind is dict or kind is list:
        for step, inner in value.items() if kind is dict else enumerate(value):
            if type(inner) in _WITH_TEXT:
                yield from _texts(inner, (*path, step))


_WITH_TEXT = (str, dict, list)
