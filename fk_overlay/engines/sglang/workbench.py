"""SGLang's layers one by one: its configuration and a group of one rank, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Module
from fk_overlay.capture.values import Values
from fk_overlay.engines import llama_config as llama
from fk_overlay.engines import rebuild
from fk_overlay.engines.gpus import names
from fk_overlay.engines.sequences import Step, ending
from fk_overlay.engines.sglang import moe_config as moe
from fk_overlay.engines.sglang.environment import CPU_ARGUMENTS, CPU_ENGINE
from fk_overlay.engines.workbench import Pages

if TYPE_CHECKING:
    from torch import Tensor


MAKERS: Mapping[str, rebuild.Maker] = {llama.CLASS: llama.llama_config, moe.CLASS: moe.qwen3_moe_config}
"""What constructors were given and a capture can only name."""


class SglangWorkbench:
    """See :class:`fk_overlay.engines.workbench.Workbench`."""

    preloaded: tuple[str, ...] = ("fk_overlay.engines.sglang.preloaded",)

    caches: tuple[str, ...] = ()
    batch = "forward_batch"

    def env(self) -> Mapping[str, str]:
        return {"HF_HUB_OFFLINE": "1", **({} if names() else {CPU_ENGINE: "1"})}

    def opened(self, folder: Path, dtype: str) -> AbstractContextManager[None]:
        return _opened(folder, dtype)

    def settle(self) -> None:
        return None

    def build(self, recipe: Module, tensors: Mapping[str, Tensor]) -> Any:
        module = rebuild.build(recipe, tensors, MAKERS)
        for part in module.modules() if hasattr(module, "modules") else ():
            self._finish(getattr(part, "quant_method", None), part)
        return module

    def step(self, values: Values) -> Step | None:
        batch = next((each for each in (*values.args, *values.kwargs.values()) if hasattr(each, "out_cache_loc")), None)
        if batch is None:
            return None
        ends = batch.seq_lens.tolist()
        rows = batch.extend_seq_lens.tolist() if hasattr(batch, "extend_seq_lens") else [1] * len(ends)
        return ending(rows, ends)

    def pages(self, module: Any, recipe: Module, step: Step) -> Pages:
        from fk_overlay.engines.sglang.pages import SglangPages

        return SglangPages(module, recipe, step)

    def attach(self, owner: Any, module: Any) -> None:
        module.quant_method = owner
        self._finish(owner, module)

    def _finish(self, method: Any, module: Any) -> None:
        """What SGLang does to a layer after its weights are loaded."""
        if method is not None and hasattr(method, "process_weights_after_loading"):
            method.process_weights_after_loading(module)


@contextmanager
def _opened(folder: Path, dtype: str) -> Iterator[None]:
    """SGLang reads sizes of a model from its arguments; a small one is described in the folder."""
    import torch
    from sglang.srt import runtime_context
    from sglang.srt.distributed import parallel_state
    from sglang.srt.layers import dp_attention
    from sglang.srt.server_args import ServerArgs
    from transformers import LlamaConfig

    torch.set_default_dtype(getattr(torch, dtype))
    config = LlamaConfig(hidden_size=64, num_attention_heads=2, num_hidden_layers=1, architectures=["LlamaForCausalLM"])
    config.save_pretrained(folder / "model")
    wanted = {} if names() else CPU_ARGUMENTS
    arguments = ServerArgs(model_path=str(folder / "model"), skip_tokenizer_init=True, **wanted)
    runtime_context.publish(arguments, role="scheduler")
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(0)
    parallel_state.init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, backend=backend)
    parallel_state.initialize_model_parallel(1)
    model = _ModelFacts(config, config.hidden_size, getattr(torch, dtype))
    dp_attention.initialize_dp_attention(arguments, model)
    yield


class _ModelFacts:
    """What SGLang's attention groups ask of a model's configuration."""

    def __init__(self, hf_config: Any, hidden_size: int, dtype: Any) -> None:
        self.hf_config, self.hidden_size, self.dtype = hf_config, hidden_size, dtype


WORKBENCH = SglangWorkbench()
