"""Several runs in one table: the same packs in other engines, releases or hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fk_overlay.core import Verdict
from fk_overlay.errors import UsageError
from fk_overlay.report.comparison import Comparison
from fk_overlay.report.summary import ArmSummary, Summary
from fk_overlay.scoring.effects import HEADLINE_METRIC

NOTE = (
    "Every change is against the baseline of the same run. Values of different runs stand side by side; nothing is "
    "claimed about one engine against another."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate arm of one run. ``headline`` holds the values that decide, None where neither arm was measured."""

    run_id: str
    engine: str
    version: str
    scenario: str
    verdict: Verdict
    headline: Comparison | None

    @property
    def place(self) -> str:
        return f"{self.engine} {self.version}"


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Rows of the same arm follow each other, runs in the order in which they were given."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def side_by_side(summaries: Sequence[Summary]) -> SideBySide:
    """Put runs beside each other.

    Raises:
        UsageError: the same run was given twice.
    """
    names = [summary.run["run_id"] for summary in summaries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"given more than once: {', '.join(twice)}; name every run once")
    rows = [_row(summary, arm) for summary in summaries for arm in summary.arms]
    order = list(dict.fromkeys(row.verdict.arm for row in rows))
    rows.sort(key=lambda row: order.index(row.verdict.arm))
    return SideBySide(tuple(rows), (NOTE, *_differences(summaries), *_unfinished(summaries)))


def _row(summary: Summary, arm: ArmSummary) -> Row:
    decides = summary.scenario.headline_workload.name, HEADLINE_METRIC
    found = (each for each in arm.comparisons if (each.workload, each.metric) == decides)
    return Row(
        run_id=summary.run["run_id"],
        engine=summary.run["engine"],
        version=summary.run["engine_version"],
        scenario=summary.scenario.name,
        verdict=arm.verdict,
        headline=next(found, None),
    )


def _differences(summaries: Sequence[Summary]) -> Iterator[str]:
    """What a reader would take to be equal in all runs, and is not."""
    looks: dict[str, Callable[[Summary], Any]] = {
        "the scenario": lambda summary: summary.run["scenario"],
        "the mode": lambda summary: summary.run.get("mode"),
        "the processor": lambda summary: summary.environment.get("cpu"),
        "the GPUs": lambda summary: summary.environment.get("gpus"),
        "PyTorch": lambda summary: summary.environment.get("torch"),
    }
    different = [name for name, look in looks.items() if any(look(each) != look(summaries[0]) for each in summaries)]
    if different:
        yield f"Not the same in all runs: {', '.join(different)}"
    packs = [(pack["name"], pack["digest"]) for each in summaries for arm in each.arms for pack in arm.packs]
    names = [name for name, _ in dict.fromkeys(packs)]
    if changed := sorted({name for name in names if names.count(name) > 1}):
        yield f"Not the same files in all runs: {', '.join(changed)}"


def _unfinished(summaries: Sequence[Summary]) -> Iterator[str]:
    if open_ := [summary.run["run_id"] for summary in summaries if not summary.finished]:
        yield f"Not finished: {', '.join(open_)}"
