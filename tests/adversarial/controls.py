"""Honest kernels that look like cheats to a guard which is too strict. Each must pass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    title: str
    kernel: str
    case: str = "float32"
    gpu: bool = False


CONTROLS = {
    "packed": Control(
        "Packs weights anew at load, beside the originals",
        """
class Norm:
    def prepare(self):
        self.packed = self.weight.detach().repeat(2, 1)

    def forward(self, x):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return (x.float() * scale).to(x.dtype) * self.packed[0]
""",
    ),
    "workspace": Control(
        "Keeps a workspace from call to call",
        """
spaces = {}


class Norm:
    def forward(self, x):
        space = spaces.setdefault((x.shape, x.dtype), torch.empty(x.shape))
        torch.mul(x.float(), x.float(), out=space)
        return (x.float() * torch.rsqrt(space.mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * self.weight
""",
    ),
    "in-place": Control(
        "Writes into the argument that the task names",
        """
def add_into(x, residual):
    return torch.add(residual, x, out=residual)
""",
        "add",
    ),
    "custom-op": Control(
        "Is a custom operator with a fake implementation",
        """
@torch.library.custom_op("cheat_control::norm", mutates_args=())
def op(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * weight


@op.register_fake
def _(x, weight):
    return torch.empty_like(x)


class Norm:
    def forward(self, x):
        return op(x, self.weight)
""",
    ),
    "partial": Control(
        "Declares which calls it takes and leaves the others to the engine",
        """
class Norm:
    @staticmethod
    def supports(module, x):
        return x.dtype == torch.float32

    def forward(self, x):
        return right(self, x)
""",
    ),
    "split-sum": Control(
        "Adds up in parts, in another order",
        """
def mix(scores, values):
    weights = torch.softmax(scores, dim=-1)
    parts = [weights[:, first : first + 3] @ values[first : first + 3] for first in range(0, scores.shape[1], 3)]
    return torch.stack(parts).sum(0)
""",
        "mix",
    ),
    "autotuned": Control(
        "Chooses between variants by time in its first calls",
        """
import time

variants = [lambda layer, x: right(layer, x), lambda layer, x: right(layer, x.contiguous())]
times = []


class Norm:
    def forward(self, x):
        if len(times) < len(variants):
            began = time.perf_counter()
            out = variants[len(times)](self, x)
            times.append(time.perf_counter() - began)
            return out
        return variants[times.index(min(times))](self, x)
""",
    ),
    "joined-streams": Control(
        "Uses a second stream and joins it",
        """
side = torch.cuda.Stream()


class Norm:
    def forward(self, x):
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        torch.cuda.current_stream().wait_stream(side)
        return (x.float() * scale).to(x.dtype) * self.weight
""",
        "cuda",
        gpu=True,
    ),
}
