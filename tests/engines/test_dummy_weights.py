from __future__ import annotations

import math
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fk_overlay.engines import dummy_weights as weights
from fk_overlay.engines.vllm import host

torch: Any = pytest.importorskip("torch")
torch.set_num_threads(1)
VOCABULARY, HIDDEN, LAYERS = 512, 128, 4


def model() -> Any:
    layers = []
    for _ in range(LAYERS):
        layer = torch.nn.Module()
        layer.input_layernorm = torch.nn.LayerNorm(HIDDEN)
        layer.q_proj = torch.nn.Linear(HIDDEN, HIDDEN)
        layer.o_proj = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        layer.scale = torch.nn.Parameter(torch.full((HIDDEN,), 3, dtype=torch.uint8), requires_grad=False)
        layers.append(layer)
    made = torch.nn.Module()
    made.embed_tokens = torch.nn.Embedding(VOCABULARY, HIDDEN)
    made.layers = torch.nn.ModuleList(layers)
    made.lm_head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
    return made


@pytest.fixture
def drawn() -> Any:
    made = model()
    weights.draw(made)
    return made


def test_norms_are_one_and_biases_zero(drawn: Any) -> None:
    for layer in drawn.layers:
        assert (layer.input_layernorm.weight == 1).all()
        assert (layer.input_layernorm.bias == 0).all()
        assert (layer.q_proj.bias == 0).all()


def test_weights_have_the_scale_of_a_fresh_gpt_2(drawn: Any) -> None:
    for layer in drawn.layers:
        assert float(layer.q_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert float(layer.o_proj.weight.detach().std()) == pytest.approx(0.02 / math.sqrt(2 * LAYERS), rel=0.05)
    assert not torch.equal(drawn.layers[0].q_proj.weight, drawn.layers[1].q_proj.weight)


def test_the_head_is_the_embedding_moved_by_one_row(drawn: Any) -> None:
    scale = weights.TOP_LOGIT / (0.5 * HIDDEN)
    assert float(drawn.embed_tokens.weight.detach().std()) == pytest.approx(1.0, rel=0.05)
    torch.testing.assert_close(drawn.lm_head.weight[1:], drawn.embed_tokens.weight[:-1] * scale)
    logits = drawn.lm_head(drawn.embed_tokens.weight)
    assert torch.equal(logits.argmax(-1), (torch.arange(VOCABULARY) + 1) % VOCABULARY)


def test_every_process_draws_the_same(drawn: Any) -> None:
    torch.manual_seed(99)
    again = model()
    weights.draw(again)
    for one, two in zip(drawn.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_global_generator_is_left_alone() -> None:
    made = model()
    before = torch.get_rng_state()
    weights.draw(made)
    assert torch.equal(before, torch.get_rng_state())


def test_packed_and_meta_weights_are_left_alone(drawn: Any) -> None:
    assert (drawn.layers[0].scale == 3).all()
    weights.draw(torch.nn.Linear(4, 4, device="meta"))


def test_a_tied_head_is_the_embedding(drawn: Any) -> None:
    tied = model()
    tied.lm_head.weight = tied.embed_tokens.weight
    weights.draw(tied)
    assert torch.equal(tied.embed_tokens.weight, drawn.embed_tokens.weight)


def on_rank(rank: int) -> Any:
    """Embedding, head and projections cut for two ranks as vLLM and SGLang do it; the layer's scale is whole."""
    made = model()
    made.embed_tokens.tp_size = made.lm_head.tp_size = 2
    for layer in made.layers:
        layer.q_proj.tp_size = 2
        layer.o_proj.moe_config = SimpleNamespace(tp_size=1, ep_size=2)
        layer.gate = ReplicatedLinear(HIDDEN, 8)
        layer.gate.tp_size = 2
    weights.draw(made, rank)
    return made


class ReplicatedLinear(torch.nn.Linear):  # type: ignore[misc]
    pass


def test_each_rank_has_parts_of_its_own() -> None:
    first, second = on_rank(0), on_rank(1)
    for name, drawn in first.named_parameters():
        same = torch.equal(drawn, second.get_parameter(name))
        assert same != ("weight" in name and "norm" not in name and "gate" not in name), name
    assert not torch.isin(first.lm_head.weight, second.lm_head.weight).all(dim=1).any()


def test_the_dummy_loader_draws_the_ranks_weights_after_it_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class DummyModelLoader:
        def load_weights(self, model: Any, config: str) -> None:
            assert config == "config"
            torch.nn.init.zeros_(model.lm_head.weight)

    module = ModuleType("dummy_loader")
    module.DummyModelLoader = DummyModelLoader  # type: ignore[attr-defined]
    monkeypatch.setattr(host, "tensor_rank", lambda: 1)
    host.give_meaning(module)
    made = on_rank(0)
    DummyModelLoader().load_weights(made, "config")
    assert torch.equal(made.lm_head.weight, on_rank(1).lm_head.weight)
