"""Run folders as `fk-overlay run` leaves them, made up from a seed: what a story says is what the records show.

Speed: every launch has a factor of its own (restart noise), every pass another. Answers: the baseline's margins are
drawn once; in every launch each margin moves by a little noise, and the token flips where the noise is larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fk_overlay.core import BASELINE, CONTROL, Correctness, Limits, Model, Scenario, Workload
from fk_overlay.lineage.record import Recorder

Record = dict[str, Any]
Change = Callable[[Record], Record | None]

TOKENS = 48
SCENARIO = Scenario(
    name="llama-8b-chat",
    summary="Llama 3.1 8B, short chat turns",
    model=Model("meta-llama/Llama-3.1-8B-Instruct", dtype="bfloat16"),
    workloads=(
        Workload("chat-c32", requests=24, input_len=512, output_len=TOKENS, concurrency=32),
        Workload("chat-open", requests=16, input_len=512, output_len=TOKENS, loop="open"),
    ),
    correctness=Correctness(requests=8),
    limits=Limits(),
    minimum_effect=0.005,
)
CONFIG = {"dtype": "bfloat16", "cache": {"block_size": 16, "prefix_caching": False}, "attention_backend": "FLASH_ATTN"}
ENVIRONMENT = {
    "fk_overlay": "0.1.0",
    "python": "3.12.7",
    "system": "Linux-6.8.0-x86_64-with-glibc2.39",
    "cpu": "Intel Xeon Platinum 8480C, 16 logical cores",
    "torch": "2.11.0",
    "triton": "3.6.0",
    "gpus": [{"name": "NVIDIA H100 80GB HBM3", "driver_version": "570.86.15"}],
}
GPU = {"name": "NVIDIA H100 80GB HBM3", "driver_version": "570.86.15", "clocks.sm": 1980.0, "clocks.mem": 2619.0}
GPU |= {"power.draw": 587.0, "memory.used": 71200.0}


@dataclass(frozen=True)
class Story:
    """What happened in a run.

    Attributes:
        speedup: the candidate's true output throughput over the baseline's.
        restart_sd, pass_sd: noise of the log throughput.
        noise, patched_noise: how far margins move in a launch of the baseline and of the candidate, nats.
        stop_after: launches that were over when the run was interrupted; None for a run that went to its end.
        changes: applied to every record in turn; None drops it.
    """

    speedup: float = 1.08
    restart_sd: float = 0.008
    pass_sd: float = 0.003
    noise: float = 0.02
    patched_noise: float = 0.03
    restarts: int = 5
    passes: int = 2
    mode: str = "decide"
    selftest: bool = False
    seed: int = 7
    scenario: Scenario = SCENARIO
    stop_after: int | None = None
    changes: tuple[Change, ...] = field(default=())

    @property
    def candidate(self) -> str:
        return CONTROL if self.selftest else "fused-norm"

    def but(self, *changes: Change, **values: Any) -> Story:
        return replace(self, changes=(*self.changes, *changes), **values)


def records(story: Story) -> list[Record]:
    """The records of the run, oldest first."""
    found = []
    for record in _told(story):
        changed: Record | None = record
        for change in story.changes:
            changed = change(changed) if changed is not None else None
        if changed is not None:
            found.append(changed)
    return found


def write(story: Story, folder: Path) -> Path:
    """The run's folder, with its record in it."""
    with Recorder(folder) as recorder:
        recorder.add_all(records(story))
    return folder


def where(kind: str, **wanted: Any) -> Callable[[Callable[[Record], Record | None]], Change]:
    """Turns a change of one record into a change of those records only that have these values."""

    def limited(change: Callable[[Record], Record | None]) -> Change:
        def changed(record: Record) -> Record | None:
            hit = record["kind"] == kind and all(record.get(key) == value for key, value in wanted.items())
            return change(dict(record)) if hit else record

        return changed

    return limited


def set_(kind: str, values: Record, **wanted: Any) -> Change:
    """Overwrites values of the records of one kind."""
    return where(kind, **wanted)(lambda record: {**record, **values})


def drop(kind: str, **wanted: Any) -> Change:
    return where(kind, **wanted)(lambda record: None)


# ------------------------------------------------------------------------------------------------ how a run goes


def _told(story: Story) -> Iterator[Record]:
    yield _run(story)
    draw = np.random.default_rng(story.seed)
    answers = {workload.name: _answers(workload, draw) for workload in story.scenario.workloads}
    order = 0
    for restart in range(story.restarts):
        arms = (BASELINE, story.candidate)
        for arm in arms if restart % 2 == 0 else reversed(arms):
            if order == story.stop_after:
                yield from _passes(story, f"{order:02d}-{arm}", arm, restart, answers, draw)
                yield {"kind": "note", "text": "interrupted; go on with --resume"}
                return
            yield from _launch(story, order, arm, restart, answers, draw)
            order += 1


def _run(story: Story) -> Record:
    packs = [] if story.selftest else [{"name": story.candidate, "digest": "3f9ac1d27b50e864" * 4}]
    scenario = {key: value for key, value in asdict(story.scenario).items() if key != "folder"}
    return {
        "kind": "run",
        "run_id": f"20260301-101500-{story.scenario.name}-{story.candidate}-a1b2",
        "created": "2026-03-01T10:15:00+0000",
        "engine": "vllm",
        "engine_version": "0.32.0",
        "mode": story.mode,
        "design": {"restarts": story.restarts, "passes": story.passes},
        "scenario": scenario,
        "arms": [
            {"name": BASELINE, "digest": "e3b0c442", "packs": []},
            {"name": story.candidate, "digest": "5d41402a", "packs": packs},
        ],
        "environment": ENVIRONMENT,
        "command": ["fk-overlay", "run", story.candidate, "--scenario", story.scenario.name, "--mode", story.mode],
    }


@dataclass(frozen=True)
class Answers:
    """What the baseline would say without any noise, per request: tokens, margins in nats, log-probabilities."""

    tokens: np.ndarray
    margins: np.ndarray
    logprobs: np.ndarray


def _answers(workload: Workload, draw: np.random.Generator) -> Answers:
    shape = workload.requests, workload.output_len
    margins = draw.exponential(2.0, shape)
    return Answers(draw.integers(10, 30000, shape), margins, -np.log1p(np.exp(-margins)))


def _launch(
    story: Story, order: int, arm: str, restart: int, answers: dict[str, Answers], draw: np.random.Generator
) -> Iterator[Record]:
    name = f"{order:02d}-{arm}"
    yield from _passes(story, name, arm, restart, answers, draw)
    yield from _forced(story, name, arm, restart, answers[story.scenario.headline_workload.name], draw)
    yield from _receipts(story, name, arm, "timed")
    yield _closing(story, name, arm, restart, order, "timed", draw)
    if arm == story.candidate and restart == 0 and not story.selftest:
        yield from _receipts(story, f"{name}-witness", arm, "witness")
        yield _closing(story, f"{name}-witness", arm, restart, order, "witness", draw)


def _closing(
    story: Story, name: str, arm: str, restart: int, order: int, purpose: str, draw: np.random.Generator
) -> Record:
    patched = arm == story.candidate and not story.selftest
    return {
        "kind": "launch",
        "launch": name,
        "arm": arm,
        "restart": restart,
        "order": order,
        "purpose": purpose,
        "log": f"launches/{name}/engine.log",
        "state": "ok",
        "reason": None,
        "load_s": float(42 + 3 * patched + draw.normal(0, 0.5)),
        "config": CONFIG,
        "kv_blocks": 27150 - 130 * patched,
        "peak_rss_bytes": int(6.1e9 + 2e8 * patched),
        "peak_gpu_bytes": int(71.2e9 + 1e8 * patched),
        "clocks": [[{**GPU, "temperature.gpu": 48.0, "power.draw": 118.0}], [{**GPU, "temperature.gpu": 61.0}]],
    }


def _passes(
    story: Story, name: str, arm: str, restart: int, answers: dict[str, Answers], draw: np.random.Generator
) -> Iterator[Record]:
    gain = math.log(story.speedup) if arm == story.candidate else 0.0
    launch = gain + draw.normal(0, story.restart_sd)
    for number in range(story.passes):
        for workload in story.scenario.workloads:
            place = {"launch": name, "arm": arm, "restart": restart, "pass": number, "workload": workload.name}
            speed = math.exp(launch + draw.normal(0, story.pass_sd))
            busy = 1.0 if workload.loop == "closed" else 0.7
            itl = draw.gamma(40, 0.0094 / 40, (workload.requests, workload.output_len - 1)) / speed * (0.8 + 0.2 * busy)
            ttft = draw.gamma(8, 0.052 / 8, workload.requests) / math.sqrt(speed) * busy
            for metric, value, unit, higher in _metrics(ttft, itl, 3180.0 * speed * busy, story):
                yield {
                    "kind": "sample",
                    **place,
                    "metric": metric,
                    "value": value,
                    "unit": unit,
                    "higher_is_better": higher,
                }
            said = _said(story, arm, answers[workload.name], draw)
            for request in range(workload.requests):
                yield {
                    "kind": "request",
                    **place,
                    "request": request,
                    "ttft_s": round(float(ttft[request]), 6),
                    "latency_s": round(float(ttft[request] + itl[request].sum()), 6),
                    "itl_s": [round(float(gap), 6) for gap in itl[request]],
                    "tokens": said[request].tolist(),
                    "error": None,
                }


def _metrics(
    ttft: np.ndarray, itl: np.ndarray, throughput: float, story: Story
) -> Iterator[tuple[str, float, str, bool]]:
    yield "output_throughput", throughput, "tokens/s", True
    yield "request_throughput", throughput / TOKENS, "requests/s", True
    yield "failed_requests", 0.0, "requests", False
    yield "goodput", throughput / TOKENS * 0.97, "requests/s", True
    for metric, values in (("ttft", ttft), ("tpot", itl.mean(axis=1)), ("itl", itl), ("e2e", ttft + itl.sum(axis=1))):
        for percent in (50, 95, 99):
            yield f"{metric}_p{percent}", float(np.percentile(values, percent)) * 1000, "ms", False


def _noise(story: Story, arm: str, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    patched = arm == story.candidate and not story.selftest
    return np.abs(draw.normal(0, story.patched_noise if patched else story.noise, shape))


def _said(story: Story, arm: str, answers: Answers, draw: np.random.Generator) -> np.ndarray:
    """Timed outputs: from the first token that flips on, everything is different."""
    flipped = _noise(story, arm, answers.margins.shape, draw) > answers.margins
    parted = np.logical_or.accumulate(flipped, axis=1)
    return np.where(parted, answers.tokens + 1, answers.tokens)


def _forced(
    story: Story, name: str, arm: str, restart: int, answers: Answers, draw: np.random.Generator
) -> Iterator[Record]:
    for variant in ("same", "half") if arm == BASELINE else ("same",):
        for request in range(story.scenario.correctness.requests):
            tokens, margins = answers.tokens[request], answers.margins[request]
            moved = _noise(story, arm, margins.shape, draw)
            yield {
                "kind": "forced",
                "launch": name,
                "arm": arm,
                "restart": restart,
                "variant": variant,
                "request": request,
                "tokens": tokens.tolist(),
                "logprobs": (answers.logprobs[request] - 0.3 * moved).tolist(),
                "ranks": np.where(moved > margins, 2, 1).tolist(),
                "top1": np.where(moved > margins, tokens + 1 + (1e6 * moved).astype(int) % 997, tokens).tolist(),
                "margins": np.abs(margins - moved).tolist(),
            }


def _receipts(story: Story, name: str, arm: str, purpose: str) -> Iterator[Record]:
    process = {
        "kind": "receipt",
        "launch": name,
        "arm": arm,
        "purpose": purpose,
        "engine": "vllm",
        "version": "0.32.0",
        "errors": [],
    }
    front = {**process, "pid": 4100, "role": "server", "rank": None, "world_size": None, "loaded": False, "task": None}
    worker = {**process, "pid": 4177, "role": "worker", "rank": 0, "world_size": 1, "loaded": True, "task": None}
    yield front
    if arm == BASELINE or story.selftest:
        yield worker
        return
    for member in ("forward_cuda", "forward_native"):
        yield {
            **worker,
            "task": "rms_norm",
            "target": f"vllm.model_executor.layers.layernorm:RMSNorm.{member}",
            "seam": "method",
            "pack": story.candidate,
            "pack_digest": "3f9ac1d27b50e864" * 4,
            "baseline_body": "9c1185a5c5e9fc54",
            "aliases": [],
            "instances": 65,
            "prepared": 65,
            "calls_eager": 130 if member == "forward_cuda" else 0,
            "calls_traced": 0,
            "calls_captured": 67 * 65 if member == "forward_cuda" else 0,
            "fallbacks": 0,
            "replays": (67 * 65 * 90 if member == "forward_cuda" else 0) if purpose == "witness" else 0,
        }
