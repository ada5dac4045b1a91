"""Flaws that benches of kernels are known to have, each as a kernel that such a bench would pass, or an honest one that
it would fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bench_toy import QUICK, ToyBench

from fk_overlay.core import Tolerance
from fk_overlay.integrity.elementwise import agree

NORM = """
import torch


def right(self, x, residual=None):
    total = x if residual is None else x + residual
    normal = total * torch.rsqrt(total.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight
    return normal if residual is None else (normal, total)
"""


def test_an_operator_in_place_that_writes_nothing_is_incorrect(toy: ToyBench) -> None:
    verdict = toy.judge("def Kernel(cache, x, slots):\n    return None\n", "keep")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


def test_an_operator_in_place_is_judged_by_what_it_wrote(toy: ToyBench) -> None:
    source = "def Kernel(cache, x, slots):\n    cache[slots] = x\n    cache[0, 0] += 1\n"
    verdict = toy.judge(source, "keep")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


def test_no_result_where_there_should_be_one_is_incorrect(toy: ToyBench) -> None:
    verdict = toy.judge("def Kernel(x, by):\n    x * by\n", "scaled")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.contract"), verdict.reasons
    assert "NoneType" in verdict.reasons[0]


def test_one_percent_of_the_elements_at_60000_is_incorrect(toy: ToyBench) -> None:
    source = "def Kernel(x, by):\n    out = x * by\n    out.view(-1)[::100] = 60000.0\n    return out\n"
    verdict = toy.judge(source, "scaled")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


def test_one_element_at_60000_is_incorrect_too() -> None:
    reference = torch.randn(100, 100, dtype=torch.float64)
    out = reference.half()
    out[5, 5] = 60000
    found = agree(out, reference, Tolerance(rtol=1e-2, atol=1e-2, ratio=0.99))
    assert found.share > 0.999
    assert "times its bound" in found.reason


def test_another_dtype_in_a_later_round_is_incorrect(toy: ToyBench) -> None:
    source = """
calls = 0


def Kernel(x, by):
    global calls
    calls += 1
    return x * by if calls < 12 else (x * by).double()
"""
    verdict = toy.judge(source, "scaled")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.contract"), verdict.reasons
    assert "float64 instead of float32" in verdict.reasons[0]


def test_a_tolerance_that_is_edited_at_import_changes_nothing(toy: ToyBench) -> None:
    source = """
import gc
from fk_overlay.core import Task, Tolerance

for held in gc.get_objects():
    if isinstance(held, Tolerance):
        object.__setattr__(held, "rtol", 1e9)
        object.__setattr__(held, "cap", 1e9)
import fk_overlay.integrity.elementwise as elementwise

elementwise.agree = lambda *args: elementwise.Agreement(1.0, 0.0)


def Kernel(x, by):
    return x * by * 1.5
"""
    verdict = toy.judge(source, "scaled")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


@pytest.mark.parametrize("way", ["Norm.forward_native.__wrapped__", "held"])
def test_a_kernel_that_calls_the_baseline_is_not_engaged(toy: ToyBench, way: str) -> None:
    source = f"""
import gc, types
import bench_toy_engine
from bench_toy_engine import Norm

if {way == "held"}:
    held = [
        each for each in gc.get_objects()
        if isinstance(each, types.FunctionType) and each.__qualname__ == "Norm.forward_native"
    ][0]


class Kernel:
    def forward(self, x, residual=None):
        return {way}(self, x, residual)
"""
    verdict = toy.judge(source)
    assert (verdict.state, verdict.guard) == ("not_engaged", "g.engage"), verdict.reasons


def test_nan_where_the_oracle_has_nan_is_right(toy: ToyBench) -> None:
    verdict = toy.judge("import torch\n\n\ndef Kernel(x):\n    return torch.log2(x) * 0.6931471805599453\n", "logs")
    assert verdict.state == "passed", verdict.reasons


def test_a_number_where_the_oracle_has_nan_is_incorrect(toy: ToyBench) -> None:
    verdict = toy.judge("import torch\n\n\ndef Kernel(x):\n    return torch.log(x).nan_to_num(0.0)\n", "logs")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons
    assert "NaN" in verdict.reasons[0]


def test_answers_that_are_remembered_by_address_are_noticed(toy: ToyBench) -> None:
    source = """
answers = {}


def Kernel(x, by):
    if x.data_ptr() not in answers:
        answers[x.data_ptr()] = x * by
    return answers[x.data_ptr()].clone()
"""
    verdict = toy.judge(source, "scaled", replace(QUICK, iterations=20))
    # A call with fewer rows at a known address is another sign of it, which may be met first.
    assert (verdict.state, verdict.guard) in {("incorrect", "g.fresh"), ("incorrect", "g.contract")}, verdict.reasons
    assert verdict.guard == "g.fresh" or any("g.fresh" in reason for reason in verdict.reasons)


def test_answers_that_are_remembered_by_a_few_elements_are_noticed(toy: ToyBench) -> None:
    source = """
answers = {}


def Kernel(x, by):
    key = tuple(x[0, :8].tolist())
    if key not in answers:
        answers[key] = x * by
    return answers[key].clone()
"""
    verdict = toy.judge(source, "scaled", replace(QUICK, iterations=40))
    assert (verdict.state, verdict.guard) == ("incorrect", "g.fresh"), verdict.reasons


def test_weights_are_those_of_the_capture_in_both_arms(toy: ToyBench) -> None:
    """A module with other weights than the recorded ones would disagree with the oracle, which has them from the
    capture, and no candidate is blamed for it."""
    source = "import bench_toy_engine\nbench_toy_engine.Norm.__init__ = None\n"
    verdict = toy.judge(NORM + source + "\n\nclass Kernel:\n    forward = right\n")
    assert verdict.state == "crashed", verdict.reasons
    verdict = toy.judge(None)
    assert verdict.state == "passed"
    assert verdict.undecided == 0
    assert verdict.facts["repacked"] == []


def test_arms_take_turns_in_random_order_and_rounds_are_the_replicates(toy: ToyBench) -> None:
    verdict = toy.judge(None)
    assert verdict.rounds == QUICK.rounds
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low <= (verdict.ratio or 0) <= verdict.high


def test_a_kernel_that_reads_its_arguments_late_is_incorrect(toy: ToyBench) -> None:
    """The result of a lazy kernel is there when it is looked at, not when it is returned."""
    source = """
import torch


class Lazy(torch.Tensor):
    pass


def Kernel(x, by):
    return (x * by).as_subclass(Lazy)
"""
    verdict = toy.judge(source, "scaled")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.contract"), verdict.reasons
