"""A pack as SGLang's own plugin: what is written, and what it registers, with a stand-in for SGLang's registry."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from enum import Enum
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fk_overlay import catalog, packs
from fk_overlay.core import Arm, Pack
from fk_overlay.engines.base import get_exporter
from fk_overlay.engines.sglang.export import export
from fk_overlay.errors import EngineError, PackError, UsageError
from fk_overlay.plan import Plan, make

RELEASE = "0.5.17"
KERNEL = """
class Norm:
    @staticmethod
    def supports(module, x, residual=None):
        return residual is None

    @staticmethod
    def prepare(module):
        module.ready = True

    def forward(self, x, residual=None):
        return self.by * x


class Model:
    pass
"""
HookType = Enum("HookType", ["AFTER", "AROUND"])
Registered = dict[str, tuple[Any, Any]]
LOAD = "sglang.srt.model_executor.model_runner.ModelRunner.load_model"


class RMSNorm:
    by = 3

    def forward_native(self, x: int, residual: int | None = None) -> int:
        return x

    forward_cuda = forward_cpu = forward_native


def write_pack(folder: Path, patches: str, **files: str) -> tuple[Pack, Plan]:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "kernel.py").write_text(KERNEL, encoding="utf-8")
    (folder / "pack.toml").write_text(f'name = "{folder.name}"\nsummary = "a pack"\n{patches}', encoding="utf-8")
    pack = packs.trusted(catalog.load_pack(folder))
    arm = Arm(pack.name, (pack,))
    return pack, make(arm, catalog.tasks(), "sglang", RELEASE, purpose="timed", receipts=None)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Pack, Plan]:
    norm = '[[patch]]\ntask = "rms_norm"\nfile = "kernel.py"\nsymbol = "Norm"\n'
    return write_pack(tmp_path / "my-norm", norm + '[[patch]]\ntask = "llama"\nfile = "kernel.py"\nsymbol = "Model"\n')


@pytest.fixture
def sglang(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``registered`` and ``models`` as SGLang holds them."""
    registered: Registered = {}

    class HookRegistry:
        @staticmethod
        def register(target: str, hook: Callable[..., Any], kind: Any) -> None:
            registered[target] = (kind, hook)

    models: dict[str, Any] = {}
    held = {
        "sglang.srt.plugins.hook_registry": {"HookRegistry": HookRegistry, "HookType": HookType},
        "sglang.srt.models.registry": {"ModelRegistry": SimpleNamespace(models=models)},
        "sglang.srt.layers.layernorm": {"RMSNorm": RMSNorm},
    }
    for name, content in held.items():
        for parent in (name.rsplit(".", count)[0] for count in range(name.count("."), 0, -1)):
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module, raising=False)
    monkeypatch.setattr(metadata, "version", lambda name: RELEASE)
    return SimpleNamespace(registered=registered, models=models)


def imported(package: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(package.parent))
    for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module(package.name)


def test_a_plugin_holds_the_packs_files_and_an_entry_point(made: tuple[Pack, Plan], tmp_path: Path) -> None:
    package = export(*made, RELEASE, tmp_path / "out")
    assert package == tmp_path / "out" / "fk_pack_my_norm"
    assert packs.hashes(package / "kernels") == packs.hashes(made[0].folder)
    said = json.loads((package / "hooks.json").read_text())
    assert (said["release"], said["digest"]) == (RELEASE, made[0].digest)
    (point,) = metadata.PathDistribution(next(package.parent.glob("*.dist-info"))).entry_points
    assert (point.group, point.value) == ("sglang.srt.plugins", "fk_pack_my_norm:register")


def test_every_member_gets_the_kernel_where_it_agrees(
    made: tuple[Pack, Plan], tmp_path: Path, sglang: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = imported(export(*made, RELEASE, tmp_path / "out"), monkeypatch)
    plugin.register()
    members = {"forward_native", "forward_cuda", "forward_cpu"}
    assert set(sglang.registered) == {LOAD, *(f"sglang.srt.layers.layernorm.RMSNorm.{each}" for each in members)}
    kind, hook = sglang.registered["sglang.srt.layers.layernorm.RMSNorm.forward_native"]
    assert kind is HookType.AROUND
    assert hook(RMSNorm.forward_native, RMSNorm(), 5) == 15
    assert hook(RMSNorm.forward_native, RMSNorm(), 5, residual=1) == 5
    assert sglang.models["LlamaForCausalLM"].__name__ == "Model"


def test_layers_are_prepared_when_the_model_is_loaded(
    made: tuple[Pack, Plan], tmp_path: Path, sglang: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(export(*made, RELEASE, tmp_path / "out"), monkeypatch).register()
    kind, hook = sglang.registered[LOAD]
    norm, other, holder = RMSNorm(), SimpleNamespace(), SimpleNamespace(quant_method=RMSNorm())
    model = SimpleNamespace(modules=lambda: iter((norm, other, holder)))
    assert kind is HookType.AFTER
    assert hook("what load_model gave", SimpleNamespace(model=model)) is None
    assert [hasattr(each, "ready") for each in (norm, other, holder)] == [True, False, True]


def test_a_kernel_may_fall_back_to_the_function_it_replaces(
    tmp_path: Path, sglang: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGLang's registry rebinds a function wherever it was imported, in the plugin too."""
    patch = '[[patch]]\ntask = "topk_topp_sampling"\nfile = "sample.py"\nsymbol = "sample"\n'
    name = "top_k_top_p_min_p_sampling_from_probs_torch"
    sampler = ModuleType("sglang.srt.layers.sampler")
    engines_own = lambda probs: probs + 1  # noqa: E731
    vars(sampler)[name] = engines_own
    monkeypatch.setitem(sys.modules, sampler.__name__, sampler)
    monkeypatch.setattr(sys.modules["sglang.srt.layers"], "sampler", sampler, raising=False)
    pack, plan = write_pack(
        tmp_path / "mine",
        patch,
        sample=f"from {sampler.__name__} import {name} as own\nsample = lambda p: own(p) * 10\n",
    )
    plugin = imported(export(pack, plan, RELEASE, tmp_path / "out"), monkeypatch)
    plugin.register()
    _, hook = sglang.registered[f"{sampler.__name__}.{name}"]
    rebound = lambda probs: hook(engines_own, probs)  # noqa: E731
    sys.modules[f"{plugin.__name__}.kernels.sample"].own = rebound  # type: ignore[attr-defined]
    assert [rebound(1), rebound(2)] == [20, 30]


def test_another_release_is_refused_so_that_sglang_notices(
    made: tuple[Pack, Plan], tmp_path: Path, sglang: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = imported(export(*made, RELEASE, tmp_path / "out"), monkeypatch)
    monkeypatch.setattr(metadata, "version", lambda name: "0.5.18")
    with pytest.raises(SystemExit, match=r"exported for SGLang 0\.5\.17, this is 0\.5\.18"):
        plugin.register()
    assert sglang.registered == {}


def test_a_target_that_is_gone_ends_the_process(
    made: tuple[Pack, Plan], tmp_path: Path, sglang: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = imported(export(*made, RELEASE, tmp_path / "out"), monkeypatch)
    monkeypatch.delattr(sys.modules["sglang.srt.layers.layernorm"], "RMSNorm")
    with pytest.raises(SystemExit, match="RMSNorm"):
        plugin.register()


def test_what_hooks_cannot_do_is_refused(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    patch = '[[patch]]\ntask = "fused_experts"\nfile = "kernel.py"\nsymbol = "Norm"\nseam = "tuning"\n'
    with pytest.raises(PackError, match="no hook for the tuning seam"):
        export(*write_pack(tmp_path / "tuned", patch), RELEASE, tmp_path / "out")
    with pytest.raises(EngineError, match="vllm has no hooks"):
        get_exporter("vllm")


def test_nothing_is_overwritten(made: tuple[Pack, Plan], tmp_path: Path) -> None:
    export(*made, RELEASE, tmp_path / "out")
    with pytest.raises(UsageError, match="already there"):
        export(*made, RELEASE, tmp_path / "out")
