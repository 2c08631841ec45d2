"""Names of what a document has none of. A section that is not written has no names to compare one with, so who needs an
item of it says so himself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hookgate import Item, Problem, Site


def unheld(site: Site, items: Iterable[Item[Any]], **fields: str) -> Iterator[Problem]:
    """Tell the names of items that cannot be there, since their section is not: ``workflow="workflows"`` of what stands
    in the field `workflow`.
    """
    for field, section in fields.items():
        if site.section(section) is None:
            for item in items:
                if name := getattr(item.record, field):
                    kind = {"proxies": "proxy"}.get(section, section.removesuffix("s"))
                    yield Problem((*item.path, field), f"there is no {kind} {name!r}, nor a section {section}")
