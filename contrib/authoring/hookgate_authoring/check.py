"""``hookgate plugin check``: what is wrong with a plugin's project, before others meet it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hookgate.commands import errors, out
from hookgate.document import Catalogue
from hookgate_authoring.classes import check_classes
from hookgate_authoring.findings import Finding
from hookgate_authoring.project import Project
from hookgate_authoring.source import Source


def findings(folder: Path) -> list[Finding]:
    """Return everything that is wrong with the project in a folder, in the order of its files.

    The project need not be installed; its package is imported from the folder.
    """
    return _look_at(Project(folder, Catalogue().families))


def command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", exists=True, file_okay=False, help="The folder of the plugin's pyproject.toml."
        ),
    ] = Path(),
) -> None:
    """Check the project of a plugin: names, hooks, options, docstrings, tests. Exit code 1 if something is wrong.

    Prints `file:line: what is wrong, and what would be right`. Its package is imported, but nothing is installed.
    """
    project = Project(folder, Catalogue().families)
    found = _look_at(project)
    for finding in found:
        out.print(str(finding), style="red")
    if found:
        errors.print(f"{len(found)} finding{'s' if len(found) != 1 else ''}")
        raise typer.Exit(1)
    assert project.names is not None, "a project without names has findings"
    out.print(f"{folder}: good: {project.names.distribution}")


def _look_at(project: Project) -> list[Finding]:
    found = list(project.findings)
    if project.names is not None:
        source = Source(project.folder / project.names.package)
        found += source.findings
        if source.readable:
            found += check_classes(project, source)
        if not any(project.folder.glob("test_*.py")) and not any((project.folder / "tests").rglob("test_*.py")):
            found.append(
                Finding(project.file, 1, f"there is no test; {project.names.test_file} beside this file would be right")
            )
    return sorted(found)
