"""Which tiles do the two products of patches/h100-moe-fused want on this card, and what do the engine's kernels around
them take? Compiles in several processes, then times every tile with a cold L2, the best ones again.

    python benchmarks/h100/moe_tiles.py --tokens 256 8192 16384 --json OUT/tiles.json
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
import time
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

PACKS = Path(__file__).resolve().parents[2] / "patches"
DECODING = dict(rows=(16, 32), columns=(64, 128), depths=(64, 128), groups=(1,), warps=(4, 8), stages=(3, 4))
MANY = dict(rows=(64, 128), columns=(64, 128, 256), depths=(64,), groups=(1, 16), warps=(4, 8), stages=(3, 4))
SHARED, REGISTERS = 227 << 10, 128


def tiles(tokens: int, gated: bool) -> Iterator[tuple[list[int], bool]]:
    """Tiles that fit the card, by pointers and by bulk copies."""
    space = MANY if tokens >= 2048 else DECODING
    for m, n, k, group, warps, stages in itertools.product(*space.values()):
        weights = 2 * n if gated else n
        fits = (m + weights) * k * 2 * stages <= SHARED and m * weights / (32 * warps) <= REGISTERS
        if fits and not (gated and n > 128):
            for described in (False, True):
                yield [m, n, k, group, warps, stages], described


class Bench:
    """One layer's products at one number of tokens."""

    def __init__(self, tokens: int, law: str, shape: str = "qwen3-30b-a3b") -> None:
        import torch

        from fk_overlay.engines.vllm.experts import EXPERTS
        from fk_overlay.tuning.graph_clock import GraphClock
        from fk_overlay.tuning.layer import Layer
        from fk_overlay.tuning.routing import Routing
        from fk_overlay.tuning import shapes

        self.torch, self.tokens = torch, tokens
        self.product = pack("h100-moe-fused", "grouped").grouped
        self.shape = shapes.get(shape)
        self.clock = GraphClock.here()
        self.layer = Layer(self.shape, Routing(law), EXPERTS, self.clock)
        self.w1, self.w2 = self.layer.weights()
        bench = self.layer.at(tokens)
        self.bench = bench
        bench._route(0)
        self.x, self.ids, self.shares = bench.work, bench.ids, bench.shares
        pairs, experts = self.ids.numel(), self.shape.experts
        new = lambda *size: torch.empty(size, device="cuda", dtype=torch.bfloat16)  # noqa: E731
        self.wide, self.activated = new(pairs, 2 * self.shape.inter), new(pairs, self.shape.inter).normal_()
        self.products, self.out = new(pairs, self.shape.hidden), new(tokens, self.shape.hidden)
        self.experts = experts

    def sorting(self, block: int) -> tuple[Any, Any, Any]:
        from vllm.model_executor.layers.fused_moe.moe_align_block_size import moe_align_block_size

        return moe_align_block_size(self.ids, block, self.experts)

    def call(self, gated: bool, tile: list[int], described: bool) -> Any:
        sorting = self.sorting(tile[0])
        if gated:
            return lambda: self.product(self.x, self.w1, self.activated, *sorting, None, tile, True, described)
        return lambda: self.product(self.activated, self.w2, self.products, *sorting, self.shares, tile, False, described)

    def seconds(self, call: Any, calls: int) -> float:
        return median(self.clock.times(call, lambda number: None, calls))

    def around(self) -> dict[str, float]:
        """The engine's own kernels, and those of patches/h100-moe."""
        import torch
        from vllm import _custom_ops as ops

        moe = {name: pack("h100-moe", name) for name in ("moe_activation", "moe_sum", "moe_align")}
        config = self.bench.baseline
        block = config.block_m
        three = self.products.view(self.tokens, -1, self.shape.hidden)
        calls = {
            "engine, whole": lambda: self.bench._run(config.engine()),
            "engine, sorting": lambda: self.sorting(block),
            "engine, activation": lambda: torch.ops._C.silu_and_mul(self.activated, self.wide),
            "engine, sum": lambda: ops.moe_sum(three, self.out),
            "pack, activation": lambda: moe["moe_activation"].silu_and_mul(self.wide, self.activated),
            "pack, sum": lambda: moe["moe_sum"].moe_sum(three, self.out, None, None),
        }
        if self.ids.numel() <= moe["moe_align"].MOST_PAIRS:
            length = moe["moe_align"].length_for(self.ids.numel(), block, self.experts, False)
            calls["pack, sorting"] = lambda: moe["moe_align"].align(self.ids, block, self.experts, length)
        calls |= {f"engine, {what}": call for what, call in self.engine_products(config.engine()).items()}
        return {name: self.seconds(call, 30) for name, call in calls.items()}

    def engine_products(self, config: dict[str, int]) -> dict[str, Any]:
        import triton.language as tl
        from vllm.model_executor.layers.fused_moe import fused_moe

        sorting = self.sorting(config["BLOCK_SIZE_M"])

        def product(x: Any, w: Any, out: Any, weigh: bool, top_k: int) -> None:
            fused_moe.invoke_fused_moe_triton_kernel(
                x, w, out, None, None, self.shares, *sorting, weigh, top_k, {**config, "SPLIT_K": 1},
                compute_type=tl.bfloat16, use_fp8_w8a8=False, use_int8_w8a8=False, use_int8_w8a16=False,
                use_int4_w4a16=False, per_channel_quant=False,
            )  # fmt: skip

        top_k = self.shape.top_k
        three = lambda tensor: tensor.view(self.tokens, top_k, -1)  # noqa: E731
        return {
            "first": lambda: product(self.x, self.w1, three(self.wide), False, top_k),
            "second": lambda: product(self.activated, self.w2, three(self.products), True, 1),
        }


def pack(name: str, module: str) -> Any:
    package = name.replace("-", "_")
    if package not in sys.modules:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(PACKS / name)]
    return importlib.import_module(f"{package}.{module}")


_here: dict[int, Bench] = {}


def compiled(tokens: int, law: str, gated: bool, tile: list[int], described: bool) -> str:
    try:
        few = 64 if tokens < 2048 else 2048  # the number compiles to nothing
        if few not in _here:
            _here[few] = Bench(few, law)
        bench = _here[few]
        bench.call(gated, tile, described)()
        bench.torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 8192, 16384])
    parser.add_argument("--law", default="uniform")
    parser.add_argument("--workers", type=int, default=13)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        kinds = {tokens >= 2048: tokens for tokens in given.tokens}
        work = [(tokens, gated, *each) for tokens in kinds.values() for gated in (True, False) for each in tiles(tokens, gated)]
        print(len(work), "tiles to compile", flush=True)
        began = time.monotonic()
        jobs = [pool.submit(compiled, tokens, given.law, gated, tile, described) for tokens, gated, tile, described in work]
        fit = set()
        for (tokens, gated, tile, described), job in zip(work, jobs, strict=True):
            try:
                said = job.result(timeout=max(1.0, until - time.monotonic()))
            except Exception as error:  # noqa: BLE001
                said = f"{type(error).__name__}"
            if not said:
                fit.add((tokens >= 2048, gated, tuple(tile), described))
            else:
                found.setdefault("failed", []).append([gated, tile, described, said])
        print(f"compiled {len(fit)} in {time.monotonic() - began:.0f} s", flush=True)
        pool.shutdown(wait=False, cancel_futures=True)
    for tokens in given.tokens:
        bench = Bench(tokens, given.law)
        row: dict[str, Any] = {"around": bench.around()}
        print(tokens, {name: f"{seconds * 1e6:.1f}" for name, seconds in row["around"].items()}, flush=True)
        for gated in (True, False):
            timed = []
            for tile, described in tiles(tokens, gated):
                if (tokens >= 2048, gated, tuple(tile), described) in fit:
                    timed.append((bench.seconds(bench.call(gated, tile, described), 5), tile, described))
            best = sorted(timed)[:10]
            again = sorted((bench.seconds(bench.call(gated, tile, described), 30), tile, described) for _, tile, described in best)
            row["first" if gated else "second"] = {"all": sorted(timed), "best": again}
            flops = 2 * bench.ids.numel() * bench.shape.hidden * bench.shape.inter * (2 if gated else 1)
            for seconds, tile, described in again[:5]:
                print(f"  {'first' if gated else 'second'} {seconds * 1e6:8.1f} us {flops / seconds / 1e12:6.0f} TFLOP/s {tile} {described}", flush=True)
        found[str(tokens)] = row
        given.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
