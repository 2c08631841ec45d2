"""The pages in docs/ hold what is true: they are generated, loaded and run."""

import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cache, wraps
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hookgate
from hookgate import Options, Source
from hookgate.commands import app
from hookgate.contract.hooks import hooks_of
from hookgate.contract.hookspecs import PROJECT, LifecycleSpec, hookimpl
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.document.reading import FIRST
from hookgate.gateway.configuration import load
from hookgate.gateway.gateway import Gateway
from hookgate.testing import upstream
from hookgate.testing.gateway import Memory
from hookgate_storage import merge

from ..clientpair import client_pair  # noqa: TID252 - how tests find each other, wherever they are run from
from .pages import anchors, blocks, every, links, pages, sections, write_files
from .workspace import FAMILIES, ROOT, members, project

EXAMPLES = sorted((ROOT / "docs/examples").rglob("*.yaml"))
TUTORIALS = {Path("docs/first-plugin.md"), Path("docs/first-gateway.md")}
SIGNATURE = re.compile(r"`?(?:async )?def (\w+)")
NO_USER_YET = {
    "interceptor.on_message",
    "observer.exchange_started",
    "section.connections",
}
"""Hooks that no plugin of this checkout implements. The list only gets shorter."""
NO_TEST_FILE_YET: set[str] = set()
"""Hooks that only their example exercises, on the page that `test_python_on_a_page_runs` runs. The list only gets
shorter."""
ASK_STORE = {"auth-people", "interceptor-approval", "interceptor-bulk", "interceptor-workflow", "workflows"}
"""Examples that are refused where there is no store."""
NOTHING_TO_WRITE = {"storage", "variables"}
"""Sections that nobody writes into a file: they are always there, or their items are stored."""


def is_hook(spec, name):
    return hasattr(vars(spec)[name], f"{PROJECT}_spec")


def hooks():
    """Every hook there is, as (family, name, specification)."""
    specs = [("", LifecycleSpec), *((family.name, family.spec) for family in FAMILIES.values())]
    return [(name, hook, spec) for name, spec in specs for hook in vars(spec) if is_hook(spec, hook)]


@cache
def shipped():
    """Every plugin of this checkout of a family of core, but the examples: a distribution may hold several."""
    families = {family.name for family in FAMILIES.values()}
    folders = [folder for folder in members() if not folder.name.startswith("example-")]
    ours = {project(folder)["project"]["name"] for folder in folders}
    return [each for each in Catalogue().listing() if each.distribution in ours and each.family in families]


def placed():
    """Those that a document places; sections are keys of it, and commands have nothing to do with one."""
    return [listed for listed in shipped() if listed.family not in ("section", "command")]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An environment in which every reference of the pages can be resolved."""
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLES] + [block.text for block in every("yaml")]
    for name in re.findall(r"\$\{env:(\w+)", "\n".join(texts)):
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.delenv("CRM_URL", raising=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOOKGATE_SCRIPTS", str(ROOT / "docs/examples/scripts"))
    for name in re.findall(r"\$\{file:([\w-]+)\}", "\n".join(texts)):
        (tmp_path / name).write_text("secret\n")
    for name, pem in zip(("CRM_CERTIFICATE", "CRM_CERTIFICATE_KEY"), client_pair(), strict=True):
        monkeypatch.setenv(name, pem)
    monkeypatch.setenv("TOKEN_KEY", client_pair()[1])
    login = {"client_token": "token", "lease_duration": 3600, "renewable": True}
    known = json.dumps({"auth": login, "data": {"data": {"password": "secret"}, "metadata": {}}})
    with upstream(lambda request: (200, {"content-type": "application/json"}, known)) as vault:
        monkeypatch.setenv("VAULT_ADDR", vault.url)
        yield


# --- what is generated ------------------------------------------------------------------------------------------------


def test_generated_pages_are_up_to_date():
    """`./run python docs/generate.py --write` puts it right."""
    done = subprocess.run([sys.executable, "docs/generate.py"], cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize(("family", "hook", "spec"), hooks(), ids=lambda each: each if isinstance(each, str) else "")
def test_every_hook_says_what_it_means(family, hook, spec):
    said = getattr(spec, hook).__doc__ or ""

    assert len(said.split()) >= 4
    assert said.rstrip().endswith((".", "``"))


def test_every_hook_has_a_user_that_ships():
    users = set()
    for listed in shipped():
        family = next(each for each in FAMILIES.values() if each.name == listed.family)
        for hook in hooks_of(listed.plugin, family.spec):
            users.add(f"{'' if hook in vars(LifecycleSpec) else listed.family}.{hook}")

    assert {f"{family}.{hook}" for family, hook, _ in hooks()} - users == NO_USER_YET


@cache
def told():
    """What the page of hooks says of each hook, by family and hook. What it says is what `docs/generate.py` found."""
    families = {"Lifecycle": ""} | {family.name: family.name for family in FAMILIES.values()}
    found = sections(Path("docs/hooks.md"))
    return {f"{families[above]}.{SIGNATURE.match(heading)[1]}": text for (above, heading), text in found.items()}


@pytest.mark.parametrize("hook", [f"{family}.{hook}" for family, hook, _ in hooks()])
def test_every_hook_has_an_example_on_a_page(hook):
    link = re.search(r"^Example, from \[\w+\]\(([\w/-]+\.md)#([\w-]+)\):$", told()[hook], re.MULTILINE)
    assert link, f"no class on a page implements {hook}; the guide to its family is the place for one"
    page, anchor = Path("docs", link[1]), link[2]
    excerpt = re.search(r"^```python\n(.*?)^```$", told()[hook], re.DOTALL | re.MULTILINE)[1]
    lines = [line.strip() for line in excerpt.splitlines()]

    assert SIGNATURE.match(lines[1])[1] == hook.partition(".")[2]
    assert anchor in anchors(page)
    assert any("\n".join(lines) in re.sub("(?m)^ +", "", block.text) for block in blocks(page) if block.run)


def test_every_hook_has_a_test_file_that_exercises_it():
    tested = {hook: re.search(r"^Tested by: (.*)\.$", text, re.MULTILINE)[1] for hook, text in told().items()}
    files = {hook: re.findall(r"`([^`]+)`", said) for hook, said in tested.items()}

    assert {hook for hook in tested if not files[hook]} == NO_TEST_FILE_YET
    assert not [file for found in files.values() for file in found if not (ROOT / file).is_file()]


@pytest.mark.parametrize(
    ("markup", "code"),
    [('<script src="x.js"></script><a href="https://example.org">', 0), ('<img src="https://example.org/x.png">', 1)],
)
def test_a_site_that_fetches_from_elsewhere_is_refused(markup, code, tmp_path):
    (tmp_path / "index.html").write_text(markup)

    assert (
        subprocess.run([sys.executable, "docs/check_site.py", tmp_path], cwd=ROOT, capture_output=True).returncode
        == code
    )


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_lead_to_a_page_and_to_a_heading_of_it(page):
    dead = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        there = Path(os.path.normpath(page.parent / file)) if file else page
        if not (ROOT / there).exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(link)

    assert not dead


def test_every_page_can_be_reached_from_the_first_one():
    reached: set[Path] = set()
    waiting = [Path("docs/index.md")]
    while waiting:
        page = waiting.pop()
        if page in reached or not (ROOT / page).is_file() or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [Path(os.path.normpath(page.parent / link.partition("#")[0])) for link in links(page)]

    assert not set(pages()) - reached


# --- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_good(example, world, tmp_path, monkeypatch):
    if example.stem in ASK_STORE:
        told = {"url": f"sqlite:///{tmp_path / 'store.db'}", "key": str(tmp_path / "store.key")}
        monkeypatch.setenv("HOOKGATE_SOURCE_OPTIONS", json.dumps(told))
        monkeypatch.setenv("HOOKGATE_SOURCE", "store")
        assert CliRunner().invoke(app, ["storage", "upgrade", str(example)]).exit_code == 0
    done = CliRunner().invoke(app, ["check", "--strict", str(example)])

    assert (done.exit_code, done.exception) == (0, None)
    assert ": good: " in done.output


@pytest.mark.parametrize("section", [listed.name for listed in shipped() if listed.family == "section"])
def test_every_section_has_a_chapter_and_a_document_that_uses_it(section):
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLES] + [block.text for block in every("yaml")]

    assert section in anchors(Path("docs/configuration.md"))
    assert section in NOTHING_TO_WRITE or any(re.search(rf"^{section}:", text, re.MULTILINE) for text in texts)


@pytest.mark.parametrize("listed", placed(), ids=lambda listed: f"{listed.family}-{listed.name}")
async def test_the_example_of_a_plugin_uses_it(listed, world):
    text = (ROOT / f"docs/examples/plugins/{listed.family}-{listed.name}.yaml").read_bytes()
    loaded = await Gateway(Memory(merge(parse(text, "example.yaml"), (), {}).document)).check()
    used = {(plugin.entry.family, plugin.entry.name) for plugin in loaded.instances.values()}

    if listed.family == "secret":
        assert f"${{{listed.name}:".encode() in text
    elif listed.family != "source":  # a document cannot name what reads it
        assert (listed.family, listed.name) in used


@pytest.mark.parametrize(
    "block",
    [block for block in every("yaml") if block.page not in TUTORIALS and block.page.parent.name != "plugins"],
    ids=str,
)
async def test_yaml_that_is_a_document_loads(block, world, tmp_path, monkeypatch):
    """With the plugins of its page, where it has files of them."""
    document = parse(block.text.encode(), "block.yaml")
    write_files(block.page, tmp_path)
    monkeypatch.chdir(tmp_path)

    catalogue = Catalogue(tmp_path / "plugins" if Path("plugins").exists() else None)
    if isinstance(document, Mapping) and document.keys() & {*FIRST, *catalogue.names("section")}:
        stored = merge(document, (), {}).document  # as the source `store` does
        await load(stored, catalogue, host_of=Gateway(Source(Options())).hosting.host_of)


# --- Python and shell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted({block.page for block in every("python") if block.run} - TUTORIALS), ids=str)
def test_python_on_a_page_runs(page, tmp_path, monkeypatch):
    """The blocks of a page run one after the other in one namespace; then every function called `test_…` runs.

    A block with a file name is written to that file, in a folder whose `plugins/` can be imported, and runs only if it
    is a test. A hook in such a file that no test gets called is an example of nothing.
    """
    hooks = Hooks(tmp_path)
    monkeypatch.setattr(hookgate, "hookimpl", hooks.mark)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    files = write_files(page, tmp_path)
    names = {"__name__": "page"}
    try:
        for block in blocks(page):
            if block.language == "python" and block.run and (not block.title or block.title.startswith("test_")):
                exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
        for test in tests:
            test()
    finally:
        for file in files:
            sys.modules.pop(file.stem, None)

    assert tests
    assert not hooks.written - hooks.called


class Hooks:
    """Marks hooks as `hookimpl` does, and notes which of those written in a folder are called."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.written, self.called = set(), set()

    def mark(self, hook):
        if not Path(hook.__code__.co_filename).resolve().is_relative_to(self.folder):
            return hookimpl(hook)
        name = hook.__qualname__
        self.written.add(name)

        @wraps(hook)
        def noted(*arguments):
            self.called.add(name)
            return hook(*arguments)

        @wraps(hook)
        async def waited(*arguments):
            self.called.add(name)
            return await hook(*arguments)

        return hookimpl(waited if inspect.iscoroutinefunction(hook) else noted)


class Shell:
    """One bash that runs the blocks of a page and says what each has printed, errors included."""

    def __init__(self, folder, environment):
        self._bash = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            text=True,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, text):
        self._bash.stdin.write(f"set -e\n{text}\nset +e\necho; echo '--- end of block'\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.rstrip("\n") == "--- end of block":
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"failed with {self._bash.wait()}:\n{text}\n{''.join(lines)}")

    def close(self):
        with suppress(ProcessLookupError):  # a command that failed has ended it
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._bash.stdin.close()
        self._bash.stdout.close()


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return str(server.getsockname()[1])


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="needs bash and curl")
@pytest.mark.parametrize("page", sorted(TUTORIALS), ids=str)
def test_a_tutorial_can_be_followed_from_the_first_line_to_the_last(tmp_path, page):
    """Files are written, commands run, and what a `text` block shows is what the commands before it have printed.

    In such a block `…` stands for anything. The ports of the page are exchanged for free ones, and blocks below
    `<!-- not run: … -->` are left out.
    """
    ports = {"8080": free_port(), "8001": free_port(), "9000": free_port()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOOKGATE_", "PYTEST_", "COV"))}
    kept["HOOKGATE_MANAGEMENT_URL"] = f"http://127.0.0.1:{ports['8001']}"
    shell = Shell(tmp_path, kept | {"PATH": path, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*"})
    printed = ""
    try:
        for block in blocks(page):
            if not block.run:
                continue
            text = re.sub(r"(?<=[: ])(8080|8001|9000)\b", lambda match: ports[match[1]], block.text)
            if block.title:
                file = tmp_path / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            elif block.language == "sh":
                printed = shell.run(text)
            else:
                assert block.language == "text", f"{block}: what is to be done with it?"
                assert shows(printed, text), f"{block} does not show what was printed:\n{printed}"
    finally:
        shell.close()


def shows(printed, wanted):
    """Whether a `text` block is what was printed, up to spaces at line ends; a line `…` stands for any lines."""
    expected = [re.escape(line.rstrip()).replace("…", ".*") + "\n" for line in wanted.strip("\n").split("\n")]
    lines = [line.rstrip() + "\n" for line in printed.strip("\n").split("\n")]
    return re.fullmatch("".join(f"(?:{line})*" if line == ".*\n" else line for line in expected), "".join(lines))
