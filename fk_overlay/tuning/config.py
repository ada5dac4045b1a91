"""One configuration of the engines' fused-MoE Triton kernel, and which of them are worth a try."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fk_overlay.errors import UsageError
from fk_overlay.tuning.shapes import BYTES, Experts


@dataclass(frozen=True, slots=True)
class Config:
    """Tile sizes, the number of row tiles that share a column tile in L2, warps and pipeline stages."""

    block_m: int
    block_n: int
    block_k: int
    group_m: int
    warps: int
    stages: int

    @classmethod
    def parse(cls, engine: Mapping[str, int]) -> Config:
        """From an engine's own dictionary; Triton's defaults (4 warps, 3 stages) where it says nothing.

        Raises:
            UsageError: a tile size is missing.
        """
        try:
            tiles = engine["BLOCK_SIZE_M"], engine["BLOCK_SIZE_N"], engine["BLOCK_SIZE_K"], engine["GROUP_SIZE_M"]
        except KeyError as error:
            raise UsageError(f"a fused-MoE configuration has {error}, {dict(engine)} has not") from error
        return cls(*tiles, engine.get("num_warps", 4), engine.get("num_stages", 3))

    def engine(self) -> dict[str, int]:
        """As vLLM and SGLang write it."""
        return {
            "BLOCK_SIZE_M": self.block_m,
            "BLOCK_SIZE_N": self.block_n,
            "BLOCK_SIZE_K": self.block_k,
            "GROUP_SIZE_M": self.group_m,
            "num_warps": self.warps,
            "num_stages": self.stages,
        }

    @property
    def shared_bytes(self) -> int:
        """Shared memory of the pipeline: one tile of tokens and one of weights for each stage but the one in use."""
        return max(1, self.stages - 1) * (self.block_m + self.block_n) * self.block_k * BYTES

    @property
    def accumulators(self) -> float:
        """32-bit registers that a thread needs for its share of the result."""
        return self.block_m * self.block_n / (32 * self.warps)


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched. Split-K is not: vLLM sets it to 1 for this kernel whatever the file says, and SGLang's has
    none.

    Attributes:
        shared_bytes: of one block on Hopper, 227 KiB (CUDA C++ Programming Guide, compute capability 9.0).
        accumulators: more registers a thread than this leaves too few of its 255 for addresses and operands.
    """

    block_m: tuple[int, ...] = (16, 32, 64, 128)
    block_n: tuple[int, ...] = (32, 64, 128, 256)
    block_k: tuple[int, ...] = (32, 64, 128, 256)
    group_m: tuple[int, ...] = (1, 8, 16, 32)
    warps: tuple[int, ...] = (4, 8)
    stages: tuple[int, ...] = (2, 3, 4, 5)
    shared_bytes: int = 227 << 10
    accumulators: int = 128

    def all(self, shape: Experts, tokens: int) -> Iterator[Config]:
        """Every configuration that fits the card and can matter for so many tokens."""
        for config in self._everything():
            if self.fits(config) and _matters(config, shape, tokens):
                yield config

    def fits(self, config: Config) -> bool:
        return config.shared_bytes <= self.shared_bytes and config.accumulators <= self.accumulators

    def sample(self, shape: Experts, tokens: int, count: int, seed: int) -> list[Config]:
        """``count`` of them, spread over the space by chance; all if there are fewer.

        All batch sizes draw from one order, so that they meet the same configurations: compiling one takes longer than
        measuring it.
        """
        found = list(self.all(shape, tokens))
        order = random.Random(f"{seed} {shape.name} {shape.inter}")
        rank = {config: order.random() for config in self._everything()}
        return sorted(found, key=rank.__getitem__)[:count]

    def _everything(self) -> Iterator[Config]:
        sizes = (self.block_m, self.block_n, self.block_k, self.group_m, self.warps, self.stages)
        return itertools.starmap(Config, itertools.product(*sizes))


def _matters(config: Config, shape: Experts, tokens: int) -> bool:
    """A tile of rows that the busiest expert could not fill even with every token is waste, as is grouping row tiles
    when there are few of them for each expert; a tile must not reach over the whole of a dimension."""
    rows_for_each = tokens * shape.top_k / shape.experts
    filled = config.block_m <= max(16, tokens) and config.block_m <= max(16, 16 * rows_for_each)
    grouped = config.group_m == 1 or rows_for_each > config.block_m
    return filled and grouped and config.block_k <= shape.inter and config.block_n <= 2 * shape.inter
