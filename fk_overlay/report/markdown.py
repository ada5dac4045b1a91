"""The report as Markdown, short enough for a comment on a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fk_overlay.report.comparison import Comparison
from fk_overlay.report.html import by_workload, engaged
from fk_overlay.report.summary import ArmSummary, Summary
from fk_overlay.report.wording import COSTS, STATES, change, claim, metric, number, share, span


def render(summary: Summary) -> str:
    """The summary as GitHub-flavoured Markdown."""
    return "\n".join(_lines(summary)).rstrip() + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    run, scenario = summary.run, summary.scenario
    for arm in summary.arms:
        yield f"# {STATES[arm.verdict.state].capitalize()}: {claim(arm.verdict)}"
        yield ""
    if len(summary.arms) > 1:
        yield ", ".join(f"{count} {STATES[state]}" for state, count in summary.counts.items())
        yield ""
    for note in summary.notes:
        yield f"> **Note.** {note}"
        yield ""
    design = run.get("design") or {}
    model, planned = scenario.model, f"{design.get('restarts')} restart pairs \u00d7 {design.get('passes')} passes"
    facts = [
        f"`{run['run_id']}`",
        f"{run['engine']} {run['engine_version']}",
        f"{model.source} ({model.dtype}, TP {model.tensor_parallel})",
        str(summary.environment["gpus"]),
        f"mode {run.get('mode')}: {summary.pairs} of {planned}",
    ]
    yield " \u00b7 ".join(facts)
    for arm in summary.arms:
        yield ""
        yield from _arm(summary, arm)
    yield ""
    yield "```sh"
    yield summary.command
    yield "```"


def _arm(summary: Summary, arm: ArmSummary) -> Iterator[str]:
    verdict = arm.verdict
    yield f"## {verdict.arm}"
    yield ""
    yield from (f"- {reason}" for reason in verdict.reasons)
    yield ""
    headline = summary.scenario.headline_workload.name
    for workload, rows in by_workload(arm):
        folded = workload != headline
        if folded:
            yield from ("<details><summary>" + workload + "</summary>", "")
        yield from table(
            (workload, "unit", "baseline", "candidate", "change", "95 % interval", "n"), map(_row, rows), left=2
        )
        if folded:
            yield from ("", "</details>")
        yield ""
    yield "Changes are turned so that more than 0 is better."
    yield ""
    yield from _facts(summary, arm)


def _row(row: Comparison) -> Sequence[str]:
    name = f"**{metric(row.metric)}**" if row.metric == "output_throughput" else metric(row.metric)
    pairs = str(row.effect.pairs) if row.effect else ""
    return name, row.unit, number(row.baseline), number(row.candidate), change(row.effect), span(row.effect), pairs


def _facts(summary: Summary, arm: ArmSummary) -> Iterator[str]:
    envelope, verdict = summary.envelope, arm.verdict
    rows = [
        ("correctness", number(verdict.correctness)),
        ("tokens that agree, candidate", share(arm.agreement, 2)),
        ("tokens that agree, baseline with itself", share(envelope.agreement, 2)),
        ("timed outputs that leave the baseline's", f"{arm.diverged[0]} of {arm.diverged[1]}"),
        ("sd of the baseline between restarts", share(summary.restart_sd, 2)),
    ]
    rows += [(f"{COSTS[name]}, ratio", number(ratio)) for name, ratio in verdict.costs.items()]
    rows += [(f"`{row['task']}`", _engaged(row)) for row in engaged(arm.engagements)]
    rows += [(f"setting `{key}` differs", f"{ours} / {theirs}") for key, (ours, theirs) in arm.difference.items()]
    yield from table(("", ""), rows, left=1)


def _engaged(row: Mapping[str, Any]) -> str:
    seen = f"calls seen in {row['ran']} of {row['of']} ranks \u00d7 launches, {row['fallbacks']} fallbacks"
    seen += f" ({'; '.join(row['refusals'])})" if row["refusals"] else ""
    return f"{seen}, {row['replays']:,} executions on the device" if row["replays"] else seen


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> Iterator[str]:
    """A Markdown table whose first ``left`` columns are aligned left, the others right."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join(":--" if number < left else "--:" for number in range(len(head))) + "|"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
