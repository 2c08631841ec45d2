import re
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isasyncgenfunction, signature
from pathlib import Path

import pytest

import hookgate
from hookgate import Family, Options

from . import workspace
from .workspace import FAMILIES, ROOT, camel, contributions, members, module, package, plugins, project

BUNDLE = project(Path())
SHARED = {
    *("hookgate-client", "hookgate-commands", "hookgate-core", "hookgate-jose", "hookgate-metrics"),
    "hookgate-workshop",
}
"""What a plugin may require of ours."""
PIN = re.compile(r"[a-z0-9-]+==[0-9][A-Za-z0-9.+]*(; python_full_version [<>=]+ '[0-9.]+')?")
GROUPS = {family.group: family for family in FAMILIES.values()}

each_plugin = pytest.mark.parametrize("plugin", plugins(), ids=str)
each_contribution = pytest.mark.parametrize("folder", contributions(), ids=str)
each_member = pytest.mark.parametrize("folder", members(), ids=str)


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def is_example(folder: Path) -> bool:
    """Whether it shows what a stranger writes, and so is no part of the bundle."""
    return folder.name.startswith("example-")


def test_every_folder_is_a_member_of_the_workspace():
    globs = BUNDLE["tool"]["uv"]["workspace"]["members"]
    projects = {path.parent.relative_to(ROOT) for glob in globs for path in ROOT.glob(f"{glob}/pyproject.toml")}

    assert projects == set(members())


def test_every_member_is_taken_from_the_workspace():
    names = [project(folder)["project"]["name"] for folder in members()]

    assert BUNDLE["tool"]["uv"]["sources"] == {name: {"workspace": True} for name in names}


def test_the_bundle_ships_core_every_plugin_and_every_contribution_but_examples():
    shipped = BUNDLE["project"]["dependencies"]
    ours = [project(folder)["project"]["name"] for folder in members() if not is_example(folder)]

    assert sorted(shipped) == sorted(ours)


@each_member
def test_there_is_one_version_one_licence_and_one_way_to_build(folder):
    ours, bundle = project(folder), BUNDLE

    assert ours["project"]["version"] == bundle["project"]["version"] == hookgate.__version__
    assert ours["project"]["license"] == bundle["project"]["license"]
    assert ours["project"]["requires-python"] == bundle["project"]["requires-python"]
    assert ours["build-system"]["requires"] == bundle["build-system"]["requires"]
    assert ours["build-system"]["build-backend"] == "uv_build"
    assert ours["project"]["description"].endswith(".")


@each_plugin
def test_a_plugin_is_a_project_a_package_and_its_tests(plugin):
    beside = {path.relative_to(plugin.folder).parts[0] for path in workspace.files() if plugin.folder in path.parents}
    tests = {name for name in beside if name.endswith(".py")}

    assert beside - tests == {"pyproject.toml", plugin.package}
    assert [name for name in tests if name.startswith("test_")]
    assert (ROOT / plugin.folder / plugin.package / "__init__.py").is_file()


@each_plugin
def test_all_names_of_a_plugin_derive_from_its_folder(plugin):
    metadata = project(plugin.folder)["project"]
    points = dict(metadata["entry-points"])
    defaults = points.pop("hookgate.defaults", {})

    assert metadata["name"] == plugin.distribution
    assert points.keys() <= GROUPS.keys(), "an entry-point group that no family has"
    for group, entries in points.items():
        family = GROUPS[group]
        (name, (module, _, cls)), *more = [(name, place.partition(":")) for name, place in entries.items()]
        # A command stands in a module of its own, so that serving does not import what draws on a terminal.
        package = f"{plugin.package}.command" if family.name == "command" else plugin.package
        assert (name, module, more) == (plugin.name, package, [])
        # The name of its family is added where another class of the plugin, or of the house, has the plain one.
        plain = plugin.class_name.lower()
        alone = family == plugin.family or module != plugin.package
        assert cls.lower() in ({plain} if alone else set()) | {plain + camel(family.name).lower()}
    own = points.get(plugin.family.group, {}).get(plugin.name)
    claims = {name.rpartition("-")[2]: place for name, place in defaults.items()}  # weighted-balancer: in a case only
    assert claims in ({}, {plugin.family.name: own}), "hookgate.defaults names the family and the plugin's own class"


@each_plugin
def test_the_classes_of_a_plugin_are_what_their_family_wants(plugin):
    for group, entries in project(plugin.folder)["project"]["entry-points"].items():
        if group == "hookgate.defaults":
            continue
        module, _, name = entries[plugin.name].partition(":")
        cls = getattr(import_module(module), name)

        assert issubclass(cls, GROUPS[group].base)
        assert issubclass(cls.options_type, Options)
        shared = cls.options_type.__module__.startswith("hookgate.")
        names = {f"{cls.__name__}Options", f"{plugin.class_name}Options"}
        assert shared or cls.options_type.__name__.lower() in {name.lower() for name in names}


@each_plugin
def test_a_plugin_depends_on_core_and_on_no_other_plugin(plugin):
    wanted = {name_of(requirement) for requirement in project(plugin.folder)["project"]["dependencies"]}

    assert {"hookgate-core"} <= {name for name in wanted if name.startswith("hookgate")} <= SHARED


@each_contribution
def test_a_contribution_is_a_project_a_package_and_its_tests(folder):
    beside = {path.relative_to(folder).parts[0] for path in workspace.files() if folder in path.parents}

    assert "pyproject.toml" in beside
    assert [name for name in beside if name.startswith("test_")]
    assert (ROOT / package(folder) / "__init__.py").is_file()
    if not is_example(folder):  # those have the names that a stranger's would have
        own = f"hookgate-{folder.name}"
        assert module(folder) in {own.replace("-", "_"), own.replace("-", ".")}
        assert project(folder)["project"]["name"] == own


@each_contribution
def test_what_a_contribution_offers_is_what_its_families_want(folder):
    points = dict(project(folder)["project"].get("entry-points", {}))
    points.pop("pytest11", None)
    always = points.pop("hookgate.always", {})
    points.pop("hookgate.defaults", {})
    points.pop("hookgate.parts", {})
    for reader in points.pop("hookgate.formats", {}).values():
        module, _, name = reader.partition(":")
        assert callable(getattr(import_module(module), name))
    for pruner in points.pop("hookgate.pruning", {}).values():
        module, _, name = pruner.partition(":")
        assert isasyncgenfunction(getattr(import_module(module), name))
    for pages in points.pop("hookgate.pages", {}).values():
        module, _, name = pages.partition(":")
        assert [*signature(getattr(import_module(module), name)).parameters] == ["api", "calls", "host"]
    for group, takes in (
        ("hookgate.workflow_commands", ["group"]),
        ("hookgate.workflow_watchers", ["host", "instance"]),
    ):
        for place in points.pop(group, {}).values():
            module, _, name = place.partition(":")
            assert [*signature(getattr(import_module(module), name)).parameters] == takes
    for revisions in points.pop("hookgate.migrations", {}).values():
        assert import_module(revisions).__path__, "revisions of tables stand in a package"
    groups = dict(GROUPS)
    for point in entry_points(group="hookgate.families"):  # those of others, which it may have members of
        groups[point.load().group] = point.load()
    for name, place in points.pop("hookgate.families", {}).items():
        module, _, attribute = place.partition(":")
        family = getattr(import_module(module), attribute)
        assert isinstance(family, Family)
        assert family.name == name
        groups[family.group] = family

    assert points.keys() <= groups.keys(), "an entry-point group that no family has"
    for group, entries in points.items():
        for place in entries.values():
            module, _, name = place.partition(":")
            cls = getattr(import_module(module), name)
            assert issubclass(cls, groups[group].base)
            assert issubclass(cls.options_type, Options)
    assert always.items() <= points.get("hookgate.sections", {}).items()


@each_contribution
def test_a_contribution_says_which_distributions_of_ours_it_stands_on(folder):
    names = {project(each)["project"]["name"] for each in members()}
    wanted = {name_of(requirement) for requirement in project(folder)["project"]["dependencies"]}
    ours = {name for name in wanted if name.startswith("hookgate")}

    assert {"hookgate-core"} <= ours <= names
    assert not [name for name in ours if name in {plugin.distribution for plugin in plugins()}]


def test_no_two_families_have_the_same_default():
    claimed = [
        family
        for plugin in plugins()
        for family in project(plugin.folder)["project"]["entry-points"].get("hookgate.defaults", {})
    ]

    assert len(claimed) == len(set(claimed))


def test_every_third_party_package_is_pinned_by_version_and_never_by_address():
    pins = BUNDLE["tool"]["uv"]["constraint-dependencies"]
    pinned = {name_of(pin) for pin in pins}
    asked = [
        *BUNDLE["dependency-groups"]["dev"],
        *(requirement for folder in members() for requirement in project(folder)["project"]["dependencies"]),
    ]
    third_party = {name for name in map(name_of, asked) if not name.startswith("hookgate")}

    assert not [pin for pin in pins if not PIN.fullmatch(pin)]
    assert pins == sorted(pins, key=name_of)
    assert not third_party - pinned, "run: ./run python tests/house/pins.py"
