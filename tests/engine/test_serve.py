"""Production: the engine's own server with a pack in it, and no plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.real_engine import REPOSITORY

from fk_overlay.engines.base import Engine
from fk_overlay.engines.http.ports import free_port
from fk_overlay.overlay.receipts import collect

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

MODEL = REPOSITORY / "tests/models/tiny-llama"
ARGUMENTS = {
    "vllm": f"{MODEL} --dtype bfloat16 --enforce-eager --max-model-len 128 --max-num-seqs 4",
    "sglang": f"--model-path {MODEL} --dtype bfloat16 --device cpu --attention-backend torch_native "
    "--disable-cuda-graph --mem-fraction-static 0.5 --max-total-tokens 2048",
}
"""In the words of the engine's own server."""


def command(engine: Engine, pack: Path, receipts: Path, port: int) -> list[str]:
    ours = [sys.executable, "-m", "fk_overlay.cli.main", "serve", "--engine", engine.name, "--patch", str(pack)]
    theirs = [*ARGUMENTS[engine.name].split(), "--port", str(port)]
    return [*ours, "--receipts", str(receipts), "--", *theirs]


def environment() -> dict[str, str]:
    return {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command(engine, REPOSITORY / "tests/packs/identity", tmp_path / "receipts", port),
            env=environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_for(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url + "/health", timeout=5)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"{url} did not answer within {seconds:.0f} s")


def test_the_server_answers_and_its_worker_ran_the_pack(url: str, tmp_path: Path) -> None:
    wait_for(url, 240)
    body = {"model": str(MODEL), "prompt": [5, 6, 7], "max_tokens": 8, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(
        url + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] == 8
    worker = [receipt for receipt in collect(tmp_path / "receipts") if receipt["rank"] == 0]
    assert {receipt["task"] for receipt in worker} >= {"rms_norm", "silu_and_mul", "llama_mlp"}
    ran = {receipt["task"] for receipt in worker if receipt["calls_eager"] > 0}
    assert ran == {"rms_norm", "silu_and_mul", "llama_mlp"}
    assert all(not receipt["errors"] for receipt in worker)


def test_a_pack_that_may_not_run_here_stops_the_server(engine: Engine, tmp_path: Path) -> None:
    pack = tmp_path / "elsewhere"
    pack.mkdir()
    (pack / "kernel.py").write_text("class RMSNorm:\n    def forward(self, x, residual=None):\n        return x\n")
    (pack / "pack.toml").write_text(
        'name = "elsewhere"\nsummary = "for another machine"\n[requires]\ngpus = ["NVIDIA Z9*"]\n'
        '[[patch]]\ntask = "rms_norm"\nfile = "kernel.py"\nsymbol = "RMSNorm"\n'
    )
    done = subprocess.run(
        command(engine, pack, tmp_path / "receipts", free_port()),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert "NVIDIA Z9*" in done.stderr
