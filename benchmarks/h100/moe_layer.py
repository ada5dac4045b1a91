"""One layer of mixed experts on this card: the products of patches/h100-moe, and the engine's own launches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

from fk_overlay.overlay.loader import module_of
from fk_overlay.tuning.layer import distance

CALLS = 30
"""Of one measurement."""


class Cut(NamedTuple):
    """A way to do one product.

    Attributes:
        tile: BLOCK_M, BLOCK_N, BLOCK_K, GROUP_M, warps, stages.
        described, joined, packed, resident: see ``grouped.py`` of the pack.
    """

    tile: tuple[int, int, int, int, int, int]
    described: bool = False
    joined: bool = False
    packed: bool = False
    resident: bool = False


@dataclass
class Bench:
    """One layer's kernels at one number of tokens, under one law of routing."""

    tokens: int
    law: str
    shape: str
    pack: Path
    weights: Any = None

    def __post_init__(self) -> None:
        import torch

        from fk_overlay.engines.vllm.experts import EXPERTS
        from fk_overlay.tuning import shapes
        from fk_overlay.tuning.graph_clock import GraphClock
        from fk_overlay.tuning.layer import Layer
        from fk_overlay.tuning.routing import Routing

        files = ("grouped", "moe_align", "fused_experts", "tiles")
        self.modules = {name: module_of(self.pack.resolve(), "h100_moe", name) for name in files}
        self.clock = GraphClock.here()
        self.experts = shapes.get(self.shape)
        layer = Layer(self.experts, Routing(self.law), EXPERTS, self.clock, _weights=self.weights)
        self.w1, self.w2 = self.weights = layer.weights()
        self.layer = layer.at(self.tokens)
        self.layer._route(0)
        rows = self.tokens * self.experts.top_k

        def new(*size: int) -> Any:
            return torch.randn(size, device="cuda", dtype=torch.bfloat16)

        self.inner, self.activated = new(rows, self.experts.inter), new(rows, self.experts.inter)
        self.between = new(rows + self.experts.experts * 128, self.experts.inter)
        self.wide, self.products = new(rows, 2 * self.experts.inter), new(rows, self.experts.hidden)
        self.out = new(self.tokens, self.experts.hidden)

    def product(self, gated: bool, cut: Cut) -> Callable[[], Any]:
        tile, how = cut.tile, (cut.described, cut.joined, cut.packed)
        call, sorting = self.modules["grouped"].grouped, self.sort(tile[0])
        if gated:
            x, top_k = self.layer.work, self.experts.top_k
            return lambda: call(
                x, self.w1, self.activated, *sorting, None, top_k, list(tile), True, *how, False, cut.resident
            )
        x = self.packed(sorting[0]) if cut.packed else self.inner
        shares = self.layer.shares
        return lambda: call(
            x, self.w2, self.products, *sorting, shares, 1, list(tile), False, *how, False, cut.resident
        )

    def sort(self, block_m: int) -> Any:
        return self.modules["moe_align"].MoeAlign.forward(self.layer.ids, block_m, self.experts.experts)

    def packed(self, sorted_pairs: Any) -> Any:
        """``inner`` in the order of the sort; there is one place for it, whatever BLOCK_M the sort is for."""
        return self.between[: len(sorted_pairs)].copy_(self.inner[sorted_pairs.long().clamp(max=len(self.inner) - 1)])

    def apart(self, gated: bool, cut: Cut) -> float:
        """How far the product is from the engine's, as a share of its norm."""
        result, wanted = (self.activated if gated else self.products), self.wanted[gated].float()
        result.zero_()
        self.product(gated, cut)()
        return distance(result, wanted)

    @functools.cached_property
    def wanted(self) -> dict[bool, Any]:
        """The engine's products, the first activated: what :meth:`product` is to compute."""
        import torch

        calls = self.launches()
        for name in ("first", "activation", "second"):
            calls[name]()
        torch.cuda.synchronize()
        return {True: self.activated.clone(), False: self.products.clone()}

    def seconds(self, call: Callable[[], Any], calls: int) -> float:
        return median(self.clock.times(call, lambda number: None, calls))

    @functools.cached_property
    def engine(self) -> tuple[float, Any]:
        """The seconds of the engine's layer, and what it computes."""
        baseline = self.layer.baseline.engine()
        seconds = self.seconds(lambda: self.layer._run(baseline), CALLS)
        self.layer._route(0)
        wanted = self.layer._run(baseline).float().clone()
        self.layer._route(0)
        return seconds, wanted

    def whole(self, first: Cut, second: Cut, early: bool) -> dict[str, float]:
        """The layer's seconds, the engine's and the pack's, and how far apart their results are."""
        from vllm import _custom_ops as ops
        from vllm.model_executor.layers.fused_moe import fused_moe

        tiles, align = self.modules["tiles"], self.modules["moe_align"].MoeAlign.forward
        both = (tiles.Product(each.tile, each.described, each.joined, each.resident) for each in (first, second))
        cut = tiles.Tiles(*both, packed=second.packed, early=early)
        self.modules["fused_experts"].tiles_for = lambda *asked: cut
        kernel = self.modules["fused_experts"].FusedExperts
        module, held = SimpleNamespace(moe_sum=ops.moe_sum), fused_moe.moe_align_block_size
        silu, none = SimpleNamespace(value="silu"), (None, None, None)
        weights = (self.w1, self.w2, self.layer.shares, self.layer.ids, silu, self.experts.experts, *none)
        engine, wanted = self.engine

        def mine() -> None:
            kernel.apply(module, self.out, self.layer.work, *weights, self.between, self.products, None, False)

        fused_moe.moe_align_block_size = lambda ids, block, experts, *more, **others: align(ids, block, experts)
        try:
            pack = self.seconds(mine, CALLS)
            self.out.zero_()
            mine()
        finally:
            fused_moe.moe_align_block_size = held
        return {"engine": engine, "pack": pack, "apart": distance(self.out, wanted)}

    def launches(self) -> dict[str, Callable[[], Any]]:
        """The engine's launches one by one, and the pack's sort."""
        import torch
        import triton.language as tl
        from vllm import _custom_ops as ops
        from vllm.model_executor.layers.fused_moe import fused_moe

        config = self.layer.baseline.engine()
        block, ids, experts = config["BLOCK_SIZE_M"], self.layer.ids, self.experts.experts
        top_k = self.experts.top_k
        sorting = fused_moe.moe_align_block_size(ids, block, experts)

        def product(x: Any, w: Any, out: Any, weigh: bool, times: int) -> Any:
            return fused_moe.invoke_fused_moe_triton_kernel(
                x, w, out.view(self.tokens, top_k, -1), None, None, self.layer.shares, *sorting, weigh, times,
                {**config, "SPLIT_K": 1}, compute_type=tl.bfloat16, use_fp8_w8a8=False, use_int8_w8a8=False,
                use_int8_w8a16=False, use_int4_w4a16=False, per_channel_quant=False,
            )  # fmt: skip

        return {
            "sort": lambda: fused_moe.moe_align_block_size(ids, block, experts),
            "first": lambda: product(self.layer.work, self.w1, self.wide, False, top_k),
            "activation": lambda: torch.ops._C.silu_and_mul(self.activated, self.wide),
            "second": lambda: product(self.inner, self.w2, self.products, True, 1),
            "sum": lambda: ops.moe_sum(self.products.view(self.tokens, top_k, -1), self.out),
            "pack's sort": lambda: self.sort(block),
        }
