"""What counts as evidence, and what an interrupted launch leaves behind."""

from __future__ import annotations

import pytest
from fakes_records import Story, records, set_

from fk_overlay.core import BASELINE
from fk_overlay.errors import RecordError
from fk_overlay.scoring.evidence import Evidence, of_arm


def test_a_record_without_a_run_is_refused() -> None:
    with pytest.raises(RecordError, match="no line of kind 'run'"):
        Evidence.of([{"kind": "note", "text": "nothing else"}])


def test_arms_and_launches_are_found() -> None:
    evidence = Evidence.of(records(Story(restarts=2)))
    assert [arm["name"] for arm in evidence.candidates] == ["fused-norm"]
    assert [launch["launch"] for launch in evidence.launches_of(BASELINE)] == ["00-baseline", "03-baseline"]
    assert [launch["purpose"] for launch in evidence.launches_of("fused-norm")] == ["timed", "witness", "timed"]
    assert len(evidence.launches_of("fused-norm", purpose="timed")) == 2


def test_an_unfinished_launch_and_a_failed_one_are_no_evidence() -> None:
    crashed = set_("launch", {"state": "crashed"}, launch="01-fused-norm")
    evidence = Evidence.of(records(Story(stop_after=2).but(crashed)))
    assert {sample["launch"] for sample in evidence.samples} == {"00-baseline", "01-fused-norm", "02-fused-norm"}
    assert {sample["launch"] for sample in evidence.timed(evidence.samples)} == {"00-baseline"}


def test_a_launch_made_again_replaces_what_its_first_try_left() -> None:
    told = records(Story(restarts=2))
    first_try = [
        {**record, "value": 1.0} for record in told if record["kind"] == "sample" and record["launch"] == "00-baseline"
    ]
    again = Evidence.of([told[0], *first_try, *told[1:]])
    assert again.samples == Evidence.of(told).samples
    assert min(sample["value"] for sample in of_arm(again.samples, BASELINE) if sample["unit"] == "tokens/s") > 1000
