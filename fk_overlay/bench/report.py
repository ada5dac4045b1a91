"""A bench as people read it: one row a case, and for each task what a whole model would gain.

A kernel that is 71 times as fast in 0.1 % of the time gains a model 0.1 %; the table says so (Amdahl, AFIPS 1967).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fk_overlay.bench.evidence import CANDIDATE
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.core import BASELINE, Merit
from fk_overlay.integrity.roofline import Reached, reached
from fk_overlay.stats.location import geometric_mean

DASH = "\u2013"
HEAD = ("task", "case", "verdict", "speedup", "95 % interval", "baseline us", "candidate us", "GB/s", "roof", "share")
LEFT = 3
JUDGED: tuple[Merit, ...] = ("improved", "neutral", "regressed", "unresolved")


@dataclass(frozen=True, slots=True)
class TaskGain:
    """What a task's cases say together.

    Attributes:
        speedup: weighted by the time that the scenario spent in each case; only cases that passed count, the others
            stay as they are. None if none passed.
        share: of the model's time; gain: of a model whose other parts stay as they are. None if it is not known.
    """

    task: str
    cases: int
    passed: int
    speedup: float | None
    share: float | None
    gain: float | None


def gains(verdicts: Sequence[CaseVerdict]) -> list[TaskGain]:
    found = []
    for task in dict.fromkeys(verdict.task for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.task == task]
        passed = [verdict for verdict in mine if verdict.state == "passed" and verdict.ratio]
        before = sum(verdict.captured_s for verdict in mine)
        after = before - sum(verdict.captured_s * (1 - 1 / (verdict.ratio or 1)) for verdict in passed)
        shares = [verdict.captured_share for verdict in mine]
        share = sum(each for each in shares if each is not None) if None not in shares else None
        speedup = before / after if passed and before and after > 0 else None
        gain = 1 / (1 - share * (1 - 1 / speedup)) - 1 if speedup and share is not None else None
        found.append(TaskGain(task, len(mine), len(passed), speedup, share, gain))
    return found


def rows(verdicts: Iterable[CaseVerdict], gpu: str = "") -> Iterator[tuple[str, ...]]:
    """Cells of :data:`HEAD` for each case."""
    for verdict in verdicts:
        roof = _reached(verdict, gpu)
        yield (
            verdict.task,
            verdict.case[:8],
            verdict.said.replace("_", " ") + (f" ({verdict.guard})" if verdict.guard else ""),
            f"{verdict.ratio:.3f}" if verdict.ratio else DASH,
            f"{verdict.low:.3f} to {verdict.high:.3f}" if verdict.low is not None and verdict.rounds > 1 else DASH,
            _microseconds(verdict.baseline_s),
            _microseconds(verdict.candidate_s),
            f"{roof.bytes_s / 1e9:.3g}" if roof else DASH,
            f"{roof.bound_s / (verdict.candidate_s or 1):.0%} of {roof.bound_by}" if roof and roof.bound_s else DASH,
            f"{verdict.captured_share:.1%}" if verdict.captured_share is not None else DASH,
        )


def summary(verdicts: Sequence[CaseVerdict]) -> str:
    """How many cases of each verdict, and the geometric mean over those that passed."""
    counts = ", ".join(f"{count} {said.replace('_', ' ')}" for said, count in Counter(v.said for v in verdicts).items())
    ratios = [verdict.ratio for verdict in verdicts if verdict.state == "passed" and verdict.ratio]
    mean = f"; geometric mean of {len(ratios)} passed: {geometric_mean(ratios):.3f}" if ratios else ""
    return f"{len(verdicts)} cases: {counts}{mean}"


def sentences(verdicts: Sequence[CaseVerdict]) -> Iterator[str]:
    """What a table has no room for: reasons, and each task's part in its model."""
    for verdict in verdicts:
        yield from (f"{verdict.task} {verdict.case[:8]}: {reason}" for reason in verdict.reasons)
        if hot := verdict.facts.get("hot_s"):
            before, after = hot[BASELINE], hot[CANDIDATE]
            yield (
                f"{verdict.task} {verdict.case[:8]}: with a hot cache {before / after:.3f} times as fast, "
                f"{_microseconds(after)} us instead of {_microseconds(before)}"
            )
    for gain in gains(verdicts):
        if gain.speedup is not None and gain.share is not None and gain.gain is not None:
            yield (
                f"{gain.task}: {gain.speedup:.3f} times as fast in {gain.share:.2%} of the model's time, "
                f"which makes the model {gain.gain:+.2%} faster"
            )


def markdown(verdicts: Sequence[CaseVerdict], title: str, gpu: str = "") -> str:
    lines = [f"# {title}", "", summary(verdicts), "", "| " + " | ".join(HEAD) + " |"]
    lines.append("|" + "|".join(":--" if number < LEFT else "--:" for number in range(len(HEAD))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows(verdicts, gpu)]
    lines += ["", *(f"- {sentence}" for sentence in sentences(verdicts)), ""]
    return "\n".join(lines)


def as_json(verdicts: Sequence[CaseVerdict], head: dict[str, Any]) -> str:
    tasks = [{name: getattr(gain, name) for name in TaskGain.__slots__} for gain in gains(verdicts)]
    return json.dumps({**head, "tasks": tasks, "cases": [verdict.plain() for verdict in verdicts]}, indent=1) + "\n"


def show(verdicts: Sequence[CaseVerdict], gpu: str = "") -> None:
    """Print the table, the reasons below it, and the counts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for number, title in enumerate(HEAD):
        table.add_column(title, justify="left" if number < LEFT else "right")
    for row in rows(verdicts, gpu):
        table.add_row(*map(Text, row))
    console.print(table)
    for sentence in sentences(verdicts):
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    console.print(Text(summary(verdicts)), soft_wrap=True)


def _reached(verdict: CaseVerdict, gpu: str) -> Reached | None:
    if verdict.cost is None or not verdict.candidate_s:
        return None
    return reached(verdict.cost, verdict.candidate_s, gpu, verdict.dtype)


def _microseconds(seconds: float | None) -> str:
    return f"{1e6 * seconds:.1f}" if seconds is not None else DASH
