"""What the overlay hooks into, on stand-ins for SGLang's modules."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fk_overlay.engines.sglang import config_dir
from fk_overlay.engines.sglang import host as under_test
from fk_overlay.engines.sglang.host import HOST, RUNNER, SglangHost
from fk_overlay.engines.sglang.resolved import resolved_config
from fk_overlay.errors import SeamError


@dataclass
class ServerArgs:
    attention_backend: str = "fa3"
    port: int = 30000
    nccl_port: int | None = 4
    page_size: int | None = 1
    tokenizer: object = None


def module(name: str, monkeypatch: pytest.MonkeyPatch, **held: Any) -> Any:
    made = ModuleType(name)
    vars(made).update(held)
    made.__spec__ = SimpleNamespace(_initializing=False)  # type: ignore[assignment]
    for parent in (name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, made)
    return made


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    class ModelRunner:
        def __init__(self, *, draft: bool = False) -> None:
            self.is_draft_worker = draft
            self.ps = SimpleNamespace(tp_rank=1, tp_size=2)
            self.server_args = ServerArgs()
            self.model: Any = None

        def load_model(self) -> str:
            self.model = "the model"
            return "loaded"

    return module(RUNNER, monkeypatch, ModelRunner=ModelRunner).ModelRunner


def test_a_rank_tells_itself_before_the_model_and_the_model_after(runner: Any) -> None:
    told: list[Any] = []
    host = SglangHost()
    host.on_rank(lambda *said: told.append(said))
    host.on_loaded(told.append)
    assert runner().load_model() == "loaded"
    assert told == [(1, 2, {"server.attention_backend": "fa3", "server.page_size": 1}), "the model"]


def test_a_draft_model_is_no_rank(runner: Any) -> None:
    told: list[Any] = []
    HOST.on_loaded(told.append)
    assert runner(draft=True).load_model() == "loaded"
    assert told == []


def test_settings_of_a_launch_are_not_compared() -> None:
    assert resolved_config(ServerArgs(port=1, nccl_port=9)) == resolved_config(ServerArgs())
    assert resolved_config(ServerArgs(attention_backend="triton")) != resolved_config(ServerArgs())


def test_a_model_is_served_under_the_architectures_name(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = module("sglang.srt.models.registry", monkeypatch, ModelRegistry=SimpleNamespace(models={"Llama": "old"}))
    module("fk_test_models", monkeypatch, Fast="new")
    SglangHost().register_model("Llama", "fk_test_models", "Fast")
    assert registry.ModelRegistry.models == {"Llama": "new"}


def test_tuned_configurations_are_found_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SGLANG_MOE_CONFIG_DIR", raising=False)
    monkeypatch.setattr(config_dir.metadata, "version", lambda name: "3.6.0")
    monkeypatch.setattr(SglangHost, "source_root", lambda host: tmp_path / "site")
    pack = tmp_path / "configs"
    pack.mkdir()
    config = {"1": {"BLOCK_SIZE_M": 16}}
    (pack / "E=8,N=64,device_name=NVIDIA_H100.json").write_text(json.dumps(config))
    asked: list[tuple[str, bool]] = []

    def get_config_file_name(experts: int) -> str:
        return f"E={experts},N=64,device_name=NVIDIA_H100.json"

    def get_moe_configs(experts: int) -> dict[int, Any] | None:
        folder = Path(os.environ["SGLANG_MOE_CONFIG_DIR"], "configs", "triton_3_6_0")
        path = folder / held.get_config_file_name(experts)
        return {int(key): value for key, value in json.loads(path.read_text()).items()} if path.is_file() else None

    functions = {"get_moe_configs": get_moe_configs, "get_config_file_name": get_config_file_name}
    held = module(under_test.MOE_CONFIGS, monkeypatch, **functions)
    main, scheduler = SglangHost(), SglangHost()  # a scheduler inherits the main process's environment
    main.use_tuned_configs(pack, lambda file, found: None)
    scheduler.use_tuned_configs(pack, lambda *each: asked.append(each))
    assert [held.get_moe_configs(8), held.get_moe_configs(16)] == [{1: {"BLOCK_SIZE_M": 16}}, None]
    name = "E={},N=64,device_name=NVIDIA_H100.json"
    assert asked == [(name.format(8), True), (name.format(16), False)]


def test_configurations_that_sglang_cannot_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "E=8,N=64.json").write_text('{"triton_version": "3.6.0", "1": {"BLOCK_SIZE_M": 16}}')
    with pytest.raises(SeamError, match=r"SGLang reads no triton_version; take that line out of E=8,N=64\.json"):
        SglangHost().use_tuned_configs(tmp_path, lambda file, found: None)


def test_configurations_of_someone_else_are_not_overruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_MOE_CONFIG_DIR", "/elsewhere")
    monkeypatch.setenv("FK_OVERLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(SglangHost, "source_root", lambda host: tmp_path / "site")
    (tmp_path / "E=8,N=64.json").write_text('{"1": {"BLOCK_SIZE_M": 16}}')
    with pytest.raises(SeamError, match="unset it"):
        SglangHost().use_tuned_configs(tmp_path, lambda file, found: None)


def test_sglang_has_no_ir() -> None:
    with pytest.raises(SeamError, match="no IR operators"):
        HOST.provide_ir("a:b", "mine", print, None)
