"""The bench on SGLang's own classes, with the sample cases of the tasks; SGLang is imported by the arms alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine.real_engine import only

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.capture import store
from fk_overlay.capture.subset import samples

pytestmark = [pytest.mark.engine, only("sglang")]
QUICK = Design(warm_up=3, iterations=6, rounds=3, processes=1)
MANY = replace(QUICK, iterations=60)
"""Calls that draw enough tokens to tell."""
DRAWN = {"topk_topp_sampling"}
SAMPLED = [name for name, task in sorted(catalog.tasks().items()) if samples(task, "sglang").is_dir()]
SAMPLERS = {
    "honest": """
    ordered, order = probs.sort(dim=-1, descending=True)
    below = (ordered.cumsum(dim=-1) - ordered <= top_ps.view(-1, 1)) & (ranks < top_ks.view(-1, 1))
    noise = torch.empty_like(ordered).exponential_()
    drawn = torch.where(below, ordered / noise, 0).argmax(dim=-1, keepdim=True)
    return order.gather(1, drawn).view(-1).to(torch.int32)
""",
    "greedy": "    return probs.argmax(dim=-1).to(torch.int32)\n",
    "all tokens": "    return torch.multinomial(probs, 1).view(-1).to(torch.int32)\n",
}
SAMPLER = """
import torch


def sample(probs, top_ks, top_ps, min_ps, need_min_p_sampling, sampling_seed, positions):
    ranks = torch.arange(probs.shape[-1]).view(1, -1)
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    torch.set_num_threads(1)
    with Bench(Place.of("sglang"), catalog.tasks(), {"OMP_NUM_THREADS": "1"}) as opened:
        yield opened


@pytest.mark.parametrize("name", SAMPLED)
def test_every_task_with_cases_passes_against_itself(bench: Bench, name: str) -> None:
    task = bench.tasks[name]
    verdict = judge(bench, store.read(samples(task, "sglang")).cases[0], task, None, MANY if name in DRAWN else QUICK)
    if name == "llama":
        assert (verdict.state, "judge it with fk-overlay run" in verdict.reasons[0]) == ("skipped", True)
        return
    assert verdict.state == "passed", verdict.reasons
    assert 0.2 < (verdict.ratio or 0) < 5
    assert verdict.cost is not None


@pytest.mark.parametrize("kind", SAMPLERS)
def test_samplers_are_judged_by_many_draws(bench: Bench, kind: str, tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(SAMPLER + SAMPLERS[kind])
    entry = '[[patch]]\ntask = "topk_topp_sampling"\nfile = "kernel.py"\nsymbol = "sample"\nengines = ["sglang"]\n'
    (tmp_path / "pack.toml").write_text(f'name = "sampler"\nsummary = "draws tokens"\n{entry}')
    task = bench.tasks["topk_topp_sampling"]
    case = next(each for each in store.read(samples(task, "sglang")).cases if each.signature[0].shape[0] > 1)
    pack = bench.frozen(catalog.load_pack(tmp_path))
    verdict = judge(bench, case, task, pack, MANY)
    assert verdict.state == ("passed" if kind == "honest" else "incorrect"), verdict.reasons
