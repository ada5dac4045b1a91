"""The oracles against SGLang's own classes on this CPU, within each task's own tolerance, and every target against its
definition. SGLang is imported by sglang_live.py, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine.real_engine import only

from fk_overlay import catalog
from fk_overlay.contract.store import admitted
from fk_overlay.engines.sglang import ENGINE

pytestmark = [
    pytest.mark.engine,
    only("sglang"),
    pytest.mark.timeout(300),
]
DTYPES = ("float32", "bfloat16")
COMPARED = {
    "rms_norm",
    "gemma_rms_norm",
    "silu_and_mul",
    "gelu_and_mul",
    "rotary_embedding",
    "vocab_parallel_embedding",
    "linear",
    "moe_topk_routing",
    "llama_mlp",
    "moe_block",
    "llama_attention",
    "llama_decoder_layer",
}
"""All that a CPU can run; not moe_align, fused_experts, and what holds a whole model. What draws is compared apart."""


@pytest.fixture(scope="module")
def said() -> list[list[str]]:
    """The words of each line."""
    env = {**os.environ, "SGLANG_USE_CPU_ENGINE": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sglang_live.py"))],
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [line.split(maxsplit=3) for line in done.stdout.splitlines()]


def test_every_task_is_compared_in_both_dtypes(said: list[list[str]]) -> None:
    there = {(words[0], words[1]) for words in said if words[0] in COMPARED}
    assert there == {(task, dtype) for task in COMPARED for dtype in DTYPES}


def test_the_oracles_agree_with_sglang(said: list[list[str]]) -> None:
    assert [words for words in said if words[0] in COMPARED and words[3:] != ["agrees"]] == []


def test_draws_follow_the_oracles_distributions(said: list[list[str]]) -> None:
    assert {" ".join(words[1:]) for words in said if words[0] == "drawn"} == {
        f"{way} agrees" for way in ("all", "top-k", "top-p", "both")
    }


def test_every_target_is_live_as_its_source_defines_it(said: list[list[str]]) -> None:
    wanted = {
        place
        for task in catalog.tasks().values()
        for target in admitted(task, "sglang", ENGINE.version())
        for place in target.places
    }
    assert {words[1] for words in said if words[0] == "target"} == wanted
