"""Run by test_h100_moe in a process with TRITON_INTERPRET=1: prints one line for each thing that was checked."""

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from fk_overlay import catalog
from fk_overlay.core import Case, Pack
from fk_overlay.integrity.calls import named, precise, results_of
from fk_overlay.integrity.draw import Draw
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.oracle import load_oracle

torch.set_num_threads(1)


def main() -> None:
    pack = catalog.load_pack(Path(sys.argv[1]))
    package = types.ModuleType("h100_moe")
    package.__path__ = [str(pack.folder)]
    sys.modules["h100_moe"] = package
    for patch in pack.patches:
        module = importlib.import_module(f"h100_moe.{patch.file.removesuffix('.py')}")
        for operator, arguments in module.opcheck_cases():
            print(patch.task, "opcheck", *set(torch.library.opcheck(operator, arguments).values()))
        for dtype in ("bfloat16", "float16", "float32"):
            compare(pack, patch.task, getattr(module, patch.symbol), dtype)


def compare(pack: Pack, name: str, kernel: Any, dtype: str) -> None:
    task = catalog.tasks()[name]
    oracle = load_oracle(task)
    cases = list(oracle.samples(5, getattr(torch, dtype)))
    if dtype == "bfloat16":
        cases += served(name, Draw(7, torch.bfloat16))
    for case in cases:
        head = () if name == "moe_align" else (case.module,)
        if not kernel.supports(*head, *case.args, **case.kwargs):
            print(name, dtype, "declined")
            continue
        wanted = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
        found = oracle.canonical(case, call(name, kernel, case))
        tolerance = task.tolerance.get(dtype, task.tolerance["float32"])
        print(name, dtype, all(agree(*pair, tolerance).agrees for pair in zip(found, wanted, strict=True)))


def call(name: str, kernel: Any, case: Case) -> tuple[torch.Tensor, ...]:
    """What the kernel returns, or what it leaves in the output that it is given."""
    if name == "moe_align":
        return tuple(kernel.forward(*case.args, **case.kwargs))
    getattr(kernel, name.removeprefix("moe_") if name == "moe_activation" else name)(case.module, *case.args)
    return (case.args[1],)


def served(name: str, draw: Draw) -> Iterator[Case]:
    """Shapes of served models, where the oracles' samples are small: 128 experts of width 768, eight a token."""
    module = SimpleNamespace(activation_config=SimpleNamespace(clamp_limit=None))
    old = SimpleNamespace(quant_config=SimpleNamespace(gemm1_clamp_limit=None))
    limited = SimpleNamespace(activation_config=SimpleNamespace(clamp_limit=7.0))
    if name == "moe_sum":
        for tokens in (1, 3, 17):
            yield Case(module, (draw.normal(tokens, 8, 2048), draw.normal(tokens, 2048)))
        yield Case(module, (draw.normal(0, 8, 64), draw.normal(0, 64)))
        yield Case(module, (draw.normal(2, 17, 64), draw.normal(2, 64)))
    elif name == "moe_activation":
        silu = SimpleNamespace(value="silu")
        for owner, pairs, d in ((module, 8, 768), (old, 24, 1408), (module, 0, 64)):
            yield Case(owner, (silu, draw.normal(pairs, d), draw.normal(pairs, 2 * d)))
        yield Case(limited, (silu, draw.normal(2, 8), draw.normal(2, 16)))
    else:
        for tokens, experts, top_k, block in ((8, 128, 8, 16), (256, 128, 8, 64), (300, 8, 2, 128), (33, 60, 4, 16)):
            yield Case(None, (draw.integers(experts, tokens, top_k).int(), block, experts))
        yield Case(None, (draw.integers(64, 20, 6), 16, 64))
        yield Case(None, (draw.integers(8, 2049, 2).int(), 64, 8))


main()
