"""A small engine, written to a folder: the shapes of vLLM's extension points, and a host that speaks for it."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from fk_overlay.contract import store
from fk_overlay.contract.definition import find
from fk_overlay.core import Contract
from fk_overlay.overlay.imports import Watcher

VERSION = "1.2.0"

SOURCES = {
    "__init__": "",
    "arithmetic": """
def double(x, by=2):
    return x * by
""",
    "early": "from toy.arithmetic import double as twice",
    "late": "from toy.arithmetic import double",
    "layers": """
import torch


class Norm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bound = self.forward_native

    def forward_native(self, x, residual=None):
        return x + 1 if residual is None else x + residual

    @staticmethod
    def scale(x, by=2.0):
        return x * by

    def forward(self, x, residual=None):
        return self.bound(x, residual)


class Child(Norm):
    def forward(self, x, residual=None):
        return super().forward(x, residual) * 10
""",
    "ir": """
class Operator:
    def __init__(self, native):
        self.native, self.providers = native, []

    def __call__(self, *args, **kwargs):
        for name, kernel, supports in self.providers:
            if supports is None or supports(*args, **kwargs):
                return kernel(*args, **kwargs)
        return self.native(*args, **kwargs)


@Operator
def rms_norm(x, eps=1e-6):
    return x + 1
""",
    "tuning": """
import json
import os
import pathlib


def get_configs(name):
    path = pathlib.Path(os.environ.get("TOY_TUNED_FOLDER", "nowhere")) / name
    return json.loads(path.read_text()) if path.is_file() else None
""",
    "registry": """
CLASSES = {}
""",
    "models": """
import torch
from toy.layers import Child, Norm


class ToyForCausalLM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.child = Norm(), Norm(), Child()

    def forward(self, x):
        return self.child(self.second(self.first(x)))
""",
    "optional": """
try:
    import toy.layers
    PRESENT = True
except Exception:
    PRESENT = False
""",
}


class ToyHost:
    """See :class:`fk_overlay.overlay.host.Host`. Scripts play the engine by calling ``become_rank`` and ``loaded``."""

    engine = "toy"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._watcher = Watcher()
        self.become_rank: Callable[[int, int, dict[str, Any]], None]
        self.loaded: Callable[[Any], None]
        self.entered: list[str] = []

    def version(self) -> str:
        return VERSION

    def source_root(self) -> Path:
        return self._root

    def role(self) -> str:
        return "worker"

    def gpus(self) -> tuple[str, ...]:
        return ("NVIDIA Toy 80GB",)

    def enter(self, plan: Any) -> None:
        self.entered.append(plan.arm)

    def on_rank(self, tell: Callable[[int, int, dict[str, Any]], None]) -> None:
        self.become_rank = tell

    def on_loaded(self, tell: Callable[[Any], None]) -> None:
        self.loaded = tell

    def users(self, model: Any, owner: type) -> Iterable[Any]:
        return [module for module in model.modules() if isinstance(module, owner)]

    def register_model(self, architecture: str, module: str, name: str) -> None:
        def hook(registry: ModuleType) -> None:
            registry.CLASSES[architecture] = getattr(importlib.import_module(module), name)

        self._watcher.after("toy.registry", hook)

    def use_tuned_configs(self, folder: Path, asked: Callable[[str, bool], None]) -> str:
        os.environ["TOY_TUNED_FOLDER"] = str(folder)

        def hook(tuning: ModuleType) -> None:
            look_up = tuning.get_configs

            def counted(name: str) -> Any:
                configs = look_up(name)
                asked(name, configs is not None)
                return configs

            tuning.get_configs = counted

        self._watcher.after("toy.tuning", hook)
        return "TOY_TUNED_FOLDER"

    def provide_ir(
        self, path: str, provider: str, kernel: Callable[..., Any], supports: Callable[..., bool] | None
    ) -> None:
        module, _, name = path.partition(":")
        getattr(importlib.import_module(module), name).providers.insert(0, (provider, kernel, supports))


def write_engine(root: Path, **changed: str) -> Path:
    folder = root / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in {**SOURCES, **changed}.items():
        (folder / f"{name}.py").write_text(source)
    return root


def write_task(root: Path, name: str, path: str, seam: str = "method", members: Iterable[str] = ()) -> Path:
    """A task for the engine that lies in ``root``, with its contract as that engine looks now."""
    folder = root / "tasks" / "L1" / name
    folder.mkdir(parents=True)
    members = list(members)
    (folder / "task.toml").write_text(
        f'name = "{name}"\nlevel = "L1"\nsummary = "a toy"\nfamilies = ["dense"]\n'
        f'[[target]]\nengine = "toy"\nversions = ">=1.0,<2.0"\npath = "{path}"\nseam = "{seam}"\n'
        f"members = {json.dumps(members)}\n"
    )
    places = [f"{path}.{member}" for member in members] or [path]
    store.write(folder, Contract("toy", VERSION, {place: find(root, place).fingerprint for place in places}))
    return folder


def write_pack(root: Path, name: str, patches: Iterable[tuple[str, str, str]], head: str = "", **files: str) -> Path:
    """A pack of ``(task, file, symbol)`` patches. ``files`` are Python modules by name."""
    folder = root / "patches" / name
    folder.mkdir(parents=True)
    entries = (f'[[patch]]\ntask = "{task}"\nfile = "{file}"\nsymbol = "{symbol}"\n' for task, file, symbol in patches)
    (folder / "pack.toml").write_text(f'name = "{name}"\nsummary = "a toy pack"\n' + "".join(entries) + head)
    for module, source in files.items():
        (folder / f"{module}.py").write_text(source)
    return folder
