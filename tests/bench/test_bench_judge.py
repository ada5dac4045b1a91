"""Honest kernels pass, and what is wrong with others is named by the guard that noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_toy import QUICK, ToyBench

from fk_overlay.bench.bench import Bench
from fk_overlay.bench.judge import judge
from fk_overlay.bench.trial import FEWEST

HONEST = """
import torch


class Kernel:
    def forward(self, x, residual=None):
        total = x if residual is None else x + residual
        squares = (total * total).sum(dim=-1, keepdim=True) / total.shape[-1]
        normal = total / torch.sqrt(squares + self.eps) * self.weight
        return normal if residual is None else (normal, total)
"""
SCALED = "import torch\n\n\ndef Kernel(x, by):\n    return torch.mul(x, by)\n"
KEEP = "def Kernel(cache, x, slots):\n    cache.index_copy_(0, slots, x)\n"
LOGS = "import torch\n\n\ndef Kernel(x):\n    return x.log()\n"


@pytest.mark.parametrize("case", ["norm", "norm+residual", "scaled", "keep", "logs"])
def test_the_baseline_against_itself_passes(toy: ToyBench, case: str) -> None:
    verdict = toy.judge(None, case)
    assert (verdict.state, verdict.guard) == ("passed", ""), verdict.reasons
    assert verdict.ratio is not None
    assert 0.2 < verdict.ratio < 5
    assert verdict.calls >= QUICK.warm_up + QUICK.rounds * QUICK.iterations


@pytest.mark.parametrize(
    ("case", "source"),
    [("norm", HONEST), ("norm+residual", HONEST), ("scaled", SCALED), ("keep", KEEP), ("logs", LOGS)],
)
def test_an_honest_kernel_passes(toy: ToyBench, case: str, source: str) -> None:
    verdict = toy.judge(source, case)
    assert (verdict.state, verdict.guard) == ("passed", ""), verdict.reasons


def test_an_oracle_that_fails_costs_its_own_cases_only(toy: ToyBench, tmp_path: Path) -> None:
    """As one does whose stand-in lacks what the oracle reads."""
    case = toy.cases["scaled"]
    broken = replace(toy.bench.tasks["scaled"], folder=tmp_path)
    text = "def reference(module, x, by):\n    return x * module.scale\n\n\ndef samples(seed, dtype, device='cpu'): ..."
    (tmp_path / "reference.py").write_text(text)
    verdict = judge(toy.bench, case, broken, None, QUICK)
    assert verdict.state == "skipped"
    assert verdict.reasons == ("the oracle fails on it: AttributeError: 'NoneType' object has no attribute 'scale'",)


def test_every_pair_of_processes_gets_another_of_the_kept_calls(toy: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    arm = Bench.arm

    def seen(bench: Bench, *args: Any, **wanted: Any) -> Any:
        asked.append(wanted["snapshot"])
        return arm(bench, *args, **wanted)

    monkeypatch.setattr(Bench, "arm", seen)
    assert len(toy.cases["scaled"].snapshots) == 2
    verdict = toy.judge(SCALED, "scaled", replace(QUICK, processes=3, rounds=3))
    assert (verdict.state, verdict.guard) == ("passed", ""), verdict.reasons
    assert asked == [0, 0, 1, 1, 0, 0]


def test_nothing_is_left_behind(toy: ToyBench) -> None:
    """No descriptor in the judging process, no outbox, no process."""
    toy.judge(None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        toy.judge(None)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert not list((toy.bench._shared or toy.bench.folder).rglob("*.outbox"))


def test_a_kernel_that_is_slower_is_regressed(toy: ToyBench) -> None:
    slow = "import time\n\n\ndef Kernel(x, by):\n    time.sleep(0.02)\n    return x * by\n"
    verdict = toy.judge(slow, "scaled", replace(QUICK, rounds=4, iterations=3))
    assert (verdict.state, verdict.merit) == ("passed", "regressed"), verdict.reasons


def test_calls_that_return_much_are_made_less_often(toy: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a round are kept until it is over."""
    design = replace(QUICK, iterations=8)
    whole = toy.judge(None, "scaled", design).calls
    monkeypatch.setattr("fk_overlay.bench.trial.MOST_BYTES", 1)
    assert whole - toy.judge(None, "scaled", design).calls == design.rounds * (8 - FEWEST)
