"""Speed that depends on what came before, from records alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fakes_records import Change, Story, records, where

from fk_overlay.core import BASELINE
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.scoring.memory import remembered

ARM, WORKLOAD = "fused-norm", "chat-c32"


def said(*changes: Change, **story: Any) -> list[str]:
    return remembered(Evidence.of(records(Story(**story).but(*changes))), ARM, WORKLOAD)


def faster(factor: float, when: Callable[[dict[str, Any]], bool], arm: str = ARM) -> Change:
    def change(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "value": record["value"] * (factor if when(record) else 1.0)}

    return where("sample", arm=arm, metric="output_throughput")(change)


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_run_is_left_alone(seed: int) -> None:
    assert said(seed=seed) == []


def test_answers_that_are_remembered_within_a_launch() -> None:
    (reason,) = said(faster(1.5, lambda record: record["pass"] > 0))
    assert reason.startswith("prompts that were sent before are answered 4")


def test_answers_that_are_remembered_from_launch_to_launch() -> None:
    (reason,) = said(faster(3.0, lambda record: record["restart"] > 0))
    assert "launches after the first are" in reason


def test_a_baseline_that_suffers_from_the_candidate() -> None:
    (reason,) = said(faster(0.7, lambda record: record["restart"] > 0, arm=BASELINE))
    assert reason.startswith("the baseline is 3")


def test_a_machine_that_warms_up_for_both_is_no_sign() -> None:
    both = [faster(1.4, lambda record: record["pass"] > 0, arm=arm) for arm in (ARM, BASELINE)]
    assert said(*both) == []


@pytest.mark.parametrize("restarts", [1, 2])
def test_too_few_launches_tell_nothing_of_launches(restarts: int) -> None:
    assert said(faster(3.0, lambda record: record["restart"] > 0), restarts=restarts) == []
