"""The environment and the arguments of an SGLang process."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fk_overlay.core import Model, Scenario, Workload
from fk_overlay.engines import registration
from fk_overlay.engines.base import Launch
from fk_overlay.engines.sglang.environment import arguments, command_line, environment

GROUP = "sglang.srt.plugins"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SGLANG_PLUGINS", "SGLANG_USE_CPU_ENGINE", "FK_OVERLAY", "FK_OVERLAY_RECEIPTS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)


def launch(folder: Path, digest: str = "d1", **scenario: Any) -> Launch:
    made = Scenario(
        "s", "s", Model("a/b", dtype="bfloat16", tensor_parallel=2), (Workload("w", 1, 1, 1),), seed=7, **scenario
    )
    return Launch("00-baseline", made, Path("/models/b"), folder, folder / "plan.json", folder / "caches", digest)


def test_the_overlay_is_told_its_plan_and_arms_share_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY", "/some/pack")
    monkeypatch.setenv("FK_OVERLAY_RECEIPTS", "/some/where")
    one, other = environment(launch(tmp_path)), environment(launch(tmp_path, "d2"))
    assert one["FK_OVERLAY"] == str(tmp_path / "plan.json")
    assert "FK_OVERLAY_RECEIPTS" not in one
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert one[name] != other[name]


@pytest.mark.parametrize(("gpus", "engine", "device"), [((), "1", "cpu"), (("NVIDIA H100",), None, None)])
def test_the_cpu_engine_is_for_machines_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: tuple[str, ...], engine: str | None, device: str | None
) -> None:
    monkeypatch.setattr(sys.modules[environment.__module__], "names", lambda: gpus)
    assert environment(launch(tmp_path)).get("SGLANG_USE_CPU_ENGINE") == engine
    assert arguments(launch(tmp_path)).get("device") == device


def test_the_plugin_is_announced_where_the_package_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "_registered", lambda group: False)
    monkeypatch.setenv("SGLANG_PLUGINS", "mine")
    env = environment(launch(tmp_path))
    assert env["SGLANG_PLUGINS"] == "mine,fk_overlay"
    code = f"from importlib.metadata import entry_points as e; print(*(p.value for p in e(group={GROUP!r})))"
    found = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert "fk_overlay.entry:sglang" in found.stdout.split()


def test_the_plugin_is_announced_once_where_the_package_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = metadata.EntryPoint("fk_overlay", "fk_overlay.entry:sglang", GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == GROUP else [])
    assert "PYTHONPATH" not in environment(launch(tmp_path))
    assert not (tmp_path / "site").exists()


def test_the_scenario_overrules_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[environment.__module__], "names", tuple)
    args = {"sglang": {"attention_backend": "triton", "max_running_requests": 8}, "vllm": {"enforce_eager": True}}
    said = arguments(launch(tmp_path, engine_args=args))
    assert (said["attention_backend"], said["max_running_requests"], said["tp_size"]) == ("triton", 8, 2)
    assert "enforce_eager" not in said
    assert os.environ["PATH"] == environment(launch(tmp_path))["PATH"]


def test_switches_have_no_negative_form() -> None:
    said = {
        "model_path": "/m",
        "disable_radix_cache": True,
        "enable_metrics": False,
        "cuda_graph_bs": [1, 2],
        "x": None,
    }
    said["json_model_override_args"] = {"a": 1}
    assert command_line(said) == [
        "--model-path", "/m", "--disable-radix-cache", "--cuda-graph-bs", "1", "2",
        "--json-model-override-args", '{"a": 1}',
    ]  # fmt: skip
