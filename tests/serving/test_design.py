from fk_overlay.core import BASELINE, Arm, Design
from fk_overlay.serving.design import Slot, slots

A, B, C = Arm(BASELINE), Arm("fast"), Arm("small")


def names(found: list[Slot]) -> str:
    return "".join({BASELINE: "A", "fast": "B", "small": "C"}[slot.arm.name] for slot in found)


def test_arms_change_places_with_every_restart() -> None:
    assert names(list(slots((A, B), Design(4, 1)))) == "ABBAABBA"
    assert names(list(slots((A, B, C), Design(3, 1)))) == "ABCCBAABC"


def test_every_arm_is_launched_once_in_every_restart() -> None:
    found = list(slots((A, B, C), Design(5, 2)))
    assert {(slot.restart, slot.arm.name) for slot in found} == {
        (restart, arm.name) for restart in range(5) for arm in (A, B, C)
    }
    assert [slot.order for slot in found] == list(range(15))


def test_a_drift_that_is_linear_in_time_cancels() -> None:
    found = list(slots((A, B), Design(4, 1)))
    times = {arm.name: sum(slot.order for slot in found if slot.arm == arm) for arm in (A, B)}
    assert times[BASELINE] == times["fast"]


def test_names_sort_in_the_order_of_launches_and_tell_a_witness_apart() -> None:
    found = [slot.name for slot in slots((A, B), Design(6, 1))]
    assert found == sorted(found)
    assert found[:2] == ["00-baseline", "01-fast"]
    assert Slot(1, 0, B, "witness").name == "01-fast-witness"
