"""What the overlay costs where nobody asked for it, and where somebody did. Needs the engine installed, no GPU.

Prints: the entry point without a plan, ``fk-overlay --help``, a plan with 14 patches (reading it, checking every
contract against the engine's source, arranging the swaps, and the swaps themselves once the engine imports the
targets), and one counted call. Each figure is the least of several, in a process of its own where imports matter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import timeit
from functools import partial
from pathlib import Path

ROUNDS = 5
PLAN = """
import sys, time
from fk_overlay.engines.vllm.host import HOST
import vllm.model_executor.models.llama, vllm.model_executor.models.mixtral, vllm.model_executor.models.qwen3_moe
import vllm.model_executor.models.mistral, vllm.model_executor.models.qwen2
import vllm.model_executor.layers.fused_moe.router.cpu_router, vllm.model_executor.layers.fused_moe.experts.triton_moe
import vllm.v1.sample.ops.topk_topp_sampler
from fk_overlay.overlay.activate import activate
start = time.perf_counter()
activate(HOST)
print(time.perf_counter() - start)
"""
KERNELS = """
class Anything:
    def forward(self, *args, **kwargs):
        raise RuntimeError("only put in place, never called")

def anything(*args, **kwargs):
    raise RuntimeError("only put in place, never called")
"""


def least(command: list[str], env: dict[str, str] | None = None) -> float:
    """The smallest number that the command prints last, over several runs."""
    texts = [subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout for _ in range(ROUNDS)]
    return min(float(text.split()[-1]) for text in texts)


def entry_point() -> float:
    """Seconds of one call with no ``FK_OVERLAY`` set."""
    os.environ.pop("FK_OVERLAY", None)
    from fk_overlay.entry import vllm

    return min(timeit.repeat(vllm, number=1000, repeat=ROUNDS)) / 1000


def help_text() -> float:
    """Wall seconds of ``fk-overlay --help``, interpreter included."""
    command = [sys.executable, "-m", "fk_overlay.cli.main", "--help"]
    return min(timeit.repeat(lambda: subprocess.run(command, check=True, capture_output=True), number=1, repeat=ROUNDS))


def plan_with_14_patches() -> float:
    """Seconds that activating 14 patches adds to a process that has the engine's modules loaded already: the worst
    case, in which everything is swapped at once."""
    from fk_overlay import catalog, packs
    from fk_overlay.core import Arm
    from fk_overlay.engines.vllm import ENGINE
    from fk_overlay.plan import make

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "everything"
        folder.mkdir()
        (folder / "kernels.py").write_text(KERNELS, encoding="utf-8")
        tasks = [task for task in catalog.tasks().values() if task.level != "L4"][:14]
        symbols = {task.name: "Anything" if task.targets[0].seam == "method" else "anything" for task in tasks}
        patches = "".join(
            f'[[patch]]\ntask = "{name}"\nfile = "kernels.py"\nsymbol = "{symbol}"\n'
            for name, symbol in symbols.items()
        )
        (folder / "pack.toml").write_text(f'name = "everything"\nsummary = "all"\n{patches}', encoding="utf-8")
        pack = packs.trusted(catalog.load_pack(folder))
        receipts = Path(scratch) / "receipts"
        arm = Arm("everything", (pack,))
        plan = make(arm, catalog.tasks(), "vllm", ENGINE.version(), purpose="timed", receipts=receipts)
        env = {**os.environ, "FK_OVERLAY": str(plan.write(Path(scratch) / "plan.json"))}
        return least([sys.executable, "-c", PLAN], env)


def counted_call() -> tuple[float, float]:
    """Seconds of a call of an empty function, bare and through the overlay's counting wrapper."""
    from fk_overlay.overlay.counters import Counters
    from fk_overlay.overlay.tally import Tally, guarded

    def kernel(module: object, x: object) -> object:
        return x

    with tempfile.TemporaryDirectory() as scratch:
        patched = guarded(kernel, kernel, None, Tally(Counters(Path(scratch) / "counters", 1), 0))
        calls = [min(timeit.repeat(partial(each, None, 1), number=10**5, repeat=ROUNDS)) for each in (kernel, patched)]
    return calls[0] / 10**5, calls[1] / 10**5


def main() -> None:
    bare, patched = counted_call()
    print(f"entry point, no plan      {entry_point() * 1e6:10.2f} us")
    print(f"fk-overlay --help         {help_text():10.3f} s")
    print(f"plan with 14 patches      {plan_with_14_patches():10.3f} s")
    print(f"one call, bare            {bare * 1e9:10.0f} ns")
    print(f"one call, counted         {patched * 1e9:10.0f} ns")


if __name__ == "__main__":
    main()
