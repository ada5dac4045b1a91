import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fk_overlay.core import BASELINE, Arm, Model, Scenario, Workload
from fk_overlay.engines import registration
from fk_overlay.engines.base import Launch
from fk_overlay.engines.vllm.environment import arguments, command_line, environment, import_environment

PLUGIN_GROUP = "vllm.general_plugins"
CACHES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_PLUGINS", "FK_OVERLAY", "FK_OVERLAY_RECEIPTS", "PYTHONPATH", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def launch(folder: Path, digest: str = "d1", **scenario: Any) -> Launch:
    model = Model("a/b", dtype="bfloat16", tensor_parallel=2)
    made = Scenario("s", "s", model, (Workload("w", 1, 1, 1),), seed=7, **scenario)
    return Launch("00-baseline", made, Path("/models/b"), folder, folder / "plan.json", folder / "caches", digest)


def test_the_overlay_is_told_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY", "/some/pack")
    monkeypatch.setenv("FK_OVERLAY_RECEIPTS", "/some/where")
    env = environment(launch(tmp_path))
    assert env["FK_OVERLAY"] == str(tmp_path / "plan.json")
    assert "FK_OVERLAY_RECEIPTS" not in env


def test_what_is_imported_once_for_all_launches_has_no_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY", "/some/pack")
    env = import_environment(launch(tmp_path))
    assert "FK_OVERLAY" not in env
    assert env["VLLM_NO_USAGE_STATS"] == "1"


def test_arms_share_no_cache_and_launches_of_an_arm_share_all(tmp_path: Path) -> None:
    one, again, other = (environment(launch(tmp_path, digest)) for digest in ("d1", "d1", "d2"))
    for name in CACHES:
        assert one[name] == again[name] != other[name]
        assert Path(one[name]).is_relative_to(tmp_path / "caches" / "d1")
    assert len({one[name] for name in CACHES}) == 3


def test_the_baseline_hands_on_what_says_nothing_of_kernels_and_kernels_by_their_hash(tmp_path: Path) -> None:
    baseline = environment(launch(tmp_path, Arm(BASELINE).digest))
    for variable, name in (("VLLM_CACHE_ROOT", "modelinfos"), ("TRITON_CACHE_DIR", "hash"), ("VLLM_CACHE_ROOT", "aot")):
        (Path(baseline[variable]) / name).mkdir(parents=True)
    other = environment(launch(tmp_path, "d1"))
    assert {path.name for path in Path(other["VLLM_CACHE_ROOT"]).iterdir()} == {"modelinfos"}
    assert {path.name for path in Path(other["TRITON_CACHE_DIR"]).iterdir()} == {"hash"}


def test_the_scenario_overrules_the_caller_and_caches_overrule_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    env = environment(launch(tmp_path, env={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0", "TRITON_CACHE_DIR": "/t"}))
    assert (env["OMP_NUM_THREADS"], env["HF_HUB_OFFLINE"]) == ("1", "0")
    assert env["TRITON_CACHE_DIR"].startswith(str(tmp_path))
    assert env["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(None, None), ("lora", "lora,fk_overlay"), ("fk_overlay,lora", "fk_overlay,lora"), ("a,b", "a,b,fk_overlay")],
)
def test_a_list_of_allowed_plugins_admits_the_overlay_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str | None, expected: str | None
) -> None:
    if allowed is not None:
        monkeypatch.setenv("VLLM_PLUGINS", allowed)
    assert environment(launch(tmp_path)).get("VLLM_PLUGINS") == expected


def test_the_plugin_is_announced_where_the_package_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "_registered", lambda group: False)
    monkeypatch.setenv("PYTHONPATH", "/mine")
    env = environment(launch(tmp_path))
    assert env["PYTHONPATH"] == os.pathsep.join((str(tmp_path / "site"), "/mine"))
    code = f"from importlib.metadata import entry_points as e; print(*(p.value for p in e(group={PLUGIN_GROUP!r})))"
    found = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert "fk_overlay.entry:vllm" in found.stdout.split()


def test_the_plugin_is_announced_once_where_the_package_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = metadata.EntryPoint("fk_overlay", "fk_overlay.entry:vllm", PLUGIN_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == PLUGIN_GROUP else [])
    env = environment(launch(tmp_path))
    assert "PYTHONPATH" not in env
    assert not (tmp_path / "site").exists()


def test_arguments_are_the_scenarios_and_name_the_arm(tmp_path: Path) -> None:
    args = {"vllm": {"max_model_len": 384, "seed": 3}, "sglang": {"mem_fraction": 0.5}}
    assert arguments(launch(tmp_path, engine_args=args)) == {
        "model": "/models/b",
        "dtype": "bfloat16",
        "tensor_parallel_size": 2,
        "seed": 3,
        "max_model_len": 384,
        "additional_config": {"fk_overlay": "d1"},
    }


def test_the_digest_reaches_vllms_own_cache_key_whatever_the_scenario_says(tmp_path: Path) -> None:
    args = {"vllm": {"additional_config": {"other": 1}}}
    assert arguments(launch(tmp_path, "d2", engine_args=args))["additional_config"]["fk_overlay"] == "d2"


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (True, ["--some-option"]),
        (False, ["--no-some-option"]),
        (None, []),
        (0, ["--some-option", "0"]),
        (0.9, ["--some-option", "0.9"]),
        ("text", ["--some-option", "text"]),
        ([1, 2], ["--some-option", "1", "2"]),
        ({"a": {"b": [True, None]}}, ["--some-option", '{"a": {"b": [true, null]}}']),
    ],
)
def test_values_become_options(value: object, options: list[str]) -> None:
    assert command_line({"some_option": value, "model": "/m"}) == ["/m", *options]
