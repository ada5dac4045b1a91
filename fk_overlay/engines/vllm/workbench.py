"""vLLM's layers one by one: its configuration and a group of one rank, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Module
from fk_overlay.capture.values import Values
from fk_overlay.engines import rebuild
from fk_overlay.engines.llama_config import CLASS, attention_of, llama_config
from fk_overlay.engines.sequences import Step, ending
from fk_overlay.engines.vllm import model_config
from fk_overlay.engines.workbench import Pages

if TYPE_CHECKING:
    from torch import Tensor


class VllmWorkbench:
    """See :class:`fk_overlay.engines.workbench.Workbench`."""

    preloaded: tuple[str, ...] = (
        "vllm",
        "vllm.entrypoints.llm",
        "vllm.v1.executor.abstract",
        "vllm.forward_context",
        "vllm.model_executor.layers.linear",
        "vllm.model_executor.layers.layernorm",
        "vllm.platforms.cpu",
    )

    caches: tuple[str, ...] = ("VLLM_CACHE_ROOT",)
    batch = ""

    def env(self) -> Mapping[str, str]:
        return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}

    def opened(self, folder: Path, dtype: str) -> AbstractContextManager[None]:
        return _opened(folder, dtype)

    def settle(self) -> None:
        """Choose the providers of IR operators, as vLLM's workers do: on a GPU the baseline of a norm is not the native
        one."""
        import vllm.ir
        from vllm.config import get_current_vllm_config

        config = get_current_vllm_config()
        config.kernel_config.ir_op_priority.set_default()
        vllm.ir.set_default_torch_wrap(config.compilation_config.ir_enable_torch_wrap)

    def build(self, recipe: Module, tensors: Mapping[str, Tensor]) -> Any:
        if attention_of(recipe) is not None:
            model_config.set_model(recipe)
            recipe = model_config.served(recipe)
        module = rebuild.build(recipe, {}, MAKERS)
        for path, tensor in _laid_out(module, tensors).items():
            rebuild.place(module, path, tensor)
        for part in module.modules() if hasattr(module, "modules") else ():
            method = getattr(part, "quant_method", None)
            if method is not None and hasattr(method, "process_weights_after_loading"):
                method.process_weights_after_loading(part)
        return module

    def step(self, values: Values) -> Step | None:
        batch = values.surroundings.get("context")
        if batch is None:
            return None
        return ending(batch.query_start_loc.diff().tolist(), batch.seq_lens.tolist())

    def pages(self, module: Any, recipe: Module, step: Step) -> Pages:
        from fk_overlay.engines.vllm.pages import VllmPages

        return VllmPages(module, recipe, step)

    def attach(self, owner: Any, module: Any) -> None:
        if hasattr(owner, "process_weights_after_loading"):
            module.quant_method = owner
            owner.process_weights_after_loading(module)


@contextmanager
def _opened(folder: Path, dtype: str) -> Iterator[None]:
    import torch
    from vllm.config import (
        CompilationConfig,
        CUDAGraphMode,
        VllmConfig,
        get_current_vllm_config,
        set_current_vllm_config,
    )
    from vllm.distributed import parallel_state
    from vllm.forward_context import set_forward_context

    torch.set_default_dtype(getattr(torch, dtype))
    alone = CompilationConfig(mode=0, custom_ops=["all"], cudagraph_mode=CUDAGraphMode.NONE)
    config = VllmConfig(compilation_config=alone)
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(0)
    with set_current_vllm_config(config):
        parallel_state.init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, backend=backend)
        parallel_state.initialize_model_parallel(1)
        with set_forward_context(None, get_current_vllm_config()):
            yield


def _laid_out(module: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that a module holds under two names are placed once."""
    known = {id(weight): path for path, weight in module.named_parameters()} if hasattr(module, "modules") else {}
    shared = (
        {path for path in tensors if path in dict(module.named_parameters(remove_duplicate=False))} if known else {}
    )
    once = set(known.values())
    return {path: tensor for path, tensor in tensors.items() if path not in shared or path in once}


def _config_for(recipe: Module) -> Any:
    """The current configuration; for a mixture block that of a model with such blocks, by the sizes of its weights."""
    from vllm.config import get_current_vllm_config

    shapes = {tensor.name: tensor.shape for tensor in recipe.tensors}
    current = get_current_vllm_config()
    w2, routed = shapes.get("experts.routed_experts.w2_weight"), "experts.routed_experts"
    if w2 is None:
        return current
    router = "experts.router" if "experts.router.top_k" in recipe.attributes else routed
    text = SimpleNamespace(
        num_experts=w2[0],
        hidden_size=w2[1],
        moe_intermediate_size=w2[2],
        num_experts_per_tok=recipe.attributes.get(f"{router}.top_k"),
        norm_topk_prob=recipe.attributes.get(f"{router}.renormalize"),
        hidden_act="silu",
    )
    return SimpleNamespace(
        model_config=SimpleNamespace(hf_text_config=text, hf_config=text),
        parallel_config=current.parallel_config,
        quant_config=None,
    )


def _current(setting: str) -> rebuild.Maker:
    def make(recipe: Module) -> Any:
        from vllm.config import get_current_vllm_config

        return getattr(get_current_vllm_config(), setting)

    return make


MAKERS: Mapping[str, rebuild.Maker] = {
    "vllm.config.vllm:VllmConfig": _config_for,
    "vllm.config.cache:CacheConfig": _current("cache_config"),
    CLASS: llama_config,
}
WORKBENCH = VllmWorkbench()
