"""``hookgate plugin new``: a plugin that works, for its author to change."""

from __future__ import annotations

import ast
import keyword
import os
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from hookgate import ConfigError, MachineError, Problem, __version__
from hookgate.commands import errors, out
from hookgate.document import Catalogue
from hookgate_authoring.names import Names, is_kebab
from hookgate_authoring.workspace import with_member, workspace_above

TEMPLATES = Path(__file__).with_name("template")
ENTRIES = {
    "interceptor": "flow: [$name]",
    "auth": 'flow: [{auth: {methods: [{$name: {token: "$${env:TOKEN}"}}]}}]',
    "credential": 'connections: {NAME: {targets: URL, auth: [{$name: {token: "$${env:TOKEN}"}}]}}',
    "header": "connections: {NAME: {targets: URL, headers: [{set: x-hello, from: $name}]}}",
    "balancer": "connections: {NAME: {targets: [{url: URL}, {url: URL}], balancer: $name}}",
    "monitor": "connections: {NAME: {targets: [{url: URL}], monitor: $name}}",
    "observer": "gateway: {observers: [$name]}",
    "source": 'nothing: the source is what [project.entry-points."hookgate.defaults"] of one distribution names',
    "transport": "connections: {NAME: {targets: URL, transport: $name}}",
    "secret": '"$${$name:REFERENCE}" as any value; secrets: {$name: {folder: PATH}}',
    "discovery": "connections: {NAME: {discovery: $name}}",
    "counters": "gateway: {counters: $name}",
    "state": "gateway: {state: $name}",
    "app": "management: {apps: [health, $name]}",
    "section": "$name: {hello: {path: /hello}}",
    "command": "nothing: people type `hookgate $name`",
}
"""How a document names a new plugin, by family: what there is a template for."""


def command(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help=f"What kind of plugin: {', '.join(ENTRIES)}.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in documents, in kebab-case: ip-allow.")],
    directory: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Work from this folder instead of the current one."),
    ] = Path(),
) -> None:
    """Write a plugin that works, and its test, for you to change. Exit code 2 if a file is there already.

    It goes into `hookgate-FAMILY-NAME`; inside a workspace of plugins (`plugins/*/*`) into its place there, and is
    entered into the workspace's pyproject.toml.
    """
    catalogue = Catalogue()
    names = _names(catalogue, family, name)
    workspace = workspace_above(directory)
    if workspace is None:
        folder = directory / names.distribution
    else:
        folder = workspace.parent / "plugins" / names.family.plural / name
    contents = {folder / file: text.encode() for file, text in rendered(names).items()}
    taken = [file for file in contents if file.exists()]
    if taken:
        message = "exists already; choose another name, or move it away"
        raise ConfigError(Problem((), message, str(file)) for file in taken)
    if workspace is not None:
        contents[workspace] = with_member(workspace, names.distribution)
    if name in catalogue.names(family):
        _warn(f"the {family} {name!r} is installed already, and a gateway takes one of that name only")
    for file, content in contents.items():
        _write(file, content)
    _say_what_to_do(names, folder, in_workspace=workspace is not None)


def rendered(names: Names) -> dict[str, str]:
    """Return the files of a new plugin, by their path in its folder."""
    major, minor, *_ = __version__.split(".")
    words = {
        "name": names.name,
        "camel": names.camel,
        "package": names.package,
        "distribution": names.distribution,
        "group": names.family.group,
        "version": __version__,
        "core": f"hookgate-core>={major}.{minor},<{major}.{int(minor) + 1}",
    }

    def filled(template: str, **more: str) -> str:
        return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words | more)

    module = filled(f"{names.family.name}.txt")
    return {
        "pyproject.toml": filled("pyproject.txt", description=ast.get_docstring(ast.parse(module)) or ""),
        f"{names.package}/__init__.py": module,
        f"{names.package}/py.typed": "",
        names.test_file: filled(f"test_{names.family.name}.txt"),
    }


def _names(catalogue: Catalogue, family: str, name: str) -> Names:
    """Check what was asked for.

    Raises:
        ConfigError: there is no such family or no template for it, or the name cannot be one.
    """
    try:
        names = Names(catalogue.family(family), name)
    except LookupError as error:
        raise _refused(f"{error}; there are {', '.join(ENTRIES)}") from None
    if family not in ENTRIES:
        raise _refused(f"there is no template for the family {family!r}; there are {', '.join(ENTRIES)}")
    if not is_kebab(name):
        raise _refused(f"a plugin cannot be called {name!r}: write small letters, digits and single hyphens (ip-allow)")
    if names.taken:
        raise _refused(f"a plugin of this family cannot be called {name!r}: {names.taken}")
    if keyword.iskeyword(names.camel) or names.camel in _imported(names):
        raise _refused(
            f"a plugin of this family cannot be called {name!r}: the word {names.camel} is taken in its module"
        )
    return names


def _imported(names: Names) -> set[str]:
    """Return the names that the modules of a new plugin import from elsewhere; its class may have none of them."""
    return {
        alias.name
        for text in rendered(names).values()
        if not text.startswith("[project]")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module != names.package
        for alias in node.names
    }


def _refused(message: str) -> ConfigError:
    return ConfigError([Problem((), message)])


def _warn(message: str) -> None:
    errors.print(f"warning: {message}", style="yellow")


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise MachineError(f"cannot write {file}: {error.strerror}") from error


def _say_what_to_do(names: Names, folder: Path, *, in_workspace: bool) -> None:
    shown = Path(os.path.relpath(folder))
    entry = Template(ENTRIES[names.family.name]).substitute(name=names.name)
    if in_workspace:
        install, test = "uv sync --all-packages", f"uv run --all-packages pytest {shown}"
    else:
        install, test = f"pip install -e {shown} pytest", f"pytest {shown}"
    for line in (
        f"wrote {shown}",
        f"  install it:      {install}",
        f"  run its test:    {test}",
        f"  in a document:   {entry}",
        f"  before others:   hookgate plugin check {shown}",
    ):
        out.print(line)
