"""Compiled calls: torch.compile must take the whole target, and the kernel must be in what it made."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from bench_toy import QUICK, ToyBench

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler on a CPU"),
]
COMPILED = replace(QUICK, mode="compile", start_s=120.0)


def test_a_kernel_that_can_be_traced_passes(toy: ToyBench) -> None:
    verdict = toy.judge("import torch\n\n\ndef Kernel(x, by):\n    return torch.mul(x, by)\n", "scaled", COMPILED)
    assert (verdict.state, verdict.guard, verdict.mode) == ("passed", "", "compile"), verdict.reasons


def test_a_kernel_that_breaks_the_graph_does_not(toy: ToyBench) -> None:
    source = "import torch\n\n\ndef Kernel(x, by):\n    torch._dynamo.graph_break()\n    return x * by\n"
    verdict = toy.judge(source, "scaled", COMPILED)
    assert verdict.state == "crashed", verdict.reasons
    assert "candidate" in verdict.reasons[0]
