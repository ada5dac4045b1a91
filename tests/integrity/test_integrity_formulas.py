"""The oracles' formulas against independent implementations."""

import pytest
import torch
import torch.nn.functional as F

from fk_overlay.integrity import formulas, standins
from fk_overlay.integrity.draw import Draw


@pytest.fixture
def draw() -> Draw:
    return Draw(7, torch.float64)


def test_rms_norm(draw: Draw) -> None:
    x, weight = draw.normal(5, 24), draw.normal(24)
    torch.testing.assert_close(formulas.rms_norm(x, weight, 1e-5), F.rms_norm(x, (24,), weight, 1e-5))
    torch.testing.assert_close(formulas.rms_norm(x, None, 1e-5), F.rms_norm(x, (24,), None, 1e-5))
    head = formulas.rms_norm(x, None, 1e-5, variance_size=8)[:, :8]
    torch.testing.assert_close(head, F.rms_norm(x[:, :8], (8,), None, 1e-5))


def test_linear(draw: Draw) -> None:
    x, weight, bias = draw.normal(2, 3, 8), draw.normal(5, 8), draw.normal(5)
    torch.testing.assert_close(formulas.linear(x, weight, bias), F.linear(x, weight, bias))


@pytest.mark.parametrize(("name", "torch_name"), [("gelu", "none"), ("gelu_tanh", "tanh")])
def test_gated_gelu(draw: Draw, name: str, torch_name: str) -> None:
    x = draw.normal(3, 10)
    torch.testing.assert_close(formulas.gated(x, name), F.gelu(x[:, :5], approximate=torch_name) * x[:, 5:])


def test_gated_silu(draw: Draw) -> None:
    x = draw.normal(3, 10)
    torch.testing.assert_close(formulas.gated(x), x[:, :5] / (1 + (-x[:, :5]).exp()) * x[:, 5:])


@pytest.mark.parametrize("neox", [True, False])
def test_rotate_multiplies_complex_numbers(draw: Draw, neox: bool) -> None:
    positions, x = draw.integers(64, 9), draw.normal(9, 3 * 16)
    rotary = standins.rotary(draw, 16, rotary_dim=8, neox=neox)
    turned = formulas.rotate(x, positions, rotary.cos_sin_cache, 16, 8, neox).reshape(9, 3, 16)
    heads = x.reshape(9, 3, 16)
    pairs = (slice(0, 4), slice(4, 8)) if neox else (slice(0, 8, 2), slice(1, 8, 2))
    angle = positions.double().outer(10_000.0 ** (-torch.arange(0, 8, 2) / 8.0)).unsqueeze(1)
    wanted = torch.complex(heads[..., pairs[0]], heads[..., pairs[1]]) * torch.polar(torch.ones_like(angle), angle)
    torch.testing.assert_close(turned[..., pairs[0]], wanted.real)
    torch.testing.assert_close(turned[..., pairs[1]], wanted.imag)
    torch.testing.assert_close(turned[..., 8:], heads[..., 8:])


def test_causal_attention_with_grouped_queries(draw: Draw) -> None:
    q, k, v = draw.normal(11, 6 * 4), draw.normal(11, 2 * 4), draw.normal(11, 2 * 4)
    split = [it.reshape(11, -1, 4).transpose(0, 1) for it in (q, k, v)]
    wanted = F.scaled_dot_product_attention(*split, is_causal=True, scale=0.7, enable_gqa=True)
    torch.testing.assert_close(formulas.causal_attention(q, k, v, 6, 2, 0.7), wanted.transpose(0, 1).reshape(11, 24))


@pytest.mark.parametrize("renormalize", [True, False])
def test_route(draw: Draw, renormalize: bool) -> None:
    logits = draw.normal(6, 10)
    weights, ids = formulas.route(logits, 3, renormalize=renormalize)
    best, wanted = logits.topk(3, dim=-1)
    torch.testing.assert_close(ids.long(), wanted)
    torch.testing.assert_close(weights, best.softmax(-1) if renormalize else logits.softmax(-1).gather(1, wanted))


def test_route_prefers_the_lower_expert_among_equals() -> None:
    _, ids = formulas.route(torch.zeros(2, 8), 3, renormalize=True)
    assert ids.tolist() == [[0, 1, 2]] * 2


def test_experts_mlp_is_a_sum_over_single_perceptrons(draw: Draw) -> None:
    w13, w2 = standins.experts(draw, 4, 8, 6)
    x, weights, ids = draw.normal(5, 8), draw.uniform(5, 2, low=0.1, high=1.0), draw.integers(4, 5, 2)
    ids[2, 1] = -1
    wanted = torch.zeros_like(x)
    for token in range(5):
        for slot in range(2):
            if (expert := int(ids[token, slot])) >= 0:
                gate, up = (w13[expert] @ x[token]).chunk(2)
                wanted[token] += weights[token, slot] * (w2[expert] @ (F.silu(gate) * up))
    torch.testing.assert_close(formulas.experts_mlp(x, w13, w2, weights, ids), wanted)


def test_draws_are_the_same_values_in_every_dtype() -> None:
    exact = Draw(3, torch.float64).normal(50)
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(Draw(3, dtype).normal(50), exact.to(dtype))
    assert not torch.equal(Draw(4, torch.float64).normal(50), exact)


def test_distinct_rows_have_no_equal_elements_even_in_bfloat16() -> None:
    rows = Draw(3, torch.bfloat16).distinct(20, 128, gap=0.0625)
    assert all(row.unique().numel() == 128 for row in rows)
