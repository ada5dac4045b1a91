"""A capture from the real engine with the tiny model, and what vLLM's module computes on what was captured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.real_engine import only

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.capture import store
from fk_overlay.engines.base import Engine
from fk_overlay.errors import EngineError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]
REPOSITORY = Path(__file__).parents[2]
PROMPT, OUTPUT, REQUESTS, LAYERS = 32, 32, 16, 2
"""As scenarios/tiny-llama.yaml and the model have them."""


@pytest.fixture(scope="module")
def capture(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> store.Capture:
    folder = tmp_path_factory.mktemp("capture")
    scenario = REPOSITORY / "scenarios/tiny-llama.yaml"
    command = [sys.executable, "-m", "fk_overlay.cli.main", "capture", "--scenario", str(scenario)]
    command += ["--engine", engine.name, "--out", str(folder / "out")]
    env = {**os.environ, "FK_OVERLAY_HOME": str(folder / "home")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=350, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recording took" in done.stdout
    return store.read(folder / "out", engine=engine.name, tasks=catalog.tasks())


def calls(capture: store.Capture, task: str) -> int:
    return sum(case.calls for case in capture.of_task(task))


def test_every_call_of_the_load_is_counted(capture: store.Capture) -> None:
    steps = calls(capture, "llama")
    assert steps >= 2 * OUTPUT + OUTPUT  # 16 requests, 8 at once; then one alone
    assert calls(capture, "vocab_parallel_embedding") == steps
    assert calls(capture, "llama_mlp") == calls(capture, "llama_attention") == LAYERS * steps
    assert calls(capture, "rms_norm") == (2 * LAYERS + 1) * steps


@only("vllm")
def test_the_operators_below_the_norms_are_counted_too(capture: store.Capture) -> None:
    steps = calls(capture, "llama")
    assert steps == 2 * OUTPUT + OUTPUT
    assert calls(capture, "ir_rms_norm") == steps
    assert calls(capture, "ir_fused_add_rms_norm") == 2 * LAYERS * steps


@only("vllm")
def test_growing_sequences_are_no_new_cases(capture: store.Capture) -> None:
    """Prefill and decode of the batch and of the single request."""
    assert len(capture.of_task("llama_attention")) == len(capture.of_task("llama")) == 4


@only("vllm")
def test_the_scheduler_s_tensors_are_kept(capture: store.Capture) -> None:
    decode = next(case for case in capture.of_task("llama_attention") if case.signature[1].shape[0] == 8)
    context = decode.values().surroundings["context"]
    assert len(context.slot_mapping) == len(context.seq_lens) == 8
    assert all(PROMPT <= length <= PROMPT + OUTPUT for length in context.seq_lens.tolist())
    assert context.max_seq_len == max(context.seq_lens.tolist())


@only("vllm")
def test_the_engine_s_own_layer_gives_a_captured_call_its_shape_again(capture: store.Capture) -> None:
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.activation import SiluAndMul

    with set_current_vllm_config(VllmConfig()):
        layer: Any = SiluAndMul()
    for case in capture.of_task("silu_and_mul"):
        (x,) = case.values().args
        gate, up = x.double().chunk(2, dim=-1)
        out = layer.forward_native(x)
        assert tuple(out.shape) == case.results[0].shape
        torch.testing.assert_close(out.double(), gate * torch.sigmoid(gate) * up, rtol=0.02, atol=0.01)


def test_heavier_levels_weigh_more(capture: store.Capture) -> None:
    weights = {task: sum(case.weight for case in capture.of_task(task)) for task in capture.contracts}
    assert weights["llama"] > weights["llama_mlp"] > weights["silu_and_mul"] > 0


def test_recording_costs_less_than_the_engine_itself(capture: store.Capture) -> None:
    """The tiny model does next to nothing between two calls; with a real one the share is far lower."""
    wall = capture.header["overhead"]["decode"]
    assert wall["recording_s"] < 3 * wall["paused_s"]


def test_the_store_is_small(capture: store.Capture) -> None:
    assert sum(path.stat().st_size for path in capture.folder.rglob("*") if path.is_file()) < 16 << 20


def test_attention_is_benched_through_the_engine_s_cache(engine: Engine, capture: store.Capture) -> None:
    """A prefill and a decode of each, the baseline against itself."""
    tasks = catalog.tasks()
    quick = Design(warm_up=2, iterations=4, rounds=2, processes=1)
    with Bench(Place.of(engine.name), tasks, {"OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}) as bench:
        for name in ("llama_attention", "llama_decoder_layer"):
            cases = sorted(capture.of_task(name), key=lambda case: case.signature[1].shape)
            for case in (cases[0], cases[-1]):
                verdict = judge(bench, case, tasks[name], None, quick)
                assert verdict.state == "passed", (name, verdict.reasons)
                assert verdict.cost is not None


def test_another_release_is_refused(capture: store.Capture) -> None:
    with pytest.raises(EngineError, match="capture again"):
        store.read(capture.folder, engine=capture.engine, version="0.0.1")
