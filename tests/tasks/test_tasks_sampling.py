"""What the oracle of ``topk_topp_sampling`` draws, and how it understands SGLang's sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from fk_overlay import catalog
from fk_overlay.core import Case
from fk_overlay.integrity.oracle import load_oracle

torch.set_num_threads(1)
ORACLE = load_oracle(catalog.task("topk_topp_sampling"))
ROWS, VOCABULARY = 16, 5000
KS, PS = (torch.arange(ROWS) * 7 + 1).int(), torch.linspace(0.1, 1.0, ROWS)


def logits(seed: int) -> Tensor:
    """As a bfloat16 model gives them, with many ties; some are masked."""
    drawn = torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3
    drawn[:, ::5] = float("-inf")
    return drawn.bfloat16().float()


def fresh(arguments: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
    assert ORACLE.fresh is not None
    return ORACLE.fresh(None, arguments, seed)


@pytest.mark.parametrize("k", [None, KS])
@pytest.mark.parametrize("p", [None, PS])
def test_no_rounding_decides_what_is_kept(k: Tensor | None, p: Tensor | None) -> None:
    for seed in range(20):
        drawn = fresh({"logits": logits(seed), "k": k, "p": p}, seed)
        given = drawn["logits"], drawn.get("k"), drawn.get("p")
        assert given[0].dtype == torch.float32
        single, double = ORACLE.reference(None, *given), ORACLE.reference(None, given[0].double(), *given[1:])
        assert torch.equal(single.isinf(), double.isinf())
        assert given[0].isinf().sum() == ROWS * VOCABULARY // 5


def test_rows_keep_their_own_filters() -> None:
    drawn = fresh({"logits": logits(0), "k": KS, "p": PS}, 3)
    assert drawn["k"].sort().values.tolist() == KS.tolist()
    assert drawn["k"].tolist() != KS.tolist()
    assert (drawn["p"] == 1).sum() == 1
    assert drawn["p"].tolist() != PS.tolist()


def test_another_seed_draws_other_values() -> None:
    one, other = (fresh({"logits": logits(0), "k": KS, "p": PS}, seed) for seed in (1, 2))
    assert not torch.equal(one["logits"], other["logits"])
    assert torch.equal(one["logits"], fresh({"logits": logits(0), "k": KS, "p": PS}, 1)["logits"])


def test_probabilities_stay_probabilities() -> None:
    drawn = fresh({"probs": logits(0).softmax(dim=-1), "top_ks": KS, "top_ps": PS}, 5)
    torch.testing.assert_close(drawn["probs"].sum(dim=-1), torch.ones(ROWS))
    assert drawn["probs"].dtype == torch.float32


@pytest.mark.parametrize(("top_k", "top_p", "kept"), [(4, 1.0, 4), (1 << 30, 0.7, 2), (4, 0.85, 3), (1, 1.0, 1)])
def test_sglangs_nucleus_is_that_of_all_tokens(top_k: int, top_p: float, kept: int) -> None:
    probs = torch.tensor([[0.05, 0.5, 0.3, 0.15]])
    none, off = torch.zeros(1), torch.zeros(1)
    call = Case(None, (probs, torch.tensor([top_k]), torch.tensor([top_p]), none, False, None, off))
    case = ORACLE.restated("sglang", call)
    masked = ORACLE.reference(case.module, *case.args)
    assert int((~masked.isinf()).sum()) == kept


@pytest.mark.parametrize(("min_p", "seed", "why"), [(True, None, "min-p"), (False, torch.zeros(1), "seed decides")])
def test_what_the_oracle_cannot_judge_is_refused(min_p: bool, seed: Tensor | None, why: str) -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match=why):
        ORACLE.restated("sglang", Case(None, (torch.ones(1, 4) / 4, one, one, one, min_p, seed, one)))
