"""The mixtures of experts that can be tuned: what one layer looks like to one rank."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fk_overlay.errors import UsageError

BYTES = 2
"""Bytes of a weight and of an activation: bfloat16."""


@dataclass(frozen=True, slots=True)
class Experts:
    """One layer of gated experts on one rank.

    Attributes:
        experts: E, routed experts; shared ones are a layer of their own to the engines.
        hidden: width of the model.
        inter: N, width inside one expert on this rank, as the configuration files name it.
        top_k: experts of a token.
        source: where the numbers are from.
    """

    name: str
    experts: int
    hidden: int
    inter: int
    top_k: int
    source: str

    @property
    def expert_bytes(self) -> int:
        """Weights of one expert: gate and up [2 N, hidden], down [hidden, N]."""
        return 3 * self.inter * self.hidden * BYTES

    def sharded(self, ranks: int) -> Experts:
        """The part of one of ``ranks`` ranks under tensor parallelism. Raises :class:`UsageError` if it does not
        divide."""
        if self.inter % ranks:
            raise UsageError(f"{self.name} has experts of width {self.inter}, which {ranks} ranks cannot share")
        return replace(self, inter=self.inter // ranks)


SHAPES = {
    shape.name: shape
    for shape in (
        Experts("qwen3-30b-a3b", 128, 2048, 768, 8, "config.json of Qwen/Qwen3-30B-A3B"),
        Experts("mixtral-8x7b", 8, 4096, 14336, 2, "config.json of mistralai/Mixtral-8x7B-v0.1"),
        Experts("gpt-oss-20b-like", 32, 2880, 2880, 4, "config.json of openai/gpt-oss-20b, in bfloat16 and with SiLU"),
        Experts("deepseek-v2-lite", 64, 2048, 1408, 6, "config.json of deepseek-ai/DeepSeek-V2-Lite, routed experts"),
    )
}


def get(name: str, ranks: int = 1) -> Experts:
    """One rank's part of the shape called ``name``. Raises :class:`UsageError` naming the known ones."""
    if name not in SHAPES:
        raise UsageError(f"no shape called {name!r}; known shapes: {', '.join(SHAPES)}")
    return SHAPES[name].sharded(ranks)
