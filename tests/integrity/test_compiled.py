"""Kernels compiled for a GPU that is not here: what they take of it, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fk_overlay import catalog, packs
from fk_overlay.cli.main import app
from fk_overlay.core import Arm
from fk_overlay.errors import PackError
from fk_overlay.integrity.compiled import Compiled, compile_apart
from fk_overlay.plan import make

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed; it compiles")
PATCHES = Path(__file__).parents[2] / "patches"
HOPPER = 90
PACK = """
name = "compiled"
summary = "Compiled in this test."
[requires.engines]
vllm = ">=0.26,<0.33"
[[patch]]
task = "silu_and_mul"
file = "kernel.py"
symbol = "Kernel"
"""
KERNEL = """
import torch, triton
import triton.language as tl

LIBRARY = torch.library.Library("fk_test_compiled", "DEF")


@triton.jit
def _multiply(a, b, out, SIZE: tl.constexpr):
    row, column = tl.arange(0, SIZE)[:, None] * SIZE, tl.arange(0, SIZE)[None, :]
    {body}


def multiply(a, b):
    out = torch.empty_like(a)
    _multiply[(1,)](a, b, out, SIZE=a.shape[0], num_warps={warps})
    return out


LIBRARY.define("multiply(Tensor a, Tensor b) -> Tensor")
LIBRARY.impl("multiply", multiply, "CompositeExplicitAutograd")


class Kernel:
    pass


def {cases}():
    tile = torch.empty({size}, {size}, dtype=torch.bfloat16)
    yield torch.ops.fk_test_compiled.multiply.default, (tile, tile)
"""
PRODUCT = "tl.store(out + row + column, tl.dot(tl.load(a + row + column), tl.load(b + row + column)).to(tl.bfloat16))"


def compiled(pack: Path, folder: Path) -> list[Compiled]:
    found = packs.trusted(catalog.load_pack(pack))
    plan = make(Arm(found.name, (found,)), catalog.tasks(), "vllm", "0.32.0", purpose="timed", receipts=folder)
    return compile_apart(plan, HOPPER)


def written(folder: Path, body: str = PRODUCT, *, size: int = 64, warps: int = 4, cases: str = "compile_cases") -> Path:
    (folder / "pack.toml").write_text(PACK)
    (folder / "kernel.py").write_text(KERNEL.format(body=body, size=size, warps=warps, cases=cases))
    return folder


def test_a_matrix_product_uses_hopper_s_instruction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # another process compiles
    (kernel,) = compiled(written(tmp_path), tmp_path)
    assert (kernel.file, kernel.name, kernel.options) == ("kernel.py", "_multiply", {"SIZE": "64"})
    assert kernel.products > 0
    assert 16 <= kernel.registers <= 255
    assert kernel.stack == 0
    assert kernel.shared >= 64 * 64 * 2


def test_cases_for_opcheck_serve_where_there_are_no_others(tmp_path: Path) -> None:
    assert len(compiled(written(tmp_path, cases="opcheck_cases"), tmp_path)) == 1
    assert compiled(written(tmp_path, cases="other_cases"), tmp_path) == []


def test_spills_show(tmp_path: Path) -> None:
    """A tile of 128 by 128 sums in one warp is 512 values for a thread, which has 255 registers."""
    (kernel,) = compiled(written(tmp_path, size=128, warps=1), tmp_path)
    assert kernel.stack > 0


@pytest.mark.parametrize(
    ("body", "size", "message"),
    [
        ("tl.store(out + row + column, tl.dot(tl.load(a + row), tl.load(b + row + column)))", 64, "does not compile"),
        (PRODUCT, 256, "bytes of shared memory, sm_90 has 232448"),
    ],
)
def test_what_cannot_run_there_is_refused(tmp_path: Path, body: str, size: int, message: str) -> None:
    with pytest.raises(PackError, match=message):
        compiled(written(tmp_path, body, size=size, warps=8), tmp_path)


@pytest.mark.parametrize(("pack", "count"), [("example-triton", 3), ("h100-moe", 22)])
def test_shipped_kernels_compile_for_hopper_without_spills(tmp_path: Path, pack: str, count: int) -> None:
    found = compiled(PATCHES / pack, tmp_path)
    assert len(found) == count
    assert [each.name for each in found if each.stack] == []
    assert all(each.copies > 0 for each in found if each.options.get("DESCRIBED") == "True")


def test_what_is_no_capability(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["pack", "compile", str(PATCHES / "example-triton"), "--for", "hopper"])
    assert ended.exit_code != 0
    assert "give one such as sm_90" in str(ended.exception)
