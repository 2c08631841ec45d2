"""An installation as its user sees it: distributions come and go, commands are typed, gateways are called."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

HOOKGATE = Path(sys.executable).with_name("hookgate")
PATIENCE = 240
"""Seconds after which a command that does not come to an end is killed."""


def pip(command: str, *what: object) -> None:
    """Install or uninstall."""
    subprocess.run(["uv", "pip", command, "--quiet", "--python", sys.executable, *map(str, what)], check=True)


def environment(site: Path | None = None) -> dict[str, str]:
    """The environment of a command: wide enough that no line is broken, and nothing set but a site's folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKGATE_")}
    return {**kept, "COLUMNS": "1000", "NO_COLOR": "1", **({"HOOKGATE_PLUGINS_DIR": str(site)} if site else {})}


def typed(*words: str, code: int = 0, site: Path | None = None) -> str:
    """Run the command; return all it says, without frames. Its exit code has to be as given."""
    run = subprocess.run(
        [HOOKGATE, *words], capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment(site)
    )
    said = run.stdout + run.stderr
    assert run.returncode == code, f"`hookgate {' '.join(words)}` ended with {run.returncode}, not {code}:\n{said}"
    assert "Traceback" not in said, said
    return "\n".join(" ".join(line.strip("│").split()) for line in said.splitlines())


def refused(document: str, name: str, site: Path | None = None) -> str:
    """Return what `check` says of a document that is wrong."""
    Path(name).write_text(document, encoding="utf-8")
    return typed("check", name, code=2, site=site)


@contextmanager
def serving(document: str, name: str, site: Path | None = None) -> Iterator[str]:
    """Check a document and serve it for as long as the block lasts; gives the URL of the gateway."""
    Path(name).write_text(document, encoding="utf-8")
    typed("check", name, site=site)
    command = [HOOKGATE, "serve", name]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(site)) as gateway:
        watchdog = threading.Timer(PATIENCE, gateway.kill)
        watchdog.start()
        assert gateway.stderr is not None
        said = ""
        try:
            while not (url := re.search(r"hookgate serves (\S+)", said)):
                line = gateway.stderr.readline()
                assert line, f"the gateway ended before it listened:\n{said}"
                said += line
            yield url[1]
        finally:
            gateway.terminate()
            said += gateway.stderr.read()
            watchdog.cancel()
    assert gateway.returncode == 0, f"the gateway stopped with {gateway.returncode}:\n{said}"


def got(url: str) -> tuple[str, dict[str, str]]:
    """Call once; return the body, and the headers by their names in small letters."""
    with urlopen(url, timeout=60) as answer:
        return answer.read().decode(), {name.lower(): value for name, value in answer.headers.items()}


def together(*jobs: Callable[[], object]) -> None:
    """Do several things at once: most of the time goes into starting Python."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
