from pathlib import Path
from typing import Any

import pytest

from fk_overlay.core import Target
from fk_overlay.errors import NotEngaged
from fk_overlay.overlay.counters import Slot
from fk_overlay.overlay.receipts import Receipt
from fk_overlay.plan import Plan, Swap
from fk_overlay.serving.engagement import eager_calls, gate, needs_witness

PLACE = "toy.layers:Norm.forward"


def plan(*tasks: str) -> Plan:
    swaps = (
        Swap("p", Path("p"), "d", task, Target("toy", ">=1", PLACE), "function", Path("f"), "s", "k") for task in tasks
    )
    return Plan("toy", "fast", "d", "timed", None, tuple(swaps))


def process(folder: Path, *tasks: str, loaded: bool = True, **facts: Any) -> Receipt:
    receipt = Receipt(folder, role="worker", engine="toy", version="1", places=2)
    for row, task in enumerate(tasks):
        receipt.placed(row, task=task, target=f"{PLACE}{row}", seam="function", pack="p")
    receipt.say(loaded=loaded, **facts)
    return receipt


def test_the_gate_lets_a_rank_with_every_task_pass_and_returns_its_settings(tmp_path: Path) -> None:
    process(tmp_path, "norm", "mlp", rank=0, config={"block": 16})
    assert gate(plan("norm", "mlp"), tmp_path, 1) == {"block": 16}


def test_a_baseline_has_nothing_to_place_but_must_have_the_overlay(tmp_path: Path) -> None:
    with pytest.raises(NotEngaged, match="rank 0 of 1 has not reported"):
        gate(plan(), tmp_path, 1)
    process(tmp_path, rank=0)
    assert gate(plan(), tmp_path, 1) == {}


@pytest.mark.parametrize(
    ("facts", "ranks", "said"),
    [
        ({"rank": 0}, 2, "rank 1 of 2 has not reported"),
        ({"rank": None}, 1, "rank 0 of 1 has not reported"),
        ({"rank": 0, "loaded": False}, 1, "has not seen a model being loaded"),
        (
            {"rank": 0, "errors": ["SeamError: no", "ValueError: never"]},
            1,
            "reported: SeamError: no; ValueError: never",
        ),
    ],
)
def test_the_gate_says_what_is_missing(tmp_path: Path, facts: dict[str, Any], ranks: int, said: str) -> None:
    process(tmp_path, "norm", **facts)
    with pytest.raises(NotEngaged, match=said) as caught:
        gate(plan("norm"), tmp_path, ranks)
    assert caught.value.state == "not_engaged"


def test_the_gate_names_tasks_whose_targets_were_never_imported(tmp_path: Path) -> None:
    process(tmp_path, "norm", rank=0)
    with pytest.raises(NotEngaged, match="rank 0 never imported the targets of: attention, mlp;"):
        gate(plan("mlp", "norm", "attention"), tmp_path, 1)


WANTED = "the engine looked up E=8.json, the pack has E=4.json; tune for this shape and GPU"


def tuned(folder: Path, **lookups: bool) -> Receipt:
    """A rank whose pack brings E=4.json, and what its engine looked up."""
    receipt = process(folder, rank=0)
    receipt.placed(0, task="experts", target=PLACE, seam="tuning", pack="p", files=["E=4.json"], lookups={})
    for name, found in lookups.items():
        receipt.looked_up(0, f"E={name}.json", found)
    return receipt


def test_the_gate_stops_a_rank_that_wants_configurations_that_the_pack_does_not_have(tmp_path: Path) -> None:
    tuned(tmp_path, **{"8": False})
    with pytest.raises(NotEngaged, match=f"rank 0: the configurations for experts are of no use here: {WANTED}"):
        gate(plan("experts"), tmp_path, 1)


@pytest.mark.parametrize("lookups", [{}, {"4": True}, {"4": True, "8": False}])
def test_the_gate_lets_a_rank_pass_whose_lookups_may_still_be_answered(
    tmp_path: Path, lookups: dict[str, bool]
) -> None:
    tuned(tmp_path, **lookups)
    assert gate(plan("experts"), tmp_path, 1) == {}


def test_a_lookup_needs_no_witness_on_the_device(tmp_path: Path) -> None:
    silent = {"pid": 1, "task": "experts", "loaded": True, "calls_in_passes": 0, "fallbacks": 0}
    assert needs_witness([{**silent, "seam": "function"}])
    assert not needs_witness([{**silent, "seam": "tuning"}])


def test_eager_calls_are_told_apart_by_process_and_place(tmp_path: Path) -> None:
    receipt = process(tmp_path, "norm", "mlp", rank=0)
    assert receipt.counters is not None
    receipt.counters.add(1, Slot.EAGER, 5)
    receipt.counters.add(0, Slot.TRACED, 3)
    found = eager_calls(tmp_path)
    assert {place: calls for (_, place), calls in found.items()} == {f"{PLACE}0": 0, f"{PLACE}1": 5}


def row(task: str | None, calls: int, *, pid: int = 1, loaded: bool = True, fallbacks: int = 0) -> dict[str, Any]:
    return {"pid": pid, "task": task, "calls_in_passes": calls, "loaded": loaded, "fallbacks": fallbacks}


@pytest.mark.parametrize(
    ("receipts", "needed"),
    [
        ([], False),
        ([row(None, 0)], False),
        ([row("norm", 3)], False),
        ([row("norm", 0)], True),
        ([row("norm", 0), row("norm", 3)], False),
        ([row("norm", 0, fallbacks=4)], False),
        ([row("norm", 3), row("mlp", 0)], True),
        ([row("norm", 3), row("norm", 0, pid=2)], True),
        ([row("norm", 3), row("norm", 0, pid=2, loaded=False)], False),
    ],
)
def test_a_witness_is_needed_where_a_rank_has_a_task_without_a_call(
    receipts: list[dict[str, Any]], needed: bool
) -> None:
    assert needs_witness(receipts) is needed
