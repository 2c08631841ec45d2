"""How ``hookgate simulate`` shows what happened to people."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hookgate.commands import out, print_line
from hookgate_simulation import Simulation
from hookgate_trace import INDENT, PHRASES, hook_lines


def show(result: Simulation) -> None:
    """Print every hook in the order it ran with its differences beneath, then the attempts and the answer."""
    request = result.request
    target = request["path"] + (f"?{request['query']}" if request["query"] else "")
    _line(f"{request['method']} {target}", "bold", f" from {request['client']}")
    params = ", ".join(f"{name}={value}" for name, value in result.params.items())
    _line("route ", "", result.route or "none matched", f" ({params})" if params else "")
    _belonging(result.trace)
    out.print()
    _hooks(result)
    for name, value in result.facts.items():
        _line(f"fact {name} ", "bold", str(value))
    for callout in result.callouts:
        _callout(callout)
    for sent in result.calls:
        _line("called ", "bold", f"{sent['method']} {sent['url']}  answered by {sent['answered_by'] or 'nobody'}")
        _fields(sent["headers"])
    if result.facts or result.callouts or result.calls:
        out.print()
    for number, attempt in enumerate(result.attempts, 1):
        _attempt(number, attempt)
    _answer(result)


def _belonging(trace: Mapping[str, Any]) -> None:
    """Print what the call belongs to, as far as anything is known of that."""
    api, identity = trace["api"], trace["identity"]
    if api is not None:
        version = f" {api['version']}" if api["version"] else ""
        operation = f", operation {api['operation']}" if api["operation"] else ""
        _line("api ", "", f"{api['name']}{version}, resource {api['resource']}{operation}")
    if identity is not None:
        _line("identity ", "", identity["subject"], f" ({identity['method']})" if identity["method"] else "")
    for what in ("application", "plan", "environment"):
        if trace[what]:
            _line(f"{what} ", "", trace[what])


def _callout(callout: Mapping[str, Any]) -> None:
    through = f" over {callout['connection']}" if callout["connection"] else ""
    came = str(callout["status"]) if callout["status"] is not None else f"failed: {callout['error'] or 'not over'}"
    _line("callout ", "bold", f"{callout['method']} {callout['url']}{through}  {came}")


def _hooks(result: Simulation) -> None:
    """Print the hooks, and between them what steps have noted, in order of time."""
    hooks, notes = result.trace["hooks"], deque(result.trace["notes"])
    for run, lines in zip(hooks, hook_lines(hooks), strict=True):
        while notes and notes[0]["at"] < run["at"]:
            _line("  note ", "dim", notes.popleft()["text"])
        for line in lines:
            print_line(line)
    for note in notes:
        _line("  note ", "dim", note["text"])
    if hooks or notes:
        out.print()


def _attempt(number: int, attempt: Any) -> None:
    status = f" {attempt['status']}" if attempt["status"] is not None else ""
    error = f": {attempt['error']}" if attempt["error"] else ""
    _line(f"attempt {number} ", "bold", f"{attempt['target']}  {attempt['outcome']}{status}{error}")
    if attempt["verdict"]:
        _line(f"{INDENT}{attempt['verdict']}", "yellow")
    sent = attempt["sent"]
    if sent is None:
        _line(f"{INDENT}nothing was sent", "dim")
    else:
        _line(f"{INDENT}{sent['method']} {sent['url']}")
        _fields(sent["headers"])
        _line(f"{INDENT}body: {sent['body_bytes']:,} bytes; answered by {sent['answered_by'] or 'nobody'}", "dim")
    out.print()


def _answer(result: Simulation) -> None:
    response, fault = result.response, result.fault
    status = response["status"]
    phrase = PHRASES.get(status, "")
    colour = "bold green" if status < 400 else "bold red"
    by = f" by {result.answered_by}" if result.answered_by else ""
    _line(f"answer {status} {phrase}".rstrip(), colour, by)
    if fault is not None:
        _line(f"{INDENT}after the fault {fault['reason']}" + (f": {fault['detail']}" if fault["detail"] else ""), "red")
    if result.outcome != "ok":
        _line(f"{INDENT}the body broke off: {result.outcome}", "red")
    _fields(response["headers"])
    if response["body"] is None:
        _line(f"{INDENT}body: {response['body_bytes']:,} bytes that are no text", "dim")
    elif response["body"]:
        out.print()
        _line(response["body"])
        if response["truncated"]:
            _line(f"… of {response['body_bytes']:,} bytes", "dim")


def _fields(fields: Iterable[Sequence[str]]) -> None:
    for name, value in fields:
        _line(f"{INDENT}{name}: {value}")


def _line(text: str, style: str = "", *more: str) -> None:
    """Print text as it is, the first part in a style."""
    print_line(((text, style), *((each, "") for each in more)))
