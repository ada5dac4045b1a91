"""The inside of a vLLM process: what the overlay hooks into, and where vLLM keeps it (0.26 to 0.33)."""

from __future__ import annotations

import copy
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
from fk_overlay.engines.users import users
from fk_overlay.engines.vllm import ENGINE, forced
from fk_overlay.engines.vllm.resolved import resolved_config
from fk_overlay.errors import SeamError
from fk_overlay.overlay.imports import Watcher
from fk_overlay.plan import Plan

ROLES = (("EngineCore", "engine_core"), ("Worker", "worker"), ("ApiServer", "api"))
"""Part of a multiprocessing name -> role. The main process is the API server, or all of vLLM in one process."""


class VllmHost:
    """See :class:`fk_overlay.overlay.host.Host`."""

    engine = "vllm"

    def __init__(self) -> None:
        self._watcher = Watcher()

    def version(self) -> str:
        return ENGINE.version()

    def source_root(self) -> Path:
        return ENGINE.source_root()

    def role(self) -> str:
        name = current_process().name
        return next((role for part, role in ROLES if part in name), "main")

    def gpus(self) -> tuple[str, ...]:
        return gpus.names()

    def enter(self, plan: Plan) -> None:
        """Forced decode wherever this release samples, which does nothing without forced requests; and dummy weights
        that can tell a right kernel from a wrong one."""
        if plan.purpose == "production":
            return
        for name, support in {**forced.SUPPORT, "vllm.model_executor.model_loader.dummy_loader": give_meaning}.items():
            self._watcher.after(name, support)

    def on_rank(self, tell: Callable[[int, int, dict[str, Any]], None]) -> None:
        def hook(module: ModuleType) -> None:
            init = module.WorkerBase.__init__

            @functools.wraps(init)
            def patched(self: Any, vllm_config: Any, local_rank: int, rank: int, *args: Any, **kwargs: Any) -> None:
                init(self, vllm_config, local_rank, rank, *args, **kwargs)
                tell(rank, vllm_config.parallel_config.world_size, resolved_config(vllm_config))

            module.WorkerBase.__init__ = patched

        self._watcher.after("vllm.v1.worker.worker_base", hook)

    def on_loaded(self, tell: Callable[[Any], None]) -> None:
        def hook(module: ModuleType) -> None:
            load = module.BaseModelLoader.load_model

            @functools.wraps(load)
            def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
                model = load(self, *args, **kwargs)
                tell(model)
                return model

            module.BaseModelLoader.load_model = patched

        self._watcher.after("vllm.model_executor.model_loader.base_loader", hook)

    def users(self, model: Any, owner: type) -> Iterable[Any]:
        return users(model, owner)

    def register_model(self, architecture: str, module: str, name: str) -> None:
        def hook(registry: ModuleType) -> None:
            registry.ModelRegistry.register_model(architecture, f"{module}:{name}")

        self._watcher.after("vllm.model_executor.models.registry", hook)

    def use_tuned_configs(self, folder: Path, asked: Asked) -> str:
        """vLLM looks into ``VLLM_TUNED_CONFIG_FOLDER`` first, then among its own."""
        held = tuned.read(folder)
        taken = os.environ.get("VLLM_TUNED_CONFIG_FOLDER")
        if taken and Path(taken) != folder:
            raise SeamError(
                f"VLLM_TUNED_CONFIG_FOLDER={taken} is set; unset it, the pack brings its own configurations"
            )
        os.environ["VLLM_TUNED_CONFIG_FOLDER"] = str(folder)
        self._watcher.after(
            "vllm.model_executor.layers.fused_moe.fused_moe", lambda module: watch_lookups(module, held, asked)
        )
        return "VLLM_TUNED_CONFIG_FOLDER"

    def provide_ir(
        self, path: str, provider: str, kernel: Callable[..., Any], supports: Callable[..., bool] | None
    ) -> None:
        """Register the provider and put it first whenever vLLM sets the operator's priority for the worker's
        lifetime."""
        operator = _operator(path)
        operator.register_impl(provider, supports_args=supports)(kernel)
        set_default = operator.set_default
        operator.set_default = lambda priority: set_default(
            [provider, *(each for each in priority if each != provider)]
        )

    def watch_ir(self, path: str, recording: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Watch what ``dispatch`` chooses: vLLM's own calls of a provider go through it, in place and not."""
        operator, watched = _operator(path), {}
        dispatch = operator.dispatch

        def dispatch_watched(*args: Any, **kwargs: Any) -> Any:
            chosen = dispatch(*args, **kwargs)
            if chosen.provider not in watched:
                watched[chosen.provider] = copy.copy(chosen)
                watched[chosen.provider].impl_fn = recording(chosen.impl_fn)
            return watched[chosen.provider]

        operator.dispatch = dispatch_watched


def _operator(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def give_meaning(module: ModuleType) -> None:
    """Wrap ``DummyModelLoader.load_weights``; weights are drawn before they are laid out for kernels."""
    loader: Any = module.DummyModelLoader
    load: Callable[..., None] = loader.load_weights

    @functools.wraps(load)
    def load_meaningfully(self: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        load(self, model, *args, **kwargs)
        dummy_weights.draw(model, tensor_rank())

    loader.load_weights = load_meaningfully


def tensor_rank() -> int:
    from vllm.distributed import get_tensor_model_parallel_rank

    return int(get_tensor_model_parallel_rank())


HOST = VllmHost()
