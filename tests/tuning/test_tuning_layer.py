"""One layer under a kernel of plain PyTorch: what is timed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from triton import CompilationError, OutOfResources

from fk_overlay.engines.experts import get_experts
from fk_overlay.errors import EngineError
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.graph_clock import GraphClock
from fk_overlay.tuning.layer import Layer, unfit
from fk_overlay.tuning.routing import Routing
from fk_overlay.tuning.shapes import Experts

SHAPE = Experts("tiny", 8, 16, 12, 2, "made up")
USUAL, OTHER = Config(16, 32, 32, 1, 4, 3), Config(16, 64, 32, 1, 4, 3)


@dataclass
class PlainKernel:
    """``faults`` gives the error or the factor of the result under a configuration."""

    faults: dict[Config, Exception | float] = field(default_factory=dict)
    seen: list[list[int]] = field(default_factory=list)
    keeps_triton_version: bool = True

    def file_name(self, experts: int, inter: int) -> str:
        return f"E={experts},N={inter}.json"

    def baseline(self, w1: Tensor, w2: Tensor, top_k: int, tokens: int) -> Mapping[str, int]:
        assert (w1.shape, w2.shape, top_k) == ((8, 24, 16), (8, 16, 12), 2)
        return USUAL.engine() | {"SPLIT_K": 1}

    def run(
        self, hidden: Tensor, w1: Tensor, w2: Tensor, weights: Tensor, ids: Tensor, config: Mapping[str, int]
    ) -> Tensor:
        self.seen.append(ids.flatten().tolist())
        fault = self.faults.get(Config.parse(config), 1.0)
        if isinstance(fault, Exception):
            raise fault
        return hidden * weights.sum(1, keepdim=True) * fault


class CountingClock:
    """The first call takes a second, the second two, and so on."""

    def times(self, call: Callable[[], object], before: Callable[[int], None], calls: int) -> list[float]:
        for number in range(calls):
            before(number)
            call()
        return [float(number + 1) for number in range(calls)]


def a_bench(faults: dict[Config, Any] | None = None) -> tuple[Any, PlainKernel]:
    kernel = PlainKernel(faults or {})
    return Layer(SHAPE, Routing(), kernel, CountingClock(), device="cpu").at(6), kernel


def test_the_median_is_told() -> None:
    bench, _ = a_bench()
    assert bench.baseline == USUAL
    assert bench.time(OTHER, 5).seconds == 3.0


def test_calls_go_through_different_draws_of_the_routing() -> None:
    bench, kernel = a_bench()
    bench.time(OTHER, 6)
    *_, first, second, third, fourth, fifth, sixth = kernel.seen
    assert len({tuple(ids) for ids in (first, second, third, fourth)}) == 4
    assert (fifth, sixth) == (first, second)


def test_weights_are_drawn_once_and_of_the_shape() -> None:
    layer = Layer(SHAPE, Routing(), PlainKernel(), CountingClock(), device="cpu")
    assert layer.weights()[0] is layer.weights()[0]
    assert layer.weights()[0].dtype == torch.bfloat16


class InPlace(PlainKernel):
    """Writes its result over the tokens, as SGLang does. ``inputs`` tells the tokens of the calls apart."""

    inputs: ClassVar[list[float]] = []

    def run(
        self, hidden: Tensor, w1: Tensor, w2: Tensor, weights: Tensor, ids: Tensor, config: Mapping[str, int]
    ) -> Tensor:
        self.inputs.append(float(hidden.float().abs().sum()))
        return hidden.copy_(2 * super().run(hidden, w1, w2, weights, ids, config))


def test_every_call_gets_the_same_tokens_though_the_engine_overwrites_them() -> None:
    kernel = InPlace({OTHER: 1.1})
    bench = Layer(SHAPE, Routing(), kernel, CountingClock(), device="cpu").at(6)
    assert bench.time(USUAL, 5).seconds == 3.0
    assert "0.1 of the norm away" in bench.time(OTHER, 5).reason
    assert len(kernel.inputs) > 6
    assert len(set(kernel.inputs)) == 1


def test_a_wrong_result_is_refused_whatever_its_time() -> None:
    bench, _ = a_bench({OTHER: 1.1})
    timing = bench.time(OTHER, 5)
    assert timing.seconds is None
    assert "0.1 of the norm away" in timing.reason


@pytest.mark.parametrize("result", [float("nan"), float("inf")])
def test_a_result_that_is_no_number_is_refused(result: float) -> None:
    bench, _ = a_bench({OTHER: result})
    assert bench.time(OTHER, 5).seconds is None


@pytest.mark.parametrize(
    "error",
    [
        OutOfResources(300 << 10, 227 << 10, "shared memory"),
        RuntimeError("PassManager::run failed"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(error: Exception) -> None:
    bench, _ = a_bench({OTHER: error})
    timing = bench.time(OTHER, 5)
    assert timing.seconds is None
    assert type(error).__name__ in timing.reason
    assert bench.time(USUAL, 3).seconds == 2.0


def test_a_configuration_that_ends_the_use_of_the_card_is_told_as_that() -> None:
    bench, _ = a_bench({OTHER: RuntimeError("CUDA error: an illegal memory access was encountered")})
    timing = bench.time(OTHER, 5)
    assert (timing.seconds, timing.fatal) == (None, True)
    assert not bench.time(USUAL, 3).fatal


@pytest.mark.parametrize("error", [RuntimeError("no kernel image"), RuntimeError("mat1 and mat2")])
def test_any_other_fault_ends_the_tuning(error: Exception) -> None:
    bench, _ = a_bench({OTHER: error})
    with pytest.raises(RuntimeError, match=str(error)):
        bench.time(OTHER, 5)


def test_what_counts_as_unfit() -> None:
    assert unfit(CompilationError("source", None, "tile too large"))
    assert not unfit(ValueError("shapes"))


def test_no_card_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="on a CUDA GPU"):
        GraphClock.here()


def test_an_engine_without_such_files() -> None:
    with pytest.raises(EngineError, match="tune vllm or sglang"):
        get_experts("http")


@pytest.mark.gpu
def test_the_clock_sees_work_and_a_cold_cache() -> None:
    clock = GraphClock.here()
    small, large = (torch.ones(size, device="cuda") for size in (1 << 20, 1 << 27))
    out = torch.empty_like(small), torch.empty_like(large)
    nothing = lambda number: None  # noqa: E731
    quick = min(clock.times(lambda: torch.add(small, 1, out=out[0]), nothing, 10))
    slow = min(clock.times(lambda: torch.add(large, 1, out=out[1]), nothing, 10))
    assert 0 < quick < slow
    assert slow > 2 * large.nbytes / 8e12


@pytest.mark.gpu
def test_vllms_baseline_and_another_configuration_on_the_card() -> None:
    pytest.importorskip("vllm")
    layer = Layer(Experts("tiny", 16, 256, 128, 2, "made up"), Routing(), get_experts("vllm"), GraphClock.here())
    bench = layer.at(64)
    assert bench.time(bench.baseline, 5).seconds
    timing = bench.time(Config(16, 64, 64, 1, 4, 3), 5)
    assert timing.seconds, timing.reason
