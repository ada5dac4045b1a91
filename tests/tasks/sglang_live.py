"""Run by test_tasks_against_sglang in SGLang's own environment, in a process of its own.

Prints ``task dtype way agrees`` for every way of calling a live target that agreed with the oracle on every sample, and
``task dtype way case N: reason`` for one that did not; ``drawn way agrees`` for draws; ``target PLACE`` for every place
that is live as its source defines it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from fk_overlay.engines.sglang import standins

standins.install()

import sglang  # noqa: E402
import torch  # noqa: E402
from sglang.srt import runtime_context  # noqa: E402
from sglang.srt.distributed import parallel_state  # noqa: E402
from sglang.srt.layers import activation, dp_attention, layernorm, linear, radix_attention, sampler  # noqa: E402
from sglang.srt.layers.moe.topk import TopK  # noqa: E402
from sglang.srt.layers.quantization.unquant import UnquantizedLinearMethod  # noqa: E402
from sglang.srt.layers.rotary_embedding.base import RotaryEmbedding  # noqa: E402
from sglang.srt.layers.vocab_parallel_embedding import VocabParallelEmbedding  # noqa: E402
from sglang.srt.model_executor.forward_batch_info import ForwardMode  # noqa: E402
from sglang.srt.models import llama, mixtral, qwen2, qwen3_moe  # noqa: E402
from sglang.srt.server_args import ServerArgs  # noqa: E402
from transformers import LlamaConfig, Qwen3MoeConfig  # noqa: E402

from fk_overlay import catalog  # noqa: E402
from fk_overlay.contract.definition import find  # noqa: E402
from fk_overlay.contract.live import verify_live  # noqa: E402
from fk_overlay.contract.store import admitted  # noqa: E402
from fk_overlay.core import Case  # noqa: E402
from fk_overlay.integrity import formulas  # noqa: E402
from fk_overlay.integrity.calls import named, precise, results_of  # noqa: E402
from fk_overlay.integrity.distribution import Draws  # noqa: E402
from fk_overlay.integrity.elementwise import agree  # noqa: E402
from fk_overlay.integrity.oracle import as_tuple, load_oracle  # noqa: E402

MODEL = Path(__file__).parents[1] / "models/tiny-llama"
SEED = 11
DTYPES = (torch.float32, torch.bfloat16)
BATCH = SimpleNamespace(forward_mode=ForwardMode.EXTEND)

Ways = Mapping[str, Callable[..., Any]]
"""How a live target can be called, by name."""
Build = Callable[[Any], tuple[Any, Ways]]
"""Makes the engine's own object from a stand-in."""
Words = Callable[[Case], tuple[Any, ...]]
"""The arguments of a sample as SGLang passes them."""
plain: Words = lambda case: case.args  # noqa: E731


def start(folder: Path) -> None:
    """SGLang's configuration and a group of one rank, in this process."""
    torch.set_num_threads(1)
    arguments = ServerArgs(
        model_path=str(MODEL), device="cpu", attention_backend="torch_native", disable_cuda_graph=True
    )
    runtime_context.publish(arguments, role="scheduler")
    parallel_state.init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, backend="gloo")
    parallel_state.initialize_model_parallel(1)
    dp_attention.initialize_dp_attention(
        arguments, SimpleNamespace(hf_config=LlamaConfig(), hidden_size=64, dtype=torch.float32)
    )


def compare(
    name: str,
    dtype: torch.dtype,
    build: Build,
    wanted: Callable[[Case], bool] = lambda case: True,
    words: Words = plain,
    **asked: Any,
) -> None:
    """Call the live target on every sample that it takes, on copies, and hold the results against the float64 oracle,
    which reads the live target's own attributes."""
    torch.set_default_dtype(dtype)
    task = catalog.task(name)
    oracle = load_oracle(task)
    tolerance = task.tolerance[str(dtype).removeprefix("torch.")]
    said: dict[str, str] = {}
    cases = [case for case in oracle.samples(SEED, dtype) if wanted(case)]
    assert len(cases) >= 2
    for number, sample in enumerate(cases):
        subject, ways = build(sample.module)
        args = words(sample)
        case = oracle.restated("sglang", Case(subject, args, asked))
        truth = oracle.canonical(case, results_of(oracle, precise(named(oracle, case))))
        for way, call in ways.items():
            copies = [it.clone() if isinstance(it, torch.Tensor) else it for it in args]
            results = oracle.canonical(case, as_tuple(call(*copies, **asked)))
            reasons = [agree(*pair, tolerance).reason for pair in zip(results, truth, strict=True)]
            said.setdefault(way, next((f"case {number}: {reason}" for reason in reasons if reason), ""))
    for way, reason in said.items():
        print(name, str(dtype).removeprefix("torch."), way, reason or "agrees")
    torch.set_default_dtype(torch.float32)


def parameter(weight: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(weight.clone(), requires_grad=False)


def members(live: Any) -> tuple[Any, Ways]:
    """A live layer, called by the methods that a CPU can run, and as its callers do."""
    return live, {"forward_native": live.forward_native, "forward_cpu": live.forward_cpu, "call": live}


def rms_norm(module: Any) -> tuple[Any, Ways]:
    norm = layernorm.RMSNorm(
        module.hidden_size, module.variance_epsilon, module.variance_size_override, has_weight=module.has_weight
    )
    norm.weight = parameter(module.weight)
    return members(norm)


def gemma_rms_norm(module: Any) -> tuple[Any, Ways]:
    norm = layernorm.GemmaRMSNorm(module.weight.numel(), module.variance_epsilon)
    norm.weight = parameter(module.weight)
    return members(norm)


def rotary_embedding(module: Any) -> tuple[Any, Ways]:
    rotary = RotaryEmbedding(
        module.head_size, module.rotary_dim, 64, 10_000, module.is_neox_style, module.cos_sin_cache.dtype
    )
    torch.testing.assert_close(rotary.cos_sin_cache, module.cos_sin_cache, rtol=0.01, atol=1e-5)
    rotary.cos_sin_cache = module.cos_sin_cache
    return members(rotary)


def vocab_parallel_embedding(module: Any) -> tuple[Any, Ways]:
    table = VocabParallelEmbedding(module.org_vocab_size, module.embedding_dim)
    assert table.weight.shape == module.weight.shape
    table.weight.data.copy_(module.weight)
    return table, {"forward": table.forward}


def linear_method(module: Any) -> tuple[Any, Ways]:
    method = UnquantizedLinearMethod()
    return method, {"apply": method.apply}


def moe_topk_routing(module: Any) -> tuple[Any, Ways]:
    topk = TopK(module.top_k, renormalize=module.renormalize, scoring_func=module.scoring_func)
    return members(topk)


def fill(layer: linear.LinearBase, module: Any) -> None:
    layer.weight.data.copy_(module.weight)
    if module.bias is not None:
        layer.bias.data.copy_(module.bias)
    layer.quant_method.process_weights_after_loading(layer)


def mlp(owner: type, module: Any) -> tuple[Any, Ways]:
    inner, hidden = module.down_proj.weight.shape[1], module.down_proj.weight.shape[0]
    live = owner(hidden, inner, "silu")
    fill(live.gate_up_proj, module.gate_up_proj)
    fill(live.down_proj, module.down_proj)
    return live, {f"{owner.__name__}.forward": live.forward}


def experts(live: Any, module: Any) -> tuple[Any, Ways]:
    routed = module.experts.routed_experts
    live.gate.weight.data.copy_(module.gate.weight)
    live.experts.w13_weight.data.copy_(routed.w13_weight)
    live.experts.w2_weight.data.copy_(routed.w2_weight)
    live.experts.quant_method.process_weights_after_loading(live.experts)
    return live, {f"{type(live).__name__}.forward": live.forward}


def mixtral_block(module: Any) -> tuple[Any, Ways]:
    routed = module.experts.routed_experts
    count, hidden, inner = routed.w2_weight.shape
    return experts(mixtral.MixtralMoE(count, routed.top_k, hidden, inner, layer_id=0), module)


def qwen3_block(module: Any) -> tuple[Any, Ways]:
    routed = module.experts.routed_experts
    count, hidden, inner = routed.w2_weight.shape
    config = Qwen3MoeConfig(
        num_experts=count,
        num_experts_per_tok=routed.top_k,
        hidden_size=hidden,
        moe_intermediate_size=inner,
        norm_topk_prob=routed.renormalize,
    )
    return experts(qwen3_moe.Qwen3MoeSparseMoeBlock(0, config), module)


def llama_config(attention: Any, hidden: int, inner: int = 64) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_attention_heads=attention.num_heads,
        num_key_value_heads=attention.num_kv_heads,
        head_dim=attention.head_dim,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        attention_bias=attention.qkv_proj.bias is not None,
    )


def fill_attention(live: Any, module: Any) -> None:
    fill(live.qkv_proj, module.qkv_proj)
    live.o_proj.weight.data.copy_(module.o_proj.weight)
    if live.o_proj.bias is not None:
        live.o_proj.bias.data.zero_()
    live.rotary_emb.cos_sin_cache = module.rotary_emb.cos_sin_cache


def attention(module: Any) -> tuple[Any, Ways]:
    hidden = module.o_proj.weight.shape[0]
    live = llama.LlamaAttention(
        llama_config(module, hidden),
        hidden,
        module.num_heads,
        module.num_kv_heads,
        max_position_embeddings=64,
        bias=module.qkv_proj.bias is not None,
    )
    fill_attention(live, module)
    return live, {"forward": live.forward}


def decoder_layer(module: Any) -> tuple[Any, Ways]:
    hidden, inner = module.mlp.down_proj.weight.shape
    live = llama.LlamaDecoderLayer(llama_config(module.self_attn, hidden, inner))
    fill_attention(live.self_attn, module.self_attn)
    fill(live.mlp.gate_up_proj, module.mlp.gate_up_proj)
    fill(live.mlp.down_proj, module.mlp.down_proj)
    live.input_layernorm.weight = parameter(module.input_layernorm.weight)
    live.post_attention_layernorm.weight = parameter(module.post_attention_layernorm.weight)
    return live, {"forward": live.forward}


class OneSequence:
    """In the place of SGLang's attention backends, which need a cache: one sequence, all of it in this call."""

    def forward(self, q: Any, k: Any, v: Any, layer: Any, *rest: Any, **options: Any) -> torch.Tensor:
        heads, kv_heads = layer.tp_q_head_num, layer.tp_k_head_num
        q, k, v = (it.reshape(it.shape[0], -1) for it in (q, k, v))
        return formulas.causal_attention(q, k, v, heads, kv_heads, layer.scaling)


def check_operators(dtype: torch.dtype) -> None:
    compare("rms_norm", dtype, rms_norm)
    compare("gemma_rms_norm", dtype, gemma_rms_norm)
    compare("silu_and_mul", dtype, lambda module: members(activation.SiluAndMul()))
    compare("gelu_and_mul", dtype, lambda module: members(activation.GeluAndMul(module.approximate)))
    compare("rotary_embedding", dtype, rotary_embedding, lambda case: case.args[2:] not in ((), (None,)))
    compare("vocab_parallel_embedding", dtype, vocab_parallel_embedding)
    compare("linear", dtype, linear_method)
    compare("moe_topk_routing", dtype, moe_topk_routing, words=lambda case: case.args[:2])


def check_blocks(dtype: torch.dtype) -> None:
    def unbiased(case: Case) -> bool:
        return case.module.down_proj.bias is None

    def alone(case: Case) -> bool:
        return not hasattr(case.module, "shared_expert")

    def renormalised(case: Case) -> bool:
        return alone(case) and case.module.experts.routed_experts.renormalize

    def batched(case: Case) -> tuple[Any, ...]:
        return (*case.args[:2], BATCH, *case.args[2:])

    for owner in (llama.LlamaMLP, qwen2.Qwen2MLP):
        compare("llama_mlp", dtype, partial(mlp, owner), unbiased)
    compare("moe_block", dtype, mixtral_block, renormalised)
    compare("moe_block", dtype, qwen3_block, alone)
    radix_attention.get_attn_backend = OneSequence
    compare("llama_attention", dtype, attention, words=batched)
    if "residual" in inspect.signature(llama.LlamaDecoderLayer.forward).parameters:
        compare("llama_decoder_layer", dtype, decoder_layer, words=batched)


def check_draws() -> None:
    """Every way of filtering that the oracle takes, 300 calls of 32 rows each, from the live sampler, with what the
    bench would draw."""
    oracle, generator = load_oracle(catalog.task("topk_topp_sampling")), torch.Generator().manual_seed(SEED)
    rows, vocabulary = 32, 61
    for way, top_k, top_p in (("all", 1 << 30, 1.0), ("top-k", 7, 1.0), ("top-p", 1 << 30, 0.6), ("both", 7, 0.6)):
        draws, wrong = Draws(), ""
        for call in range(300):
            probs = (torch.randn(rows, vocabulary, generator=generator) * 2).softmax(dim=-1)
            filters = {"top_ks": torch.full((rows,), top_k), "top_ps": torch.full((rows,), top_p)}
            fresh = oracle.fresh(None, {"probs": probs, **filters}, call)
            args = (fresh["probs"], fresh["top_ks"], fresh["top_ps"], torch.zeros(rows), False, None, torch.zeros(rows))
            tokens = sampler.top_k_top_p_min_p_sampling_from_probs_torch(*args)
            case = oracle.restated("sglang", Case(None, args))
            wrong = wrong or draws.add(tokens, *results_of(oracle, precise(named(oracle, case))))
        print("drawn", way, wrong or draws.why() or "agrees")


def places() -> Iterator[tuple[Any, str]]:
    for task in catalog.tasks().values():
        for target in admitted(task, "sglang", sglang.__version__):
            yield from ((target, place) for place in target.places)


def check_targets() -> None:
    root = Path(sglang.__file__).parents[1]
    for target, place in places():
        owner: Any = import_module(target.module)
        for name in place.partition(":")[2].split("."):
            owner = inspect.getattr_static(owner, name)
        verify_live(place, owner, find(root, place))
        print("target", place)


def main() -> None:
    with TemporaryDirectory() as folder:
        start(Path(folder))
        with torch.no_grad():
            check_targets()
            check_draws()
            for dtype in DTYPES:
                check_operators(dtype)
                check_blocks(dtype)
        parallel_state.destroy_model_parallel()
        parallel_state.destroy_distributed_environment()


if __name__ == "__main__":
    sys.exit(main())
