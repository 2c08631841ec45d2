"""How ``hookgate simulate`` shows what happened to people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rich.text import Text

from hookgate.commands.output import out
from hookgate.simulation import Change, HookRun, Simulation

_ARROWS = {"request": "→", "response": "←", "fault": "✗", "done": "·"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_INDENT = "      "


def show(result: Simulation) -> None:
    """Print every hook in the order it ran with its differences beneath, then the attempts and the answer."""
    request = result.request
    target = request["path"] + (f"?{request['query']}" if request["query"] else "")
    _line(f"{request['method']} {target}", "bold", f" from {request['client']}")
    params = ", ".join(f"{name}={value}" for name, value in result.params.items())
    _line("route ", "", result.route or "none matched", f" ({params})" if params else "")
    out.print()
    _hooks(result)
    for number, attempt in enumerate(result.attempts, 1):
        _attempt(number, attempt)
    _answer(result)


def _hooks(result: Simulation) -> None:
    names = [_ARROWS[run.phase] + " " + "  " * run.depth + run.plugin for run in result.hooks]
    hooks = [f"{run.hook}" for run in result.hooks]
    wide = max(map(len, names), default=0)
    decided = max((len(run.decision) for run in result.hooks), default=0)
    hooked = max(map(len, hooks), default=0)
    for run, name, hook in zip(result.hooks, names, hooks, strict=True):
        line = Text(f"{name:<{wide}}  ")
        line.append(f"{hook:<{hooked}}  ", "dim")
        line.append(f"{run.decision:<{decided}}  ", _style(run))
        line.append(f"{run.microseconds:>7,} µs  {run.step}", "dim")
        out.print(line)
        for change in run.changes:
            _difference(change)
    if result.hooks:
        out.print()


def _style(run: HookRun) -> str:
    if run.decision.startswith(("raised", "cancelled")):
        return "red"
    return "yellow" if run.decision.startswith("answered") else "dim" if run.decision != "passed" else ""


def _difference(change: Change) -> None:
    if change.before is not None:
        _line(f"{_INDENT}- {change.what}: {change.before}", "red")
    if change.after is not None:
        _line(f"{_INDENT}+ {change.what}: {change.after}", "green")


def _attempt(number: int, attempt: Any) -> None:
    status = f" {attempt['status']}" if attempt["status"] is not None else ""
    error = f": {attempt['error']}" if attempt["error"] else ""
    _line(f"attempt {number} ", "bold", f"{attempt['target']}  {attempt['outcome']}{status}{error}")
    sent = attempt["sent"]
    if sent is None:
        _line(f"{_INDENT}nothing was sent", "dim")
    else:
        _line(f"{_INDENT}{sent['method']} {sent['url']}")
        _fields(sent["headers"])
        _line(f"{_INDENT}body: {sent['body_bytes']:,} bytes", "dim")
    out.print()


def _answer(result: Simulation) -> None:
    response, fault = result.response, result.fault
    status = response["status"]
    phrase = _PHRASES.get(status, "")
    colour = "bold green" if status < 400 else "bold red"
    by = f" by {result.answered_by}" if result.answered_by else ""
    _line(f"answer {status} {phrase}".rstrip(), colour, by)
    if fault is not None:
        _line(
            f"{_INDENT}after the fault {fault['reason']}" + (f": {fault['detail']}" if fault["detail"] else ""), "red"
        )
    if result.outcome != "ok":
        _line(f"{_INDENT}the body broke off: {result.outcome}", "red")
    _fields(response["headers"])
    if response["body"] is None:
        _line(f"{_INDENT}body: {response['body_bytes']:,} bytes that are no text", "dim")
    elif response["body"]:
        out.print()
        _line(response["body"])
        if response["truncated"]:
            _line(f"… of {response['body_bytes']:,} bytes", "dim")


def _fields(fields: list[tuple[str, str]]) -> None:
    for name, value in fields:
        _line(f"{_INDENT}{name}: {value}")


def _line(text: str, style: str = "", *more: str) -> None:
    """Print text as it is, the first part in a style, without what a terminal would take for commands."""
    line = Text("".join(_printable(part) for part in (text, *more)))
    line.stylize(style, 0, len(_printable(text)))
    out.print(line)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
