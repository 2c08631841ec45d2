"""Renders templates that may run away, in processes that are ended when one does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from hookgate_workflows.templating import LONGEST_RESULT, Form, TemplateFailed

MOST = 2
"""Processes at once."""
START = 30.0
"""Seconds that one has to start, on a machine that is busy."""
LONGEST_FRAME = 16 * LONGEST_RESULT


class Rendering:
    """Hands templates to processes. They start when they are needed."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._idle: list[asyncio.subprocess.Process] = []
        self._free = asyncio.Semaphore(MOST)
        self._closed = False

    async def render(self, source: str, variables: Mapping[str, Any], form: Form) -> Any:
        """Render a template.

        Raises:
            TemplateFailed: it raises, takes too long or too much memory, or gives too much.
        """
        frame = orjson.dumps({"source": source, "form": form, "variables": variables})
        if len(frame) > LONGEST_FRAME:
            raise TemplateFailed("its values are too long")
        async with self._free:
            process = await self._process()
            try:
                async with asyncio.timeout(self.timeout):
                    told = await _asked(process, frame)
            except TimeoutError:
                await _ended(process)
                raise TemplateFailed(f"it took longer than {self.timeout:g} s, and was ended") from None
            except (OSError, asyncio.IncompleteReadError, ValueError):
                await _ended(process)
                raise TemplateFailed("it took too much memory, and was ended") from None
            except BaseException:
                await _ended(process)
                raise
            if self._closed:
                await _ended(process)
            else:
                self._idle.append(process)
        if "failed" in told:
            raise TemplateFailed(told["failed"])
        return told["value"]

    async def _process(self) -> asyncio.subprocess.Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hookgate_workflows.helping"),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LONGEST_FRAME,
            env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        )
        try:
            async with asyncio.timeout(START):
                await _asked(process, orjson.dumps({"source": "", "form": "text", "variables": {}}))
        except BaseException as error:
            await _ended(process)
            if isinstance(error, TimeoutError | OSError | asyncio.IncompleteReadError):
                raise TemplateFailed("no process can be started to render it") from None
            raise
        return process

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        while self._idle:
            await _ended(self._idle.pop())


async def _asked(process: asyncio.subprocess.Process, frame: bytes) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(frame).to_bytes(4) + frame)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(4))
    return orjson.loads(await process.stdout.readexactly(length))


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()
