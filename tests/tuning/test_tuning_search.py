"""Successive halving: it finds what is faster, says when nothing is, and keeps its time."""

from __future__ import annotations

from typing import Any

import pytest
from fake_bench import BASELINE, FakeBench, FakeClock

from fk_overlay.errors import EngineError
from fk_overlay.tuning import shapes
from fk_overlay.tuning.config import Config, Space
from fk_overlay.tuning.halving import Effort, Outcome, Rung, Search, Slot

QWEN = shapes.get("qwen3-30b-a3b")
CANDIDATES = Space().sample(QWEN, 256, 40, seed=1)
BEST = CANDIDATES[17]
COMPILE_AND_CALLS = 1.2
"""One measurement that was begun in time."""


def search(
    bench: FakeBench, clock: FakeClock, seconds: float = 1e9, **more: Any
) -> tuple[Outcome, list[dict[str, Any]]]:
    logged: list[dict[str, Any]] = []
    slot = Slot(clock, clock(), seconds)
    found = Search(bench, Effort(), slot, lambda kind, **values: logged.append({"kind": kind, **values}), **more)
    return found.run(CANDIDATES), logged


@pytest.mark.parametrize("drift", [0.0, 0.02], ids=["steady", "slowing card"])
def test_the_fastest_is_found_and_its_gain_told(drift: float) -> None:
    clock = FakeClock()
    found, logged = search(FakeBench(clock, {BEST: 0.8e-3, CANDIDATES[3]: 0.9e-3}, drift=drift), clock)
    assert (found.state, found.config, found.measured) == ("tuned", BEST, 40)
    assert found.ratio is not None
    assert found.ratio.low < 0.8 < found.ratio.high < 0.83
    assert len([line for line in logged if line["kind"] == "pair"]) == 10


def test_a_gain_below_the_noise_leaves_the_engines_own() -> None:
    clock = FakeClock()
    found, _ = search(FakeBench(clock, {BEST: 0.999e-3}, noise=0.02), clock)
    assert (found.state, found.config) == ("default", BASELINE)
    assert found.ratio is not None


def test_the_baseline_is_measured_beside_the_candidates() -> None:
    clock = FakeClock()
    bench = FakeBench(clock)
    search(bench, clock)
    first_rung = [config for config, calls in bench.asked if calls == 5]
    assert first_rung.count(BASELINE) == 10
    assert [position for position, config in enumerate(first_rung) if config == BASELINE] == list(range(0, 50, 5))


def test_fewer_go_on_and_are_measured_longer() -> None:
    clock = FakeClock()
    bench = FakeBench(clock)
    search(bench, clock)
    others = [calls for config, calls in bench.asked if config != BASELINE]
    assert [others.count(calls) for calls in (5, 40)] == [40, 3]
    assert others.count(15) == 12 + 10


def test_what_cannot_run_is_noted_and_never_chosen() -> None:
    clock = FakeClock()
    found, logged = search(FakeBench(clock, {BEST: "OutOfResources: shared memory"}), clock)
    assert found.config != BEST
    assert [line["reason"] for line in logged if line.get("seconds") is None and line["kind"] == "timing"] == [
        "OutOfResources: shared memory"
    ]


def test_a_short_budget_measures_less_and_still_ends_in_time() -> None:
    clock = FakeClock()
    bench = FakeBench(clock, {CANDIDATES[2]: 0.7e-3})
    found, _ = search(bench, clock, seconds=20.0)
    assert found.state == "tuned"
    assert found.measured < 40
    assert clock() < 20.0 + COMPILE_AND_CALLS


def test_no_time_at_all_is_unresolved() -> None:
    clock = FakeClock()
    found, _ = search(FakeBench(clock), clock, seconds=0.0)
    assert (found.state, found.config) == ("unresolved", BASELINE)
    assert "nothing was measured" in found.reason


def test_time_that_ends_within_the_confirmation_is_unresolved() -> None:
    clock = FakeClock()
    bench = FakeBench(clock, {BEST: 0.8e-3})
    rungs = (Rung(1, 5, 1.0),)
    slot = Slot(clock, 0.0, 42.0)
    found = Search(bench, Effort(rungs=rungs, calls=200), slot, lambda kind, **values: None).run(CANDIDATES)
    assert found.state == "unresolved"
    assert "of 10 pairs" in found.reason


def test_an_earlier_sessions_ratios_are_not_measured_again() -> None:
    clock = FakeClock()
    bench = FakeBench(clock, {BEST: 0.8e-3})
    known = {(0, config): 2.0 for config in CANDIDATES if config != BEST} | {(0, BEST): 0.8}
    found, _ = search(bench, clock, known=known)
    assert found.config == BEST
    assert not [config for config, calls in bench.asked if calls == 5]


def test_a_baseline_that_does_not_run_ends_the_search() -> None:
    clock = FakeClock()
    with pytest.raises(EngineError, match="own configuration does not run here: no kernel image"):
        search(FakeBench(clock, {BASELINE: "no kernel image"}), clock)


def test_the_space_fits_the_card_and_the_batch() -> None:
    space = Space()
    for tokens in (1, 32, 256, 8192):
        found = list(space.all(QWEN, tokens))
        assert len(found) > 50
        assert all(config.shared_bytes <= 227 << 10 and config.accumulators <= 128 for config in found)
    assert {config.block_m for config in space.all(QWEN, 1)} == {16}
    assert {config.block_m for config in space.all(QWEN, 8192)} == {16, 32, 64, 128}
    assert {config.group_m for config in space.all(QWEN, 64)} == {1}
    assert not space.fits(Config(128, 256, 256, 1, 8, 5))


def test_the_sample_is_seeded() -> None:
    space = Space()
    assert space.sample(QWEN, 256, 40, seed=1) == CANDIDATES
    assert space.sample(QWEN, 256, 40, seed=2) != CANDIDATES
    assert len(set(CANDIDATES)) == 40


def test_batch_sizes_share_what_is_compiled() -> None:
    near, far = (set(Space().sample(QWEN, tokens, 40, seed=1)) for tokens in (128, 64))
    assert len(near & far) > 20


def test_what_ends_the_use_of_the_card_is_logged_before_the_session_ends() -> None:
    clock = FakeClock()
    logged: list[dict[str, Any]] = []
    bench = FakeBench(clock, {BEST: "illegal memory access"}, fatal=True)
    slot = Slot(clock, clock(), 1e9)
    search = Search(bench, Effort(), slot, lambda kind, **values: logged.append({"kind": kind, **values}))
    with pytest.raises(EngineError, match="left out then"):
        search.run(CANDIDATES)
    assert logged[-1]["config"] == BEST.engine()
    assert logged[-1]["seconds"] is None
    assert bench.asked[-1] == (BEST, Effort().rungs[0].calls)
