"""Receipts: every rank, every target, on the device where there is a witness."""

from __future__ import annotations

from typing import Any

import pytest
from fakes_records import Change, Story, drop, records, set_, where

from fk_overlay.scoring.engaged import engagements, fallback_share, not_engaged
from fk_overlay.scoring.evidence import Evidence

ARM = "fused-norm"
CLASS = "vllm.model_executor.layers.layernorm:RMSNorm"
STORY = Story(restarts=2)


def gaps(*changes: Change, packs: Any = None) -> list[str]:
    evidence = Evidence.of(records(STORY.but(*changes)))
    arm = next(arm for arm in evidence.candidates if arm["name"] == ARM)
    return not_engaged(evidence, {**arm, "packs": packs} if packs else arm)


def test_one_member_of_a_class_that_runs_is_enough() -> None:
    assert gaps() == []


def test_calls_of_the_members_of_a_class_are_added() -> None:
    timed = [found for found in engagements(Evidence.of(records(STORY)), ARM) if found.launch == "02-fused-norm"]
    assert [(found.rank, found.task, found.target, found.calls, found.replays) for found in timed] == [
        (0, "rms_norm", CLASS, 130 + 67 * 65, 0)
    ]


def test_a_task_whose_calls_all_went_to_the_engine_is_named_whatever_the_witness_saw() -> None:
    idle = {"calls_eager": 0, "calls_captured": 0, "fallbacks": 256}
    found = gaps(set_("receipt", idle, launch="02-fused-norm", task="rms_norm"))
    assert found == [
        "launch 02-fused-norm, rank 0: the patch for rms_norm never ran (all 512 calls went to the engine's own code)"
    ]


def test_a_patch_that_says_why_it_refused_every_call_is_quoted() -> None:
    idle = {"calls_eager": 0, "calls_captured": 0, "fallbacks": 256, "refusals": ["rows of 7 are not even"]}
    (found,) = gaps(set_("receipt", idle, launch="02-fused-norm", task="rms_norm"))
    assert found.endswith("(all 512 calls went to the engine's own code: rows of 7 are not even)")


def test_a_graph_from_the_arms_own_compile_cache_is_vouched_for_by_the_witness() -> None:
    silent = {"calls_eager": 0, "calls_traced": 0, "calls_captured": 0}
    assert gaps(set_("receipt", silent, launch="02-fused-norm", task="rms_norm")) == []


def test_calls_that_only_a_compiler_saw_prove_nothing_without_a_witness() -> None:
    found = gaps(drop("launch", purpose="witness"), drop("receipt", purpose="witness"))
    assert found[0] == (
        "launch 01-fused-norm, rank 0: the patch for rms_norm was compiled or ran before the load, and nothing shows "
        "that it ran under it"
    )


def test_a_call_seen_under_the_load_needs_no_witness() -> None:
    seen = set_("receipt", {"calls_in_passes": 7}, arm=ARM, purpose="timed", task="rms_norm")
    assert gaps(seen, drop("launch", purpose="witness"), drop("receipt", purpose="witness")) == []


def test_one_target_of_a_task_is_enough() -> None:
    def elsewhere(record: dict[str, Any]) -> dict[str, Any]:
        idle = {"calls_eager": 0, "calls_traced": 0, "calls_captured": 0, "replays": 0}
        return {**record, **idle} if record["target"].endswith("forward_native") else record

    assert gaps(where("receipt", arm=ARM, task="rms_norm")(elsewhere)) == []


def test_a_rank_without_a_receipt_is_missing() -> None:
    found = gaps(set_("receipt", {"world_size": 2}, launch="02-fused-norm", rank=0))
    assert found == ["launch 02-fused-norm: no receipt of rank 1"]


def test_a_front_end_is_no_proof() -> None:
    found = gaps(drop("receipt", launch="02-fused-norm", rank=0))
    assert found == ["launch 02-fused-norm: no process with the model in it left a receipt"]


def test_a_graph_that_the_device_never_ran_is_found_by_the_witness() -> None:
    found = gaps(set_("receipt", {"replays": 0}, purpose="witness", task="rms_norm"))
    assert "launch 01-fused-norm-witness, rank 0: the device never executed the patch for rms_norm" in found


def test_a_task_that_was_never_put_in_place_is_named_when_the_run_says_what_the_pack_holds() -> None:
    packs = [{"name": ARM, "digest": "", "patches": [{"task": "rms_norm"}, {"task": "rope"}]}]
    found = gaps(packs=packs)
    assert len(found) == 3
    assert found[0] == "launch 01-fused-norm, rank 0: the patch for rope was never put in place"


def test_a_launch_that_was_stopped_for_it_says_why() -> None:
    reason = "rank 0 never imported the targets of: rms_norm; this model does not use them"
    found = gaps(set_("launch", {"state": "not_engaged", "reason": reason}, launch="02-fused-norm"))
    assert found == [f"launch 02-fused-norm: {reason}"]


def test_crashed_launches_are_not_asked() -> None:
    crashed = set_("launch", {"state": "crashed"}, arm=ARM)
    assert gaps(crashed, drop("receipt", arm=ARM)) == []


@pytest.mark.parametrize(("fallbacks", "share"), [(0, 0.0), (130 + 67 * 65, 0.5)])
def test_fallback_share(fallbacks: int, share: float) -> None:
    half = where("receipt", task="rms_norm")(
        lambda record: {**record, "fallbacks": fallbacks if record["calls_eager"] else 0}
    )
    assert fallback_share(engagements(Evidence.of(records(STORY.but(half))), ARM)) == share


def tuned(lookups: dict[str, bool], **launch: Any) -> Change:
    """The norm's receipts as those of a folder of configurations; under the load Python saw no call."""
    seam = {"seam": "tuning", "files": ["E=4.json"], "lookups": lookups, "replays": 0}
    calls = {"calls_eager": 2 if any(lookups.values()) else 0, "calls_captured": 0, "calls_traced": 0}
    return set_("receipt", {**seam, **calls, "calls_in_passes": 0}, arm=ARM, task="rms_norm", **launch)


def test_a_configuration_that_was_looked_up_before_the_load_is_in_the_captured_graph() -> None:
    assert gaps(tuned({"E=4.json": True, "E=8.json": False})) == []


@pytest.mark.parametrize(
    ("lookups", "why"),
    [
        ({"E=8.json": False}, "the engine looked up E=8.json, the pack has E=4.json; tune for this shape and GPU"),
        ({}, "the engine looked up no kernel configuration at all"),
    ],
)
def test_a_configuration_that_was_not_looked_up_is_not_engaged_and_says_why(lookups: dict[str, bool], why: str) -> None:
    found = gaps(tuned({"E=4.json": True}), tuned(lookups, launch="02-fused-norm"))
    assert len(found) == 1
    said = "launch 02-fused-norm, rank 0: no configuration for rms_norm was used: "
    assert found[0].startswith(said + why), "another rank or launch vouches for nothing"
