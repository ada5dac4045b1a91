"""What the machine withheld from the engines while they were measured: one reason why launches of one arm differ."""

from __future__ import annotations

from collections.abc import Mapping

from fk_overlay.scoring.evidence import Evidence

WORDS: Mapping[str, str] = {
    "waiting": "something waited for a processor",
    "stolen": "the hypervisor ran others",
    "throttled": "the processor quota was used up",
}
TELLING = 0.005
"""Shares below this explain nothing."""


def disturbances(evidence: Evidence) -> dict[str, float]:
    """Shares of the measured time, by what was withheld; see :func:`fk_overlay.engines.cpus.withheld`. Empty if the
    record does not tell."""
    told = [launch["withheld"] for launch in evidence.launches if launch["state"] == "ok" and launch.get("withheld")]
    measured = sum(each["of"] for each in told)
    return {key: sum(each.get(key, 0.0) for each in told) / measured for key in WORDS if measured}


def disturbed(evidence: Evidence) -> str | None:
    """The disturbances in a sentence, None if there were none worth telling."""
    found = {key: share for key, share in disturbances(evidence).items() if share >= TELLING}
    if not found:
        return None
    shares = ", ".join(f"{WORDS[key]} {100 * share:.1f} %" for key, share in found.items())
    return f"of the measured time {shares}; a quieter machine resolves more with as many pairs"
