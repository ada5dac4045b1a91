"""Stand-ins for what has no CPU build, each tried in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fk_overlay.engines.sglang import standins
from fk_overlay.errors import EngineError

REPOSITORY = Path(__file__).parents[3]
H100 = ("NVIDIA H100",)


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "SGLANG_USE_CPU_ENGINE"}
    before = "from fk_overlay.engines.sglang import standins; standins.names = tuple; standins.install()\n"
    return subprocess.run(
        [sys.executable, "-c", before + code],
        env={**inherited, "PYTHONPATH": str(REPOSITORY), **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_kernels_can_be_imported_and_raise_when_called() -> None:
    code = "from sgl_kernel import build_tree_kernel_efficient_cpu as kernel\nkernel(1)"
    assert "build_tree_kernel_efficient_cpu needs a GPU" in python(code, SGLANG_USE_CPU_ENGINE="1").stderr


def test_what_sglang_replaces_by_itself_is_missing() -> None:
    code = "import sgl_kernel; print(hasattr(sgl_kernel, 'scalar_type'))\nimport sgl_kernel.scalar_type"
    answer = python(code, SGLANG_USE_CPU_ENGINE="1")
    assert answer.stdout.strip() == "False"
    assert "ModuleNotFoundError" in answer.stderr


def test_nothing_is_stood_in_for_unless_the_cpu_engine_is_asked_for() -> None:
    answer = python("import sys; print([f for f in sys.meta_path if isinstance(f, standins.StandIns)])")
    assert answer.stdout.strip() == "[]"


def test_torchvisions_operators_have_schemas() -> None:
    pytest.importorskip("torch")
    code = "standins._define_schemas(); import torch; print(torch.ops.torchvision.nms.default._schema)"
    assert "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" in python(code).stdout


def test_a_gpu_is_not_left_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standins, "names", lambda: H100)
    monkeypatch.setenv("SGLANG_USE_CPU_ENGINE", "1")
    with pytest.raises(EngineError, match="unset it"):
        standins.install()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stand_in_that_was_installed_is_refused_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    package = tmp_path / "sgl_kernel"
    package.mkdir()
    (package / "__init__.py").touch()
    if compiled:
        (package / "sm90").mkdir()
        (package / "sm90" / "common_ops.abi3.so").touch()
    monkeypatch.setattr(standins, "names", lambda: H100)
    monkeypatch.delenv("SGLANG_USE_CPU_ENGINE", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    if compiled:
        standins.install()
        assert not any(isinstance(finder, standins.StandIns) for finder in sys.meta_path)
    else:
        with pytest.raises(EngineError, match="no compiled kernels"):
            standins.install()
