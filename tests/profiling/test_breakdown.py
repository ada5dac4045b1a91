from __future__ import annotations

import math

import pytest

from fk_overlay.core import Task
from fk_overlay.profiling.attribution import OUTSIDE, Usage
from fk_overlay.profiling.breakdown import LARGEST, breakdown, ceiling, places_of

TASKS = {name: Task(name, level, "", (), ()) for name, level in (("model", "L4"), ("mlp", "L2"), ("norm", "L1"))}  # type: ignore[arg-type]
PLACES = {name: (f"toy:{name}",) for name in TASKS}


def usage(window: float, own: dict[tuple[str, str], float], total: dict[str, float]) -> Usage:
    made = Usage("cpu", window)
    for key, us in own.items():
        made.own[key].add(us)
    for task, us in total.items():
        made.total[task, "everything"].add(us)
        made.calls[task] = 4
    return made


BEFORE = usage(
    1000,
    {("model", "py"): 100, ("mlp", "mm"): 500, ("norm", "mul"): 200, (OUTSIDE, "x"): 50},
    {"model": 800, "mlp": 500, "norm": 200},
)
AFTER = usage(
    800, {("model", "py"): 100, ("mlp", "fused"): 250, ("norm", "mul"): 220}, {"model": 570, "mlp": 250, "norm": 220}
)


@pytest.mark.parametrize(
    ("share", "achieved", "speedup"),
    [(0.0, 0.0, 1.0), (0.5, 0.0, 2.0), (0.5, 0.5, 4 / 3), (0.5, 1.0, 1.0), (0.9, 0.0, 10.0)],
)
def test_amdahl(share: float, achieved: float, speedup: float) -> None:
    assert ceiling(share, achieved) == pytest.approx(speedup)


def test_a_task_that_is_everything_has_no_finite_bound_and_no_division_by_zero() -> None:
    assert ceiling(1.0) > 1e8
    assert math.isfinite(ceiling(1.0))


def test_the_largest_gain_comes_first() -> None:
    found = breakdown(BEFORE, None, TASKS, PLACES)
    assert [row.task for row in found.rows] == ["model", "mlp", "norm"]
    mlp = found.rows[1]
    assert (mlp.level, mlp.calls, mlp.own_ms, mlp.total_ms, mlp.share) == ("L2", 4, 0.5, 0.5, 0.5)
    assert (mlp.at_most, mlp.change, mlp.after_total_ms) == (2.0, None, None)
    assert (found.window_ms, found.outside_ms, found.idle_ms) == (1.0, 0.05, pytest.approx(0.15))


def test_a_task_that_is_near_its_roofline_ranks_below_one_that_is_not() -> None:
    found = breakdown(BEFORE, None, TASKS, PLACES, {"model": 0.9, "mlp": 0.8})
    assert [row.task for row in found.rows] == ["norm", "mlp", "model"]
    assert [row.achieved for row in found.rows] == [None, 0.8, 0.9]
    assert found.rows[1].at_most == pytest.approx(1 / (1 - 0.5 * 0.2))


def test_after_a_patch_each_task_says_how_it_changed() -> None:
    found = breakdown(BEFORE, AFTER, TASKS, PLACES)
    changes = {row.task: row.change for row in found.rows}
    assert changes == {"model": pytest.approx(-0.2875), "mlp": -0.5, "norm": pytest.approx(0.1)}
    assert found.after_window_ms == 0.8
    parts = {part.name: (part.ms, part.after_ms) for part in found.rows[1].parts}
    assert parts == {"mm": (0.5, 0.0), "fused": (0.0, 0.25)}


def test_a_task_that_only_the_patched_engine_calls_has_a_row() -> None:
    before = usage(100, {("model", "py"): 100}, {"model": 100})
    found = breakdown(before, AFTER, TASKS, PLACES)
    mlp = next(row for row in found.rows if row.task == "mlp")
    assert (mlp.calls, mlp.total_ms, mlp.after_total_ms, mlp.change) == (0, 0.0, 0.25, None)


def test_a_task_that_was_never_called_has_none() -> None:
    only = usage(100, {("norm", "mul"): 100}, {"norm": 100})
    assert [row.task for row in breakdown(only, None, TASKS, PLACES).rows] == ["norm"]


def test_only_the_largest_operators_are_listed() -> None:
    many = usage(100, {("norm", f"op{number}"): float(number) for number in range(20)}, {"norm": 190})
    (row,) = breakdown(many, None, TASKS, PLACES).rows
    assert len(row.parts) == LARGEST
    assert row.parts[0].name == "op19"


def test_clocks_that_differ_are_not_compared() -> None:
    with pytest.raises(ValueError, match="before the patch was taken on the cpu, after it on the device"):
        breakdown(BEFORE, Usage("device", 1.0), TASKS, PLACES)


def test_places_of_several_targets_are_gathered() -> None:
    assert places_of([("mlp", ("a", "b")), ("norm", ("c",)), ("mlp", ("d",))]) == {
        "mlp": ("a", "b", "d"),
        "norm": ("c",),
    }
