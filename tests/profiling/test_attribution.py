from __future__ import annotations

import pytest

from fk_overlay.profiling.attribution import OUTSIDE, PREFIX, PYTHON, Event, Usage, attribute, by_name, merged


def event(name: str, start: float, end: float, own: float, parent: int | None = None, **kernels: float) -> Event:
    return Event(name, start, end, own, parent, tuple(kernels.items()))


def own(usage: Usage) -> dict[tuple[str, str], float]:
    return {key: spent.us for key, spent in usage.own.items()}


def total(usage: Usage) -> dict[str, tuple[int, float]]:
    return {task: (usage.calls[task], usage.total_us(task)) for task in usage.tasks}


MODEL, MLP, NORM = PREFIX + "model", PREFIX + "mlp", PREFIX + "norm"
CPU = [
    event("aten::prepare", 0, 9, 9),
    event(MODEL, 10, 100, 10),
    event(MLP, 20, 60, 5, 1),
    event("aten::mm", 25, 55, 20, 2),
    event("aten::empty", 30, 40, 10, 3),
    event("aten::add", 70, 80, 10, 1),
    event("aten::sample", 110, 130, 20),
    event(MODEL, 140, 180, 40),
    event("aten::after", 200, 210, 10),
]


def test_time_goes_to_the_innermost_range_and_to_all_around_it() -> None:
    usage = attribute(CPU)
    assert (usage.clock, usage.window_us) == ("cpu", 170)
    assert own(usage) == {
        ("model", PYTHON): 50,
        ("mlp", PYTHON): 5,
        ("mlp", "aten::mm"): 20,
        ("mlp", "aten::empty"): 10,
        ("model", "aten::add"): 10,
        (OUTSIDE, "aten::sample"): 20,
    }
    assert total(usage) == {"model": (2, 95), "mlp": (1, 35)}


def test_what_runs_before_the_first_and_after_the_last_range_is_no_part_of_the_load() -> None:
    names = {name for _, name in attribute(CPU).own}
    assert not {"aten::prepare", "aten::after"} & names


def test_a_range_inside_another_of_its_task_is_counted_once() -> None:
    """As of a class that calls its parent's method, which is a place of the same task."""
    seen = [event(NORM, 0, 100, 10), event(NORM, 10, 90, 20, 0), event("aten::mul", 20, 80, 60, 1)]
    assert total(attribute(seen)) == {"norm": (1, 90)}


def test_where_kernels_ran_their_time_counts() -> None:
    seen = [
        event(MODEL, 0, 100, 30),
        event("aten::mm", 10, 20, 10, 0, gemm=40.0),
        event(MLP, 20, 60, 10, 0),
        event("aten::silu", 30, 40, 10, 2, silu=7.0, copy=1.0),
    ]
    usage = attribute(seen)
    assert usage.clock == "device"
    assert own(usage) == {("model", "gemm"): 40, ("mlp", "silu"): 7, ("mlp", "copy"): 1}
    assert total(usage) == {"model": (1, 48), "mlp": (1, 8)}


def test_a_parent_may_come_after_what_it_called() -> None:
    seen = [event("aten::mm", 10, 20, 10, 1), event(MODEL, 0, 100, 90)]
    assert total(attribute(seen)) == {"model": (1, 100)}


def test_long_chains_are_no_trouble() -> None:
    seen = [event(MODEL, 0, 1e6, 1), *(event("op", 1, 2, 1, number) for number in range(5000))]
    assert total(attribute(seen)) == {"model": (1, 5001)}


def test_a_profile_without_ranges_says_nothing() -> None:
    with pytest.raises(ValueError, match="no task's range"):
        attribute([event("aten::mm", 0, 1, 1)])


def test_kernels_without_ranges_are_shared_out_as_learned() -> None:
    learned = attribute(
        [
            event(MODEL, 0, 100, 0),
            event("a", 0, 10, 0, 0, gemm=30.0),
            event(MLP, 10, 90, 0, 0),
            event("b", 20, 30, 0, 2, gemm=90.0, silu=5.0),
        ]
    )
    usage = by_name([("gemm", 8.0), ("gemm", 4.0), ("silu", 2.0), ("sampler", 3.0)], learned, 20.0)
    assert own(usage) == {
        ("model", "gemm"): pytest.approx(3.0),
        ("mlp", "gemm"): pytest.approx(9.0),
        ("mlp", "silu"): 2.0,
        (OUTSIDE, "sampler"): 3.0,
    }
    assert (usage.busy_us, usage.window_us) == (17.0, 20.0)
    assert total(usage) == {"model": (0, pytest.approx(14.0)), "mlp": (0, pytest.approx(11.0))}


def test_ranks_are_added_up() -> None:
    usage = merged([attribute(CPU), attribute(CPU)])
    assert (usage.window_us, total(usage)["mlp"]) == (340, (2, 70))
    assert own(usage)["mlp", "aten::mm"] == 40


def test_ranks_with_different_clocks_are_no_profile() -> None:
    with pytest.raises(ValueError, match="cpu"):
        merged([Usage("cpu", 1.0), Usage("device", 1.0)])
    with pytest.raises(ValueError, match="0 ranks"):
        merged([])
