"""The guards of the bench, each alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import pytest
import torch

from fk_overlay.core import BASELINE, Cost
from fk_overlay.integrity import claims, guards, original, process, roofline
from fk_overlay.integrity.changes import CANDIDATE, after, events
from fk_overlay.integrity.error_ratio import Errors, envelope
from fk_overlay.integrity.guards import Rejection
from fk_overlay.integrity.results import contiguous, contract
from fk_overlay.integrity.weights import WHOLE, fingerprint
from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.overlay.tally import Tally


@dataclass(frozen=True)
class Result:
    type: str = "torch:Tensor"
    shape: tuple[int, ...] = (4, 6)
    stride: tuple[int, ...] = (6, 1)
    dtype: str = "float32"
    device: str = "cpu"
    alias: str = ""
    odd: str = ""

    @property
    def is_tensor(self) -> bool:
        return bool(self.dtype)


@pytest.mark.parametrize(
    ("mine", "what"),
    [
        (Result(type="lazy:Tensor"), "lazy:Tensor"),
        (Result(shape=(4, 5), stride=(5, 1)), "shape"),
        (Result(dtype="float64"), "dtype"),
        (Result(device="cuda"), "device"),
        (Result(stride=(1, 4)), "stride"),
        (Result(alias="x"), "memory of the argument x"),
        (Result(odd="attributes double"), "attributes double"),
    ],
)
def test_a_result_that_breaks_the_contract(mine: Result, what: str) -> None:
    (rejection,) = contract([mine], [Result()], {})
    assert rejection.guard == "g.contract"
    assert what in rejection.reason


def test_results_may_lie_where_the_task_or_the_baseline_has_them() -> None:
    assert contract([Result(alias="x")], [Result()], {"0": "x"}) == []
    assert contract([Result(alias="x")], [Result(alias="x")], {}) == []
    assert contract([Result(alias="x.0")], [Result()], {"1": "x"}) != []


def test_layouts_may_be_the_baselines_or_contiguous() -> None:
    baseline = Result(stride=(12, 1))
    assert contract([Result()], [baseline], {}) == []
    assert contract([Result(stride=(12, 1))], [baseline], {}) == []
    assert contract([Result(shape=(1, 6), stride=(99, 1))], [Result(shape=(1, 6), stride=(6, 1))], {}) == []
    assert contiguous((2, 3, 4)) == (12, 4, 1)


def test_nothing_instead_of_a_result() -> None:
    assert "nothing" in contract([], [Result()], {})[0].reason


# ------------------------------------------------------------------------------------------------ times


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 2.0])
def test_a_call_that_cannot_have_taken_so_long(seconds: float) -> None:
    rejection = claims.impossible(seconds, 1.0)
    assert rejection is not None
    assert rejection.guard == "g.outproc"
    assert claims.impossible(0.5, 1.0) is None


def test_a_saving_that_the_parents_clock_does_not_see() -> None:
    claimed = [50e-6, 52e-6, 48e-6, 50e-6]
    assert claims.unseen_saving(claimed, [49e-6, 53e-6, 47e-6, 51e-6]) is None
    found = claims.unseen_saving(claimed, [1e-6, -1e-6, 0.5e-6, -0.5e-6])
    assert found is not None
    assert (found.guard, found.state) == ("g.outproc", "invalid")
    noisy = [300e-6, -280e-6, 20e-6, -40e-6]
    assert claims.unseen_saving(claimed, noisy) is None
    assert claims.unsure(noisy) > 50e-6
    assert claims.unseen_saving([-1e-6] * 4, [0.0] * 4) is None


def test_a_burst_of_other_work_is_no_lie() -> None:
    """The baseline against itself on two busy cores: one round of ten was disturbed, in one arm and inside the call."""
    claimed = [80e-6, 35e-6, -2e-6, -1e-6, -5e-6, 4e-6, -9e-6, 5e-6, 7e-6, -3e-6]
    walls = [10e-6, -12e-6, 5e-6, 3e-6, -9e-6, 2e-6, -7e-6, 1e-6, 4e-6, 0.0]
    assert claims.unseen_saving(claimed, walls) is None
    lie = [30e-6 + saving / 10 for saving in claimed]
    assert claims.unseen_saving(lie, walls) is not None


def test_work_that_is_left_on_the_device() -> None:
    assert claims.left_behind(20e-6, 10e-6) is None
    found = claims.left_behind(300e-6, 10e-6)
    assert found is not None
    assert found.guard == "g.device_sync"


H100 = "NVIDIA H100 80GB HBM3"


def test_the_roofline_is_the_larger_of_memory_and_arithmetic() -> None:
    moved = Cost(read=3_350_000, written=0, flops=1000)
    found = roofline.reached(moved, 2e-6, H100, "bfloat16")
    assert (found.bound_s, found.bound_by) == (pytest.approx(1e-6), "memory")
    assert found.bytes_s == pytest.approx(1.675e12)
    busy = Cost(read=1000, written=1000, flops=989_400_000_000)
    assert roofline.reached(busy, 2e-3, H100, "bfloat16").bound_s == pytest.approx(1e-3)
    assert roofline.reached(busy, 2e-3, "", "bfloat16").bound_s is None


def test_a_time_below_the_roofline_is_invalid() -> None:
    cost = Cost(read=335_000_000, written=335_000_000)
    assert roofline.floor(cost, 100e-6, H100, "bfloat16") is None
    found = roofline.floor(cost, 50e-6, H100, "bfloat16")
    assert found is not None
    assert (found.guard, found.state) == ("g.floor", "invalid")
    assert roofline.floor(cost, 50e-6, "a CPU", "bfloat16") is None


# ------------------------------------------------------------------------------------------------ values


def test_an_error_of_one_rounding_is_fine_and_one_of_half_precision_is_not() -> None:
    truth = torch.randn(1000, dtype=torch.float64)
    baseline, honest, cheap = Errors(), Errors(), Errors()
    baseline.add([truth.float()], [truth])
    honest.add([(truth.float() * 3 / 3)], [truth])
    cheap.add([truth.half().float()], [truth])
    assert envelope(honest, baseline) is None
    found = envelope(cheap, baseline)
    assert found is not None
    assert found.guard == "g.envelope"


def test_a_baseline_that_is_exact_leaves_room_for_one_rounding() -> None:
    truth = torch.randint(-3, 3, (1000,)).double()
    baseline, candidate = Errors(), Errors()
    baseline.add([truth.float()], [truth])
    candidate.add([truth.float() * (1 + 1e-8)], [truth])
    assert envelope(candidate, baseline) is None


def test_masked_elements_do_not_count() -> None:
    truth = torch.tensor([1.0, float("-inf"), float("nan")], dtype=torch.float64)
    errors = Errors()
    errors.add([truth.float()], [truth])
    assert errors.relative(0) == 0


@pytest.mark.parametrize("size", [0, 1, 1000, WHOLE + 5])
def test_a_fingerprint_names_content_shape_and_dtype(size: int) -> None:
    one = torch.arange(size, dtype=torch.int64).to(torch.uint8)
    assert fingerprint(one) == fingerprint(one.clone())
    assert fingerprint(one) != fingerprint(one.reshape(1, -1))
    if size:
        other = one.clone()
        other[-1] += 1
        assert fingerprint(one) != fingerprint(other)
        swapped = one.flip(0)
        assert size < 2 or fingerprint(one) != fingerprint(swapped)


# ------------------------------------------------------------------------------------------------ processes


class Layer:
    def forward(self, x: int, by: int = 2) -> int:
        return x * by

    def other(self, x: int, *, by: int = 3) -> Any:
        return super().__init__() or x * by


def test_entries_of_a_function_are_counted_wherever_it_is_held(tmp_path: Any) -> None:
    counters = Counters(tmp_path / "counters", 2)
    held = [Layer.forward, Layer.other]
    for row, function in enumerate(held):
        assert isinstance(function, FunctionType)
        original.count_entries(function, Tally(counters, row))
    layer = Layer()
    assert (held[0](layer, 2), layer.forward(2, 5), held[0](layer, x=2, by=4)) == (4, 10, 8)
    assert (held[1](layer, 2), held[1](layer, 2, by=1)) == (6, 2)
    assert (counters.get(0, Slot.EAGER), counters.get(1, Slot.EAGER)) == (3, 2)


def test_what_a_process_changes_about_itself_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    before, flags = process.fingerprints(), process.flags()
    assert process.fingerprints() == before
    monkeypatch.setattr(torch, "allclose", lambda *args, **kwargs: True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark)
    changed = {name for name, value in process.fingerprints().items() if before[name] != value}
    assert changed == {"torch.allclose"}
    assert {name for name, value in process.flags().items() if flags[name] != value} == {"cudnn.benchmark"}


def test_code_that_is_replaced_inside_a_function_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process.fingerprints()
    monkeypatch.setattr(process.threads, "__code__", (lambda: []).__code__)
    assert process.fingerprints()["integrity.process.threads"] != before["integrity.process.threads"]


def test_the_system_counts_threads_and_knows_no_process_that_is_gone() -> None:
    import os

    wait = threading.Event()
    before = process.outside(os.getpid())["threads"]
    thread = threading.Thread(target=wait.wait)
    thread.start()
    try:
        assert process.outside(os.getpid())["threads"] == before + 1
        assert len(process.threads()) >= 1
    finally:
        wait.set()
        thread.join()
    assert process.outside(2**22 - 3) == {"children": 0, "sockets": 0, "threads": 0}


def said(**changed: Any) -> dict[str, Any]:
    return {"functions": {"f": "1"}, "flags": {"g": "1"}, "weights": {"w": "1"}, "caller": {"c": "1"}, **changed}


def looked(ended: dict[str, Any], outside: dict[str, int], baseline: dict[str, Any] | None = None) -> list[Rejection]:
    same = {CANDIDATE: said(), BASELINE: said()}
    none = {"children": 0, "sockets": 3, "threads": 2}
    now = {CANDIDATE: ended, BASELINE: baseline or said()}
    return list(after(same, same, now, {CANDIDATE: {**none, **outside}, BASELINE: none}))


@pytest.mark.parametrize(
    ("ended", "outside", "guard"),
    [
        (said(functions={"f": "2"}), {}, "g.integrity"),
        (said(flags={"g": "2"}), {}, "g.integrity"),
        (said(caller={"c": "2"}), {}, "g.integrity"),
        (said(weights={"w": "2"}), {}, "g.immutable"),
        (said(threads=["worker"]), {}, "g.integrity"),
        (said(events=["socket.connect"]), {}, "g.integrity"),
        (said(), {"children": 1}, "g.integrity"),
        (said(), {"sockets": 4}, "g.integrity"),
    ],
)
def test_each_change_is_noticed(ended: dict[str, Any], outside: dict[str, int], guard: str) -> None:
    (found,) = looked(ended, outside)
    assert found.guard == guard


def test_what_the_baseline_changes_too_is_the_engines_own() -> None:
    changed = said(flags={"g": "2"}, threads=["engine"])
    assert looked(changed, {}, changed) == []
    assert looked(said(), {}) == []


def test_a_compiler_may_run_before_calls_are_timed_and_nothing_may_then() -> None:
    compiled = said(events=["subprocess.Popen"])
    assert looked(compiled, {}) == []
    (found,) = events([compiled], [said()])
    assert "subprocess.Popen" in found.reason


def test_what_makes_a_result_unbelievable_is_named_before_what_makes_it_wrong() -> None:
    found = [Rejection("g.recheck", "off"), Rejection("g.integrity", "flags"), Rejection("g.engage", "never")]
    deciding = guards.first(found)
    assert deciding is not None
    assert (deciding.guard, deciding.state) == ("g.integrity", "invalid")
    assert guards.first([]) is None
