"""Run by test_h100_moe_products in a process with TRITON_INTERPRET=1: prints one line for each thing that was checked.

With "whole", the layer is run through the installed vLLM's functions, sorted by the pack: vLLM's own sort has no code
for a CPU.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay import catalog
from fk_overlay.core import Case
from fk_overlay.integrity import standins
from fk_overlay.integrity.calls import named, precise, results_of
from fk_overlay.integrity.draw import Draw
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.formulas import gated, linear
from fk_overlay.integrity.oracle import load_oracle
from fk_overlay.overlay.loader import module_of

torch.set_num_threads(1)
TASK = catalog.tasks()["fused_experts"]
TILES = ([16, 16, 32, 1, 4, 3], [32, 64, 64, 8, 8, 2])


def main() -> None:
    grouped = of_pack("grouped")
    for operator, arguments in grouped.opcheck_cases():
        print("opcheck", *set(torch.library.opcheck(operator, arguments).values()))
    for dtype, tiles in itertools.product((torch.bfloat16, torch.float16), TILES):
        for case in sorted_cases(Draw(3, dtype), tiles[0]):
            for name, product, columns in (("gate_up", gate_up_right, 2), ("down", down_right, 1)):
                ways = {"": (False, False, False)}
                if grouped.describable(case[1], case[1].shape[1] // columns, tiles):
                    ways[" described"] = (True, False, False)
                    if product is gate_up_right:
                        ways[" joined"] = (True, True, False)
                    if case[3] is not None and case[0].shape[1] % tiles[2] == 0:
                        ways[" resident"] = (True, True, True)
                for way, how in ways.items():
                    print(f"{name}{way}", dtype, product(grouped.grouped, case, tiles, *how))
            if case[3] is not None and grouped.describable(case[1], case[1].shape[1] // 2, tiles):
                print("both packed", dtype, packed_right(grouped.grouped, case, tiles))
    if sys.argv[2:] == ["whole"]:
        whole(of_pack("fused_experts"), of_pack("tiles"))


def of_pack(name: str) -> Any:
    return module_of(Path(sys.argv[1]), "h100_moe", name)


# ---------------------------------------------------------------- the first product


def sorted_cases(draw: Draw, block: int) -> Iterator[tuple[Tensor, ...]]:
    """x, w1, ids, sorted pairs, owners, used; uneven shares, an expert without tokens, padding, widths that no tile
    divides; then few tokens, whose pairs are not sorted."""
    for tokens, experts, top_k, hidden, inner in ((40, 4, 2, 72, 40), (21, 8, 3, 64, 96), (1, 128, 8, 64, 32)):
        ids = torch.stack([draw.shuffled(experts)[:top_k] for _ in range(tokens)]).int()
        x, w1 = draw.normal(tokens, hidden), standins.experts(draw, experts, hidden, inner)[0]
        yield x, w1, ids, *by_expert(ids, experts, block)
    yield x, w1, ids, None, ids.flatten(), ids.new_tensor([ids.numel() * block])


def by_expert(ids: Tensor, experts: int, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs by expert, each expert's padded to whole blocks, and a block of nobody's at the end."""
    flat, pairs = ids.flatten(), ids.numel()
    sorted_pairs, owners = [], []
    for expert in range(experts):
        mine = (flat == expert).nonzero().flatten().tolist()
        mine += [pairs] * (-len(mine) % block)
        sorted_pairs += mine
        owners += [expert] * (len(mine) // block)
    used = len(sorted_pairs)
    return ids.new_tensor(sorted_pairs + [pairs] * block), ids.new_tensor([*owners, 0]), ids.new_tensor([used])


def gate_up_right(
    grouped: Any, case: tuple[Tensor, ...], tiles: list[int], described: bool, joined: bool, resident: bool
) -> bool:
    x, w1, ids, *sorting = case
    out = x.new_full((ids.numel(), w1.shape[1] // 2), torch.nan)
    grouped(x, w1, out, *sorting, None, ids.shape[1], tiles, True, described, joined, False, False, resident)
    token = torch.arange(len(x)).repeat_interleave(ids.shape[1])
    owners = ids.flatten().long()
    rows = [gated(linear(x[t].double(), w1[e].double()), "silu") for t, e in zip(token, owners, strict=True)]
    return near(out, torch.stack(rows))


def down_right(
    grouped: Any, case: tuple[Tensor, ...], tiles: list[int], described: bool, joined: bool, resident: bool
) -> bool:
    """Of the same cases: a row of its own for every pair, and all rows of ``w1``."""
    x, w, ids, *sorting = case
    pairs = ids.numel()
    rows = x.repeat_interleave(ids.shape[1], dim=0).contiguous()
    scale = torch.linspace(0.2, 1.0, pairs)
    out = x.new_full((pairs, w.shape[1]), torch.nan)
    grouped(rows, w, out, *sorting, scale, 1, tiles, False, described, joined, False, False, resident)
    owners = ids.flatten().long()
    wanted = [linear(row.double(), w[e].double()) for row, e in zip(rows, owners, strict=True)]
    return near(out, torch.stack(wanted) * scale.double()[:, None])


def packed_right(grouped: Any, case: tuple[Tensor, ...], tiles: list[int]) -> bool:
    """The second product of rows that lie in the order of the sort, against that of rows that lie in the pairs'."""
    x, w1, ids, *sorting = case
    pairs, inner, places = ids.numel(), w1.shape[1] // 2, len(sorting[0])
    w2 = w1.new_empty(len(w1), tiles[1] * 2, inner).normal_(generator=torch.Generator().manual_seed(5))
    scale, top_k, outs = torch.linspace(0.2, 1.0, pairs), ids.shape[1], []
    for packed, joined, resident in ((False,) * 3, (True, False, False), (True, True, False), (True, True, True)):
        between = x.new_full((places if packed else pairs, inner), torch.nan)
        out = x.new_full((pairs, tiles[1] * 2), torch.nan)
        grouped(x, w1, between, *sorting, None, top_k, tiles, True, True, joined, packed, False, resident)
        grouped(between, w2, out, *sorting, scale, 1, tiles, False, True, joined, packed, False, resident)
        outs.append(out)
    pairs_order, packed_order, joined, resident = outs
    same = torch.equal(packed_order, pairs_order) and torch.equal(resident, joined)
    return same and near(joined, pairs_order.double())  # a wider product may sum in another order


def near(out: Tensor, wanted: Tensor) -> bool:
    tolerance = TASK.tolerance[str(out.dtype).removeprefix("torch.")]
    if out.dtype == torch.bfloat16:  # the interpreter cuts off where a GPU rounds
        tolerance = replace(tolerance, rtol=2 * tolerance.rtol, atol=2 * tolerance.atol)
    return agree(out, wanted, tolerance).agrees


# ---------------------------------------------------------------- the whole layer


def whole(fused: Any, tiles: Any) -> None:
    """The layer with weights by pointers, then by bulk copies where the tiles divide them, then where nothing was
    measured."""
    import triton.backends

    # The CPU build of vLLM takes Triton for unusable; this gives it one, in this process only.
    triton.backends.backends["cpu"] = SimpleNamespace(driver=SimpleNamespace(is_active=lambda: True), compiler=None)
    from vllm.model_executor.layers.fused_moe import fused_moe

    sort = of_pack("moe_align")

    def by_the_pack(ids: Tensor, block: int, experts: int, *more: Any, **others: Any) -> tuple[Tensor, ...]:
        return tuple(sort.align(ids, block, experts, sort.length_for(ids.numel(), block, experts, True)))

    fused_moe.moe_align_block_size = by_the_pack
    oracle, kernel, able = load_oracle(TASK), fused.FusedExperts, fused.describable
    asked: list[bool] = []

    def noted(*weights: Any) -> bool:
        asked.append(able(*weights))
        return asked[-1]

    fused.describable = noted
    for name, dtype, cut in (
        ("float16", "float16", tiles.Tiles(*[tiles.Product((16, 32, 32, 1, 4, 3), False)] * 2)),
        ("float16 described", "float16", tiles.Tiles(*[tiles.Product((16, 32, 32, 1, 4, 3), True)] * 2)),
        ("packed", "float16", tiles.Tiles(*[tiles.Product((16, 32, 32, 1, 4, 3), True)] * 2, packed=True)),
        (
            "resident",
            "float16",
            tiles.Tiles(*[tiles.Product((16, 32, 32, 1, 4, 3), True, True, True)] * 2, packed=True),
        ),
        ("float32", "float32", tiles.Tiles(*[tiles.Product((16, 32, 32, 1, 4, 3), False)] * 2)),
        ("unmeasured", "float16", None),
    ):
        fused.tiles_for = lambda *asked, cut=cut: cut
        for case in (*oracle.samples(5, getattr(torch, dtype)), *served(Draw(7, getattr(torch, dtype)))):
            case = Case(layer(), case.args, case.kwargs)
            if not kernel.supports(case.module, *case.args, **case.kwargs):
                why = kernel.why_not(case.module, *case.args, **case.kwargs)
                print("whole", name, "declined:", why)
                continue
            wanted = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
            kernel.apply(case.module, *case.args, **case.kwargs)
            found = oracle.canonical(case, (case.args[0],))
            agreed = (agree(*pair, TASK.tolerance[dtype]).agrees for pair in zip(found, wanted, strict=True))
            print("whole", name, *agreed)
    print("whole described", sum(asked))
    fused.tiles_for = lambda *asked: True
    for changed in ({"w1_bias": 1}, {"_lora_context": 1}, {"activation_config": SimpleNamespace(clamp_limit=7.0)}):
        module = SimpleNamespace(**{**vars(layer()), **changed})
        print("whole", *changed, kernel.supports(module, *case.args), kernel.why_not(module, *case.args))


def served(draw: Draw) -> Iterator[Case]:
    """A decode step's tokens for eight of 32 experts, and one token, whose pairs vLLM does not sort."""
    for tokens, top_k in ((24, 8), (1, 2)):
        ids = torch.stack([draw.shuffled(32)[:top_k] for _ in range(tokens)]).int()
        scratch = draw.normal(tokens * top_k * 192) * torch.nan
        weights = draw.uniform(tokens, top_k, low=0.2, high=1.0).float()
        output, x = draw.normal(tokens, 64) * torch.nan, draw.normal(tokens, 64)
        silu, none = SimpleNamespace(value="silu"), (None, None, None)
        args = (output, x, *standins.experts(draw, 32, 64, 96), weights, ids, silu, 32, *none)
        yield Case(None, (*args, scratch, scratch.clone(), None, False))


def layer() -> SimpleNamespace:
    """What the kernel asks of vLLM's layer."""

    def moe_sum(products: Tensor, output: Tensor) -> None:
        torch.sum(products, dim=1, out=output)

    quantisation = SimpleNamespace(config_name=lambda dtype: None, quant_dtype=None)
    plain = SimpleNamespace(clamp_limit=None)
    facts = {"quant_config": quantisation, "activation_config": plain, "w1_bias": None, "_lora_context": None}
    return SimpleNamespace(moe_sum=moe_sum, **facts)


main()
