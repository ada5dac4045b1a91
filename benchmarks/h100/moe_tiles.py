"""Which tiles do the products of patches/h100-moe want on this card? Writes the pack's ``tiles.json``.

    python benchmarks/h100/moe_tiles.py --pack patches/h100-moe --json OUT/tiles.json

Everything is compiled first, in several processes. For each number of tokens every tile is timed with a cold L2 under
skewed routing, and the best ones again under skewed and uniform routing. Of those the fastest pair whose layer computes
what the engine's does is taken, and the pack takes over where that layer is at least 1 % faster than the engine's under
both laws. JSON: every time, in seconds.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import json
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

import moe_table

from fk_overlay.tuning.layer import WRONG

LAWS = ("skewed", "uniform")
SHARED, REGISTERS = 227 << 10, 128
"""Bytes of a block on Hopper, and registers of a thread that results may take."""
BEST, SCREEN, AGAIN = 4, 5, 30
"""How many tiles of each BLOCK_M are timed again, and calls of the first and of the second time."""
PAIRS = 12
"""How many pairs of tiles are tried as a whole layer, should the results of the faster ones be wrong."""
EARLY_S = 150
"""Seconds that the look at early launches may take, with its imports."""
SPACES = {
    256: {"m": (16, 32, 64), "n": (64, 128, 256), "k": (128, 256), "group": (1,), "stages": (2, 3, 4)},
    2048: {"m": (32, 64, 128), "n": (64, 128, 256), "k": (64, 128), "group": (1,), "stages": (3, 4)},
    1 << 20: {"m": (64, 128), "n": (64, 128, 256), "k": (64,), "group": (1, 8, 16, 32), "stages": (3, 4)},
}
"""By the most tokens that a space is for."""
RESIDENT_M = 64
"""Least BLOCK_M of programs that go from tile to tile: with few tokens there are few tiles for each."""


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


def cuts(most: int, gated: bool) -> Iterator[Cut]:
    """Those that fit the card."""
    space = SPACES[most]
    sizes = space["m"], space["n"], space["k"], space["group"], (4, 8), space["stages"]
    for m, n, k, group, warps, stages in itertools.product(*sizes):
        weights = 2 * n if gated else n
        if (m + weights) * k * 2 * stages <= SHARED and m * weights / (32 * warps) <= REGISTERS:
            tile = (m, n, k, group, warps, stages)
            yield from (Cut(tile), Cut(tile, described=True))
            more = Cut(tile, described=True, joined=gated, packed=not gated)
            yield more
            if m >= RESIDENT_M:
                yield more._replace(resident=True)


def space_of(tokens: int) -> int:
    return min(most for most in SPACES if tokens <= most)


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

        self.modules = {name: of_pack(self.pack, name) for name in ("grouped", "moe_align", "fused_experts", "tiles")}
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
        self.between, self.packed_for = new(rows + self.experts.experts * 128, self.experts.inter), 0
        self.wide, self.products = new(rows, 2 * self.experts.inter), new(rows, self.experts.hidden)
        self.out = new(self.tokens, self.experts.hidden)

    def product(self, gated: bool, cut: Cut) -> Callable[[], Any]:
        tile, how = cut.tile, (cut.described, cut.joined, cut.packed)
        call = self.modules["grouped"].grouped
        length = self.modules["moe_align"].length_for(self.layer.ids.numel(), tile[0], self.experts.experts, False)
        sorting = self.modules["moe_align"].align(self.layer.ids, tile[0], self.experts.experts, length)
        if gated:
            x, top_k = self.layer.work, self.experts.top_k
            return lambda: call(
                x, self.w1, self.activated, *sorting, None, top_k, list(tile), True, *how, False, cut.resident
            )
        x = self.packed(tile[0], sorting[0]) if cut.packed else self.inner
        shares = self.layer.shares
        return lambda: call(
            x, self.w2, self.products, *sorting, shares, 1, list(tile), False, *how, False, cut.resident
        )

    def packed(self, block_m: int, sorted_pairs: Any) -> Any:
        """``inner`` in the order of the sort for one BLOCK_M, until it is asked for in that of another."""
        packed = self.between[: len(sorted_pairs)]
        if self.packed_for != block_m:
            packed.copy_(self.inner[sorted_pairs.long().clamp(max=len(self.inner) - 1)])
            self.packed_for = block_m
        return packed

    def apart(self, gated: bool, cut: Cut) -> float:
        """How far the product is from the engine's, as a share of its norm."""
        result, wanted = (self.activated if gated else self.products), self.wanted[gated].float()
        result.zero_()
        self.product(gated, cut)()
        return float((result.float() - wanted).norm() / wanted.norm())

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
        seconds = self.seconds(lambda: self.layer._run(baseline), AGAIN)
        self.layer._route(0)
        wanted = self.layer._run(baseline).float().clone()
        self.layer._route(0)
        return seconds, wanted

    def whole(self, first: Cut, second: Cut, early: bool) -> dict[str, float]:
        """The layer's seconds, the engine's and the pack's, and how far apart their results are."""
        from vllm import _custom_ops as ops
        from vllm.model_executor.layers.fused_moe import fused_moe

        tiles, align = self.modules["tiles"], self.modules["moe_align"]
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

        def sort(ids: Any, block: int, experts: int, *more: Any, **others: Any) -> Any:
            return align.MoeAlign.forward(ids, block, experts)

        fused_moe.moe_align_block_size = sort
        try:
            pack = self.seconds(mine, AGAIN)
            self.out.zero_()
            mine()
        finally:
            fused_moe.moe_align_block_size = held
        apart = float((self.out.float() - wanted).norm() / wanted.norm())
        self.packed_for = 0
        return {"engine": engine, "pack": pack, "apart": apart}

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
        mine = self.modules["moe_align"]

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
            "pack's sort": lambda: mine.align(ids, block, experts, mine.length_for(ids.numel(), block, experts, False)),
        }


def of_pack(folder: Path, name: str) -> Any:
    package = f"pack_{folder.name.replace('-', '_')}"
    if package not in sys.modules:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(folder.resolve())]
    return importlib.import_module(f"{package}.{name}")


def early_fault(shape: str, pack: Path) -> str:
    """Why launches that begin before the one ahead is over are not to be had on this card; empty if they are. Asked in
    a process of its own, which may hang."""
    answers = get_context("spawn").SimpleQueue()
    asked = get_context("spawn").Process(target=_early, args=(shape, pack, answers), daemon=True)
    asked.start()
    asked.join(EARLY_S)
    if asked.is_alive():
        asked.kill()
        return f"no answer in {EARLY_S} s"
    return str(answers.get()) if not answers.empty() else f"the process ended with code {asked.exitcode}"


def _early(shape: str, pack: Path, answers: Any) -> None:
    cut = Cut((32, 128, 128, 1, 4, 3), described=True)
    try:
        apart = Bench(256, "skewed", shape, pack).whole(cut, cut, True)["apart"]
        answers.put("" if apart <= WRONG else f"results are {apart:.2g} of the norm away from the engine's")
    except Exception as error:  # noqa: BLE001 - whatever a compiler or the card says is told
        answers.put(reason(error))


_benches: dict[int, Bench] = {}


def compiled(most: int, gated: bool, cut: Cut, shape: str, pack: Path) -> str:
    """Why a cut does not run; empty if it does. Runs in a process of its own, whose compilations the disk keeps."""
    import torch

    try:
        tokens = min(most, 2048)  # the number compiles to nothing
        if tokens not in _benches:
            _benches[tokens] = Bench(tokens, "uniform", shape, pack)
        _benches[tokens].product(gated, cut)()
        torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - whatever a compiler says is told
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def compile_all(mosts: list[int], shape: str, pack: Path, workers: int, timeout_s: float) -> set[tuple[int, bool, Cut]]:
    work = [(most, gated, cut) for most in mosts for gated in (True, False) for cut in cuts(most, gated)]
    # A fault of the least tried kind costs its process, and then not the other tiles.
    work.sort(key=lambda each: (each[2].resident, each[2].packed))
    until = time.monotonic() + timeout_s
    reasons: dict[tuple[int, bool, Cut], str] = {}
    with get_context("spawn").Pool(workers) as pool:
        for each, job in [(each, pool.apply_async(compiled, (*each, shape, pack))) for each in work]:
            try:
                reasons[each] = job.get(max(0.0, until - time.monotonic()))
            except TimeoutError:
                reasons[each] = f"not within {timeout_s:.0f} s"
    fit = {each for each, why in reasons.items() if not why}
    print(f"{len(fit)} of {len(work)} tiles compile and run", flush=True)
    for why, count in Counter(why for why in reasons.values() if why).most_common():
        print(f"  {count} do not: {why}", flush=True)
    return fit


def right(bench: Bench, gated: bool, known: list[Cut]) -> list[Cut]:
    """Those whose product is the engine's, in the order of their BLOCK_M. What the others have in common is told."""
    found, wrong = [], Counter[str]()
    for cut in sorted(known):
        if bench.apart(gated, cut) <= WRONG:  # NaN is wrong too
            found.append(cut)
        else:
            wrong[", ".join(name for name, said in cut._asdict().items() if said is True) or "by pointers"] += 1
    for kind, count in wrong.items():
        print(f"{bench.tokens:6} {'first' if gated else 'second'}: {count} wrong of {kind}", flush=True)
    return found


def measured(
    tokens: int, fit: set[tuple[int, bool, Cut]], launches: tuple[bool, ...], given: Any, weights: Any
) -> tuple[dict[str, Any], Any]:
    benches = {}
    for law in LAWS:
        benches[law] = Bench(tokens, law, given.shape, given.pack, weights)
        weights = benches[law].weights
    row: dict[str, Any] = {"chosen": None, "whole": {}, "other": None}
    found: dict[bool, list[tuple[float, Cut]]] = {}
    for gated in (True, False):
        known = right(
            benches["skewed"], gated, [cut for most, of, cut in fit if (most, of) == (space_of(tokens), gated)]
        )
        screened = sorted(
            (benches["skewed"].seconds(benches["skewed"].product(gated, cut), SCREEN), cut) for cut in known
        )
        kept: list[Cut] = []
        for rows in {cut.tile[0] for cut in known}:
            kept += [cut for _, cut in screened if cut.tile[0] == rows][:BEST]
        again = [(sum(each.seconds(each.product(gated, cut), AGAIN) for each in benches.values()), cut) for cut in kept]
        found[gated] = sorted(again)
        row["first" if gated else "second"] = [[seconds, *cut] for seconds, cut in sorted(again)]
    pairs = sorted(
        (one + other, first, second)
        for (one, first), (other, second) in itertools.product(found[True], found[False])
        if first.tile[0] == second.tile[0]
    )
    for _, first, second in pairs[:PAIRS]:
        ways = {early: {law: bench.whole(first, second, early) for law, bench in benches.items()} for early in launches}
        for early, laws in list(ways.items()):
            apart = [each["apart"] for each in laws.values()]
            if not all(each <= WRONG for each in apart):  # NaN is wrong too
                print(f"{tokens:6} {first} {second}, early {early}: {apart} of the norm away", flush=True)
                del ways[early]
        if ways:
            early = min(ways, key=lambda way: sum(each["pack"] for each in ways[way].values()))
            row["chosen"] = {"first": first, "second": second, "early": early}
            row["whole"], row["other"] = ways[early], ways.get(not early)
            break
    row["around"] = {
        law: {name: bench.seconds(call, AGAIN) for name, call in bench.launches().items()}
        for law, bench in benches.items()
    }
    return row, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--shape", default="qwen3-30b-a3b")
    parser.add_argument("--tokens", type=int, nargs="+", default=[16384, 256, 8192, 2048, 128, 1024, 64, 4096, 512])
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=300, help="no further number of tokens is begun after them")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    mosts = sorted({space_of(tokens) for tokens in given.tokens})
    fit = compile_all(mosts, given.shape, given.pack, given.workers, given.seconds / 2)
    fault = early_fault(given.shape, given.pack)
    print(f"early launches: {fault or 'as the others'}", flush=True)
    rows: dict[int, Any] = {}
    weights = None
    for tokens in given.tokens:
        if time.monotonic() > until:
            break
        row, weights = measured(tokens, fit, (False,) if fault else (False, True), given, weights)
        rows[tokens] = row
        for law, whole in row["whole"].items():
            times = {name: round(seconds * 1e6, 1) for name, seconds in row["around"][law].items()}
            ratio = whole["engine"] / whole["pack"]
            print(f"{tokens:6} {law:8} engine {us(whole, 'engine')}, pack {us(whole, 'pack')}, {ratio:.3f}x,", end=" ")
            print(f"{whole['apart']:.1e} apart; {times} {row['chosen']}", flush=True)
            if other := (row["other"] or {}).get(law):
                print(f"       {'':8} the other way about: pack {us(other, 'pack')}, {other['apart']:.1e} apart")
        given.json.write_text(json.dumps(rows))
        moe_table.write(given.pack, given.shape, rows)


def us(whole: dict[str, float], name: str) -> str:
    return f"{whole[name] * 1e6:7.1f} us"


if __name__ == "__main__":
    main()
