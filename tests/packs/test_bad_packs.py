"""The packs of this folder must be bad in the way they claim, and in no other."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from one_file import import_file

from fk_overlay import catalog, packs
from fk_overlay.engines.base import get_engine
from fk_overlay.errors import EngineError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/pack.toml"))


def installed(engine: str) -> bool:
    try:
        return bool(get_engine(engine).version())
    except EngineError:
        return False


def kernel(pack: str) -> Any:
    return import_file(HERE / pack / "kernel.py")


@pytest.fixture
def norm() -> SimpleNamespace:
    weight = torch.linspace(0.5, 1.5, 64).to(torch.bfloat16)
    return SimpleNamespace(weight=weight, has_weight=True, variance_size_override=None, variance_epsilon=1e-5)


@pytest.fixture
def inputs() -> tuple[Any, Any]:
    torch.manual_seed(2)
    x, residual = torch.randn(2, 5, 64).to(torch.bfloat16)
    return x, residual


def engine_norm(norm: SimpleNamespace, x: Any, residual: Any = None) -> Any:
    """vLLM's ``RMSNorm.forward_native``, on a CPU."""
    total = x.float() if residual is None else x.float() + residual.float()
    scaled = total * torch.rsqrt(total.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    out = scaled.to(x.dtype) * norm.weight
    return out if residual is None else (out, total.to(x.dtype))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_pack_loads_and_may_be_run(folder: Path) -> None:
    pack = packs.trusted(catalog.load_pack(folder))
    assert pack.name == folder.name
    assert all(patch.task in catalog.tasks() for patch in pack.patches)
    for patch in pack.patches:
        if not patch.engines or any(map(installed, patch.engines)):
            assert callable(getattr(import_file(folder / patch.file), patch.symbol))


def test_wrong_is_wrong_by_its_factor(norm: SimpleNamespace, inputs: tuple[Any, Any]) -> None:
    x, residual = inputs
    patch = kernel("wrong").RMSNorm
    torch.testing.assert_close(patch.forward(norm, x), engine_norm(norm, x) * 1.01, rtol=0, atol=0)
    out, total = patch.forward(norm, x, residual)
    wanted, wanted_total = engine_norm(norm, x, residual)
    torch.testing.assert_close(out, wanted * 1.01, rtol=0, atol=0)
    assert torch.equal(total, wanted_total)


def test_corrupting_answers_right_and_changes_its_input(norm: SimpleNamespace, inputs: tuple[Any, Any]) -> None:
    x, residual = inputs
    before = x.clone()
    wanted = engine_norm(norm, x)
    assert torch.equal(kernel("corrupting").RMSNorm.forward(norm, x), wanted)
    assert torch.equal(x, before + 1)
    out, _ = kernel("corrupting").RMSNorm.forward(norm, x, residual)
    assert torch.equal(out, engine_norm(norm, x, residual)[0])
    assert torch.equal(x, before + 1)


def test_never_engaged_declines(norm: SimpleNamespace, inputs: tuple[Any, Any]) -> None:
    assert kernel("never-engaged").RMSNorm.supports(norm, *inputs) is False


def test_rank0_only_declines_on_other_ranks(
    norm: SimpleNamespace, inputs: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = kernel("rank0-only").RMSNorm
    assert patch.supports(norm, *inputs)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        assert patch.supports(norm, *inputs) == (rank == 0)
    assert torch.equal(patch.forward(norm, inputs[0]), engine_norm(norm, inputs[0]))


def engine_silu(x: Any) -> Any:
    size = x.shape[-1] // 2
    return torch.nn.functional.silu(x[..., :size]) * x[..., size:]


def test_wrong_shape_lacks_a_column(inputs: tuple[Any, Any]) -> None:
    assert torch.equal(kernel("wrong-shape").SiluAndMul().forward(inputs[0]), engine_silu(inputs[0])[..., :-1])


def test_wrong_dtype_has_the_right_values(inputs: tuple[Any, Any]) -> None:
    found = kernel("wrong-dtype").SiluAndMul().forward(inputs[0])
    assert found.dtype is torch.float64
    assert torch.equal(found, engine_silu(inputs[0]).double())


def test_crashing_is_right_until_its_call(inputs: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_TEST_CALL", "3")
    patch = kernel("crashing").SiluAndMul()
    for _ in range(2):
        assert torch.equal(patch.forward(inputs[0]), engine_silu(inputs[0]))
    with pytest.raises(RuntimeError, match="as it was told to"):
        patch.forward(inputs[0])
    assert torch.equal(patch.forward(inputs[0]), engine_silu(inputs[0]))


CALLS = """
import sys, torch
sys.path[:0] = sys.argv[1:2]
from kernel import SiluAndMul
for number in range(2):
    print(number, SiluAndMul().forward(torch.ones(2, 8)).shape, flush=True)
"""


def calls(pack: str) -> subprocess.Popen[str]:
    """A process that calls the pack's kernel twice; something happens in the second call."""
    env = {**os.environ, "FK_TEST_CALL": "2"}
    command = [sys.executable, "-c", CALLS, str(HERE / pack)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_dying_takes_its_process_along() -> None:
    process = calls("dying")
    assert process.communicate(timeout=60)[0] == "0 torch.Size([2, 4])\n"
    assert process.returncode == -11


def test_hanging_never_returns() -> None:
    process = calls("hanging")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "0 torch.Size([2, 4])\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
    finally:
        process.kill()
        process.communicate()
