"""Follow docs/install.md line by line: `python tests/house/installing.py`, run by `./run tox -e wheel`.

The lines run in a copy of the checkout, and `/opt` is a folder of their own. Then the RUN and COPY lines of the
Containerfile run in an empty root, and the line of the systemd unit serves a call. It needs the network, for wheels of
others.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT = {"mypy", "pytest", "ruff", "tox", "hypothesis", "coverage"}
BLOCK = re.compile(r"^(<!-- not run[^\n]*\n)?```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENT = """\
gateway: {listen: ["127.0.0.1:0"], lame_duck: 0}
management: {listen: ["127.0.0.1:0"]}
routes: [{name: hello, match: {path: /hello}, flow: [respond: {body: hello}]}]
"""
CALLING = """\
routes: [{name: all, to: {connection: crm}}]
connections: {crm: {targets: ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]}}
"""


def checkout(folder: Path) -> Path:
    """Copy what would be committed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run(line: str, folder: Path, opt: Path, **environment: str) -> str:
    """Run a line of a page as a shell does, with another folder for /opt."""
    line = line.replace("/opt/", f"{opt}/")
    done = subprocess.run(
        ["sh", "-euc", line],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "UV_PYTHON": sys.executable, **environment},
    )
    assert done.returncode == 0, f"{line}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def page(folder: Path, opt: Path) -> None:
    """Each line of the page does what it says."""
    for skipped, text in BLOCK.findall((ROOT / "docs" / "install.md").read_text(encoding="utf-8")):
        for line in text.splitlines() if not skipped else ():
            if line.endswith("demo"):  # it has a test of its own, and does not end
                line = line.replace("demo", "--version")
            said = run(line, folder, opt)
            if line.endswith("--version"):
                assert said.startswith("hookgate "), said
    for environment in (folder / ".venv", *opt.iterdir()):
        found = {path.name.split("-")[0] for path in environment.glob("lib/python*/site-packages/*.dist-info")}
        assert found, environment
        assert not found & DEVELOPMENT, f"{environment} holds {found & DEVELOPMENT}"
        (folder / "gateway.yaml").write_text(CALLING, encoding="utf-8")  # what every deployment does
        assert "good" in run(f"bin/hookgate check {folder}/gateway.yaml", environment, opt), environment


def container(folder: Path, root: Path) -> None:
    """The steps of the Containerfile, in an empty root."""
    steps = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8").splitlines()
    root.mkdir()
    for step in steps:
        word, _, rest = step.partition(" ")
        if word == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            shutil.copytree(folder / source, root / target.lstrip("/"))
        if word == "RUN":
            line = re.sub(r"(?<=[\s])/wheelhouse", f"{root}/wheelhouse", rest)
            run(line.replace("python3 -m", f"{sys.executable} -m"), root, root / "opt")
    command = [json.loads(step.split(" ", 1)[1]) for step in steps if step.startswith(("ENTRYPOINT", "CMD"))]
    served([word.replace("/opt/", f"{root}/opt/") for words in command for word in words], root / "etc")


def unit(opt: Path, etc: Path) -> None:
    """What systemd starts serves, and tells it when it does."""
    text = (ROOT / "deploy" / "hookgate.service").read_text(encoding="utf-8")
    start = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0]
    served(start.replace("/opt/", f"{opt}/").split(), etc)


def served(command: list[str], etc: Path) -> None:
    """Start a gateway as a service manager does, and call it."""
    etc.mkdir(exist_ok=True)
    (etc / "gateway.yaml").write_text(DOCUMENT, encoding="utf-8")
    command = [word.replace("/etc/hookgate/", f"{etc}/") for word in command]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0installing-{os.getpid()}")
        manager.settimeout(120)
        environment = {**os.environ, "NOTIFY_SOCKET": f"@installing-{os.getpid()}"}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as gateway:
            try:
                assert manager.recv(4096).startswith(b"READY=1\n")
                assert gateway.stderr is not None
                url = next(line.split()[-1] for line in gateway.stderr if line.startswith("hookgate serves"))
                with urlopen(f"{url}/hello", timeout=60) as answer:
                    assert answer.read() == b"hello"
            finally:
                gateway.terminate()
                gateway.communicate(timeout=60)
    assert gateway.returncode == 0


def main() -> None:
    """Follow everything that can be followed without an engine."""
    with tempfile.TemporaryDirectory() as elsewhere:
        base = Path(elsewhere)
        folder = checkout(base / "checkout")
        page(folder, base / "opt")
        print("Every line of docs/install.md did what it says, and left no development tools behind")
        unit(base / "opt", base / "etc")
        print("The systemd unit serves, and says when")
        container(folder, base / "image")
        print("The steps of the Containerfile end in a gateway that serves")


if __name__ == "__main__":
    main()
