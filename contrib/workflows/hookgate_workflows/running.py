"""What a node sees of the run of its cell; see :class:`hookgate_workflows.family.Cell`."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson

from hookgate import Fault, Host, Response
from hookgate_workflows.family import STOPPED, Called, NodeFailed, Sub
from hookgate_workflows.instance import ERROR, OK, WAITING, Document, Instance, Run
from hookgate_workflows.resuming import expect, issue, redeem
from hookgate_workflows.subworkflows import run_sub
from hookgate_workflows.telling import listed
from hookgate_workflows.templating import Compiled, Form, Template, Templated, TemplateFailed, plain

if TYPE_CHECKING:
    from hookgate_workflows.rendering import Rendering
    from hookgate_workflows.settings import EngineSection

_FILE = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}")
MOST_CALLS = 10_000
LONGEST_MESSAGE = 2000
FRAMING = frozenset(
    (
        *("connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate", "set-cookie"),
        *("te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "date", "server", "via"),
    )
)
"""Fields of an answer that speak of its framing, or are the backend's own (CR-15)."""


def is_file_name(name: str) -> bool:
    """Whether a text is the name of a file, and no path."""
    return _FILE.fullmatch(name) is not None and name not in (".", "..")


class Cache:
    """Answers that cells keep for others, in memory."""

    def __init__(self, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock, self._most = clock, most
        self._held: dict[str, tuple[float, Any]] = {}

    def get(self, key: str) -> Any:
        """Return what is kept."""
        until, value = self._held.get(key, (0.0, None))
        return value if until > self._clock() else None

    def keep(self, key: str, value: Any, seconds: float) -> None:
        """Keep a value, or forget it."""
        self._held.pop(key, None)
        if seconds > 0:
            if len(self._held) >= self._most:
                del self._held[next(iter(self._held))]
            self._held[key] = self._clock() + seconds, value


class RunningCell:
    """The run of a cell that is under way."""

    def __init__(
        self,
        instance: Instance,
        run: Run,
        host: Host,
        rendering: Rendering,
        cache: Cache,
        settings: EngineSection,
        engine: Any = None,
    ) -> None:
        self._instance, self._run, self._rendering, self._cache = instance, run, rendering, cache
        self._settings, self._engine = settings, engine
        self.host = host
        self.name, self.number, self.attempt = run.token.cell, run.number, run.attempt
        self.key = f"{instance.guid}-{run.number}"
        self.resumed, self.is_resumed, self.kept = run.resumed, run.is_resumed, run.kept
        self.request = instance.request
        self.session: Mapping[str, str] | None = instance.session
        self.context: Mapping[str, Any] = MappingProxyType(instance.context)

    @property
    def instance(self) -> Mapping[str, Any]:
        """What is to be known of the instance."""
        return self._instance.told

    def _tasks(self) -> dict[str, Any]:
        runs = self._instance.runs.values()
        return {run.token.cell: {"status": run.status, "output": run.output, "error": run.error} for run in runs}

    def _variables(self, more: Mapping[str, Any], source: str) -> dict[str, Any]:
        instance = self._instance
        return {
            "request": instance.request,
            "instance": instance.told,
            "context": instance.context,
            "tasks": self._tasks() if "tasks" in source else {},
            "settings": self._settings.variables,
            "env": self._settings.environment,
            "user": {"name": instance.owner} if instance.owner else None,
            "parent_instance_context": instance.parent_context,
            **more,
        }

    async def text(self, template: Template, **more: Any) -> str:
        """Render a template to a text."""
        return str(await self._rendered(template.compiled, more, "text"))

    async def value(self, templated: Templated | Template, **more: Any) -> Any:
        """Render every template in a value."""
        if isinstance(templated, Template):
            return await self._rendered(templated.compiled, more, "value")
        if isinstance(templated.parts, Compiled):
            return await self._rendered(templated.parts, more, "value")
        return await self._inner(templated.parts, more)

    async def _inner(self, part: Any, more: Mapping[str, Any]) -> Any:
        if isinstance(part, Compiled):
            return await self._rendered(part, more, "inner")
        if isinstance(part, dict):
            return {key: await self._inner(each, more) for key, each in part.items()}
        if isinstance(part, list):
            return [await self._inner(each, more) for each in part]
        return part

    async def _rendered(self, compiled: Compiled, more: Mapping[str, Any], form: Form) -> Any:
        if compiled.constant:
            return compiled.render({}, form)
        try:
            if compiled.at_once:
                return compiled.render(self._variables(more, compiled.source), form)
            return await self._rendering.render(compiled.source, self._variables(more, compiled.source), form)
        except TemplateFailed as error:
            raise NodeFailed(f"a template of the cell cannot be rendered: {error}") from None

    def set(self, key: str, value: Any) -> None:
        """Put a value into the context."""
        try:
            found = plain(value)
            size = len(orjson.dumps(found))
        except (TemplateFailed, TypeError, ValueError) as error:
            raise NodeFailed(f"{key[:100]} cannot be put into the context: {error}") from None
        most = self._settings.limits.context
        others = {name: each for name, each in self._instance.context.items() if name != key}
        if size + len(orjson.dumps(others)) > most:
            raise NodeFailed(f"the context would have more than {most} bytes with {key[:100]}")
        self._instance.context[key] = found
        self._run.changes[key] = found

    def given(self, **values: Any) -> None:
        """Keep what the node works with."""
        self._run.given.update(
            {name: value[:LONGEST_MESSAGE] if isinstance(value, str) else value for name, value in values.items()}
        )

    def message(self, text: str) -> None:
        """Tell something."""
        if len(self._run.messages) < 100:
            self._run.messages.append(text[:LONGEST_MESSAGE])

    def attach(self, name: str, content: bytes, media_type: str, description: str = "") -> None:
        """Add a document."""
        if not is_file_name(name):
            raise NodeFailed(f"{name[:50]!r} is no file name: up to 200 characters, without slashes")
        files = self._instance.documents
        total = len(content) + sum(len(each.content) for each in files.values() if each.name != name)
        if total > self._settings.limits.documents:
            raise NodeFailed(f"documents of an instance have at most {self._settings.limits.documents} bytes together")
        files[name] = Document(name, media_type, content, description[:LONGEST_MESSAGE])
        self._instance.new_documents.add(name)

    def document(self, name: str) -> bytes | None:
        """Return a document."""
        found = self._instance.documents.get(name)
        return None if found is None else found.content

    def set_status(self, status: str) -> None:
        """Give the request a status."""
        if not status or len(status) > 100 or not status.isprintable():
            raise NodeFailed("a status has up to 100 characters that can be printed")
        self._instance.request_status = status

    def mark(self, task: str, status: Literal["OK", "ERROR"], message: str) -> None:
        """Change the status of another cell."""
        runs = [run for run in self._instance.runs.values() if run.token.cell == task and run is not self._run]
        if not runs:
            raise NodeFailed(f"no cell {task[:100]!r} has run")
        run = runs[-1]
        run.status, run.dirty = {"OK": OK, "ERROR": ERROR}[status], True
        run.error = message[:LONGEST_MESSAGE]

    def leads(self, output: str) -> bool:
        """Whether an output is connected."""
        return output in self._instance.graph.places[self.name].leads

    async def rest(self, seconds: float) -> bool:
        """Wait, in this process."""
        self._run.stopped = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._run.stopped.wait()
        except TimeoutError:
            return True
        return False

    def stop(self, cell: str) -> bool:
        """End the rest or the pause of another cell."""
        found = [run for run in self._instance.active.values() if run.token.cell == cell and run is not self._run]
        for run in found:
            if run.status == WAITING:
                run.until, run.resumed, run.key, run.dirty = self.host.clock.wall(), STOPPED, "", True
            elif run.stopped is not None:
                run.stopped.set()
        return bool(found)

    async def expect(self) -> str:
        """Return the URL of a callback."""
        key = await expect(self._engine.journal, self._instance.id, self.number)
        base, asked = self._settings.callback_base, self.request.get("url") if isinstance(self.request, dict) else None
        if base is None:
            found = urlsplit(asked) if isinstance(asked, str) else None
            base = f"{found.scheme}://{found.netloc}" if found is not None and found.netloc else ""
        return f"{base}{self._settings.prefix}/transactions/callbacks/{key}"

    async def issue(self, value: Any, seconds: float) -> str:
        """Return a token that is good for once."""
        until = self.host.clock.wall() + seconds
        return await issue(self._engine.journal, self._instance.id, self.number, value, until)

    async def redeem(self, token: str) -> Any:
        """Take such a token."""
        return await redeem(self._engine.journal, token, self.host.clock.wall())

    async def sub(self, index: int, workflow: str, request: Any, label: str = "") -> Sub:
        """Run another workflow."""
        return await run_sub(self._engine, self._instance, self._run, index, workflow, plain(request), label)

    async def search(self, where: Mapping[str, Any], before: int | None, most: int) -> list[dict[str, Any]]:
        """Return what was run."""
        return [listed(row) for row in await self._engine.journal.page(where, before, most)]

    def cached(self, key: str) -> Any:
        """Return what is kept."""
        return self._cache.get(key)

    def keep(self, key: str, value: Any, seconds: float) -> None:
        """Keep a value."""
        self._cache.keep(key, value, seconds)

    async def call(
        self,
        method: str,
        url: str,
        *,
        connection: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 30.0,  # noqa: ASYNC109
    ) -> Called:
        """Call somebody."""
        instance, host = self._instance, self.host
        if instance.call_count >= MOST_CALLS:
            raise NodeFailed(f"an instance makes at most {MOST_CALLS} calls")
        instance.call_count += 1
        begun, at = host.clock.now(), host.clock.wall()
        told: dict[str, Any] = {
            "instance": instance.id,
            "ordinal": instance.call_count,
            "number": self.number,
            "method": method,
            "url": url[:4000],
            "host": (urlsplit(url).netloc.rpartition("@")[2] if not connection else "")[:300],
            "connection": connection,
            "status": None,
            "error": "",
            "at": at,
        }
        try:
            async with asyncio.timeout(timeout + 1):
                if connection:
                    by = host.connection(connection)
                    found: Response = await by.request(method, url, headers=headers, body=body, timeout=timeout)
                else:
                    found = await host.http.request(method, url, headers=headers, body=body, timeout=timeout)
                content = bytes(await found.body.read())
            told["status"] = found.status
        except LookupError:
            told["error"] = "no-connection"
            raise NodeFailed(f"there is no connection {connection!r} any more") from None
        except TimeoutError:
            told["error"] = "timeout"
            raise NodeFailed(f"there was no answer within {timeout:g} s") from None
        except Fault as fault:
            told["error"] = fault.reason
            raise NodeFailed(f"there was no answer: {fault.reason}") from None
        except ValueError as error:
            told["error"] = "cannot-be-sent"
            raise NodeFailed(f"the call cannot be sent: {error}") from None
        finally:
            instance.calls.append({**told, "seconds": host.clock.now() - begun})
        if len(content) > self._settings.limits.answer:
            raise NodeFailed(f"the answer has more than {self._settings.limits.answer} bytes")
        fields: dict[str, str] = {}
        for name, value in found.headers.items():
            if name not in FRAMING:
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return Called(found.status, fields, read_body(content, fields.get("content-type", "")))


def read_body(content: bytes, media_type: str) -> Any:
    """Return a body as a plain value: what JSON says, a text, or Base64 of what is neither."""
    kind = media_type.partition(";")[0].strip().lower()
    if not content:
        return ""
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return orjson.loads(content)
        except ValueError:
            pass
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()
    return text if "\0" not in text else base64.b64encode(content).decode()
