"""Who takes part: each contender as data. What it is configured with stands in `configurations/`.

All have one worker on one core, keep connections to the backend open, stream bodies, write no access log unless stated,
and otherwise run with their defaults.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import managed
from .nodepackages import installed
from .processes import Process
from .rendering import fill, render

WHEEL = "a wheel in the dependency group `bench`: `./run tox -e bench` installs it"
NODE = "`node` and `npm`, from Debian or elsewhere"
VERSIONS = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("quart", "hypercorn", "httpx")), sep=", ")
"""
HYPERCORN = ("@PYTHON@", "-m", "hypercorn", "--config", "hypercorn.toml")
TLS_OF_HYPERCORN = ("--certfile", "@CERTIFICATE@", "--keyfile", "@KEY@")
GO_ON_ONE_CORE = {"GOMAXPROCS": "1"}


class AbsentError(Exception):
    """A contender is not installed; the text says how to install it."""


@dataclass(frozen=True)
class Contender:
    """One proxy with one configuration. In commands and values, `@NAME@` is a blank (see `rendering`)."""

    name: str
    what: str
    """What it is, in a few words."""
    configuration: str
    """Folder in `configurations/`, whose files are filled in and written to `@FOLDER@`, where it is started."""
    program: str
    """Name of the executable; `@PROGRAM@` is its path."""
    install: str
    """Where the executable comes from, said to whoever lacks it."""
    command: tuple[str, ...]
    """Starts it in the foreground."""
    version: tuple[str, ...] = ("@PROGRAM@", "--version")
    """Prints its version."""
    number: str = r"\d+\.\d+[\w.+-]*"
    """Regular expression of the version in what is printed."""
    tls_command: tuple[str, ...] = ()
    """Starts it with a TLS listener, where `command` does not open both."""
    environment: Mapping[str, str] = field(default_factory=dict)
    package: str = ""
    """`NAME@VERSION` of an npm package; `@NODE_MODULES@` is the folder it is in."""
    write: Callable[[Path, Mapping[str, object]], None] | None = None
    """Writes what no committed file can hold."""
    managed: bool = False
    """Whether it does the work of an API manager: it takes part in the case of that name, and in no other."""

    def find(self) -> dict[str, str]:
        """Find what it needs on this machine, which for packages of npm may mean to install them: values of blanks.

        Raises:
            AbsentError: something is missing.
        """
        program = which(self.program)
        if program is None:
            raise AbsentError(f"`{self.program}` is missing. It comes from {self.install}.")
        found = {"PROGRAM": program, "PYTHON": sys.executable}
        if not self.package:
            return found
        try:
            return {**found, "NODE_MODULES": str(installed(self.package))}
        except (OSError, subprocess.SubprocessError) as error:
            raise AbsentError(f"npm could not install {self.package}: {error}") from error

    def ask_version(self, found: Mapping[str, str]) -> str:
        """Ask it for its version: the first thing it prints that `number` fits."""
        command = [fill(word, found) for word in self.version]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        said = re.search(self.number, done.stdout + done.stderr)
        version = said[0] if said else "unknown"
        return f"{self.package}, node {version}" if self.package else version

    def start(self, folder: Path, values: Mapping[str, object], core: int, *, tls: bool) -> Process:
        """Start it on a core, with its files in `folder`, and wait until it listens.

        Raises:
            StartError: it does not start.
        """
        values = {**values, "FOLDER": folder}
        render(self.configuration, folder, values)
        if self.write is not None:
            self.write(folder, values)
        command = self.tls_command if tls and self.tls_command else self.command
        environment = {name: fill(value, values) for name, value in self.environment.items()}
        # A proxy of the environment is for other programs, and HOME may be read-only.
        environment |= {"HOME": str(folder), "NO_PROXY": "*", "HTTP_PROXY": "", "http_proxy": ""}
        process = Process([fill(word, values) for word in command], core, folder, environment)
        try:
            process.wait_for_port(int(str(values["TLS_PORT" if tls else "PORT"])))
        except BaseException:
            process.end()
            raise
        return process


def which(program: str) -> str | None:
    """Find an executable beside this Python, on the path, or where Debian keeps servers."""
    own = sysconfig.get_path("scripts")
    path = os.pathsep.join([own, os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    return sys.executable if program == "python" else shutil.which(program, path=path)


def hookgate(
    name: str, what: str, document: str = "", write: Callable[[Path, Mapping[str, object]], None] | None = None
) -> Contender:
    """Describe hookgate with a document in `configurations/hookgate`, or one that `write` makes."""
    document = document or f"{name}.yaml"
    return Contender(
        name=name,
        what=what,
        configuration="hookgate",
        program="hookgate",
        install="this checkout: `./run python tests/bench/compare.py`",
        command=("@PROGRAM@", "serve", document),
        version=("@PYTHON@", "-c", "import hookgate; print(hookgate.__version__)"),
        environment={"HOOKGATE_LOG_LEVEL": "warning"},
        write=write,
    )


def on_node(name: str, what: str, package: str) -> Contender:
    """Describe a gateway that is a package of npm, started by a `server.js`."""
    return Contender(
        name=name,
        what=what,
        configuration=name,
        program="node",
        install=NODE,
        command=("@PROGRAM@", "server.js"),
        environment={"NODE_PATH": "@NODE_MODULES@", "NODE_ENV": "production", "LOG_LEVEL": "error"},
        package=package,
    )


PROXIES = (
    Contender(
        name="nginx",
        what="nginx, one worker",
        configuration="nginx",
        program="nginx",
        install="Debian: `apt-get install nginx-light`",
        command=("@PROGRAM@", "-c", "@FOLDER@/nginx.conf", "-e", "stderr"),
        version=("@PROGRAM@", "-v"),
    ),
    Contender(
        name="haproxy",
        what="HAProxy, one thread",
        configuration="haproxy",
        program="haproxy",
        install="Debian: `apt-get install haproxy`",
        command=("@PROGRAM@", "-db", "-f", "haproxy.cfg"),
        version=("@PROGRAM@", "-v"),
    ),
    Contender(
        name="envoy",
        what="Envoy, one worker",
        configuration="envoy",
        program="envoy",
        install=WHEEL,
        # Nothing is handed over to a next process, so several may run at once.
        command=("@PROGRAM@", "-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error"),
    ),
    Contender(
        name="caddy",
        what="Caddy, one core",
        configuration="caddy",
        program="caddy",
        install=WHEEL,
        command=("@PROGRAM@", "run", "--config", "Caddyfile", "--adapter", "caddyfile"),
        version=("@PROGRAM@", "version"),
        environment={**GO_ON_ONE_CORE, "XDG_DATA_HOME": "@FOLDER@/data", "XDG_CONFIG_HOME": "@FOLDER@/config"},
    ),
    Contender(
        name="traefik",
        what="Traefik, one core",
        configuration="traefik",
        program="traefik",
        install=WHEEL,
        command=("@PROGRAM@", "--configFile=traefik.yaml"),
        version=("@PROGRAM@", "version"),
        environment=GO_ON_ONE_CORE,
    ),
    Contender(
        name="traefik-fast",
        what="Traefik with its experimental fast proxy",
        configuration="traefik",
        program="traefik",
        install=WHEEL,
        command=("@PROGRAM@", "--configFile=traefik-fast.yaml"),
        version=("@PROGRAM@", "version"),
        environment=GO_ON_ONE_CORE,
    ),
    on_node("http-proxy-3", "http-proxy-3 on the server of Node", "http-proxy-3@1.23.3"),
    on_node("fast-gateway", "fast-gateway (Node)", "fast-gateway@3.4.7"),
    on_node("express-gateway", "express-gateway (Node)", "express-gateway@1.16.11"),
    Contender(
        name="obvious",
        what="a catch-all route of Quart that calls httpx, on Hypercorn",
        configuration="obvious",
        program="python",
        install="this checkout: `./run python tests/bench/compare.py`",
        command=(*HYPERCORN, "--bind", "127.0.0.1:@PORT@", "app:app"),
        version=("@PYTHON@", "-c", VERSIONS),
        number=r".+",
        tls_command=(*HYPERCORN, *("--bind", "127.0.0.1:@TLS_PORT@"), *TLS_OF_HYPERCORN, "app:app"),
    ),
    hookgate("hookgate", "hookgate with an empty flow"),
    hookgate("hookgate-8", "hookgate with eight steps, an access log and numbers for Prometheus"),
    hookgate("hookgate-basic", "hookgate with a balancer, a date header and basic auth towards the backend"),
    hookgate("hookgate-signature", "the same with an HTTP signature in place of basic auth"),
    hookgate("hookgate-oauth2", "the same with a kept OAuth 2 token in place of basic auth"),
    hookgate("hookgate-edge", "hookgate with an empty flow and `lane: off`"),
)


def managing(contender: Contender, what: str, **more: object) -> Contender:
    """Describe a contender that does the work of an API manager, with a configuration of its own."""
    name = f"{contender.name}-managed"
    return replace(contender, **{"name": name, "what": what, "configuration": name, "managed": True, **more})


_BY_NAME = {each.name: each for each in PROXIES}
_STORE = {"HOOKGATE_SOURCE": "store", "HOOKGATE_SOURCE_OPTIONS": '{"url": "sqlite:///@FOLDER@/store.db"}'}
CONTENDERS = (
    *PROXIES,
    managing(_BY_NAME["nginx"], "nginx with the token in its configuration"),
    managing(_BY_NAME["envoy"], "Envoy with the token in its configuration, and one limit"),
    managing(_BY_NAME["traefik"], "Traefik with the token in a rule of its router, and one limit"),
    managing(
        _BY_NAME["hookgate"],
        "hookgate with key manager, subscriptions and tiers",
        configuration="hookgate",
        command=("@PROGRAM@", "serve", "hookgate-managed.yaml"),
        write=managed.write,
        environment={**_BY_NAME["hookgate"].environment, **_STORE},
    ),
)
