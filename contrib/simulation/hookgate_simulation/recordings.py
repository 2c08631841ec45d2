"""Recordings as backends: HAR files, and traces of live calls as far as they hold what backends answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from hookgate import MASK, ConfigError, Headers, Problem
from hookgate.document import checked
from hookgate.exchange import Path
from hookgate.http import HOP_BY_HOP
from hookgate_simulation.mocks import Mock

MAX_BYTES = 64 * 1024 * 1024
"""The largest recording that is read, in bytes."""
_NOT_REPLAYED = {name.decode() for name in HOP_BY_HOP} | {"content-length", "content-encoding", "date"}
"""Headers that would not be true of what is replayed: HAR holds bodies decoded."""
_GLOB = re.compile(r"([*?\[])")
_SHOWN = re.compile(r"(\d+) bytes(?:: (.*))?", re.DOTALL)
_FAULTS = frozenset({"connect-failed", "timeout", "broken"})
"""Outcomes of attempts that a mock can repeat."""


def recorded(data: bytes, file: str) -> list[Mock]:
    """Read a recording and make mocks of it.

    A HAR file answers by method and URL, connections by method, path and query too, since their targets differ from
    place to place; what was asked more than once is answered in the order recorded, the last answer again and again. A
    trace (what ``/-/traces/ID`` gives), or a list of them, answers the attempts of each connection in their order.

    Raises:
        ConfigError: it is neither, or it is longer than ``MAX_BYTES``.
    """
    if len(data) > MAX_BYTES:
        raise _refused(f"the recording has {len(data):,} bytes; at most {MAX_BYTES:,} are read", file)
    try:
        value = json.loads(data)
    except UnicodeDecodeError:
        raise _refused("the recording is no UTF-8", file) from None
    except json.JSONDecodeError as error:
        raise _refused(f"the recording is no JSON: {error.msg}", file, error.lineno, error.colno) from None
    except RecursionError:
        raise _refused("the recording is nested too deeply", file) from None
    if isinstance(value, Mapping) and isinstance(value.get("log"), Mapping):
        entries = value["log"].get("entries")
        if isinstance(entries, list):
            return _last_for_ever(_checked(_of_har(entries, file), file))
    traces = value if isinstance(value, list) else [value]
    if traces and all(isinstance(each, Mapping) and isinstance(each.get("attempts"), list) for each in traces):
        return _checked(
            (
                part
                for at, each in enumerate(traces)
                for part in _of_trace(each, (at,) if len(traces) > 1 else (), file)
            ),
            file,
        )
    raise _refused(
        "a recording is a HAR file ({log: {entries: […]}}), a trace ({attempts: […], …}) or a list of them", file
    )


def _refused(message: str, file: str, line: int = 1, column: int = 1, path: Path = ()) -> ConfigError:
    return ConfigError([Problem(path, message, file, line, column)])


def _checked(raws: Iterable[tuple[Path, Mapping[str, Any]]], file: str) -> list[Mock]:
    problems: list[Problem] = []
    mocks = [checked(Mock, raw, path, problems) for path, raw in raws]
    if problems:
        raise ConfigError(Problem(each.path, each.message, file) for each in problems)
    return [mock for mock in mocks if mock is not None]


# --- HAR ------------------------------------------------------------------------------------------------------------


def _of_har(entries: list[Any], file: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Make three mocks of each entry: for calls by URL, for the same target, and for the same path anywhere."""
    exact: list[tuple[Path, Mapping[str, Any]]] = []
    anywhere: list[tuple[Path, Mapping[str, Any]]] = []
    for index, entry in enumerate(entries):
        path: Path = ("log", "entries", index)
        try:
            request, response = entry["request"], entry["response"]
            url, method = urlsplit(str(request["url"])), str(request["method"]).upper()
            status = int(response["status"])
            behaviour = _har_response(response, status) if status else {"fault": "broken"}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _refused(f"is no entry of a HAR file: {type(error).__name__}: {error}", file, path=path) from None
        origin = f"{url.scheme}://{url.netloc}"
        place = {"method": method, "query": url.query}
        where = _literal(url.path or "/")
        yield path, {"match": {**place, "url": _literal(origin) + where}, **behaviour}
        exact.append((path, {"match": {**place, "path": where, "target": _literal(origin)}, **behaviour}))
        anywhere.append((path, {"match": {**place, "path": where}, **behaviour}))
    yield from exact
    yield from anywhere


def _har_response(response: Mapping[str, Any], status: int) -> dict[str, Any]:
    content = response.get("content") or {}
    headers: dict[str, str] = {}
    for field in response.get("headers") or ():
        name = str(field["name"]).lower()
        if name.startswith(":") or name in _NOT_REPLAYED:
            continue
        value = str(field["value"]).replace("\n", ", ").strip()  # Chrome joins lines of one name so
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if content.get("mimeType"):
        headers.setdefault("content-type", str(content["mimeType"]))
    body = {"base64" if content.get("encoding") == "base64" else "body": str(content.get("text") or "")}
    return {"response": {"status": status, "headers": headers, **body}}


def _last_for_ever(mocks: list[Mock]) -> list[Mock]:
    """Have each answer once, and the last of those for the same request again and again."""
    last = {mock.match.model_dump_json(): index for index, mock in enumerate(mocks)}
    return [
        mock if last[mock.match.model_dump_json()] == index else mock.model_copy(update={"times": 1})
        for index, mock in enumerate(mocks)
    ]


def _literal(text: str) -> str:
    """Escape what stands for other characters in a pattern."""
    return _GLOB.sub(r"[\1]", text)


# --- traces ---------------------------------------------------------------------------------------------------------


def _of_trace(trace: Mapping[str, Any], path: Path, file: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Answer attempts in their order, then calls by URL. The answer to the last attempt is what the client got, with
    the differences of the steps on the way out undone; of others a trace has only the status."""
    attempts = trace["attempts"]
    last = len(attempts) - 1 if not trace.get("answered_by") and not trace.get("fault") else -1
    try:
        for index, attempt in enumerate(attempts):
            behaviour: dict[str, Any]
            if attempt["status"] is None:
                if attempt["outcome"] not in _FAULTS:
                    continue  # it was never sent, or the client went away
                behaviour = {"fault": attempt["outcome"]}
            else:
                answer = _undone(trace) if index == last else {}
                behaviour = {"response": {**answer, "status": attempt["status"]}}
            match = {"connection": attempt["connection"], "target": _literal(attempt["target"])}
            yield (*path, "attempts", index), {"match": match, "times": 1, **behaviour}
        for index, callout in enumerate(trace.get("callouts") or ()):
            if callout["connection"] or callout["status"] is None:
                continue
            url = urlsplit(callout["url"])
            where = _literal(f"{url.scheme}://{url.netloc}{url.path or '/'}")
            match = {"method": callout["method"], "url": where, "query": url.query}
            yield (*path, "callouts", index), {"match": match, "times": 1, "response": {"status": callout["status"]}}
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(f"is no trace: {type(error).__name__}: {error}", file, path=path) from None


def _undone(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers and body of the backend's answer, as far as a trace shows them."""
    head = Headers([(str(name), str(value)) for name, value in trace["response"]["headers"]])
    fields: dict[str, str | None] = {name: ", ".join(head.getall(name)) for name in head}
    body: str | None = None
    for run in reversed(trace["hooks"]):
        if run["phase"] != "response":
            continue
        for change in run["changes"]:
            what, before = str(change["what"]), change["before"]
            if what.startswith("response.headers."):
                fields[what.removeprefix("response.headers.")] = before
            elif what == "response.body":
                body = before
    headers = {
        name: value
        for name, value in fields.items()
        if value is not None and value != MASK and name not in _NOT_REPLAYED and not name.startswith("x-hookgate-trace")
    }
    shown = _SHOWN.fullmatch(body or "")
    text = shown[2] if shown is not None else None
    if shown is None or text is None or len(text.encode()) != int(shown[1]):
        return {"headers": headers}  # not shown, or not whole
    return {"headers": headers, "body": text}
