"""The report for machines. Strict JSON: what is not finite is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fk_overlay.report.summary import ArmSummary, Summary
from fk_overlay.report.wording import claim

FORMAT = 1


def render(summary: Summary) -> str:
    """The summary as JSON, keys stable within one ``format``."""
    content = {
        "format": FORMAT,
        "run": dict(summary.run),
        "finished": summary.finished,
        "notes": summary.notes,
        "counts": summary.counts,
        "pairs": summary.pairs,
        "arms": [_arm(arm) for arm in summary.arms],
        "envelope": {**asdict(summary.envelope), "items": len(summary.envelope.items)},
        "restart_sd": summary.restart_sd,
        "settings": summary.settings,
        "environment": summary.environment,
        "launches": summary.launches,
        "command": summary.command,
    }
    return dump(content)


def dump(content: Mapping[str, Any]) -> str:
    """Indented JSON with null for what is not finite."""
    return json.dumps(_strict(content), indent=1, allow_nan=False, default=str) + "\n"


def _arm(arm: ArmSummary) -> dict[str, Any]:
    return {
        "verdict": {**asdict(arm.verdict), "state": arm.verdict.state, "exit_code": arm.verdict.exit_code},
        "claim": claim(arm.verdict),
        "packs": arm.packs,
        "comparisons": [asdict(comparison) for comparison in arm.comparisons],
        "headline": arm.headline,
        "agreement": arm.agreement,
        "diverged": {"outputs": arm.diverged[0], "of": arm.diverged[1]},
        "engagements": [asdict(engagement) for engagement in arm.engagements],
        "difference": arm.difference,
    }


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(held) for held in value]
    return str(value) if isinstance(value, Path) else value
