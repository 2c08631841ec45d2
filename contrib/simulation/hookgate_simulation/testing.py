"""A call through a document without a network, for plain tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from hookgate import ConfigError, Identity, Problem
from hookgate.document import Catalogue, checked, parse
from hookgate.gateway import Configuration, load
from hookgate_simulation import Call, Mock, Simulation, mocks_in, recorded
from hookgate_simulation import simulate as rehearse
from hookgate_simulation.run import installed


def simulate(
    document: Mapping[str, Any] | str | Path | Configuration,
    method: str = "GET",
    path: str = "/",
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | str = b"",
    client: str = "127.0.0.1",
    scheme: Literal["http", "https"] = "http",
    identity: Identity | str | None = None,
    mocks: Sequence[Mock | Mapping[str, Any]] | Path | None = None,
    recording: Path | None = None,
    plugins_dir: Path | None = None,
) -> Simulation:
    """Take one call through a document without a network and return its whole trace.

    ``document`` is a mapping, YAML text, the path of a file, or a configuration that is live nowhere. ``path`` may
    have a query behind it. ``identity`` is who calls, as if every method of authentication had found that out.
    ``mocks`` are entries as in a mock file, or such a file; ``recording`` is a HAR file or the trace of a live
    call, which answers where no mock does. Without either, backends answer 200 with what they received. The
    function is sync and may be called from a coroutine, too, which then waits in it.

    Raises:
        ConfigError: the document, the mocks or the recording are bad, or a plugin could not be started.
    """
    fields = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    data = body.encode() if isinstance(body, str) else body
    place, _, query = path.partition("?")
    who = Identity(identity) if isinstance(identity, str) else identity
    call = Call(method, place, query, fields, data, client, scheme, who)
    answers = _answers(mocks, recording)
    described = parse(document.encode(), "document.yaml") if isinstance(document, str) else document

    async def run() -> Simulation:
        return await rehearse(await _loaded(described, plugins_dir), call, answers)

    return _finished(run())


def _answers(mocks: Sequence[Mock | Mapping[str, Any]] | Path | None, recording: Path | None) -> list[Mock] | None:
    if mocks is None and recording is None:
        return None
    answers: list[Mock] = []
    if isinstance(mocks, Path):
        answers = mocks_in(mocks.read_bytes(), str(mocks))
    elif mocks is not None:
        problems: list[Problem] = []
        found = [
            mock if isinstance(mock, Mock) else checked(Mock, mock, ("mocks", index), problems)
            for index, mock in enumerate(mocks)
        ]
        if problems:
            raise ConfigError(problems)
        answers = [mock for mock in found if mock is not None]
    return answers if recording is None else [*answers, *recorded(recording.read_bytes(), str(recording))]


async def _loaded(document: Mapping[str, Any] | Path | Configuration, plugins_dir: Path | None) -> Configuration:
    if isinstance(document, Configuration):
        return document
    if isinstance(document, Path):
        from hookgate.server import gateway_for

        return await gateway_for(document, plugins_dir).check()
    return await load(document, installed() if plugins_dir is None else Catalogue(plugins_dir))


def _finished(coroutine: Coroutine[Any, Any, Simulation]) -> Simulation:
    """Run a coroutine to its end, in a thread where this one has a loop already."""
    if not _has_loop():
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
