"""Attention through vLLM's own paged cache: what a patch writes there is judged by what later calls read."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; its classes are what is benched"),
]
QUICK = Design(warm_up=3, iterations=6, rounds=3, processes=1)
PACKS = Path(__file__).parents[1] / "packs"
PACK = """
name = "{name}"
summary = "Judged in this test."
[requires.engines]
vllm = ">=0.26,<0.33"
[[patch]]
task = "llama_attention"
file = "kernel.py"
symbol = "LlamaAttention"
"""
KERNEL = """
from vllm.forward_context import get_forward_context


class LlamaAttention:
    @staticmethod
    def supports(module, positions, hidden_states):
        return {supports}

    def forward(self, positions, hidden_states):
        qkv, _ = self.qkv_proj(hidden_states)
        q, k, v = qkv.split([self.q_size, self.kv_size, self.kv_size], dim=-1)
        q, k = self.rotary_emb(positions, q, k)
        batch = get_forward_context().attn_metadata[self.attn.layer_name]
        decoding = len(hidden_states) == len(batch.seq_lens)
        cache = self.attn.kv_cache
{body}
        return self.o_proj(mixed)[0]
"""
HONEST = """
        mixed = self.attn(q, k, v)
"""
LOSES_WHAT_IT_WRITES = """
        if {when}:
            self.attn.kv_cache = cache.clone()
        mixed = self.attn(q, k, v)
        self.attn.kv_cache = cache
"""
FORGETS_WHAT_WAS = """
        if decoding:
            self.attn.kv_cache = cache * 0
        mixed = self.attn(q, k, v)
        self.attn.kv_cache = cache
"""
TOUCHES_OTHERS = """
        mixed = self.attn(q, k, v)
        cache.view(len(cache), -1)[batch.block_table[0, 0], :64] += 1
"""
BAD = {
    "loses-prefill": LOSES_WHAT_IT_WRITES.format(when="not decoding"),
    "loses-decode": LOSES_WHAT_IT_WRITES.format(when="decoding"),
    "forgets": FORGETS_WHAT_WAS,
    "touches": TOUCHES_OTHERS,
}
Judge = Callable[..., CaseVerdict]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> object:
    torch.set_num_threads(1)
    with Bench(Place.of("vllm"), catalog.tasks(), {"OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}) as bench:

        def judge_kernel(name: str, body: str, supports: str = "True") -> CaseVerdict:
            folder = tmp_path_factory.mktemp(name)
            (folder / "pack.toml").write_text(PACK.format(name=name))
            (folder / "kernel.py").write_text(KERNEL.format(body=body, supports=supports))
            task = bench.tasks["llama_attention"]
            case = store.read(samples(task, "vllm")).cases[0]
            return judge(bench, case, task, bench.frozen(catalog.load_pack(folder)), QUICK)

        def judge_pack(task: str, pack: Path) -> CaseVerdict:
            case = store.read(samples(bench.tasks[task], "vllm")).cases[0]
            return judge(bench, case, bench.tasks[task], bench.frozen(catalog.load_pack(pack)), QUICK)

        yield {"kernel": judge_kernel, "pack": judge_pack}


def test_the_same_attention_passes(judged: dict[str, Judge]) -> None:
    verdict = judged["kernel"]("honest", HONEST)
    assert verdict.state == "passed", verdict.reasons


def test_one_that_refuses_what_fills_the_cache_is_judged_by_what_it_takes(judged: dict[str, Judge]) -> None:
    verdict = judged["kernel"]("decode-only", HONEST, supports="len(hidden_states) <= 4")
    assert verdict.state == "passed", verdict.reasons


@pytest.mark.parametrize(("name", "state"), [("honest", "passed"), ("loses-decode", "incorrect")])
def test_one_sequence_of_a_batch_is_enough_to_tell(
    judged: dict[str, Judge], monkeypatch: pytest.MonkeyPatch, name: str, state: str
) -> None:
    monkeypatch.setattr("fk_overlay.bench.expected.MOST_TOKENS", 1)
    verdict = judged["kernel"](f"one-{name}", {"honest": HONEST, **BAD}[name])
    assert verdict.state == state, verdict.reasons


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_it_does_to_the_cache_shows(judged: dict[str, Judge], name: str) -> None:
    verdict = judged["kernel"](name, BAD[name])
    assert (verdict.state, verdict.guard) == ("incorrect", "g.recheck"), verdict.reasons


def test_a_model_of_a_pack_is_what_is_built(judged: dict[str, Judge]) -> None:
    verdict = judged["pack"]("llama", PACKS / "model-identity")
    assert verdict.state == "passed", verdict.reasons
