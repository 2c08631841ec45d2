import re

import pytest

from .workspace import ROOT, under

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DECISIONS = under("docs", "decisions", suffix=".md")
FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|deprecated|removed|fixed|security)\.md")


@pytest.mark.parametrize("page", under(suffix=".md"), ids=str)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    inside = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]

    assert not [link for link in inside if link and not (ROOT / page.parent / link).exists()]


def test_decisions_are_numbered_without_gaps_and_listed():
    records = [path.name for path in DECISIONS if path.name != "README.md"]
    listed = LINK.findall((ROOT / "docs/decisions/README.md").read_text(encoding="utf-8"))

    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    assert listed == records


def test_change_fragments_say_what_kind_of_change_they_are():
    names = [path.name for path in under("changes", suffix=".md") if path.name != "README.md"]

    assert not [name for name in names if not FRAGMENT.fullmatch(name)]
