"""Run by test_h100_moe_sort in a process with TRITON_INTERPRET=1: prints one line for each thing that was checked."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from fk_overlay import catalog
from fk_overlay.core import Case
from fk_overlay.integrity.calls import named, precise, results_of
from fk_overlay.integrity.draw import Draw
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.oracle import load_oracle
from fk_overlay.overlay.loader import module_of

torch.set_num_threads(1)
TASK = catalog.tasks()["moe_align"]


def main() -> None:
    module, oracle = module_of(Path(sys.argv[1]), "h100_moe", "moe_align"), load_oracle(TASK)
    for operator, arguments in module.opcheck_cases():
        print("opcheck", *set(torch.library.opcheck(operator, arguments).values()))
    cases = [("samples", case) for case in oracle.samples(5, torch.bfloat16)]
    for name, case in (*cases, *(("served", case) for case in served(Draw(7, torch.bfloat16)))):
        if not module.MoeAlign.supports(*case.args, **case.kwargs):
            print(name, "declined:", module.MoeAlign.why_not(*case.args, **case.kwargs))
            continue
        wanted = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
        found = oracle.canonical(case, tuple(module.MoeAlign.forward(*case.args, **case.kwargs)))
        print(name, all(agree(*pair, TASK.tolerance["float32"]).agrees for pair in zip(found, wanted, strict=True)))


def served(draw: Draw) -> Iterator[Case]:
    """Shapes of served models, where the oracle's samples are small; the last two take more than one launch."""
    for tokens, experts, top_k, block in (
        (8, 128, 8, 16),
        (256, 128, 8, 64),
        (300, 8, 2, 128),
        (33, 60, 4, 16),
        (20, 64, 6, 16),
        (2049, 8, 2, 64),
        (1500, 20, 6, 128),
    ):
        yield Case(None, (draw.integers(experts, tokens, top_k).int(), block, experts))


main()
