"""What strangers bring: distributions built in folders of their own, far from the workspace, and a site's folder."""

import shutil
import subprocess
from pathlib import Path

from installation import got, pip, refused, serving, together, typed

STRANGERS = Path(__file__).with_name("strangers")
PORTS = 'gateway: {listen: ["127.0.0.1:0"], lame_duck: 0}\nmanagement: {listen: ["127.0.0.1:0"]}\n'
HELLO = PORTS + "routes: [{name: hello, match: {path: /hello}, flow: [respond: {body: hello}]}]\n"
BANNERS = PORTS + "banners: [{path: /welcome, text: Be welcome.}]\n"
POSTERS = PORTS + "posters: {wanted: {path: /wall}}\n"
MISTAKES = """\
banners:
  - {path: /a, text: ""}
  - {path: "/b{", text: b}
  - {path: /c, txt: c}
  - {path: /d, text: d}
  - {path: /d, text: e}
routes:
  - {name: plain, match: {path: /d}, flow: [respond]}
"""
TOLD = """\
banners.yaml:2:22: banners[0].text: string should have at least 1 character
banners.yaml:3:12: banners[1].path: a brace without its partner in 'b{'; a variable is written {id}
banners.yaml:4:5: banners[2].text: is required
banners.yaml:4:16: banners[2].txt: there is no option 'txt'; did you mean 'text'?
banners.yaml:5:5: banners[3]: takes the same calls as the route 'plain', so it would never run; change one of them
banners.yaml:6:12: banners[4].path: the name '/d' is taken by another banner; names are unique
6 problems; nothing was changed.""".splitlines()


def built(name: str) -> Path:
    """Build a stranger's wheel here, in a folder that belongs to no workspace."""
    shutil.copytree(STRANGERS / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["uv", "build", "--quiet", "--wheel", name], check=True)
    (wheel,) = Path(name, "dist").glob("*.whl")
    return wheel.resolve()


def a_section_and_a_command() -> None:
    """A stranger's section serves, its mistakes are told with line and column, and a stranger's command is typed."""
    pip("install", "--no-deps", built("acme-banners"), built("acme-tally"))

    def served() -> None:
        with serving(BANNERS, "served.yaml") as url:
            assert got(f"{url}/welcome")[0] == "Be welcome."

    def counted() -> None:
        Path("counted.yaml").write_text(BANNERS + HELLO.removeprefix(PORTS), encoding="utf-8")
        assert typed("tally", "counted.yaml").split() == ["hello", "banner-0"]

    def told() -> None:
        said = refused(MISTAKES, "banners.yaml")
        assert said.splitlines() == TOLD, said

    def shown() -> None:
        assert "tally Count the routes of a document." in typed("--help")

    together(served, counted, told, shown)


def two_of_one_name() -> None:
    """Two distributions with one name are refused where it is used, and nowhere else; both are named."""
    pip("install", "--no-deps", built("other-banners"))
    both = "is provided by acme-banners and other-banners; only one of them may stay"

    def named() -> None:
        assert f"banners.yaml:3:1: banners: the section 'banners' {both}" in refused(BANNERS, "banners.yaml")

    def typed_() -> None:
        assert typed("tally", "hello.yaml", code=3) == (
            "hookgate: the command 'tally' is provided by acme-tally and other-banners; only one of them may stay"
        )

    def others() -> None:
        assert "tally Broken: the command 'tally' is provided by acme-tally and other-banners;" in typed("--help")

    together(named, typed_, others, _serves_hello)
    pip("uninstall", "other-banners")


def a_broken_one() -> None:
    """A distribution that cannot be imported harms nothing while nobody names it."""
    pip("install", "--no-deps", built("acme-ruins"))
    why = "acme-ruins: acme_ruins.roof:Ruins: RuntimeError: the house has no roof"

    def shown() -> None:
        said = typed("--help")
        assert f"ruins Broken: the command 'ruins' cannot be used: {why}" in said
        assert "rubble Broken: the command 'rubble' cannot be used: acme-ruins: acme_ruins.rubble" in said
        assert "check Check a document" in said

    def listed() -> None:
        said = typed("plugins")
        assert f"section ruins 2.5 broken: {why}" in said
        assert "interceptor cors" in said

    def typed_() -> None:
        assert typed("ruins", code=3) == f"hookgate: the command 'ruins' cannot be used: {why}"

    def named() -> None:
        told = f"ruins.yaml:1:1: ruins: the section 'ruins' cannot be used: {why}"
        assert refused("ruins: {}\n", "ruins.yaml").splitlines() == [told, "1 problem; nothing was changed."]

    together(shown, listed, typed_, named, _serves_hello)
    pip("uninstall", "acme-ruins", "acme-banners", "acme-tally")


def a_site() -> None:
    """A section and a command in one file of the site's folder do as those of distributions do."""
    site = Path(shutil.copytree(STRANGERS / "site", "site", ignore=shutil.ignore_patterns("__pycache__"))).resolve()

    def served() -> None:
        with serving(POSTERS, "posters.yaml", site) as url:
            assert got(f"{url}/wall")[0] == "wanted"

    def told() -> None:
        said = refused("posters:\n  wanted: {path: '/{', pth: x}\n", "mistaken.yaml", site)
        assert "mistaken.yaml:2:24: posters.wanted.pth: there is no option 'pth'; did you mean 'path'?" in said

    def glued() -> None:
        assert typed("glue", "wanted", site=site) == "wanted is on the wall"

    def elsewhere() -> None:
        assert "elsewhere.yaml:3:1: posters: there is no section 'posters'" in refused(POSTERS, "elsewhere.yaml")

    together(served, told, glued, elsewhere)


def _serves_hello() -> None:
    with serving(HELLO, "hello.yaml") as url:
        assert got(f"{url}/hello")[0] == "hello"
