"""The inside of an SGLang process: what the overlay hooks into, and where SGLang keeps it (0.5.17 to 0.5.23)."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable
from multiprocessing import current_process
from pathlib import Path
from types import ModuleType
from typing import Any

from fk_overlay import tuned
from fk_overlay.engines import dummy_weights, gpus
from fk_overlay.engines.moe_configs import Asked, watch_lookups
from fk_overlay.engines.sglang import ENGINE, config_dir, forced
from fk_overlay.engines.sglang.resolved import resolved_config
from fk_overlay.engines.users import users
from fk_overlay.errors import SeamError
from fk_overlay.overlay.imports import Watcher
from fk_overlay.plan import Plan

RUNNER = "sglang.srt.model_executor.model_runner"
MOE_CONFIGS = "sglang.srt.layers.moe.moe_runner.triton_utils.fused_moe_triton_config"


class SglangHost:
    """See :class:`fk_overlay.overlay.host.Host`."""

    engine = "sglang"

    def __init__(self) -> None:
        self._watcher = Watcher()

    def version(self) -> str:
        return ENGINE.version()

    def source_root(self) -> Path:
        return ENGINE.source_root()

    def role(self) -> str:
        """Of SGLang's child processes only schedulers load plugins."""
        return "main" if current_process().name == "MainProcess" else "scheduler"

    def gpus(self) -> tuple[str, ...]:
        return gpus.names()

    def enter(self, plan: Plan) -> None:
        """Forced decode, which does nothing without forced requests; and dummy weights that can tell a right kernel
        from a wrong one."""
        if plan.purpose == "production":
            return
        for name, support in {**forced.support(), "sglang.srt.model_loader.loader": give_meaning}.items():
            self._watcher.after(name, support)

    def on_rank(self, tell: Callable[[int, int, dict[str, Any]], None]) -> None:
        def before(runner: Any) -> None:
            tell(runner.ps.tp_rank, runner.ps.tp_size, resolved_config(runner.server_args))

        self._watcher.after(RUNNER, lambda module: _around_load(module, before=before))

    def on_loaded(self, tell: Callable[[Any], None]) -> None:
        self._watcher.after(RUNNER, lambda module: _around_load(module, after=lambda runner: tell(runner.model)))

    def users(self, model: Any, owner: type) -> Iterable[Any]:
        return users(model, owner)

    def register_model(self, architecture: str, module: str, name: str) -> None:
        """A model's own module may import SGLang's, which is why it waits until the registry is complete."""

        def hook(registry: ModuleType) -> None:
            registry.ModelRegistry.models[architecture] = getattr(importlib.import_module(module), name)

        self._watcher.after("sglang.srt.models.registry", hook)

    def use_tuned_configs(self, folder: Path, asked: Asked) -> str:
        """SGLang looks into ``SGLANG_MOE_CONFIG_DIR`` alone, where its own configurations are laid out as well.

        Raises:
            SeamError: a file says which Triton it was tuned with, which SGLang cannot read.
        """
        held = tuned.read(folder)
        if said := sorted(name for name, each in held.items() if each.triton is not None):
            raise SeamError(f"SGLang reads no {tuned.TRITON}; take that line out of {', '.join(said)} in {folder}")
        root, taken = str(config_dir.lay_out(folder, self.source_root())), os.environ.get("SGLANG_MOE_CONFIG_DIR")
        if taken and taken != root:  # schedulers inherit it from the main process, where it was set before
            raise SeamError(f"SGLANG_MOE_CONFIG_DIR={taken} is set; unset it, the pack brings its own configurations")
        os.environ["SGLANG_MOE_CONFIG_DIR"] = root
        self._watcher.after(MOE_CONFIGS, lambda module: watch_lookups(module, held, asked))
        return "SGLANG_MOE_CONFIG_DIR"

    def provide_ir(
        self, path: str, provider: str, kernel: Callable[..., Any], supports: Callable[..., bool] | None
    ) -> None:
        raise _no_ir(path)

    def watch_ir(self, path: str, recording: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        raise _no_ir(path)


def _no_ir(path: str) -> SeamError:
    return SeamError(f"SGLang has no IR operators such as {path}; give the task a target of another seam for sglang")


def give_meaning(module: ModuleType) -> None:
    """Wrap ``initialize_dummy_weights`` where the dummy loader calls it, before weights are laid out for kernels."""
    draw = module.initialize_dummy_weights

    @functools.wraps(draw)
    def draw_meaningfully(model: Any, *args: Any, **kwargs: Any) -> None:
        draw(model, *args, **kwargs)
        dummy_weights.draw(model, tensor_rank())

    module.initialize_dummy_weights = draw_meaningfully  # type: ignore[attr-defined]


def tensor_rank() -> int:
    from sglang.srt.distributed import get_tensor_model_parallel_rank

    return int(get_tensor_model_parallel_rank())


def _nothing(runner: Any) -> None:
    pass


def _around_load(
    module: ModuleType, before: Callable[[Any], None] = _nothing, after: Callable[[Any], None] = _nothing
) -> None:
    """Wrap ``ModelRunner.load_model``; the runner of a draft model is not the served one."""
    load = module.ModelRunner.load_model

    @functools.wraps(load)
    def around(runner: Any, *args: Any, **kwargs: Any) -> Any:
        if runner.is_draft_worker:
            return load(runner, *args, **kwargs)
        before(runner)
        result = load(runner, *args, **kwargs)
        after(runner)
        return result

    module.ModelRunner.load_model = around


HOST = SglangHost()
