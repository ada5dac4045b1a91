"""May the measurement be believed? What speaks against it, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fk_overlay.core import BASELINE, CONTROL, Effect, Scenario
from fk_overlay.scoring.evidence import Evidence, of_arm
from fk_overlay.scoring.memory import remembered
from fk_overlay.scoring.traffic import failures, unaccounted

SHOWN = 5


def contract_errors(evidence: Evidence, arm: str) -> list[str]:
    """Contract errors that the arm's engine processes noted in their receipts or that ended a launch."""
    noted = [error for receipt in of_arm(evidence.receipts, arm) for error in receipt.get("errors") or ()]
    ended = [str(launch.get("reason") or "") for launch in evidence.launches_of(arm) if launch["state"] != "ok"]
    found = [text for text in noted + ended if text.startswith("ContractError")]
    return list(dict.fromkeys(text.removeprefix("ContractError").lstrip(": ") for text in found))


def invalid(evidence: Evidence, arm: str, scenario: Scenario, effect: Effect | None) -> list[str]:
    """Why the comparison of ``arm`` with the baseline must not be believed."""
    return [
        *_baseline_failed(evidence, scenario),
        *_baseline_patched(evidence),
        *_outside_the_contract(evidence, arm),
        *_configs_differ(evidence, arm),
        *remembered(evidence, arm, scenario.headline_workload.name),
        *_unfit(arm, effect),
    ]


def config_difference(evidence: Evidence, arm: str) -> dict[str, tuple[Any, Any]]:
    """Resolved settings that are not the same in every sound launch of both arms: key -> (baseline's, other)."""
    launches = [*evidence.launches_of(BASELINE, ok=True), *evidence.launches_of(arm, ok=True)]
    configs = [settings(launch.get("config") or {}) for launch in launches]
    found: dict[str, tuple[Any, Any]] = {}
    for config in configs[1:]:
        for key in sorted(configs[0].keys() | config.keys()):
            ours, theirs = configs[0].get(key, "absent"), config.get(key, "absent")
            if ours != theirs:
                found.setdefault(key, (ours, theirs))
    return found


def _baseline_failed(evidence: Evidence, scenario: Scenario) -> Iterator[str]:
    for launch in evidence.launches_of(BASELINE):
        if launch["state"] != "ok":
            reason = launch.get("reason") or "no reason recorded"
            yield f"baseline launch {launch['launch']} {launch['state']}: {reason}"
    requests = of_arm(evidence.timed(evidence.requests), BASELINE)
    yield from (f"the baseline's {gap}" for gap in unaccounted(requests, scenario))
    if failed := failures(requests, requests, scenario):
        yield f"the baseline failed {len(failed)} of {len(requests)} requests, the first: {failed[0]}"


def _baseline_patched(evidence: Evidence) -> Iterator[str]:
    patched = {receipt["launch"]: receipt["task"] for receipt in of_arm(evidence.receipts, BASELINE) if receipt["task"]}
    for launch, task in patched.items():
        yield f"baseline launch {launch} ran a patch for {task}"


def _outside_the_contract(evidence: Evidence, arm: str) -> Iterator[str]:
    """Symbols of the engine that are not its own in the arm's processes, and were in the baseline's."""
    known = {name for receipt in of_arm(evidence.receipts, BASELINE) for name in receipt.get("strangers") or ()}
    ours = of_arm(evidence.receipts, arm)
    if found := sorted({name for receipt in ours for name in receipt.get("strangers") or ()} - known):
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"the patch changed the engine outside of its contract: {', '.join(found[:SHOWN])}{more}"
    ended_well = {launch["launch"] for launch in evidence.launches_of(arm, ok=True)}
    for launch, pid in dict.fromkeys(
        (each["launch"], each["pid"]) for each in ours if each.get("last_look") == "offered"
    ):
        if launch in ended_well:
            yield f"process {pid} of launch {launch} did not show its engine's symbols at the end"


def _configs_differ(evidence: Evidence, arm: str) -> Iterator[str]:
    if found := config_difference(evidence, arm):
        listed = [f"{key} ({ours} / {theirs})" for key, (ours, theirs) in list(found.items())[:SHOWN]]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"the engine's resolved settings are not the same in every launch: {', '.join(listed)}{more}"


def _unfit(arm: str, effect: Effect | None) -> Iterator[str]:
    if arm == CONTROL and effect is not None and not effect.low <= 1 <= effect.high:
        yield (
            f"the baseline differs from itself by {100 * abs(effect.ratio - 1):.1f} % (95 % interval {effect.low:.4f} "
            f"to {effect.high:.4f}): this host is not fit to judge; find what disturbs it, then repeat the self-test"
        )


def settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Resolved settings by name, nested names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
