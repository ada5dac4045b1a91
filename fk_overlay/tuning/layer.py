"""One layer with random weights on the card, and how long the engine's kernels take for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Protocol

from fk_overlay.engines.experts import ExpertsKernel
from fk_overlay.tuning.bench import Timing
from fk_overlay.tuning.config import Config
from fk_overlay.tuning.routing import Ids, Routing
from fk_overlay.tuning.shapes import Experts

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 4
"""Draws of the routing that the calls of one measurement go through."""
WRONG = 0.02
"""Largest distance to the baseline's result, as a share of its norm: several times what bfloat16 rounding gives."""

FATAL = ("CUDA error", "illegal memory access", "misaligned address", "unspecified launch failure")
"""Parts of what is said when a kernel has ended its process's use of the card: nothing can be run there any more."""


class Clock(Protocol):
    """Times calls. ``before(i)`` is run ahead of call i, off the clock."""

    def times(self, call: Callable[[], object], before: Callable[[int], None], calls: int) -> list[float]:
        """Seconds of each of ``calls`` calls."""


@dataclass(slots=True)
class Layer:
    """Weights and kernels of one shape; :meth:`at` gives the bench for a number of tokens. ``dtype`` names one of
    torch's."""

    shape: Experts
    routing: Routing
    kernel: ExpertsKernel
    clock: Clock
    device: str = "cuda"
    dtype: str = "bfloat16"
    _weights: tuple[Tensor, Tensor] | None = None

    def weights(self) -> tuple[Tensor, Tensor]:
        """[experts, 2 N, hidden] and [experts, hidden, N], drawn once."""
        if self._weights is None:
            shape = self.shape
            w1 = self.normal(shape.experts, 2 * shape.inter, shape.hidden)
            w2 = self.normal(shape.experts, shape.hidden, shape.inter)
            self._weights = w1 / shape.hidden**0.5, w2 / shape.inter**0.5
        return self._weights

    def at(self, tokens: int) -> LayerBench:
        import torch

        shape = self.shape
        draws = tuple(self.routing.draw(tokens, shape.experts, shape.top_k, number) for number in range(DRAWS))
        share = torch.rand(tokens, shape.top_k, device=self.device)
        ids = torch.tensor(draws[0], device=self.device)  # a buffer of its own, whatever the device
        tokens_in = self.normal(tokens, shape.hidden)
        return LayerBench(self, draws, tokens_in, tokens_in.clone(), share / share.sum(1, keepdim=True), ids)

    def normal(self, *size: int) -> Tensor:
        import torch

        return torch.randn(size, device=self.device, dtype=getattr(torch, self.dtype))


def distance(result: Tensor, wanted: Tensor) -> float:
    """Between two results of one size, ``wanted`` in float32, as a share of its norm; :data:`WRONG` is too much."""
    return float((result.float() - wanted).norm() / wanted.norm())


@dataclass(slots=True)
class LayerBench:
    """See :class:`fk_overlay.tuning.bench.Bench`. ``ids`` and ``work`` are the buffers that the kernels read: draws and
    ``hidden`` are copied into them ahead of every call, since an engine may write its result over the tokens."""

    layer: Layer
    draws: tuple[Ids, ...]
    hidden: Tensor
    work: Tensor
    shares: Tensor
    ids: Tensor
    _expected: Tensor | None = None
    _checked: set[Config] = field(default_factory=set)

    @property
    def baseline(self) -> Config:
        return Config.parse(self._engine_baseline())

    def time(self, config: Config, calls: int) -> Timing:
        from triton import TritonError

        try:
            if config not in self._checked and (wrong := self._wrong(config)):
                return Timing(None, wrong)
            self._checked.add(config)
            seconds = self.layer.clock.times(lambda: self._run(config.engine()), self._route, calls)
        except (TritonError, RuntimeError) as error:
            fatal = any(sign in str(error) for sign in FATAL)
            if not (fatal or unfit(error)):
                raise
            return Timing(None, f"{type(error).__name__}: {error}".splitlines()[0], fatal)
        return Timing(median(seconds))

    def compile(self, config: Config) -> None:
        """Call the kernels once, so that they are compiled. Raises whatever the compiler or the card says."""
        self._run(config.engine())

    def _wrong(self, config: Config) -> str:
        """Why the configuration's result is not the baseline's; empty if it is."""
        self._route(0)
        if self._expected is None:
            self._expected = self._run(self._engine_baseline()).float().clone()
            self._route(0)
        share = distance(self._run(config.engine()), self._expected)
        return "" if share <= WRONG else f"its result is {share:.2g} of the norm away from the baseline's"

    def _engine_baseline(self) -> Mapping[str, int]:
        w1, w2 = self.layer.weights()
        return self.layer.kernel.baseline(w1, w2, self.layer.shape.top_k, self.hidden.shape[0])

    def _run(self, config: Mapping[str, int]) -> Tensor:
        w1, w2 = self.layer.weights()
        return self.layer.kernel.run(self.work, w1, w2, self.shares, self.ids, config)

    def _route(self, number: int) -> None:
        import torch

        self.ids.copy_(torch.from_numpy(self.draws[number % len(self.draws)]))
        self.work.copy_(self.hidden)


def unfit(error: Exception) -> bool:
    """Whether a call failed because of its configuration: it does not compile (Triton's compiler passes report that as
    a bare RuntimeError) or asks for more than the card has. Anything else is a fault that must not be passed over."""
    import torch
    from triton import TritonError

    return isinstance(error, TritonError | torch.OutOfMemoryError) or "PassManager" in str(error)
