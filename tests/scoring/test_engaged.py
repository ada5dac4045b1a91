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


def test_a_target_that_never_ran_is_named_with_its_fallbacks() -> None:
    idle = {"calls_eager": 0, "calls_captured": 0, "fallbacks": 256}
    found = gaps(set_("receipt", idle, launch="02-fused-norm", task="rms_norm"))
    assert found == [
        f"launch 02-fused-norm, rank 0: the patch for rms_norm never ran at {CLASS} (all 512 calls went to the "
        "engine's own code)"
    ]


def test_a_place_of_the_function_seam_stands_for_itself() -> None:
    found = gaps(set_("receipt", {"seam": "function"}, launch="02-fused-norm", task="rms_norm"))
    assert found == [f"launch 02-fused-norm, rank 0: the patch for rms_norm never ran at {CLASS}.forward_native"]


def test_a_rank_without_a_receipt_is_missing() -> None:
    found = gaps(set_("receipt", {"world_size": 2}, launch="02-fused-norm", rank=0))
    assert found == ["launch 02-fused-norm: no receipt of rank 1"]


def test_a_front_end_is_no_proof() -> None:
    found = gaps(drop("receipt", launch="02-fused-norm", rank=0))
    assert found == ["launch 02-fused-norm: no process with the model in it left a receipt"]


def test_a_graph_that_the_device_never_ran_is_found_by_the_witness() -> None:
    found = gaps(set_("receipt", {"replays": 0}, purpose="witness", task="rms_norm"))
    assert found == [
        f"launch 01-fused-norm-witness, rank 0: the device never executed the patch for rms_norm at {CLASS}"
    ]


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
