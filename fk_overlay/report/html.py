"""The report as one self-contained HTML page: no script, no link, figures and styles inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from fk_overlay.core import CONTROL
from fk_overlay.report import wording
from fk_overlay.report.comparison import Comparison
from fk_overlay.report.figures import figures
from fk_overlay.report.summary import ArmSummary, Summary
from fk_overlay.scoring.engaged import Engagement

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "report.html.j2"
TONES: Mapping[str, str] = {
    "improved": "good",
    "neutral": "even",
    "regressed": "bad",
    "incorrect": "bad",
    "resource_regression": "bad",
    "unresolved": "open",
    "uncalibrated": "open",
}
"""Colour of a state; the states in which the measurement itself does not hold are ``void``."""


def render(summary: Summary) -> str:
    """The page for a summary."""
    template = environment().get_template(TEMPLATE)
    page: str = template.render(
        summary=summary,
        figures={arm.verdict.arm: figures(summary, arm) for arm in summary.arms},
        workloads={arm.verdict.arm: by_workload(arm) for arm in summary.arms},
        change=wording.change,
        span=wording.span,
        states=wording.STATES,
        costs=wording.COSTS,
        CONTROL=CONTROL,
        tone=lambda state: TONES.get(state, "void"),
    )
    return page


@cache
def environment() -> jinja2.Environment:
    """Where the pages' templates and their filters are."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("fk_overlay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        {
            "claim": wording.claim,
            "metric": wording.metric,
            "number": wording.number,
            "share": wording.share,
            "gib": wording.gib,
            "engaged": engaged,
            "clock": clock,
        }
    )
    return made


def by_workload(arm: ArmSummary) -> list[tuple[str, list[Comparison]]]:
    """Comparisons grouped by workload, without metrics that are zero on both sides."""
    shown = [each for each in arm.comparisons if each.baseline or each.candidate]
    names = dict.fromkeys(each.workload for each in shown)
    return [(name, [each for each in shown if each.workload == name]) for name in names]


def engaged(engagements: Sequence[Engagement]) -> list[dict[str, Any]]:
    """One row per task and target: in how many ranks of how many launches it ran, how often, and what it left alone."""
    rows: dict[tuple[str, str], list[Engagement]] = {}
    for engagement in engagements:
        rows.setdefault((engagement.task, engagement.target), []).append(engagement)
    return [
        {
            "task": task,
            "target": target,
            "ran": sum(each.calls > 0 for each in found),
            "of": len(found),
            "least": min(each.calls for each in found),
            "most": max(each.calls for each in found),
            "fallbacks": sum(each.fallbacks for each in found),
            "refusals": list(dict.fromkeys(reason for each in found for reason in each.refusals)),
            "replays": sum(each.replays or 0 for each in found),
        }
        for (task, target), found in rows.items()
    ]


def clock(launch: Mapping[str, Any], key: str) -> str:
    """A reading of the GPUs at the end of a launch, highest of all GPUs; a dash where there is none."""
    ends = (launch.get("clocks") or [[]])[-1]
    values = [gpu[key] for gpu in ends if isinstance(gpu.get(key), int | float)]
    return wording.number(max(values) if values else None)
