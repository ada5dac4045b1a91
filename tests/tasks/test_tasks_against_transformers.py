"""The Llama and mixture oracles against an implementation that shares nothing with them, in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.core import Task
from fk_overlay.integrity import standins
from fk_overlay.integrity.draw import Draw
from fk_overlay.integrity.oracle import load_oracle

transformers = pytest.importorskip("transformers", reason="transformers holds the independent implementations")
from transformers.models.llama import modeling_llama  # noqa: E402
from transformers.models.mixtral import modeling_mixtral  # noqa: E402

HIDDEN, INNER, HEADS, KV_HEADS, TOKENS = 64, 72, 4, 2, 13


@pytest.fixture(autouse=True)
def in_float64() -> Any:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return dict(catalog.tasks())


@pytest.fixture
def model() -> Any:
    """A Llama of two layers with random weights, embeddings of scale 1 and norms around 1."""
    config = transformers.LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        vocab_size=80,
        rms_norm_eps=1e-5,
        attn_implementation="eager",
    )
    torch.manual_seed(5)
    made = modeling_llama.LlamaModel(config).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            weight.normal_(mean=float("norm" in name), std=1.0 if "embed" in name else 0.2)
    return made


def standin(model: Any) -> SimpleNamespace:
    """The same weights under vLLM's names."""
    draw = Draw(0, torch.float64)

    def norm(held: Any) -> SimpleNamespace:
        made = standins.rms_norm(draw, HIDDEN, held.variance_epsilon)
        made.weight = held.weight
        return made

    def layer(held: Any) -> SimpleNamespace:
        made = standins.llama_layer(draw, HIDDEN, INNER, HEADS, KV_HEADS)
        made.input_layernorm, made.post_attention_layernorm = (
            norm(held.input_layernorm),
            norm(held.post_attention_layernorm),
        )
        attention, mlp = held.self_attn, held.mlp
        made.self_attn.qkv_proj.weight = torch.cat(
            [it.weight for it in (attention.q_proj, attention.k_proj, attention.v_proj)]
        )
        made.self_attn.o_proj.weight = attention.o_proj.weight
        made.mlp.gate_up_proj.weight = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        made.mlp.down_proj.weight = mlp.down_proj.weight
        return made

    return SimpleNamespace(
        model=SimpleNamespace(
            embed_tokens=model.embed_tokens, layers=[layer(it) for it in model.layers], norm=norm(model.norm)
        )
    )


@torch.no_grad()
def test_the_llama_oracle(tasks: dict[str, Task], model: Any) -> None:
    ids, positions = torch.randint(80, (TOKENS,)), torch.arange(TOKENS)
    wanted = model(input_ids=ids.unsqueeze(0)).last_hidden_state[0]
    found = load_oracle(tasks["llama"]).reference(standin(model), ids, positions)
    # transformers computes the rotary table in float32.
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_decoder_layer_oracle(tasks: dict[str, Task], model: Any) -> None:
    x, residual, positions = torch.randn(TOKENS, HIDDEN), torch.randn(TOKENS, HIDDEN), torch.arange(TOKENS)
    mask = torch.full((TOKENS, TOKENS), -torch.inf).triu(1)[None, None]
    rotary = model.rotary_emb(x, positions.unsqueeze(0))
    wanted = model.layers[0]((x + residual).unsqueeze(0), attention_mask=mask, position_embeddings=rotary)[0]
    layer = standin(model).model.layers[0]
    contribution, stream = load_oracle(tasks["llama_decoder_layer"]).reference(layer, positions, x, residual)
    torch.testing.assert_close(contribution + stream, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_mixture_oracle(tasks: dict[str, Task]) -> None:
    config = transformers.MixtralConfig(
        hidden_size=HIDDEN, intermediate_size=INNER, num_local_experts=8, num_experts_per_tok=2
    )
    block = modeling_mixtral.MixtralSparseMoeBlock(config).eval()
    for weight in block.parameters():
        weight.normal_(std=0.2)
    experts = block.experts
    routed = SimpleNamespace(w13_weight=experts.gate_up_proj, w2_weight=experts.down_proj, top_k=2, renormalize=True)
    module = SimpleNamespace(gate=block.gate, experts=SimpleNamespace(routed_experts=routed))
    x = torch.randn(TOKENS, HIDDEN)
    wanted = block(x.unsqueeze(0))
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    found = load_oracle(tasks["moe_block"]).reference(module, x)
    torch.testing.assert_close(found, wanted.reshape(TOKENS, HIDDEN), rtol=1e-5, atol=1e-5)
