"""How figures look, and how they become inline SVG. Colours are CSS variables of the page, so figures follow its light
and dark mode; text stays text in the page's font."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = {
    "#010101": "var(--ink)",
    "#010102": "var(--soft)",
    "#010103": "var(--line)",
    "#010104": "var(--baseline)",
    "#010105": "var(--candidate)",
    "#010106": "var(--band)",
    "#010107": "var(--bad)",
    "#010108": "var(--paper)",
}
"""Stand-ins that Matplotlib draws with, and what the page puts in their place."""
INK, SOFT, LINE, BASE, CANDIDATE, BAND, BAD, PAPER = PALETTE
WIDTH_IN = 9.6
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def new_figure(height_in: float) -> Figure:
    """An empty figure as wide as the page."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def svg(figure: Figure, label: str) -> str:
    """The figure without prologue and metadata, its stand-in colours replaced and its fonts left to the page."""
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": label}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn, label = text.getvalue(), escape(label)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    drawn = re.sub(r"font-family: [^;\"]+", "font-family: inherit", drawn)
    drawn = re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', rf'<svg role="img" aria-label="{label}" \1', drawn, count=1
    )
    for colour, variable in PALETTE.items():
        drawn = drawn.replace(colour, variable)
    return drawn
