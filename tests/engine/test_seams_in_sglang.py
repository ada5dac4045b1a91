"""Every seam that SGLang has, engaged in its own processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from engine.real_engine import PACKS, only, scenario, started

from fk_overlay.engines.base import Engine
from fk_overlay.overlay.receipts import collect

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(300)]

HERE = Path(__file__).parent
SEAMS, IDENTITY = HERE / "sglang-seams", PACKS / "identity"
TRITON = "sglang.srt.layers.moe.moe_runner.triton_utils"
Receipts = Sequence[dict[str, Any]]


def of(receipts: Receipts, task: str) -> Receipts:
    return [receipt for receipt in receipts if receipt["task"] == task]


def calls(receipts: Receipts, task: str) -> int:
    return sum(receipt["calls_eager"] for receipt in of(receipts, task))


@pytest.fixture(scope="module")
def scheduler(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Receipts:
    """Receipts of the scheduler of a server that has answered on its own endpoint and on OpenAI's, by sampling."""
    wanted = scenario("tiny-llama", driver="server")
    drawn = {"temperature": 1.0, "top_p": 0.8, "ignore_eos": True}
    folder = tmp_path_factory.mktemp("server") / "launch"
    with started(engine, wanted, folder, SEAMS, IDENTITY, PACKS / "model-identity") as it:
        it.session.wait_ready(240)
        own = {"input_ids": [5, 6, 7], "sampling_params": {**drawn, "max_new_tokens": 8}}
        assert len(post(it.session.url, "/generate", own)["output_ids"]) == 8  # type: ignore[attr-defined]
        openai = {"model": str(it.launch.model), "prompt": [5, 6, 7], "max_tokens": 8, **drawn}
        answer = post(it.session.url, "/v1/completions", openai)  # type: ignore[attr-defined]
        assert answer["usage"]["completion_tokens"] == 8
        return [receipt for receipt in collect(it.launch.receipts) if receipt["rank"] == 0]


def post(url: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_method_function_and_model_ran(scheduler: Receipts) -> None:
    ran = {task for task in {each["task"] for each in scheduler} if calls(scheduler, task)}
    assert ran == {"rms_norm", "silu_and_mul", "llama_mlp", "topk_topp_sampling", "llama"}


def test_a_model_runs_once_a_step_and_its_layers_with_it(scheduler: Receipts) -> None:
    steps = calls(scheduler, "llama")
    assert steps >= 16
    assert calls(scheduler, "llama_mlp") == 2 * steps
    assert calls(scheduler, "rms_norm") == 5 * steps


def test_a_function_is_swapped_wherever_it_was_imported(scheduler: Receipts) -> None:
    (align,) = of(scheduler, "moe_align")
    there = {f"{TRITON}.moe_align_block_size:moe_align_block_size", f"{TRITON}.fused_moe:moe_align_block_size"}
    assert there <= set(align["aliases"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Receipts]:
    """What sglang_live_seams.py printed, and its receipts."""
    folder = tmp_path_factory.mktemp("live")
    env = {
        **os.environ,
        "SGLANG_USE_CPU_ENGINE": "1",
        "FK_OVERLAY": os.pathsep.join(map(str, (SEAMS, IDENTITY))),
        "FK_OVERLAY_RECEIPTS": str(folder / "receipts"),
        "FK_OVERLAY_HOME": str(folder / "home"),
    }
    command = [sys.executable, str(HERE / "sglang_live_seams.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]), list(collect(folder / "receipts"))


def test_a_method_bound_in_init_needs_the_overlay_first(live: tuple[dict[str, Any], Receipts]) -> None:
    """Up to 0.5.17 an operator binds its method when it is made, later at its first call: the overlay comes before
    either, and one that was made before it keeps what it was bound to."""
    said, receipts = live
    assert calls(receipts, "rms_norm") == (1 if said["bound_in_init"] else 2)


def test_a_lookup_of_kernel_configurations_reads_the_pack_s_and_is_counted(
    live: tuple[dict[str, Any], Receipts],
) -> None:
    said, receipts = live
    held = json.loads(next((SEAMS / "configs").glob("*.json")).read_text())
    assert said["found"] == held
    assert said["missing"] is None
    assert calls(receipts, "fused_experts") == 1
    (receipt,) = of(receipts, "fused_experts")
    assert receipt["fallbacks"] == 2
    name = "E={},N=64,device_name=NVIDIA_H100.json"
    assert receipt["files"] == [name.format(8)]
    assert receipt["lookups"] == {name.format(8): True, name.format(16): False, said["own_name"]: False}


def test_a_lookup_that_the_pack_cannot_answer_still_finds_sglang_s_own_file(
    live: tuple[dict[str, Any], Receipts],
) -> None:
    said, _ = live
    assert said["own"] == said["own_file"]
