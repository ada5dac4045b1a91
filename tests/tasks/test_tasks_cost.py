"""What the tasks say that their calls cost, on their own samples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.core import Case, Cost, Task
from fk_overlay.integrity import costs
from fk_overlay.integrity.calls import named, tensors
from fk_overlay.integrity.oracle import load_oracle

TASKS = list(catalog.tasks().values())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_call_reads_no_more_than_there_is_and_writes_its_results(task: Task) -> None:
    oracle = load_oracle(task)
    assert oracle.cost is not None
    for case in oracle.samples(3, torch.bfloat16):
        call = named(oracle, case)
        cost = oracle.cost(**call)
        given = tensors(call).values()
        assert 0 < cost.read <= costs.size(*given)
        results = sum(result.numel() for result in oracle.results(case))
        assert results <= cost.written
        assert cost.flops >= (0 if task.name in ("moe_align", "vocab_parallel_embedding") else results)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_fresh_arguments_fit_the_call_and_change_with_the_seed(task: Task) -> None:
    oracle = load_oracle(task)
    if oracle.fresh is None:
        return
    for case in oracle.samples(3, torch.bfloat16):
        if task.name == "rotary_embedding" and not hasattr(case.module, "cos_sin_cache"):
            continue
        call = named(oracle, case)
        one, same, other = (oracle.fresh(case.module, call, seed) for seed in (1, 1, 2))
        for name, value in one.items():
            assert value.shape == call[name].shape
            assert value.dtype == call[name].dtype
            assert torch.equal(value, same[name])
        oracle.results(Case(case.module, (), {**{k: v for k, v in call.items() if k != "module"}, **one}))
        assert any(value.numel() < 3 or not torch.equal(value, other[name]) for name, value in one.items())


def test_a_product_counts_two_operations_for_every_weight_and_token() -> None:
    weight = torch.zeros(7, 5, dtype=torch.bfloat16)
    assert costs.product(3, weight) == Cost(70, 0, 2 * 3 * 35)
    assert costs.product(3, weight, torch.zeros(7, dtype=torch.bfloat16)) == Cost(84, 0, 2 * 3 * 35 + 21)


def test_experts_without_tokens_are_not_read() -> None:
    w13, w2 = torch.zeros(4, 6, 8), torch.zeros(4, 8, 3)
    ids = torch.tensor([[0, 1], [0, -1]])
    cost = costs.experts(2, 8, w13, w2, ids)
    assert cost.read == 2 * 4 * (48 + 24)
    assert cost.flops == 3 * 2 * 8 * (6 + 3) + 4 * 3 * 3 + 2 * 3 * 8


def test_attention_counts_half_of_all_pairs() -> None:
    weight = SimpleNamespace(weight=torch.zeros(4, 4), bias=None)
    module = SimpleNamespace(num_heads=2, head_dim=2, q_size=4, kv_size=2, qkv_proj=weight, o_proj=weight)
    projections = 2 * (2 * 3 * 16)
    assert costs.attention(module, 3).flops == projections + 3 * 3 * 6 + 6 * 2 * (4 * 2 + 2)
