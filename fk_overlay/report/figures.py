"""The report's figures as inline SVG. Colours are CSS variables of the page, so the figures follow its light and dark
mode; text stays text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fk_overlay.core import BASELINE
from fk_overlay.report.comparison import Launches
from fk_overlay.report.frame import tpot
from fk_overlay.report.summary import ArmSummary, Summary
from fk_overlay.report.svg import BAD, BAND, BASE, CANDIDATE, INK, LINE, SOFT, STYLE, new_figure, svg
from fk_overlay.scoring.evidence import Record
from fk_overlay.scoring.forced import Discrepancy
from fk_overlay.stats.location import geometric_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS = 128
"""Dots that a row of an envelope has at most: a page with one for every request and launch takes a megabyte an arm."""


def figures(summary: Summary, arm: ArmSummary) -> dict[str, str | None]:
    """Every figure of an arm as SVG text; None for one that has nothing to show."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        return {
            "pairs": pairs_figure(summary, arm),
            "latency": latency_figure(summary, arm),
            "envelope": envelope_figure(summary, arm),
        }


def pairs_figure(summary: Summary, arm: ArmSummary) -> str | None:
    """Left: the headline metric of every restart, baseline and candidate joined. Right: the ratios with their interval.

    None without a complete pair."""
    baseline, candidate = arm.headline[BASELINE], arm.headline[arm.verdict.arm]
    restarts = sorted(baseline.keys() & candidate.keys())
    effect = arm.verdict.effect
    if not restarts or effect is None:
        return None
    figure = new_figure(1.3 + 0.3 * len(restarts))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows = {restart: row for row, restart in enumerate(restarts)}
    _dumbbells(left, rows, baseline, candidate)
    left.set_title("Output throughput of each restart pair, tokens/s")
    ratios = [geometric_mean(candidate[restart]) / geometric_mean(baseline[restart]) for restart in restarts]
    d = summary.scenario.minimum_effect
    right.axvspan(100 * -d, 100 * d, color=BAND, lw=0)
    right.axvline(0, color=SOFT, lw=0.8)
    right.scatter([100 * (ratio - 1) for ratio in ratios], list(rows.values()), s=34, color=CANDIDATE, zorder=3)
    bottom = len(rows) + 0.15
    if effect.pairs > 1:
        right.plot(
            [100 * (effect.low - 1), 100 * (effect.high - 1)], [bottom] * 2, color=INK, lw=2.4, solid_capstyle="butt"
        )
    right.scatter([100 * (effect.ratio - 1)], [bottom], s=52, marker="D", color=INK, zorder=3)
    right.set_title("Change of each pair, and mean with 95 % interval, %")
    left.set_yticks([*rows.values(), bottom], [*(f"restart {restart + 1}" for restart in restarts), "mean"])
    left.set_ylim(bottom + 0.55, -0.6)
    left.margins(x=0.06)
    left.xaxis.set_major_formatter("{x:,.0f}")
    return svg(figure, f"Output throughput of {len(restarts)} restart pairs, baseline against {arm.verdict.arm}")


def latency_figure(summary: Summary, arm: ArmSummary) -> str | None:
    """Distributions of TTFT, TPOT and ITL over the headline workload's requests, pooled over launches. None for drivers
    that report no arrival times."""
    headline = summary.scenario.headline_workload.name
    requests = [each for each in summary.requests if each["workload"] == headline and not each["error"]]
    columns: dict[str, Callable[[Record], list[float | None]]] = {
        "TTFT, ms": lambda each: [each["ttft_s"]],
        "TPOT, ms": lambda each: [tpot(each)],
        "ITL, ms": lambda each: each["itl_s"],
    }
    if not any(each["itl_s"] for each in requests):
        return None
    figure = new_figure(2.5)
    panels = figure.subplots(1, len(columns), sharey=True)
    for axes, (title, values) in zip(panels, columns.items(), strict=True):
        for side, colour in ((BASELINE, BASE), (arm.verdict.arm, CANDIDATE)):
            taken = [
                1000 * value for each in requests if each["arm"] == side for value in values(each) if value is not None
            ]
            _cumulative(axes, taken, colour, side)
        axes.set_title(title)
        axes.grid(axis="y")
    panels[0].set_yticks([0, 0.5, 0.95, 1], ["0", "50 %", "95 %", ""])
    panels[0].set_ylim(0, 1.01)
    panels[0].legend(loc="lower right", fontsize=8.5, handlelength=1.2)
    return svg(figure, f"Distributions of latency, baseline against {arm.verdict.arm}")


def envelope_figure(summary: Summary, arm: ArmSummary) -> str | None:
    """How far the baseline lies from itself and the candidate from the baseline. None without a forced decode."""
    envelope, items = summary.envelope, arm.finding.items
    if not items:
        return None
    figure = new_figure(2.2)
    panels = figure.subplots(1, 3, sharey=True)
    both = (envelope.items, items)
    _strips(panels[0], [[100 * item.top1 for item in side] for side in both], 100 * envelope.top1)
    _strips(panels[1], [[item.drift for item in side] for side in both], envelope.drift)
    _strips(panels[2], [_margins(side) for side in both], envelope.margin)
    panels[0].set_title("Tokens that differ in a request, %")
    panels[1].set_title("Mean log-probability drift, nats")
    panels[2].set_title("Margin where tokens differ, nats")
    panels[0].set_yticks([0, 1], ["baseline\nand itself", f"{arm.verdict.arm}\nand baseline"])
    panels[0].set_ylim(1.6, -0.6)
    return svg(figure, f"Discrepancy of {arm.verdict.arm} from the baseline beside the baseline's from itself")


def _margins(items: Iterable[Discrepancy]) -> list[float]:
    """Highest margin of every token that differs somewhere."""
    highest: dict[tuple[int, int], float] = {}
    for item in items:
        for flip in item.flips:
            token = item.request, flip.position
            highest[token] = max(flip.margin, highest.get(token, 0.0))
    return list(highest.values())


def _dumbbells(axes: Axes, rows: dict[int, int], baseline: Launches, candidate: Launches) -> None:
    for restart, row in rows.items():
        ends = [geometric_mean(side[restart]) for side in (baseline, candidate)]
        axes.plot(ends, [row, row], color=LINE, lw=2.2, zorder=1)
        for side, colour in ((baseline, BASE), (candidate, CANDIDATE)):
            axes.scatter(side[restart], [row] * len(side[restart]), s=52, marker="|", color=colour, lw=0.9, zorder=2)
        for (end, colour), name in zip(
            zip(ends, (BASE, CANDIDATE), strict=True), ("baseline", "candidate"), strict=True
        ):
            axes.scatter([end], [row], s=38, color=colour, zorder=3, label=name if row == 0 else None)
    axes.legend(loc="lower left", ncols=2, fontsize=8.5, handletextpad=0.2, columnspacing=1.2, borderaxespad=0.1)


def _cumulative(axes: Axes, values: Sequence[float], colour: str, label: str) -> None:
    """Empirical distribution at 256 quantiles, cut at the 99.5 % quantile: a single straggler would flatten the
    rest."""
    if values:
        shares = np.linspace(0, 0.995, 256)
        axes.plot(np.quantile(values, shares), shares, color=colour, lw=1.8, label=label)


def _strips(axes: Axes, sides: Iterable[Sequence[float]], bound: float) -> None:
    """One row of dots a side, spread over its height in a fixed pattern; what lies beyond the bound is shaded. Of more
    than :data:`DOTS` values so many quantiles are drawn, least and most among them."""
    for row, (values, colour) in enumerate(zip(sides, (BASE, CANDIDATE), strict=True)):
        finite = [value for value in values if math.isfinite(value)]
        shown = np.quantile(finite, np.linspace(0, 1, DOTS)) if len(finite) > DOTS else sorted(finite)
        offsets = [0.42 * ((0.618 * number) % 1 - 0.5) for number in range(len(shown))]
        axes.scatter(shown, [row + offset for offset in offsets], s=12, color=colour, alpha=0.55, lw=0, zorder=3)
        if not finite:
            axes.text(0.02, row, "none", color=SOFT, va="center", transform=axes.get_yaxis_transform())
        if endless := len(values) - len(finite):
            text = f"{endless} not finite"
            axes.text(0.98, row - 0.38, text, color=BAD, va="center", ha="right", transform=axes.get_yaxis_transform())
    right = max(axes.get_xlim()[1], 1.25 * bound)
    axes.axvspan(bound, right, color=BAD, alpha=0.08, lw=0)
    axes.axvline(bound, color=BAD, lw=1.2)
    axes.set_xlim(min(0.0, axes.get_xlim()[0]), right)
    axes.locator_params(axis="x", nbins=5)
