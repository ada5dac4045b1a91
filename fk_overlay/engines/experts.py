"""What tuning asks of an engine: one layer of experts, called as the engine calls it, under a given configuration."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


class ExpertsKernel(Protocol):
    """The engine's own grouped matrix products, activation and sum, without quantisation.

    Weights are laid out as after loading: gate and up ``w1`` [experts, 2 N, hidden], down ``w2`` [experts, hidden, N].
    """

    keeps_triton_version: bool
    """Whether the engine's files may say which Triton they are for."""

    def file_name(self, experts: int, inter: int) -> str:
        """Name of the file in which the engine looks for configurations on this card."""

    def baseline(self, w1: Tensor, w2: Tensor, top_k: int, tokens: int) -> Mapping[str, int]:
        """What the engine would use here without a pack."""

    def run(
        self, hidden: Tensor, w1: Tensor, w2: Tensor, weights: Tensor, ids: Tensor, config: Mapping[str, int]
    ) -> Tensor:
        """hidden: [tokens, hidden]; weights (float32) and ids (int32): [tokens, top_k] -> [tokens, hidden], which may
        be ``hidden`` itself, where the engine serves in place."""


def get_experts(engine: str) -> ExpertsKernel:
    """``EXPERTS`` of the adapter's module ``experts``. Raises :class:`EngineError` where the engine reads no such
    files."""
    module = f"fk_overlay.engines.{engine}.experts"
    if importlib.util.find_spec(module) is None:
        raise EngineError(f"{engine} reads no configurations of fused experts; tune vllm or sglang")
    found: ExpertsKernel = importlib.import_module(module).EXPERTS
    return found


@contextmanager
def overriding(package: ModuleType, config: Mapping[str, int]) -> Iterator[None]:
    """Let the engine's lookup answer with ``config``. Both engines keep an override in the package's ``_config``, and
    their own context managers leave it there when a launch fails: their lookup would go on answering with it."""
    if not hasattr(package, "_config"):
        raise EngineError(f"{package.__name__} keeps no configuration to override; this release cannot be tuned")
    held = package._config
    package._config = dict(config)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        package._config = held  # type: ignore[attr-defined]
