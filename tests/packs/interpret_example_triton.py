"""Run by test_example_triton in a process with TRITON_INTERPRET=1: prints one line for each thing that was checked."""

import sys
from pathlib import Path

import torch

from fk_overlay import catalog
from fk_overlay.integrity.calls import named, precise, results_of
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.oracle import as_tuple, load_oracle
from fk_overlay.overlay.loader import module_of

torch.set_num_threads(1)
pack = catalog.load_pack(Path(sys.argv[1]))

for patch in pack.patches:
    module = module_of(pack.folder, "example_triton", patch.file.removesuffix(".py"))
    kernel, task = getattr(module, patch.symbol), catalog.tasks()[patch.task]
    for operator, arguments in module.opcheck_cases():
        outcome = set(torch.library.opcheck(getattr(operator, "default", operator), arguments).values())
        print(patch.task, "opcheck", *outcome)
    oracle = load_oracle(task)
    for dtype in ("bfloat16", "float32"):
        for case in oracle.samples(5, getattr(torch, dtype)):
            if not kernel.supports(case.module, *case.args):
                print(patch.task, dtype, "declined")
                continue
            found = as_tuple(kernel.forward(case.module, *case.args))
            wanted = results_of(oracle, precise(named(oracle, case)))
            pairs = zip(found, wanted, strict=True)
            print(patch.task, dtype, *(agree(ours, theirs, task.tolerance[dtype]).agrees for ours, theirs in pairs))
