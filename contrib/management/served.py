"""A gateway of its own process that serves a store, for tests of the API."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from contrib.prepared import prepare
from hookgate_storage import Keys, open_store

DOCUMENT = """\
gateway: {listen: ["127.0.0.1:0"], lame_duck: 0}
management:
  listen: ["127.0.0.1:0"]
  apps:
    - health
    - connections
    - management:
        callers:
          ann: {token: token-of-ann}
          bob: {token: token-of-bob, permissions: [api_api-connection]}
          eve: {token: token-of-eve, permissions: [read]}
connections: {old: {targets: "http://127.0.0.1:9"}}
routes:
  - {name: hello, match: {path: /hello}, flow: [{respond: {body: hello}}]}
"""


class Served:
    """What a test asks."""

    def __init__(self, process: subprocess.Popen[str], public: str, management: str) -> None:
        self.process = process
        self.public = public
        self.management = management
        self.lines: list[str] = []

    def call(
        self, method: str, path: str, body: Any = None, token: str = "token-of-ann", **headers: str
    ) -> httpx.Response:
        """Call the API."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return (
            httpx.request(
                method, f"{self.management}/-/api{path}", json=body, headers=sent, timeout=60, trust_env=False
            )
            if body is not None
            else httpx.request(method, f"{self.management}/-/api{path}", headers=sent, timeout=60, trust_env=False)
        )

    def get(self, path: str) -> httpx.Response:
        """Call the gateway."""
        return httpx.get(f"{self.public}{path}", timeout=30, trust_env=False)

    def health(self) -> Any:
        """Return what is told on ``/-/health``."""
        return httpx.get(f"{self.management}/-/health", timeout=30, trust_env=False).json()


def written_in(folder: Path) -> dict[str, bytes]:
    """Return what stands in each file below a folder, by path. A gateway writes there meanwhile: a file that it puts in
    the place of another one, under a name that lasts for a moment, is read if it is still there."""
    found = {}
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            found[file.relative_to(folder).as_posix()] = file.read_bytes()
    return found


def environment(url, **options):
    """What a gateway and a command are told of a store."""
    return {
        **os.environ,
        "HOOKGATE_SOURCE": "store",
        "HOOKGATE_SOURCE_OPTIONS": json.dumps({"url": url, "poll": "100ms", **options}),
        "PYTHONUNBUFFERED": "1",
    }


async def made(url, key):
    """Make the tables and the key, as ``hookgate storage upgrade`` does, which takes seconds to start."""
    keys = Keys.in_file(key, make=True)
    await prepare(url)
    await (await open_store(url, keys)).close()


@contextmanager
def serving(folder, url, document=DOCUMENT, *, ready=True, environ=None, **options):
    """Run a gateway in a folder, with its store at an URL."""
    (folder / "gateway.yaml").write_text(document)
    environ = environ or environment(url, **options)
    command = [sys.executable, "-m", "hookgate"]
    if ready:
        with ThreadPoolExecutor(1) as other:  # a loop may run in this one
            other.submit(asyncio.run, made(url, Path(options.get("key", folder / "hookgate-store.key")))).result()
    process = subprocess.Popen(
        [*command, "serve", "gateway.yaml"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    try:
        lines, found = [], {}
        for line in process.stdout:
            lines.append(line)
            for what in ("serves", "management on"):
                if match := re.search(rf"{what} (http://[0-9.:]+)", line):
                    found[what] = match[1]
            if "management on" in found:
                break
        assert "management on" in found, "".join(lines)
        served = Served(process, found["serves"], found["management on"])
        served.lines = lines
        reader.start()
        yield served
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait(30)
            if reader.ident is not None:
                reader.join(30)
            process.stdout.close()
