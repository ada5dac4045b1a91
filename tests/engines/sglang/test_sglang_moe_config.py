"""A mixture block's configuration, told from what was recorded of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fk_overlay import catalog
from fk_overlay.capture import store
from fk_overlay.capture.signature import Module
from fk_overlay.capture.subset import samples
from fk_overlay.engines.sglang.moe_config import qwen3_moe_config
from fk_overlay.errors import EngineError


@pytest.fixture
def block() -> Module:
    """Of the tiny Qwen3-MoE of this repository."""
    case = store.read(samples(catalog.task("moe_block"), "sglang")).cases[0]
    return case.modules[case.module]


def test_sizes_and_routing_are_the_recorded_ones(block: Module) -> None:
    config = qwen3_moe_config(block)
    sizes = config.hidden_size, config.moe_intermediate_size, config.num_experts, config.num_experts_per_tok
    assert sizes == (128, 64, 8, 2)
    assert config.norm_topk_prob is True


def test_what_was_recorded_without_its_routing_is_refused(block: Module) -> None:
    plain = {path: value for path, value in block.attributes.items() if "topk_config" not in path}
    with pytest.raises(EngineError, match="is not rebuilt; use fk-overlay run"):
        qwen3_moe_config(replace(block, attributes=plain))


def test_other_blocks_are_refused(block: Module) -> None:
    with pytest.raises(EngineError, match="is not rebuilt; use fk-overlay run"):
        qwen3_moe_config(replace(block, type="sglang.srt.models.mixtral:MixtralMoE"))
