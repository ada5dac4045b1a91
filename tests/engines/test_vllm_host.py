import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fk_overlay.engines.vllm import host as under_test
from fk_overlay.engines.vllm.host import VllmHost
from fk_overlay.errors import SeamError

FOLDER = "VLLM_TUNED_CONFIG_FOLDER"
FUSED_MOE = """
import json, os
from pathlib import Path

def get_config_file_name(name):
    return name

def get_moe_configs(name, dtype=None):
    name = get_config_file_name(name)
    path = Path(os.environ.get("VLLM_TUNED_CONFIG_FOLDER", "")) / name
    if not path.is_file():
        path = Path(__file__).with_name(name)
    if not path.is_file():
        return None
    held = json.loads(path.read_text())
    held.pop("triton_version", None)
    return {int(key): value for key, value in held.items()}
"""


@pytest.mark.parametrize(
    ("process", "role"),
    [
        ("EngineCore", "engine_core"),
        ("EngineCore_DP0", "engine_core"),
        ("VllmWorker-1", "worker"),
        ("Worker_TP1", "worker"),
        ("ApiServer_0", "api"),
        ("MainProcess", "main"),
        ("SpawnProcess-3", "main"),
    ],
)
def test_a_process_knows_its_role_by_its_name(monkeypatch: pytest.MonkeyPatch, process: str, role: str) -> None:
    monkeypatch.setattr(under_test, "current_process", lambda: SimpleNamespace(name=process))
    assert VllmHost().role() == role


def test_users_are_modules_of_the_class_and_those_that_hold_one_as_their_method() -> None:
    class Norm: ...

    class Child(Norm): ...

    class Method: ...

    norm, child, linear, other = Norm(), Child(), SimpleNamespace(quant_method=Method()), SimpleNamespace()
    model = SimpleNamespace(modules=lambda: iter([norm, child, linear, other]))
    assert list(VllmHost().users(model, Norm)) == [norm, child]
    assert list(VllmHost().users(model, Method)) == [linear]


@pytest.fixture
def vllm_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``vllm`` that has only the lookup of tuned configurations; the real one, if any, is put aside."""
    package = tmp_path / "engine" / "vllm" / "model_executor" / "layers" / "fused_moe"
    package.mkdir(parents=True)
    for folder in (package, *list(package.parents)[:3]):
        (folder / "__init__.py").write_text("")
    (package / "fused_moe.py").write_text(FUSED_MOE)
    (package / "shipped.json").write_text('{"8": {"BLOCK": 32}}')
    aside = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "vllm"}
    for name in aside:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path / "engine")
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    finders = list(sys.meta_path)
    yield package
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]
    sys.modules.update(aside)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "tuned.json").write_text(
        json.dumps({"triton_version": "3.6.0", "1": {"BLOCK": 16}, "64": {"BLOCK": 128}})
    )
    return folder


def look_up(*names: str) -> list[Any]:
    module = importlib.import_module("vllm.model_executor.layers.fused_moe.fused_moe")
    return [module.get_moe_configs(name) for name in names]


def unasked(file: str, found: bool) -> None:
    raise AssertionError(f"nothing was looked up, least of all {file}")


def test_only_lookups_whose_file_is_in_the_pack_are_found(vllm_like: Path, pack: Path) -> None:
    asked: list[tuple[str, bool]] = []
    assert VllmHost().use_tuned_configs(pack, lambda *each: asked.append(each)) == FOLDER
    assert os.environ[FOLDER] == str(pack)
    assert look_up("tuned.json", "tuned.json", "shipped.json", "nowhere.json") == [
        {1: {"BLOCK": 16}, 64: {"BLOCK": 128}},
        {1: {"BLOCK": 16}, 64: {"BLOCK": 128}},
        {8: {"BLOCK": 32}},
        None,
    ]
    assert asked == [("tuned.json", True), ("tuned.json", True), ("shipped.json", False), ("nowhere.json", False)]
    del os.environ[FOLDER]


def test_a_folder_that_the_user_has_set_is_not_overruled(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "/my/configs")
    with pytest.raises(SeamError, match="VLLM_TUNED_CONFIG_FOLDER=/my/configs is set; unset it"):
        VllmHost().use_tuned_configs(pack, unasked)
    assert os.environ[FOLDER] == "/my/configs"


def test_a_child_process_may_find_the_packs_own_folder_set(
    vllm_like: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(pack))
    assert VllmHost().use_tuned_configs(pack, unasked) == FOLDER
