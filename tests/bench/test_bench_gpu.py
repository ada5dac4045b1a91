"""What only a GPU shows: events, cold caches, graphs, and work on other streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from bench_toy import QUICK, ToyBench, opened

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]
ON_GPU = replace(QUICK, start_s=120.0, call_s=20.0)


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyBench]:
    with opened(tmp_path_factory.mktemp("bench-gpu"), "cuda") as found:
        yield found


@pytest.mark.parametrize("case", ["norm", "norm+residual", "scaled", "keep", "logs"])
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_the_baseline_against_itself_passes(gpu: ToyBench, case: str, mode: str) -> None:
    verdict = gpu.judge(None, case, replace(ON_GPU, mode=mode))  # type: ignore[arg-type]
    assert (verdict.state, verdict.guard, verdict.clock) == ("passed", "", "cuda_events"), verdict.reasons
    hot = verdict.facts["hot_s"]
    assert 0 < hot["baseline"] < 1.5 * (verdict.baseline_s or 0)
    assert 0 < hot["candidate"] < 1.5 * (verdict.candidate_s or 0)


def test_work_on_a_stream_that_nobody_waits_for_is_noticed(gpu: ToyBench) -> None:
    source = """
import torch

side = None


def Kernel(x, by):
    global side
    if side is None:
        side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        torch.cuda._sleep(10_000_000)
        return x * by
"""
    verdict = gpu.judge(source, "scaled", ON_GPU)
    assert (verdict.state, verdict.guard) == ("invalid", "g.device_sync"), verdict.reasons


def test_a_stream_that_does_not_wait_for_the_inputs_has_none(gpu: ToyBench) -> None:
    """While the device is kept busy ahead of a call, another stream could do the work off the clock."""
    source = """
import torch

side = None


def Kernel(x, by):
    global side
    if side is None:
        side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        out = x * by
    torch.cuda.current_stream().wait_stream(side)
    return out
"""
    verdict = gpu.judge(source, "scaled", ON_GPU)
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


def test_streams_that_are_joined_are_fine(gpu: ToyBench) -> None:
    source = """
import torch

side = None


def Kernel(x, by):
    global side
    if side is None:
        side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        out = x * by
    torch.cuda.current_stream().wait_stream(side)
    return out
"""
    assert gpu.judge(source, "scaled", ON_GPU).state == "passed"


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_result_that_nobody_wrote_is_noticed(gpu: ToyBench, mode: str) -> None:
    source = "import torch\n\n\ndef Kernel(x, by):\n    return torch.empty_like(x)\n"
    verdict = gpu.judge(source, "scaled", replace(ON_GPU, mode=mode))  # type: ignore[arg-type]
    assert (verdict.state, verdict.guard) == ("incorrect", "g.poison"), verdict.reasons


def test_a_kernel_that_looks_at_the_capture_is_noticed(gpu: ToyBench) -> None:
    """What a graph replays is what ran while it was captured, and that is what is judged."""
    source = """
import torch


def Kernel(x, by):
    return torch.zeros_like(x) if torch.cuda.is_current_stream_capturing() else x * by
"""
    assert gpu.judge(source, "scaled", ON_GPU).state == "passed"
    assert gpu.judge(source, "scaled", replace(ON_GPU, mode="graph")).state == "incorrect"


def test_an_illegal_access_ends_its_own_process_only(gpu: ToyBench) -> None:
    source = """
import torch


def Kernel(x, by):
    torch.ops.aten._assert_async.msg(torch.zeros((), device=x.device), "poisons the context")
    torch.cuda.synchronize()
    return x * by
"""
    assert gpu.judge(source, "scaled", ON_GPU).state == "crashed"
    assert gpu.judge(None, "scaled", ON_GPU).state == "passed"
