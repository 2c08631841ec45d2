"""The figure of the page: how each contender compares with nginx in each case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .report import ranked, ratio

OURS, OTHERS = "#0b7285", "#adb5bd"


def drawable(result: Mapping[str, Any]) -> list[str]:
    """Names of the cases that can be compared with nginx."""
    return [
        name
        for name, case in result["cases"].items()
        if case["kind"] == "load" and any(ratio(case, each) for each in ranked(case))
    ]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw a panel for each case, with a bar and its 95 % interval for each contender. The same result, the same file.

    Raises:
        ImportError: matplotlib is missing; it is in the dependency group `bench`.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hookgate"
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot as plt

    names = drawable(result)
    longest = max(len(ranked(result["cases"][name])) for name in names)
    figure, panels = plt.subplots(
        len(names), 1, figsize=(8, len(names) * (0.8 + 0.28 * longest)), squeeze=False, layout="constrained"
    )
    for name, panel in zip(names, panels[:, 0], strict=True):
        case = result["cases"][name]
        shown = [(each, found) for each in reversed(ranked(case)) if (found := ratio(case, each))]
        middles = [found.middle for _, found in shown]
        reach = [[f.middle - f.low for _, f in shown], [f.high - f.middle for _, f in shown]]
        colours = [OURS if each.startswith("hookgate") else OTHERS for each, _ in shown]
        panel.barh([each for each, _ in shown], middles, xerr=reach, color=colours, ecolor="#343a40", capsize=2)
        panel.bar_label(panel.containers[-1], labels=[f"{each:.2f}" for each in middles], padding=4, fontsize=8)
        panel.axvline(1, color="#868e96", linewidth=0.8, linestyle="--")
        panel.set_title(f"{name}: {case['what']}", loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.08)
    panels[-1, 0].set_xlabel("requests per second, nginx = 1")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    lines = [line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
