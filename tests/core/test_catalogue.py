import shutil
import sys

import pytest

from hookgate import ConfigError, Interceptor
from hookgate.document.catalogue import AmbiguousError, BrokenError, Catalogue, NotInstalledError
from hookgate.document.sitefolder import kebab
from hookgate.gateway.configuration import load

PLUGIN = """
from hookgate import Interceptor, Options, hookimpl

class StampOptions(Options):
    text: str = "x"
    '''What is stamped.'''

class Stamp(Interceptor[StampOptions]):
    @hookimpl
    def on_response(self, exchange):
        exchange.response.headers.set("x-stamp", self.options.text)
"""


ENTRY_POINT = "[hookgate.interceptors]\nstamp = acme_stamp:Stamp\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on the path as an installer would: a module, and metadata beside it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def add(name, module, text, entry_points):
        (folder / f"{module}.py").write_text(text)
        info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        return folder

    yield add
    for added in set(sys.modules) - before:
        if getattr(sys.modules[added], "__file__", None) and str(folder) in str(sys.modules[added].__file__):
            del sys.modules[added]


def refusal(catalogue, family, name, kind=LookupError):
    with pytest.raises(kind) as caught:
        catalogue.get(family, name)
    return str(caught.value)


def test_a_plugin_is_found_by_family_and_name():
    plugin = Catalogue().get("interceptor", "ip-filter")

    assert (plugin.__name__, issubclass(plugin, Interceptor)) == ("IpFilter", True)


def test_a_plugin_that_was_installed_a_moment_ago_is_there(install):
    install("acme-stamp", "acme_stamp", PLUGIN, ENTRY_POINT)

    assert Catalogue().get("interceptor", "stamp").__name__ == "Stamp"


def test_making_a_catalogue_imports_no_plugin(install):
    install("acme-stamp", "acme_stamp", PLUGIN, ENTRY_POINT)
    catalogue = Catalogue()

    assert "acme_stamp" not in sys.modules
    assert "stamp" in catalogue.names("interceptor")
    assert "acme_stamp" not in sys.modules


def test_a_misspelt_name_is_refused_with_the_likely_one():
    assert refusal(Catalogue(), "interceptor", "requst-id", NotInstalledError) == (
        "no interceptor is installed under the name 'requst-id'; did you mean 'request-id'?"
    )


def test_an_unknown_name_is_refused_with_what_there_is(install):
    text = PLUGIN.replace("on_response(self, exchange)", "targets(self)").replace("Interceptor", "Discovery")
    install("acme-stamp", "acme_stamp", text, "[hookgate.discovery]\nstamp = acme_stamp:Stamp\n")
    message = refusal(Catalogue(), "discovery", "zzz", NotInstalledError)

    assert message == "no discovery is installed under the name 'zzz'; installed: dns, file, registered, stamp"


def test_a_standard_plugin_that_is_missing_is_refused_with_the_command_that_installs_it(install):
    folder = install("hookgate", "unused", "", "")
    metadata = folder / "hookgate-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: Hookgate_Interceptor.geo-block (>=1)\n")

    assert refusal(Catalogue(), "interceptor", "geo-block") == (
        "no interceptor is installed under the name 'geo-block': pip install hookgate-interceptor-geo-block"
    )


def test_an_unknown_family_is_refused_with_the_likely_one():
    with pytest.raises(
        NotInstalledError, match=r"^there is no family of plugins named 'balancr'; did you mean 'balancer'\?$"
    ):
        Catalogue().family("balancr")


def test_a_plugin_that_cannot_be_imported_says_whose_it_is_and_why(install):
    install("acme-stamp", "acme_stamp", "import nothing_like_it\n", ENTRY_POINT)

    assert refusal(Catalogue(), "interceptor", "stamp", BrokenError) == (
        "the interceptor 'stamp' cannot be used: acme-stamp: acme_stamp:Stamp: "
        "ModuleNotFoundError: No module named 'nothing_like_it'"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def Stamp(): pass\n", "its class does not inherit from hookgate.Interceptor"),
        ("from hookgate import Options, Observer\nclass Stamp(Observer[Options]): pass\n", "does not inherit from"),
        (PLUGIN.replace("on_response", "on_respons"), "Stamp.on_respons is not a hook of this family"),
        (PLUGIN.replace("@hookimpl", ""), "put @hookimpl above it"),
        ("raise SystemError('at import')\n", "SystemError: at import"),
    ],
)
def test_a_class_that_is_no_such_plugin_is_refused(install, text, reason):
    install("acme-stamp", "acme_stamp", text, ENTRY_POINT)

    assert reason in refusal(Catalogue(), "interceptor", "stamp", BrokenError)


def test_two_distributions_with_one_name_are_both_named(install):
    install("acme-stamp", "acme_stamp", PLUGIN, ENTRY_POINT)
    install("other-stamp", "other_stamp", PLUGIN, "[hookgate.interceptors]\nstamp = other_stamp:Stamp\n")
    message = refusal(Catalogue(), "interceptor", "stamp", AmbiguousError)

    assert "acme-stamp" in message
    assert "other-stamp" in message


def test_a_distribution_that_is_on_the_path_twice_counts_once(install, tmp_path, monkeypatch):
    folder = install("acme-stamp", "acme_stamp", PLUGIN, ENTRY_POINT)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(folder / "acme_stamp-1.2.dist-info", copy / "Acme.Stamp-1.2.dist-info")
    (copy / "Acme.Stamp-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Acme.Stamp\nVersion: 1.2\n"
    )
    monkeypatch.syspath_prepend(str(copy))

    assert Catalogue().get("interceptor", "stamp").__name__ == "Stamp"


def test_other_distributions_may_add_families(install):
    text = """
import pluggy
from hookgate import Family, Options, Plugin, hookimpl, hookspec

class StepSpec:
    @hookspec
    async def execute(self, context): ...

class Step(Plugin):
    family = "step"

class Mail(Step):
    @hookimpl
    async def execute(self, context): ...

STEPS = Family("step", "steps", StepSpec, Step, "Steps of workflows.")
"""
    entry_points = "[hookgate.families]\nstep = acme_steps:STEPS\n[hookgate.steps]\nmail = acme_steps:Mail\n"
    install("acme-steps", "acme_steps", text, entry_points)
    catalogue = Catalogue()

    assert catalogue.get("step", "mail").__name__ == "Mail"
    assert catalogue.families["step"].summary == "Steps of workflows."


def test_a_broken_family_harms_no_other(install):
    install("acme-steps", "acme_steps", "STEPS = 5\n", "[hookgate.families]\nstep = acme_steps:STEPS\n")
    catalogue = Catalogue()

    assert catalogue.get("interceptor", "ip-filter")
    assert refusal(catalogue, "step", "mail") == (
        "the family 'step' cannot be used: acme-steps: acme_steps:STEPS: "
        "TypeError: acme_steps:STEPS is not a hookgate.Family"
    )


def test_the_default_of_a_family_is_the_plugin_that_claims_it():
    catalogue = Catalogue()

    assert catalogue.default("balancer", "weighted-balancer") == "weighted-round-robin"
    assert [catalogue.default(family) for family in ("balancer", "transport", "source", "interceptor")] == [
        "least-busy",
        "http",
        "file",
        None,
    ]


def test_two_claims_to_be_the_default_are_refused(install):
    install(
        "acme-stamp",
        "acme_stamp",
        "",
        "[hookgate.defaults]\nbalancer = acme_stamp:Balancer\n[hookgate.balancers]\nmine = acme_stamp:Balancer\n",
    )

    with pytest.raises(AmbiguousError, match=r"default balancer \(acme-stamp, hookgate-balancer-l"):
        Catalogue().default("balancer")


def test_a_default_that_is_registered_nowhere_is_refused(install):
    install("acme-stamp", "acme_stamp", "", "[hookgate.defaults]\nauth = acme_stamp:Nothing\n")

    with pytest.raises(BrokenError, match=r"acme-stamp registers no auth for acme_stamp:Nothing"):
        Catalogue().default("auth")


def test_the_listing_shows_broken_plugins_and_everything_else(install):
    install("acme-stamp", "acme_stamp", "1 / 0\n", ENTRY_POINT)
    listing = {(line.family, line.name): line for line in Catalogue().listing()}
    broken, good = listing["interceptor", "stamp"], listing["interceptor", "ip-filter"]

    assert (broken.distribution, broken.version, broken.plugin) == ("acme-stamp", "1.2", None)
    assert broken.reason == "acme-stamp: acme_stamp:Stamp: ZeroDivisionError: division by zero"
    assert (good.distribution, good.reason) == ("hookgate-interceptor-ip-filter", "")
    assert good.plugin is not None
    assert ("credential", "basic") in listing


# --- the folder of a site -------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


def test_classes_in_the_folder_of_the_site_are_found_in_kebab_case(site):
    (site / "mine.py").write_text(PLUGIN.replace("Stamp(", "HttpStamp("))
    (site / "_private.py").write_text("1 / 0\n")
    (site / "readme.txt").write_text("no Python")
    plugin = Catalogue(site).get("interceptor", "http-stamp")

    assert plugin.options_type.model_fields["text"].description == "What is stamped."


@pytest.mark.parametrize(
    ("name", "written"),
    [("IpAllow", "ip-allow"), ("HTTPCheck", "http-check"), ("Cors", "cors"), ("RateLimit2", "rate-limit2")],
)
def test_kebab_case(name, written):
    assert kebab(name) == written


def test_imported_private_and_unfinished_classes_are_not_offered(site):
    (site / "mine.py").write_text(
        PLUGIN + "\nclass _Base(Interceptor[Options]): pass\nclass Empty(_Base): pass\nAlias = Stamp\n"
    )
    catalogue = Catalogue(site)

    assert [name for name in catalogue.names("interceptor") if name in ("stamp", "interceptor", "alias", "base")] == [
        "stamp"
    ]
    assert "Empty has no hook" in refusal(catalogue, "interceptor", "empty", BrokenError)


def test_an_unchanged_file_gives_the_same_class_and_a_changed_one_another(site):
    file = site / "mine.py"
    file.write_text(PLUGIN)
    first = Catalogue(site).get("interceptor", "stamp")
    again = Catalogue(site).get("interceptor", "stamp")
    file.write_text(PLUGIN.replace("What is stamped.", "What gets stamped."))
    changed = Catalogue(site).get("interceptor", "stamp")

    assert again is first
    assert changed is not first
    assert changed.options_type.model_fields["text"].description == "What gets stamped."


def test_a_broken_file_of_the_site_is_told_where_it_matters_and_harms_nobody(site):
    (site / "mine.py").write_text("def broken(:\n")
    (site / "good.py").write_text(PLUGIN)
    catalogue = Catalogue(site)
    broken = [line for line in catalogue.listing() if line.family == ""]

    assert catalogue.get("interceptor", "stamp")
    assert [(line.name, line.distribution) for line in broken] == [("mine", str(site / "mine.py"))]
    assert "SyntaxError" in broken[0].reason
    assert f"; {site / 'mine.py'} cannot be imported: SyntaxError" in refusal(catalogue, "interceptor", "mine")


def test_a_plugin_of_the_site_must_not_take_an_installed_name(site):
    (site / "mine.py").write_text(PLUGIN.replace("Stamp(", "Cors("))

    message = refusal(Catalogue(site), "interceptor", "cors", AmbiguousError)

    assert message.startswith(
        f"the interceptor 'cors' is provided by hookgate-interceptor-cors and {site / 'mine.py'};"
    )


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LookupError, match=r"there is no folder .*missing"):
        Catalogue(tmp_path / "missing")


# --- sections of the document ---------------------------------------------------------------------------------------


def test_a_section_is_understood_by_the_distribution_that_registers_it(install):
    install(
        "acme-apis",
        "acme_apis",
        "from hookgate import Options, Section\nclass Apis(Section[Options]): pass\n",
        "[hookgate.sections]\nacmes = acme_apis:Apis\n",
    )
    catalogue = Catalogue()

    assert "acmes" in catalogue.names("section")
    assert catalogue.get("section", "acmes").__name__ == "Apis"
    with pytest.raises(NotInstalledError, match="no section is installed under the name 'acme'; did you mean 'acmes'"):
        catalogue.get("section", "acme")


@pytest.mark.parametrize("package", ["hookgate_tidy", "hookgate.tidy"])
def test_a_plugin_that_lacks_a_part_of_the_bundle_says_which(install, package):
    metadata = install("hookgate", "unused", "", "") / "hookgate-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: hookgate-tidy\n")
    install("acme-stamp", "acme_stamp", f"import {package}.inner\n", ENTRY_POINT)

    assert refusal(Catalogue(), "interceptor", "stamp", BrokenError).endswith(
        f"ModuleNotFoundError: No module named '{package}': pip install hookgate-tidy"
    )


async def test_a_section_that_is_not_there_is_told_with_what_brings_it(install, site):
    metadata = install("hookgate", "unused", "", "") / "hookgate-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: hookgate-tidy\nRequires-Dist: hookgate-section-neat\n")
    (site / "mine.py").write_text("raise SystemExit(1)\n")
    with pytest.raises(ConfigError) as caught:
        await load({"tidy": {}, "neat": {}, "secret": {}, "zzzzz": {}}, Catalogue(site))

    broken = f"; {site / 'mine.py'} cannot be imported: SystemExit: 1"
    assert [problem.message for problem in caught.value.problems[:3]] == [
        f"there is no section 'tidy': pip install hookgate-tidy{broken}",
        f"there is no section 'neat': pip install hookgate-section-neat{broken}",
        f"there is no section 'secret'; did you mean 'secrets'?{broken}",
    ]
    assert caught.value.problems[3].message.startswith("there is no section 'zzzzz'; there is ")


def test_a_distribution_that_ends_the_process_when_it_is_imported_is_broken(install):
    install(
        "acme-stamp", "acme_stamp", "raise SystemExit(0)\n", ENTRY_POINT + "[hookgate.families]\na = acme_stamp:A\n"
    )
    catalogue = Catalogue()

    assert catalogue.broken_families == {"a": "acme-stamp: acme_stamp:A: SystemExit: 0"}
    assert refusal(catalogue, "interceptor", "stamp", BrokenError).endswith(
        "acme-stamp: acme_stamp:Stamp: SystemExit: 0"
    )
