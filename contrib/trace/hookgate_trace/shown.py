"""A trace for people: lines of text in parts, each with a style that a terminal may use and a page leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from hookgate.exchange import printable

ARROWS = {"request": "→", "response": "←", "fault": "✗", "done": "·"}
Line = tuple[tuple[str, str], ...]
"""Parts with their styles, as ``hookgate.commands.print_line`` takes them."""
PHRASES = {status.value: status.phrase for status in HTTPStatus}
INDENT = "      "


def as_lines(trace: Mapping[str, Any]) -> list[Line]:
    """Return what :meth:`Trace.as_dict` says: the call, what happened in order of time, the answer."""
    return [
        tuple((printable(text), style) for text, style in line)
        for line in (*_call(trace), (), *_happened(trace), (), *_answer(trace))
    ]


def hook_lines(hooks: Sequence[Mapping[str, Any]]) -> Iterator[list[Line]]:
    """Write each hook that ran, in columns, with the differences it made beneath."""
    names = [ARROWS[run["phase"]] + " " + "  " * run["depth"] + run["plugin"] for run in hooks]
    wide = max(map(len, names), default=0)
    hooked = max((len(run["hook"]) for run in hooks), default=0)
    decided = max((len(run["decision"]) for run in hooks), default=0)
    for run, name in zip(hooks, names, strict=True):
        origin = f"  from {run['origin']}" if run["origin"] else ""
        line: Line = (
            (f"{name:<{wide}}  ", ""),
            (f"{run['hook']:<{hooked}}  ", "dim"),
            (f"{run['decision']:<{decided}}  ", _style(run["decision"])),
            (f"{run['microseconds']:>7,} µs  {run['step']}{origin}", "dim"),
        )
        yield [line, *(made for change in run["changes"] for made in _difference(change))]


def _style(decision: str) -> str:
    if decision.startswith(("raised", "cancelled")):
        return "red"
    return "yellow" if decision.startswith("answered") else "dim" if decision != "passed" else ""


def _difference(change: Mapping[str, Any]) -> Iterator[Line]:
    if change["before"] is not None:
        yield ((f"{INDENT}- {change['what']}: {change['before']}", "red"),)
    if change["after"] is not None:
        yield ((f"{INDENT}+ {change['what']}: {change['after']}", "green"),)


def _call(trace: Mapping[str, Any]) -> Iterator[Line]:
    request = trace["request"]
    target = request["path"] + (f"?{request['query']}" if request["query"] else "")
    came = datetime.fromtimestamp(trace["time"], UTC).isoformat(" ", timespec="milliseconds").replace("+00:00", " UTC")
    yield (f"{request['method']} {target}", "bold"), (f" from {request['client']} to {request['host']}", "")
    yield ((f"trace {trace['id']}  {came}  {_milliseconds(trace['seconds'])}  traced by {trace['reason']}", "dim"),)
    route = trace["route"]
    params = ", ".join(f"{name}={value}" for name, value in trace["params"].items())
    yield ((f"route {route['name'] if route else 'none matched'}{f' ({params})' if params else ''}", ""),)
    if api := trace["api"]:
        named = " ".join(api[name] for name in ("name", "version", "resource", "operation") if api[name])
        yield ((f"api {named}", ""),)
    identity = trace["identity"]
    caller = {
        "identity": f"{identity['subject']} ({identity['method'] or 'unknown'})" if identity else None,
        "application": trace["application"],
        "plan": trace["plan"],
        "environment": trace["environment"],
    }
    if told := "  ".join(f"{name} {value}" for name, value in caller.items() if value):
        yield ((told, ""),)
    yield from _fields(request["headers"])
    if trace.get("shortened"):
        yield (("The trace was too long to be kept whole: differences, or more, are missing.", "yellow"),)


def _happened(trace: Mapping[str, Any]) -> Iterator[Line]:
    """Tell hooks, and between them what has a time of its own, in order of time."""
    others: list[tuple[float, list[Line]]] = [
        *((note["at"], _note(note)) for note in trace["notes"]),
        *((each["at"], _callout(each)) for each in trace["callouts"]),
        *((each["at"], _attempt(number, each)) for number, each in enumerate(trace["attempts"], 1)),
    ]
    others.sort(key=lambda other: other[0])
    for run, lines in zip(trace["hooks"], hook_lines(trace["hooks"]), strict=True):
        while others and others[0][0] < run["at"]:
            yield from others.pop(0)[1]
        yield from lines
    for _, lines in others:
        yield from lines
    for name, value in trace["facts"].items():
        yield (f"fact {name} = ", "dim"), (str(value), "")


def _note(note: Mapping[str, Any]) -> list[Line]:
    return [(("  note ", "dim"), (note["text"], "cyan"), (f"  at {_milliseconds(note['at'])}", "dim"))]


def _callout(callout: Mapping[str, Any]) -> list[Line]:
    ended = callout["error"] or callout["status"] or "under way"
    through = f" by {callout['connection']}" if callout["connection"] else ""
    took = f" in {_milliseconds(callout['seconds'])}" if callout["seconds"] is not None else ""
    style = "red" if callout["error"] else "bold"
    return [(("  call ", "dim"), (f"{callout['method']} {callout['url']}{through}: ", ""), (f"{ended}{took}", style))]


def _attempt(number: int, attempt: Mapping[str, Any]) -> list[Line]:
    outcome = attempt["outcome"] + (f" {attempt['status']}" if attempt["status"] is not None else "")
    took = f" in {_milliseconds(attempt['seconds'])}" if attempt["seconds"] is not None else ""
    head = f", its head in {_milliseconds(attempt['head_seconds'])}" if attempt["head_seconds"] is not None else ""
    error = f": {attempt['error']}" if attempt["error"] else ""
    lines: list[Line] = [
        (
            (f"⇒ attempt {number} ", "bold"),
            (f"{attempt['connection']} {attempt['target']}  ", ""),
            (f"{outcome}{error}", "" if attempt["outcome"] == "ok" else "red"),
            (f"{took}{head}", "dim"),
        )
    ]
    if attempt["verdict"]:
        lines.append(((f"{INDENT}{attempt['verdict']}", "yellow"),))
    return lines


def _answer(trace: Mapping[str, Any]) -> Iterator[Line]:
    response, fault = trace["response"], trace["fault"]
    by = f" by {trace['answered_by']}" if trace["answered_by"] else ""
    if response is None:
        yield ("no answer", "bold red"), (": the client was gone first", "")
    else:
        status = response["status"]
        said = f"answer {status} {PHRASES.get(status, '')}".rstrip()
        yield (said, "bold green" if status < 400 else "bold red"), (f"{by}, {response['bytes']:,} bytes", "")
    if fault is not None:
        yield ((f"{INDENT}after the fault {fault['reason']}", "red"),)
    if trace["outcome"] != "ok":
        yield ((f"{INDENT}it broke off: {trace['outcome']}", "red"),)
    if response is not None:
        yield from _fields(response["headers"])


def _fields(fields: Sequence[Sequence[str]]) -> Iterator[Line]:
    for name, value in fields:
        yield ((f"{INDENT}{name}: {value}", "dim"),)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
