"""Each guard notices what it is for. ``tests/adversarial`` has the long list; here is one case for every guard."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench_toy import QUICK, ToyBench

NORM = """
import torch


def right(self, x, residual=None):
    total = x if residual is None else x + residual
    normal = total * torch.rsqrt(total.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight
    return normal if residual is None else (normal, total)
"""

REJECTED = {
    "replays the last result": (
        "norm",
        "incorrect",
        "g.fresh",
        """
class Kernel:
    def forward(self, x, residual=None):
        last = self.__dict__.get("_last")
        if last is not None and last.shape == x.shape:
            return last.clone()
        self.__dict__["_last"] = right(self, x)
        return self.__dict__["_last"].clone()
""",
    ),
    "returns what the call before should have": (
        "norm",
        "incorrect",
        "g.fresh",
        """
class Kernel:
    def forward(self, x, residual=None):
        before, self.__dict__["_due"] = self.__dict__.get("_due"), right(self, x)
        return self.__dict__["_due"].clone() if before is None or before.shape != x.shape else before
""",
    ),
    "returns zeros": (
        "norm",
        "incorrect",
        "g.recheck",
        """
class Kernel:
    def forward(self, x, residual=None):
        return torch.zeros_like(x)
""",
    ),
    "is off by a factor": (
        "norm",
        "incorrect",
        "g.recheck",
        """
class Kernel:
    def forward(self, x, residual=None):
        return right(self, x) * 1.01
""",
    ),
    "changes its argument": (
        "norm",
        "incorrect",
        "g.immutable",
        """
class Kernel:
    def forward(self, x, residual=None):
        out = right(self, x)
        x.zero_()
        return out
""",
    ),
    "changes a weight": (
        "norm",
        "incorrect",
        "g.immutable",
        """
class Kernel:
    def forward(self, x, residual=None):
        out = right(self, x)
        self.weight.data[0] += 1e-7
        return out
""",
    ),
    "returns its argument": (
        "norm",
        "incorrect",
        "g.contract",
        """
class Kernel:
    def forward(self, x, residual=None):
        return x
""",
    ),
    "works for the captured size only": (
        "norm",
        "incorrect",
        "g.variation",
        """
class Kernel:
    def forward(self, x, residual=None):
        return right(self, x) if len(x) == 9 else torch.zeros_like(x)
""",
    ),
    "computes in half of the precision": (
        "scaled",
        "incorrect",
        "g.envelope",
        """
def Kernel(x, by):
    return (x.double() * by * (1 + 3e-6)).to(x.dtype)
""",
    ),
    "calls what it replaces": (
        "norm",
        "not_engaged",
        "g.engage",
        """
import bench_toy_engine


class Kernel:
    def forward(self, x, residual=None):
        return bench_toy_engine.Norm.forward_native.__wrapped__(self, x, residual)
""",
    ),
    "replaces a function that compares": (
        "norm",
        "invalid",
        "g.integrity",
        """
torch.allclose = lambda *args, **kwargs: True


class Kernel:
    forward = right
""",
    ),
    "changes a flag": (
        "norm",
        "invalid",
        "g.integrity",
        """
class Kernel:
    def forward(self, x, residual=None):
        torch.set_float32_matmul_precision("medium")
        return right(self, x)
""",
    ),
    "starts a thread": (
        "norm",
        "invalid",
        "g.integrity",
        """
import threading


class Kernel:
    def forward(self, x, residual=None):
        thread = threading.Thread(target=len, args=((),))
        thread.start()
        thread.join()
        return right(self, x)
""",
    ),
    "forks": (
        "norm",
        "invalid",
        "g.integrity",
        """
import os, time

if os.fork() == 0:
    time.sleep(5)
    os._exit(0)


class Kernel:
    forward = right
""",
    ),
    "opens a socket": (
        "norm",
        "invalid",
        "g.integrity",
        """
import socket

held = socket.socket()


class Kernel:
    forward = right
""",
    ),
    "stops the arm's clock": (
        "norm",
        "invalid",
        "g.integrity",
        """
import gc
from fk_overlay.bench.calling import OnHost


class Kernel:
    def forward(self, x, residual=None):
        for held in gc.get_objects():
            if isinstance(held, OnHost):
                held._now = iter(range(1, 10**9, 100)).__next__
        return right(self, x)
""",
    ),
    "answers by itself": (
        "norm",
        "invalid",
        "g.outproc",
        """
import os

for fd in range(3, 40):
    try:
        if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
            os.write(fd, b'{"nonce": "0", "seconds": 1e-9, "late_s": 0, "results": []}' + bytes([10]))
    except OSError:
        pass


class Kernel:
    forward = right
""",
    ),
    "crashes": (
        "norm",
        "crashed",
        "",
        """
class Kernel:
    def forward(self, x, residual=None):
        raise RuntimeError("no such kernel")
""",
    ),
    "ends the process": (
        "norm",
        "crashed",
        "",
        """
import os


class Kernel:
    def forward(self, x, residual=None):
        os.kill(os.getpid(), 11)
""",
    ),
    "takes all memory": (
        "norm",
        "out_of_memory",
        "",
        """
class Kernel:
    def forward(self, x, residual=None):
        return torch.empty(1 << 42)
""",
    ),
    "refuses every call": (
        "norm",
        "unsupported",
        "",
        """
class Kernel:
    forward = right

    @staticmethod
    def supports(module, x, residual=None):
        return False
""",
    ),
}


@pytest.mark.parametrize("what", REJECTED)
def test_a_kernel_that(toy: ToyBench, what: str) -> None:
    case, state, guard, source = REJECTED[what]
    verdict = toy.judge(NORM + source, case)
    assert (verdict.state, verdict.guard) == (state, guard), verdict.reasons
    assert verdict.reasons
    assert verdict.merit is None


def test_results_keep_their_names(toy: ToyBench) -> None:
    """A caller may ask a named tuple for its fields."""
    plain = "def Kernel(x):\n    return x.clamp(max=0), x.clamp(min=0)\n"
    verdict = toy.judge(plain, "parts")
    assert (verdict.state, verdict.guard) == ("incorrect", "g.contract"), verdict.reasons
    assert "2 in a sequence instead of 2 in a sequence named low, high" in verdict.reasons[0]
    named = "import bench_toy_engine\n\n\ndef Kernel(x):\n    return bench_toy_engine.Parts(x.clamp(max=0), x.relu())\n"
    assert toy.judge(named, "parts").state == "passed"
    assert toy.judge(None, "parts").state == "passed"


def test_a_kernel_that_writes_nothing(toy: ToyBench) -> None:
    """The allocator may hand out other memory than what was filled: then it is just wrong."""
    source = """
class Kernel:
    def forward(self, x, residual=None):
        return torch.empty_like(x)
"""
    verdict = toy.judge(NORM + source)
    assert verdict.state == "incorrect"
    assert verdict.guard in ("g.poison", "g.recheck", "g.variation"), verdict.reasons


def test_a_kernel_may_refuse_other_sizes(toy: ToyBench) -> None:
    source = """
class Kernel:
    forward = right

    @staticmethod
    def supports(module, x, residual=None):
        return len(x) == 9
"""
    assert toy.judge(NORM + source).state == "passed"


def test_a_kernel_that_refuses_some_calls_of_a_case_is_not_engaged(toy: ToyBench) -> None:
    source = """
class Kernel:
    forward = right

    @staticmethod
    def supports(module, x, residual=None):
        return bool(x[0, 0] > 0)
"""
    verdict = toy.judge(NORM + source, design=replace(QUICK, iterations=15))
    assert (verdict.state, verdict.guard) == ("not_engaged", "g.engage"), verdict.reasons
    assert "refused" in verdict.reasons[0]


def test_a_time_that_only_the_arm_has_seen_is_not_believed(toy: ToyBench) -> None:
    """The clock is put back before anybody looks, and every answer is well formed."""
    source = """
import gc, time
from fk_overlay.bench.calling import OnHost
from fk_overlay.bench import worker

finish = worker.Arm.finish


class Kernel:
    def forward(self, x, residual=None):
        time.sleep(0.002)
        if not hasattr(worker, "clock"):
            worker.clock = next(held for held in gc.get_objects() if isinstance(held, OnHost))
            worker.real = worker.clock._now
            worker.ticks = iter(range(1, 10**9, 100)).__next__
        worker.clock._now = worker.ticks
        return right(self, x)


def restored(arm, message):
    worker.clock._now = worker.real
    worker.Arm.finish = finish
    return finish(arm, message)


worker.Arm.finish = restored
"""
    verdict = toy.judge(NORM + source, design=replace(QUICK, rounds=3))
    assert (verdict.state, verdict.guard) == ("invalid", "g.integrity"), verdict.reasons
    assert any(reason.startswith("g.outproc: ") and "parent's clock" in reason for reason in verdict.reasons)


def test_a_kernel_that_hangs_is_ended(toy: ToyBench) -> None:
    source = """
import time

calls = []


class Kernel:
    def forward(self, x, residual=None):
        calls.append(1)
        if len(calls) > 1:
            time.sleep(100)
        return right(self, x)
"""
    verdict = toy.judge(NORM + source, design=replace(QUICK, call_s=2.0))
    assert (verdict.state, verdict.guard) == ("hung", ""), verdict.reasons


def test_what_a_kernel_prints_is_no_result(toy: ToyBench) -> None:
    source = """
class Kernel:
    def forward(self, x, residual=None):
        print('{"seconds": 1e-9, "results": []}', flush=True)
        return right(self, x)
"""
    assert toy.judge(NORM + source).state == "passed"
