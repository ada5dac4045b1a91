"""The oracles against vLLM's own classes on this CPU, within each task's own tolerance.

What needs a GPU (FusedTopKRouter, TritonExperts, moe_align_block_size) or a paged cache (attention and up) is not here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.contract.definition import find
from fk_overlay.contract.live import verify_live
from fk_overlay.contract.store import admitted
from fk_overlay.core import Case
from fk_overlay.errors import ContractError
from fk_overlay.integrity.calls import named, precise, results_of
from fk_overlay.integrity.elementwise import agree
from fk_overlay.integrity.oracle import as_tuple, load_oracle

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; the oracles are compared with it"),
]

SEED = 11
Call = Callable[..., Any]
Live = Callable[[Any], dict[str, Call]]
"""Builds the engine's object from a stand-in and names the ways to call it."""


@pytest.fixture(scope="module", autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """vLLM's configuration and a group of one rank, in this process."""
    torch.set_num_threads(1)
    rendezvous: Path = tmp_path_factory.mktemp("group") / "rendezvous"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VLLM_CPU_KVCACHE_SPACE", "VLLM_NO_USAGE_STATS", "HF_HUB_OFFLINE"):
            patch.setenv(name, "1")
        from vllm.config import CompilationConfig, VllmConfig, set_current_vllm_config
        from vllm.distributed import parallel_state

        config = VllmConfig(compilation_config=CompilationConfig(mode=0, custom_ops=["all"]))
        with set_current_vllm_config(config):
            parallel_state.init_distributed_environment(1, 0, f"file://{rendezvous}", 0, backend="gloo")
            parallel_state.initialize_model_parallel(1)
            yield
        parallel_state.destroy_model_parallel()
        parallel_state.destroy_distributed_environment()


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    wanted: torch.dtype = getattr(torch, request.param)
    torch.set_default_dtype(wanted)
    yield wanted
    torch.set_default_dtype(torch.float32)


def parameter(weight: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(weight.clone(), requires_grad=False)


def compare(name: str, dtype: torch.dtype, live: Live, wanted: Callable[[Case], bool] = lambda case: True) -> None:
    """Call the engine on every sample that it takes, on copies, and hold the results against the float64 oracle."""
    task = catalog.task(name)
    oracle = load_oracle(task)
    cases = [case for case in oracle.samples(SEED, dtype) if wanted(case)]
    assert len(cases) >= 2
    for number, case in enumerate(cases):
        truth = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
        for way, call in live(case.module).items():
            args = [it.clone() if isinstance(it, torch.Tensor) else it for it in case.args]
            results = oracle.canonical(case, as_tuple(call(*args, **case.kwargs)))
            assert len(results) == len(truth)
            for index, (result, reference) in enumerate(zip(results, truth, strict=True)):
                agreement = agree(result, reference, task.tolerance[str(dtype).removeprefix("torch.")])
                assert agreement.agrees, f"{way}, case {number}, result {index}: {agreement.reason}"


def test_rms_norm(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.layernorm import RMSNorm

    def live(module: Any) -> dict[str, Call]:
        norm = RMSNorm(
            module.hidden_size, module.variance_epsilon, module.variance_size_override, has_weight=module.has_weight
        )
        norm.weight = parameter(module.weight)
        return {"forward_native": norm.forward_native, "forward_cuda": norm.forward_cuda, "call": norm}

    compare("rms_norm", dtype, live)


def test_gemma_rms_norm(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.layernorm import GemmaRMSNorm

    def live(module: Any) -> dict[str, Call]:
        norm = GemmaRMSNorm(module.weight.numel(), module.variance_epsilon)
        norm.weight = parameter(module.weight)
        return {"forward_native": norm.forward_native, "forward_cuda": norm.forward_cuda}

    compare("gemma_rms_norm", dtype, live)


def test_silu_and_mul(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.activation import SiluAndMul

    act = SiluAndMul()
    compare("silu_and_mul", dtype, lambda module: {"native": act.forward_native, "cpu": act.forward_cpu})


def test_gelu_and_mul(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.activation import GeluAndMul

    def live(module: Any) -> dict[str, Call]:
        act = GeluAndMul(module.approximate)
        return {"native": act.forward_native, "cpu": act.forward_cpu}

    compare("gelu_and_mul", dtype, live)


def test_rotary_embedding(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    def live(module: Any) -> dict[str, Call]:
        rotary = RotaryEmbedding(
            module.head_size, module.rotary_dim, 64, 10_000, module.is_neox_style, module.cos_sin_cache.dtype
        )
        torch.testing.assert_close(rotary.cos_sin_cache, module.cos_sin_cache, rtol=0.01, atol=1e-5)
        rotary.cos_sin_cache = module.cos_sin_cache
        return {"native": rotary.forward_native, "cpu": rotary.forward_cpu}

    compare("rotary_embedding", dtype, live)


def test_vocab_parallel_embedding(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    def live(module: Any) -> dict[str, Call]:
        table = VocabParallelEmbedding(module.org_vocab_size, module.embedding_dim)
        assert table.weight.shape == module.weight.shape
        table.weight.data.copy_(module.weight)
        return {"forward": table.forward}

    compare("vocab_parallel_embedding", dtype, live)


def test_linear(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.linear import UnquantizedLinearMethod

    @cache
    def packed(weight: torch.Tensor) -> torch.nn.Module:
        layer = torch.nn.Module()
        layer.weight = parameter(weight)
        UnquantizedLinearMethod().process_weights_after_loading(layer)
        return layer

    def apply(layer: Any, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return UnquantizedLinearMethod().apply(packed(layer.weight), x, bias)

    compare("linear", dtype, lambda module: {"apply": apply})


def test_topk_topp_sampling() -> None:
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p, apply_top_k_top_p_pytorch

    ways = {"function": apply_top_k_top_p, "by sorting": apply_top_k_top_p_pytorch}
    compare("topk_topp_sampling", torch.float32, lambda module: ways)


def test_moe_topk_routing(dtype: torch.dtype) -> None:
    from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

    def live(module: Any) -> dict[str, Call]:
        router = CPURouter(module.top_k, 0, renormalize=module.renormalize, scoring_func=module.scoring_func)
        return {"_compute_routing": router._compute_routing}

    compare("moe_topk_routing", dtype, live)


def load(linear: Any, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
    """Give a live linear layer its weights and let it pack them."""
    linear.weight.data.copy_(weight)
    if bias is not None:
        linear.bias.data.copy_(bias)
    linear.quant_method.process_weights_after_loading(linear)


@pytest.mark.parametrize("owner", ["llama.LlamaMLP", "mistral.MistralMLP", "qwen2.Qwen2MLP"])
def test_llama_mlp(dtype: torch.dtype, owner: str) -> None:
    module_name, _, name = owner.partition(".")
    models = import_module(f"vllm.model_executor.models.{module_name}")
    numbers = iter(range(100))

    def live(module: Any) -> dict[str, Call]:
        up, down = module.gate_up_proj, module.down_proj
        bias = {} if up.bias is None else {"bias": True}
        mlp = getattr(models, name)(
            up.weight.shape[1], down.weight.shape[1], "silu", prefix=f"{owner}.{dtype}.{next(numbers)}", **bias
        )
        load(mlp.gate_up_proj, up.weight, up.bias)
        load(mlp.down_proj, down.weight, down.bias)
        return {"forward": mlp.forward}

    compare("llama_mlp", dtype, live, lambda case: name != "Qwen2MLP" or case.module.down_proj.bias is None)


def test_moe_block(dtype: torch.dtype) -> None:
    """Mixtral's block, which renormalises and has no shared expert, on vLLM's packed CPU experts."""
    from vllm.config import get_current_vllm_config
    from vllm.forward_context import set_forward_context
    from vllm.model_executor.models.mixtral import MixtralMoE

    numbers = iter(range(100))

    def live(module: Any) -> dict[str, Call]:
        experts: SimpleNamespace = module.experts.routed_experts
        count, hidden, inner = experts.w2_weight.shape
        prefix = f"layers.{next(numbers)}.{dtype}"
        block = MixtralMoE(count, experts.top_k, hidden, inner, params_dtype=dtype, prefix=prefix)
        load(block.gate, module.gate.weight)
        routed = block.experts.routed_experts
        routed.w13_weight.data.copy_(experts.w13_weight)
        routed.w2_weight.data.copy_(experts.w2_weight)
        routed.quant_method.process_weights_after_loading(routed)

        def forward(x: torch.Tensor) -> torch.Tensor:
            with set_forward_context(None, get_current_vllm_config()):
                return block(x)

        return {"forward": forward}

    def taken(case: Case) -> bool:
        return case.module.experts.routed_experts.renormalize and not hasattr(case.module, "shared_expert")

    compare("moe_block", dtype, live, taken)


def test_every_target_is_live_as_its_source_defines_it() -> None:
    import vllm

    root = Path(vllm.__file__).parents[1]
    version = vllm.__version__
    places = [
        (target, place)
        for task in catalog.tasks().values()
        for target in admitted(task, "vllm", version)
        for place in target.places
    ]
    assert len(places) > 20
    for target, place in places:
        owner: Any = import_module(target.module)
        for name in place.partition(":")[2].split("."):
            owner = inspect.getattr_static(owner, name)
        live = owner.impls["native"].impl_fn if target.seam == "ir" else owner
        verify_live(place, live, find(root, place))


def test_a_wrapper_around_a_live_target_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm
    from vllm.model_executor.layers.layernorm import RMSNorm

    place = "vllm.model_executor.layers.layernorm:RMSNorm.forward_native"
    original = RMSNorm.forward_native
    monkeypatch.setattr(RMSNorm, "forward_native", wraps(original)(lambda self, *args: original(self, *args)))
    with pytest.raises(ContractError, match=r"test_tasks_against_vllm\.py"):
        verify_live(place, RMSNorm.forward_native, find(Path(vllm.__file__).parents[1], place))
