"""Compiles the Triton kernels of a pack for a GPU that need not be here, and tells what each would take of it.

Triton brings its own compiler down to machine code, so registers, spills and shared memory are known without a GPU.
Patch files yield ``(operator, arguments)`` from ``compile_cases()``, with the shapes and options that serve, or else
from ``opcheck_cases()``; the operators are called with launches that compile and launch nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fk_overlay.errors import OverlayError, PackError
from fk_overlay.integrity.apart import run_apart
from fk_overlay.integrity.operators import cases
from fk_overlay.plan import Plan

WARP = 32
SHARED_BYTES = {80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10, 120: 99 << 10}
"""Shared memory that one block may have, by compute capability (CUDA C++ Programming Guide, compute capabilities)."""
TENSOR_CORES = re.compile(r"\b(wgmma\.mma_async|tcgen05\.mma|mma\.sync)\b")
BULK_COPIES = re.compile(r"\bcp\.async\.bulk\.tensor\b")
RESOURCES = re.compile(r"REG:(?P<registers>\d+) STACK:(?P<stack>\d+)")


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel as it was compiled.

    Attributes:
        registers: of a thread. stack: bytes of memory that a thread needs beyond its registers: spills, above all.
        shared: bytes of shared memory of a block.
        products: instructions that multiply matrices; copies: bulk tensor copies (TMA).
        options: the constants that it was compiled with.
    """

    file: str
    name: str
    warps: int
    stages: int
    registers: int
    stack: int
    shared: int
    products: int
    copies: int
    options: dict[str, str]

    def __str__(self) -> str:
        facts = (
            f"{self.registers} registers",
            f"{self.stack} bytes spilled",
            f"{self.shared / 1024:.3g} KiB shared",
            f"{self.warps} warps",
            f"{self.stages} stages",
            f"{self.products} matrix instructions",
            f"{self.copies} bulk copies",
        )
        options = " ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name} ({self.file}): {', '.join(facts)}; {options}"


def compile_pack(plan: Plan, capability: int) -> list[Compiled]:
    """Every kernel that the cases of a plan's patch files launch.

    Args:
        capability: compute capability without its point, such as 90 for Hopper.

    Raises:
        PackError: a kernel does not compile, needs more shared memory than a block may have, or cannot be compiled
            without the GPU.
    """
    found: list[Compiled] = []
    for file, operator, arguments in cases(plan, "compile_cases", "opcheck_cases"):
        with compiling(capability) as kernels:
            try:
                operator(*arguments)
            except Exception as error:
                raise PackError(f"{file}: {operator} does not compile for sm_{capability}: {error}") from error
        found += [described(file, kernel) for kernel in kernels]
    for each in found:
        if each.shared > SHARED_BYTES.get(capability, each.shared):
            raise PackError(
                f"{each.file}: {each.name} needs {each.shared} bytes of shared memory, sm_{capability} has "
                f"{SHARED_BYTES[capability]}; fewer stages or smaller tiles need less"
            )
    return list({(each.file, each.name, json.dumps(each.options, sort_keys=True)): each for each in found}.values())


@contextmanager
def compiling(capability: int) -> Iterator[list[Any]]:
    """Inside, launches of Triton's kernels compile and launch nothing. Yields what they compile.

    Raises:
        PackError: Triton is told to interpret.
    """
    import triton
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    if triton.knobs.runtime.interpret:
        raise PackError("TRITON_INTERPRET is set, so that nothing is compiled; unset it")
    found: list[Any] = []
    launch, active = JITFunction.run, driver._active

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        found.append(launch(self, *args, grid=grid, warmup=True, **kwargs))
        return found[-1]

    JITFunction.run = compile_only
    driver.set_active(_Absent(capability))
    try:
        yield found
    finally:
        JITFunction.run, driver._active = launch, active


class _Absent:
    """Stands for the driver of a GPU, of which compiling asks only what kind it is."""

    def __init__(self, capability: int) -> None:
        self._capability = capability

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._capability, WARP)


def described(file: str, kernel: Any) -> Compiled:
    """What Triton's ``cuobjdump`` and the kernel's own text say."""
    registers, stack = _resources(kernel.asm["cubin"])
    text = kernel.asm["ptx"]
    return Compiled(
        file=file,
        name=kernel.metadata.name,
        warps=kernel.metadata.num_warps,
        stages=kernel.metadata.num_stages,
        registers=registers,
        stack=stack,
        shared=kernel.metadata.shared,
        products=len(TENSOR_CORES.findall(text)),
        copies=len(BULK_COPIES.findall(text)),
        options=_constants(kernel.src),
    )


def _constants(source: Any) -> dict[str, str]:
    names = source.fn.arg_names
    found = {names[path[0]]: value for path, value in source.constants.items() if len(path) == 1}
    return {name: str(value) for name, value in sorted(found.items())}


def _resources(cubin: bytes) -> tuple[int, int]:
    import triton.backends.nvidia as backend

    tool = Path(str(backend.__file__)).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    match = RESOURCES.search(said)
    if match is None:
        raise PackError(f"{tool} says nothing of registers: {' '.join(said.split())}")
    return int(match["registers"]), int(match["stack"])


def compile_apart(plan: Plan, capability: int) -> list[Compiled]:
    """:func:`compile_pack` in a process of its own, whose Triton does not interpret. Raises what it raises."""
    said = run_apart(__name__, plan, str(capability), without={"TRITON_INTERPRET"})
    return [Compiled(**each) for each in json.loads(said.splitlines()[-1])]


def main() -> None:
    """``python -m fk_overlay.integrity.compiled PLAN CAPABILITY``: the kernels as JSON, in the last line."""
    try:
        print(json.dumps([asdict(each) for each in compile_pack(Plan.read(Path(sys.argv[1])), int(sys.argv[2]))]))
    except OverlayError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
